package setting

// judgeUnsent is about bytes that lie in a socket and were not sent yet.
func judgeUnsent(s *Sight) Verdict {
	is, err := s.text("net.ipv4.tcp_notsent_lowat")
	if err != nil {
		return unread(err, "It bounds what lies in a socket unsent.")
	}
	if is == "4294967295" || is == "-1" { // old kernels have a sign
		is = "no bound"
	}
	return fine(is, "A bound would let an urgent answer overtake a long one on the same HTTP/2 connection, at the price of more writes for every program on the box; the kernel holds back unsent bytes to about what is under way in any case. Left as it is.")
}

package setting

import "fmt"

// judgeKeepAlive is about probes of idle connections: time, interval and number are one thing.
func judgeKeepAlive(s *Sight) Verdict {
	const why = "The gateway sets its own on each connection: to clients after 60 s, to endpoints after 30 s. What the kernel has is for other programs. Left as it is."
	time, err := s.number("net.ipv4.tcp_keepalive_time")
	if err != nil {
		return unread(err, why)
	}
	is := fmt.Sprintf("%d s", time)
	interval, err1 := s.number("net.ipv4.tcp_keepalive_intvl")
	probes, err2 := s.number("net.ipv4.tcp_keepalive_probes")
	if err1 == nil && err2 == nil {
		is += fmt.Sprintf(", then %d probes every %d s", probes, interval)
	}
	return fine(is, why)
}

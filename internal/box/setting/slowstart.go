package setting

import (
	"strconv"

	"straum.dev/straum/internal/box"
)

// judgeIdleStart is about kept connections that paused: whether they begin anew with ten segments (RFC 5681, section 4.1; RFC 6928).
func judgeIdleStart(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_slow_start_after_idle")
	if err != nil {
		return unread(err, "It decides whether a kept connection starts slowly again after a pause.")
	}
	text := strconv.FormatInt(is, 10)
	control, _ := s.text("net.ipv4.tcp_congestion_control")
	switch {
	case is == 0:
		return fine(text, "A kept connection goes on after a pause as fast as it was.")
	case !s.Workload.Public && !s.Workload.Outgoing:
		return fine(text, "All connections are within this box, where a round trip takes no time.")
	case control == "bbr":
		return fine(text, "BBR keeps its own measure of the path over a pause; the kernel does not look at this for it.")
	}
	return propose(box.Hint, text, "0", "Connections are kept, and requests come in bursts. After a pause as short as a fifth of a second each begins with ten segments again, about 14 KB; an answer of 100 KB then takes three round trips where the connection had learnt to do it in one. It matters for answers beyond 14 KB to clients far away.")
}

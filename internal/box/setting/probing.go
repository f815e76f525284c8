package setting

import (
	"strconv"

	"straum.dev/straum/internal/box"
)

// judgeProbing is about paths that lose long packets and do not say so (RFC 4821).
func judgeProbing(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_mtu_probing")
	if err != nil {
		return unread(err, "It finds the longest packet of a path that loses longer ones silently.")
	}
	text := strconv.FormatInt(is, 10)
	switch {
	case is > 0:
		return fine(text, "Where long packets are lost and no ICMP says so, TCP tries shorter ones.")
	case !s.Workload.Public && !s.Workload.Outgoing:
		return fine(text, "All connections are within this box.")
	}
	return propose(box.Hint, text, "1", "Behind some tunnels and firewalls long packets are lost and no ICMP says so: small answers arrive, long ones hang. With 1 TCP tries shorter packets once it sees that; other connections are as before.")
}

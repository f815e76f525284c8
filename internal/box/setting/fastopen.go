package setting

import (
	"strconv"

	"straum.dev/straum/internal/box"
)

// fastOpenAccept is the bit of tcp_fastopen for the accepting side.
const fastOpenAccept = 2

// judgeFastOpen is about clients that were here before and send their request with the first segment (RFC 7413).
func judgeFastOpen(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_fastopen")
	if err != nil {
		return unread(err, "It lets clients that were here before send their request with the first segment.")
	}
	text := strconv.FormatInt(is, 10)
	switch {
	case is&fastOpenAccept != 0:
		return fine(text, "Bit 2 is set: clients that were here before save a round trip.")
	case !s.Workload.FastOpen:
		return fine(text, "No listener offers Fast Open.")
	}
	return propose(box.Hint, text, strconv.FormatInt(is|fastOpenAccept, 10),
		"Listeners offer TCP Fast Open (fast_open), but the bit for accepting, 2, is not set. With it clients that were here before and ask for it save a round trip; for others nothing changes.")
}

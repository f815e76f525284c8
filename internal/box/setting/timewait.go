package setting

import (
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// judgeTimeWait is about taking a local port again whose last connection is in TIME-WAIT. It is for connections that the box opens alone,
// and safe for them by timestamps (RFC 6191).
func judgeTimeWait(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_tw_reuse")
	if err != nil {
		return unread(err, "It lets local ports in TIME-WAIT be taken again for new connections to endpoints.")
	}
	text := strconv.FormatInt(is, 10)
	waiting := s.timeWait()
	var total int64
	if r, err := s.numbers("net.ipv4.ip_local_port_range", 2); err == nil {
		total = r[1] - r[0] + 1
	}
	// It needs timestamps, which have a rule of their own that switches them on.
	_, err = s.number("net.ipv4.tcp_timestamps")
	short := total > 0 && waiting*2 > total && s.Workload.Endpoints > 0 && err == nil
	cost := fmt.Sprintf("%s in TIME-WAIT; of %s local ports they hold as many at most", counted(uint64(max(waiting, 0)), "socket*"), wording.Grouped(total))
	switch {
	case is == 1:
		return fine(text, "Ports in TIME-WAIT are taken again for new connections to everywhere, which timestamps make safe.")
	case short && s.Workload.Outgoing:
		v := propose(box.Hint, text, "1", "Ports in TIME-WAIT are taken again only on loopback (2) or not at all (0), and more than half of the local ports may be in that state. 1 takes them for every endpoint; timestamps make it safe. Better still, find out why connections to endpoints are not kept: straum upstreams.")
		v.Cost = cost
		return v
	case short && is == 0 && s.since(4, 19):
		v := propose(box.Hint, text, "2", "More than half of the local ports may be in TIME-WAIT. 2, the kernel's default since 4.19, takes them again on loopback, where the endpoints are.")
		v.Cost = cost
		return v
	case is == 2:
		return fine(text, "2, the default since 4.19, takes ports in TIME-WAIT again on loopback alone. 1 would do so everywhere, and is seldom needed: connections to endpoints are kept and used again.")
	}
	return fine(text, "Ports in TIME-WAIT are not taken again, and need not be: connections to endpoints are kept and used again.")
}

// judgeFinWait leaves alone what recipes have changed for twenty years: it is no time of TIME-WAIT, which is a constant of the kernel.
func judgeFinWait(s *Sight) Verdict {
	is, err := s.number("net.ipv4.tcp_fin_timeout")
	if err != nil {
		return unread(err, "It is how long a closed connection waits for the peer's end.")
	}
	return fine(strconv.FormatInt(is, 10)+" s", "It is how long a connection that nobody holds any more waits for the peer's end (FIN-WAIT-2). TIME-WAIT has nothing to do with it. Left as it is.")
}

package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/wording"
)

const (
	// enoughSegments is how many must have been sent for a share of them to mean something.
	enoughSegments                      = 1000
	retransmitsHint, retransmitsWarning = 0.01, 0.03
)

// lookRetransmits tells how much of what TCP sent had to be sent again.
func lookRetransmits(_ context.Context, p *Patient) []box.Finding {
	why := "What got lost on the way is sent again once that is noticed, after a round trip at best, after 200ms and more where only a timer notices. Up to 1% is usual on the Internet, more so with mobile clients."
	when, sent, again := "", uint64(0), uint64(0)
	if v := p.Vitals; v != nil && v.Knows(vitals.Segments) {
		when, sent, again = "over "+short(v.Window), v.Network.Sent, v.Network.Retransmitted
	}
	if sent < enoughSegments {
		var ok bool
		if sent, again, ok = segments(p.Machine); !ok {
			return one(unknown("what TCP sent again cannot be read", why, ""))
		}
		when = "since the box started"
	}
	if sent < enoughSegments {
		return one(unknown(fmt.Sprintf("only %s sent %s: too few to tell", wording.Count(sent, "segment"), when), why, ""))
	}
	part := float64(again) / float64(sent)
	f := box.Finding{Severity: box.Good, Is: fmt.Sprintf("%s of %s segments sent again, %s", percent(part), wording.Grouped(sent), when), Want: "below " + percent(retransmitsHint), Why: why}
	switch {
	case part > retransmitsWarning:
		f.Severity = box.Warning
	case part > retransmitsHint:
		f.Severity = box.Hint
	default:
		return one(f)
	}
	f.Cost = wording.Count(again, "segment") + " sent again, " + when
	f.Remedy = "find out where it is lost: ss -ti shows it by connection, nstat -az TcpExtTCPLostRetransmit TcpExtTCPTimeouts in total; nic_drops whether it is this box; mtr towards a client whether it is the way. BBR bears loss better (net.ipv4.tcp_congestion_control)"
	return one(f)
}

// segments are what TCP has sent and sent again since the box started, by the heads and numbers of /proc/net/snmp.
func segments(m *box.Machine) (sent, again uint64, ok bool) {
	text, err := m.Read("/proc/net/snmp")
	if err != nil {
		return 0, 0, false
	}
	var heads []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Tcp:" {
			continue
		}
		if heads == nil {
			heads = f
			continue
		}
		for i := 1; i < min(len(f), len(heads)); i++ {
			n, _ := strconv.ParseUint(f[i], 10, 64)
			switch heads[i] {
			case "OutSegs":
				sent, ok = n, true
			case "RetransSegs":
				again = n
			}
		}
		return sent, again, ok
	}
	return 0, 0, false
}

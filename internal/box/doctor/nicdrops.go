package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// From which share of the packets on losses at the interface matter.
const dropsHint, dropsWarning = 1e-5, 1e-3

// lookDrops tells of packets that an interface had no room for. What the kernel sorted out itself (rx_dropped: protocols nobody speaks, mostly) is no loss
// and only told.
func lookDrops(_ context.Context, p *Patient) (found []box.Finding) {
	names := interfaces(p.Machine)
	if len(names) == 0 {
		return noInterface()
	}
	for _, name := range names {
		get := func(which string) uint64 { return statistic(p.Machine, name, which) }
		in, out := get("rx_packets"), get("tx_packets")
		missed := get("rx_missed_errors") + get("rx_fifo_errors")
		left := get("tx_dropped") + get("tx_fifo_errors")
		broken := get("rx_errors") + get("tx_errors")
		part := float64(missed+left+broken) / float64(max(in+out, 1))
		f := box.Finding{
			Severity: box.Good,
			Is:       fmt.Sprintf("%s of %s packets lost since the box started", percentOf(missed+left+broken, in+out), wording.Grouped(in+out)),
			Want:     "none",
			Why:      "A packet lost at the interface is sent again after a round trip at best; the client or the endpoint waits meanwhile.",
		}
		switch {
		case part > dropsWarning:
			f.Severity = box.Warning
		case part > dropsHint:
			f.Severity = box.Hint
		default:
			f.Want = f.Is
			found = append(found, about(name, f))
			continue
		}
		f.Cost = fmt.Sprintf("%s not taken in for want of room, %s not sent, %s broken", wording.Grouped(missed), wording.Grouped(left), wording.Grouped(broken))
		f.Remedy = "longer rings where it has them (ethtool -g " + name + ", ethtool -G); broken ones are the cable's, or the provider's"
		found = append(found, about(name, f))
	}
	return found
}

// percentOf writes a part of a whole; "none" when there is no part.
func percentOf(part, whole uint64) string {
	if part == 0 {
		return "none"
	}
	return fmt.Sprintf("%s (%s)", wording.Grouped(part), percent(float64(part)/float64(max(whole, 1))))
}

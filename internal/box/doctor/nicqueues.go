package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// lookQueues compares the queues of an interface with the cores that could empty them.
func lookQueues(_ context.Context, p *Patient) (found []box.Finding) {
	names := interfaces(p.Machine)
	if len(names) == 0 {
		return noInterface()
	}
	for _, name := range names {
		why := "Each queue interrupts one core. With fewer queues than cores those few take in all packets, unless the kernel passes them on (receive packet steering, RPS)."
		n, spread := queues(p.Machine, name, "rx", "rps_cpus")
		if n == 0 {
			found = append(found, about(name, unknown("its queues cannot be seen", why, "")))
			continue
		}
		is := fmt.Sprintf("%s for %s", wording.Count(n, "queue"), wording.Count(p.Facts.Online, "core"))
		if n == 1 && !spread {
			is += ", RPS off"
		}
		if spread {
			is += ", RPS on"
		}
		f := box.Finding{Severity: box.Good, Is: is, Want: is, Why: why}
		if n < p.Facts.Online && p.Facts.Online == 2 {
			f.Why += " Two cores share the work well enough: one takes packets in and has less of the rest."
		}
		if n*2 < p.Facts.Online && !spread {
			f.Severity = box.Hint
			f.Want = "a queue a core, or RPS"
			f.Why += " It matters from some 100,000 packets a second on; softirq tells whether it does here."
			f.Remedy = fmt.Sprintf("ethtool -l %s shows how many it may have, ethtool -L %s combined %d sets them; else echo %s > /sys/class/net/%s/queues/rx-0/rps_cpus", name, name, p.Facts.Online, mask(p.Facts.Online), name)
			if p.Facts.Guest.Container != "" {
				f.Remedy = "on the machine around this container: queues or RPS of its interface"
			}
		}
		found = append(found, about(name, f))
	}
	return found
}

// mask names cores 0 to n-1 as the kernel reads it: hexadecimal, in groups of 32 bits from the highest.
func mask(n int) string {
	text := fmt.Sprintf("%x", uint32(1)<<(n%32)-1)
	if n%32 == 0 {
		text, n = "ffffffff", n-32
	}
	for range n / 32 {
		text += ",ffffffff"
	}
	return text
}

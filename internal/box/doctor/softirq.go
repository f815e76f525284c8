package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
)

const (
	// From when on one core that takes in all packets is in the way: by how much of it that takes.
	softirqHint, softirqWarning = 0.40, 0.70
	// alone is from which part of all softirqs on one core has them.
	alone = 0.80
)

// lookSoftirq tells whether one core does the network's work for all.
func lookSoftirq(_ context.Context, p *Patient) []box.Finding {
	if p.Vitals == nil || !p.Vitals.Knows(vitals.Processors) {
		return one(unknown("who had the processors' time cannot be read", "It is seen over a time, in /proc/stat.", ""))
	}
	cpu := &p.Vitals.CPU
	all := cpu.Softirq * float64(max(cpu.Online, 1)) // in cores
	is := fmt.Sprintf("softirqs take %s of a core", percent(all))
	if cpu.Online > 1 {
		is += fmt.Sprintf(", and %s of the one that has most of them", percent(cpu.SoftirqCore))
	}
	f := box.Finding{Severity: box.Good, Is: is, Want: is,
		Why: "The kernel takes in packets in softirqs, mostly on the core the interface interrupts. When that core is full, packets wait however idle the others are."}
	part := cpu.SoftirqCore / max(all, 1e-9)
	switch {
	case cpu.Online < 2:
		return one(f)
	case cpu.SoftirqCore > softirqWarning:
		f.Severity = box.Warning
	case cpu.SoftirqCore > softirqHint && part > alone:
		f.Severity = box.Hint
	default:
		return one(f)
	}
	f.Want = "spread over the cores, or below " + percent(softirqHint) + " of one"
	f.Cost = fmt.Sprintf("one core spent %s of the last %s on packets", percent(cpu.SoftirqCore), short(p.Vitals.Window))
	f.Remedy = "more queues of the interface where it has them (ethtool -L), else receive packet steering: see nic_queues"
	return one(f)
}

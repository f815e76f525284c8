package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
)

// From when on little memory matters: as a share of it that is left, and as a share of the time that something waited for some (PSI).
const (
	leftWarning, leftBad           = 0.08, 0.03
	memoryWaitHint, memoryWaitWarn = 0.01, 0.10
)

// lookMemory tells how much memory is left, and whether anything waits for some.
func lookMemory(_ context.Context, p *Patient) []box.Finding {
	v := p.Vitals
	if v == nil || !v.Knows(vitals.MainMemory) || v.Memory.Total == 0 {
		return one(unknown("how much memory is left could not be read", "", ""))
	}
	m := &v.Memory
	left := float64(m.Available) / float64(m.Total)
	f := box.Finding{
		Severity: box.Good,
		Is:       fmt.Sprintf("%s of %s left (%s)", size(m.Available), size(m.Total), percent(left)),
		Want:     "at least " + percent(leftWarning) + " left",
		Why:      "When memory runs out the kernel first drops what it has read from disks, then makes everybody wait, then kills somebody: mostly the largest process, which may be the gateway.",
	}
	if g := groupOf(p.Machine, p.process()); g.Memory > 0 && g.Memory < m.Total {
		if used, ok := g.used(p.Machine); ok && float64(g.Memory-used) < left*float64(g.Memory) {
			left = float64(max(g.Memory-used, 0)) / float64(g.Memory)
			f.Is = fmt.Sprintf("%s left of the %s its control group may use (%s)", size(max(g.Memory-used, 0)), size(g.Memory), percent(left))
		}
	}
	waited := 0.0
	if v.Pressure != nil {
		waited = v.Pressure.Memory
	}
	if waited > 0 {
		f.Cost = fmt.Sprintf("something waited for memory %s of the last %s", percent(waited), short(v.Window))
	}
	switch {
	case left < leftBad:
		f.Severity = box.Bad
	case left < leftWarning || waited > memoryWaitWarn:
		f.Severity = box.Warning
	case waited > memoryWaitHint:
		f.Severity = box.Hint
	default:
		f.Want = f.Is
		return one(f)
	}
	f.Remedy = "see who has it (ps aux --sort=-rss | head); lower cache.memory if it is the gateway; else move the others or take more memory"
	return one(f)
}

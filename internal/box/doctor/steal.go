package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
)

// From which share of the processors' time on steal matters.
const (
	stealHint    = 0.01
	stealWarning = 0.02
	stealBad     = 0.10
)

// lookSteal tells how much of the processors' time the machine around this guest gave to others.
func lookSteal(_ context.Context, p *Patient) []box.Finding {
	if p.Facts.Guest.Machine == "none" {
		return one(good("none: this is hardware", "Nobody is around this box to take its processors away."))
	}
	if p.Vitals == nil || !p.Vitals.Knows(vitals.Processors) {
		return one(unknown("who had the processors' time cannot be read", "Steal is seen over a time, in /proc/stat.", ""))
	}
	v := p.Vitals
	if since, ok := stealSince(p.Machine); v.CPU.Steal == 0 && ok && since == 0 && !tellsSteal[p.Facts.Guest.Machine] {
		return one(unknown("none was counted since the box started, but not every machine tells its guests ("+cmp.Or(p.Facts.Guest.Machine, "this one")+")",
			"Without the count, time that is taken away looks like slow code. Requests that are slow now and then while the processors are idle are its sign.", "ask the provider whether its processors are shared"))
	}
	f := box.Finding{
		Severity: box.Good,
		Is:       fmt.Sprintf("%s of the processors' time over %s", percent(v.CPU.Steal), short(v.Window)),
		Want:     "below 1%",
		Why: "While the machine around this guest gives a processor to somebody else, every request on it stands still, for milliseconds at a time: it shows in the p99 first. " +
			"Above 1 to 2% look at this before you blame your code or your settings; no setting of this box mends it.",
	}
	if v.CPU.Steal >= stealHint {
		taken := time.Duration(v.CPU.Steal * float64(max(v.CPU.Online, 1)) * float64(v.Window))
		f.Cost = fmt.Sprintf("%s of processor time taken in %s", short(taken), short(v.Window))
		if since, ok := stealSince(p.Machine); ok {
			f.Cost += fmt.Sprintf("; %s of all time since the box started", percent(since))
		}
		f.Remedy = "watch when it comes: straum doctor --watch --only steal. If it stays, ask the provider for another machine or take a plan with dedicated processors; what is measured meanwhile, straum capacity among it, is not worth much"
	}
	switch {
	case v.CPU.Steal > stealBad:
		f.Severity = box.Bad
	case v.CPU.Steal > stealWarning:
		f.Severity = box.Warning
	case v.CPU.Steal >= stealHint:
		f.Severity = box.Hint
	}
	return one(f)
}

// tellsSteal are the machines that tell their guests what they take away, by a counter of their own (KVM's and Xen's clocks).
var tellsSteal = map[string]bool{"kvm": true, "xen": true, "firecracker": true}

// stealSince is the share of all time since the box started, by the first line of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq, steal (proc(5)). Guest time is within user and not added again.
func stealSince(m *box.Machine) (float64, bool) {
	text, err := m.Read("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, false
	}
	var sum, steal float64
	for i, field := range f[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, false
		}
		sum += float64(n)
		if i == 7 {
			steal = float64(n)
		}
	}
	return steal / max(sum, 1), true
}

package doctor

import (
	"context"
	"fmt"
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
)

// From when on waiting for a processor matters: as a share of the time (PSI), else as tasks a core.
const (
	waitHint, waitWarning   = 0.25, 0.60
	queueHint, queueWarning = 2.0, 5.0
)

// lookPressure tells whether work waits for a processor.
func lookPressure(_ context.Context, p *Patient) []box.Finding {
	v := p.Vitals
	if v == nil || !v.Knows(vitals.Processors) {
		return one(unknown("who had the processors' time cannot be read", "Pressure is seen over a time, in /proc/pressure and /proc/stat.", ""))
	}
	f := box.Finding{
		Severity: box.Good,
		Is:       fmt.Sprintf("%s busy, %s tasks a core", percent(v.CPU.Busy), strconv.FormatFloat(v.CPU.RunQueue, 'f', 1, 64)),
		Why:      "A request that is ready waits behind every other task that is: on one core for nine times as long at 90% busy as at 50%.",
	}
	hint, warning := v.CPU.RunQueue > queueHint, v.CPU.RunQueue > queueWarning
	if v.Pressure != nil {
		f.Is = fmt.Sprintf("%s busy; something waited for a processor %s of the time", percent(v.CPU.Busy), percent(v.Pressure.CPU))
		f.Want = "waiting below " + percent(waitHint)
		hint, warning = v.Pressure.CPU > waitHint, v.Pressure.CPU > waitWarning
	} else {
		f.Want = "at most " + digits(queueHint) + " tasks a core"
	}
	switch {
	case warning:
		f.Severity = box.Warning
	case hint:
		f.Severity = box.Hint
	default:
		f.Want = f.Is
		return one(f)
	}
	f.Cost = pressureCost(p)
	f.Remedy = "find out who else works here (top, sorted by CPU), keep builds and backups off this box or give them CPUWeight=20 in their unit; if it is the gateway itself, straum capacity says what the box carries"
	return one(f)
}

// pressureCost is what the gateway itself waited, where that is known.
func pressureCost(p *Patient) string {
	if w := p.Vitals.Process; w != nil && p.Running != nil {
		return fmt.Sprintf("the gateway's threads used %s of a core, and waited for one %s of a core's time", percent(w.CPU), percent(w.Waited))
	}
	return ""
}

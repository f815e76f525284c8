package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// From which share of the periods on being throttled matters.
const throttledWarning, throttledBad = 0.01, 0.25

// lookQuota compares the processors there are with those the control groups allow, and with those the gateway was told to use.
func lookQuota(_ context.Context, p *Patient) []box.Finding {
	g := groupOf(p.Machine, p.process())
	quota, from := g.Quota, g.QuotaFrom
	if p.Running == nil && p.Facts.Quota > 0 && (quota == 0 || p.Facts.Quota < quota) {
		quota, from = p.Facts.Quota, "its control groups"
	}
	if f, ok := setByHand(p, quota); ok {
		return one(f)
	}
	if p.Facts.Online == 0 {
		return one(unknown("it is not known how many processors are online", p.notKnown("online"), ""))
	}
	all := wording.Count(p.Facts.Online, "processor")
	if p.Running == nil && p.Facts.Allowed > 0 && p.Facts.Allowed < p.Facts.Online {
		all = fmt.Sprintf("%d of %s", p.Facts.Allowed, all)
	}
	if quota == 0 || quota >= float64(p.Facts.Online) {
		why := "The Go runtime uses as many threads as there are processors by itself; GOMAXPROCS need not be set."
		if !g.Known {
			return one(unknown(all+"; the control groups of the gateway cannot be read", why, "sudo straum doctor --only cpu_quota"))
		}
		return one(good(all+", no quota", why))
	}
	f := box.Finding{
		Severity: box.Good,
		Is:       fmt.Sprintf("%s of %s (%s)", digits(quota), all, from),
		Why: "A group that has used up its quota stands still, with all its requests, until the next period of mostly 100ms begins. The Go runtime reads the quota by itself and " +
			"uses as many threads as it rounds up to, two at least; GOMAXPROCS need not be set.",
	}
	f.Want = f.Is
	now := 0.0
	if p.Vitals != nil {
		now = p.Vitals.CPU.Throttled
	}
	if g.Throttled > 0 {
		f.Cost = fmt.Sprintf("used up in %s of %s since the group began (%s)", wording.Grouped(g.Throttled), wording.Count(g.Periods, "period"), percent(float64(g.Throttled)/float64(max(g.Periods, 1))))
	}
	if now > 0 {
		f.Cost = strings.TrimPrefix(f.Cost+fmt.Sprintf("; throttled %s of the window", percent(now)), "; ")
	}
	mend := "raise CPUQuota= of the gateway's unit, or the limit of its container; or leave more of it by straum capacity's numbers"
	switch {
	case now > throttledBad:
		f.Severity, f.Want, f.Remedy = box.Bad, "a quota that is never used up", mend
	case now > throttledWarning || g.Periods > 0 && float64(g.Throttled) > throttledWarning*float64(g.Periods):
		f.Severity, f.Want, f.Remedy = box.Warning, "a quota that is hardly ever used up", mend
	case quota < 1:
		f.Severity, f.Want, f.Remedy = box.Hint, "at least 1 processor", mend
	}
	return one(f)
}

// setByHand finds out whether the gateway was started with more threads than it may use. Only this one variable of its environment is looked at, which else
// may hold secrets.
func setByHand(p *Patient, quota float64) (f box.Finding, ok bool) {
	if p.Running == nil {
		return f, false
	}
	text, err := p.Machine.Read(p.process() + "/environ")
	if err != nil {
		return f, false
	}
	for variable := range strings.SplitSeq(text, "\x00") {
		value, ok := strings.CutPrefix(variable, "GOMAXPROCS=")
		n, err := strconv.Atoi(value)
		if !ok || err != nil {
			continue
		}
		may := float64(p.Facts.Online)
		if quota > 0 {
			may = min(may, quota)
		}
		if float64(n) < may+1 {
			return f, false
		}
		return box.Finding{
			Severity: box.Hint,
			Is:       fmt.Sprintf("the gateway was started for %d threads (GOMAXPROCS), and may use %s processors", n, digits(may)), Want: "GOMAXPROCS is not set",
			Why:    "The Go runtime reads processors and quota by itself and follows changes of them. More threads than processors wait for each other, and use up a quota sooner.",
			Remedy: "remove GOMAXPROCS from the gateway's environment (Environment= of its unit) and restart it",
		}, true
	}
	return f, false
}

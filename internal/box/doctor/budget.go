package doctor

import (
	"context"
	"fmt"

	"straum.dev/straum/internal/box"
)

const (
	// limitShare is what the gateway tells the Go runtime to use of the memory there is, unless GOMEMLIMIT is set.
	limitShare = 0.85
	// budgetHint is how much of that budgets may take before the collector has to work harder.
	budgetHint = 0.75
	// noLimit is from where on a soft limit is none: the runtime's own word for it is the largest number there is.
	noLimit = 1 << 62
)

// lookBudget compares what the configuration lets be used with what the Go runtime was told it may use, and that with what there is.
func lookBudget(_ context.Context, p *Patient) []box.Finding {
	may, from := p.Facts.Memory, p.Facts.From
	if g := groupOf(p.Machine, p.process()); p.Running != nil && g.Known {
		may, from = p.Facts.Total, "/proc/meminfo"
		if g.Memory > 0 && (may == 0 || g.Memory < may) {
			may, from = g.Memory, g.From
		}
	}
	if may == 0 {
		return one(unknown("it is not known how much memory there is", p.notKnown("memory"), ""))
	}
	limit, whose := int64(float64(may)*limitShare), "would be"
	if p.Running != nil && p.Running.Memory > 0 {
		limit, whose = p.Running.Memory, "is"
	}
	f := box.Finding{Severity: box.Good, Why: "GOMEMLIMIT is what the Go runtime may use before it collects harder. The gateway sets it to 85% of what " + from + " allows, unless its environment says otherwise."}
	switch {
	case limit >= noLimit:
		f.Severity, f.Is, f.Want = box.Hint, "no GOMEMLIMIT is in force", "85% of "+size(may)
		f.Remedy = "remove GOMEMLIMIT=off from the gateway's environment and restart it"
		return one(f)
	case limit > may:
		f.Severity, f.Is = box.Bad, fmt.Sprintf("GOMEMLIMIT is %s, and the gateway may use %s (%s)", size(limit), size(may), from)
		f.Want = "at most 85% of what it may use"
		f.Why = "The kernel kills the gateway before its runtime thinks that memory is short, and every connection with it."
		f.Remedy = "remove GOMEMLIMIT from the gateway's environment, or set it lower, and restart it"
		return one(f)
	}
	f.Is = fmt.Sprintf("GOMEMLIMIT %s %s, of %s", whose, size(limit), size(may))
	if p.Config == nil || p.Workload == nil {
		f.Want = f.Is
		return one(f)
	}
	budget := p.Workload.Budget
	f.Is += fmt.Sprintf("; the configuration's budgets come to %s", size(budget))
	f.Want = "budgets of at most " + percent(budgetHint) + " of GOMEMLIMIT"
	f.Why += " Caches, log buffer and connections at their configured bounds must fit into it, with room to work."
	switch {
	case budget > limit:
		f.Severity = box.Warning
		f.Cost = fmt.Sprintf("%s more than there is, once all of it is used", size(budget-limit))
	case float64(budget) > budgetHint*float64(limit):
		f.Severity = box.Hint
	default:
		f.Want = f.Is
		return one(f)
	}
	f.Remedy = "lower cache.memory or the listeners' limits.connections, or take a box with more memory: straum capacity says how much"
	return one(f)
}

// Package concurrency is the policy concurrency (step 4): how many requests may be under way at a time, on a route or of one caller.
//
// In reading order: concurrency.go (options, and the life of a request), places.go (the counts).
//
// It refuses to let requests wait for their turn: a queue in front of what is full makes everybody late, and the caller knows best whether
// to come again.
package concurrency

import (
	"sync/atomic"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Limit  int64  `yaml:"limit,short" required:"true" range:"1..1000000" doc:"how many requests may be under way at a time, tunnels included"`
	By     string `yaml:"by" default:"route" enum:"all,route,consumer,address" doc:"whose requests count together: those of each route, of each consumer, of each address, or all"`
	DryRun bool   `yaml:"dry_run" default:"false" doc:"count and tell the log, and turn nothing away"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build}

const name = "concurrency"

// built is the policy before it is bound.
type built struct {
	settings
	scope string
}

// settings are what both the built and the running policy have.
type settings struct {
	limit int64
	dry   bool
	by    string
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	b := &built{settings{options.Limit, options.DryRun, options.By}, o.Scope()}
	if b.by == "route" && b.scope != policy.EveryRoute {
		b.by = "all" // there is one route
	}
	return b, nil
}

// Bind implements policy.Binder. Another limit finds the places that are taken: what is under way goes on, and a lower limit holds once enough
// of it has ended.
func (b *built) Bind(w *policy.World) (any, error) {
	c := policy.Hold(w.State, name, b.scope+" "+b.by, func() *counts { return newCounts(b.scope, b.by) })
	if b.by == "all" {
		return &together{b.settings, c}, nil
	}
	whom, err := policy.NewWhom([]string{b.by})
	whom.ByListener = true // a bound that each connection had for itself would be none
	return &apart{b.settings, c, whom}, err
}

// together is the policy where all count as one.
type together struct {
	settings
	counts *counts
}

// Request implements policy.Request.
func (p *together) Request(x *exchange.Exchange) {
	if p.counts.all.Add(1) > p.limit {
		if !p.dry {
			p.counts.all.Add(-1)
		}
		p.counts.refused.Add(1)
		if refuse(x, &p.settings, fault.Overloaded) {
			return
		}
	}
	x.AtEnd(&p.counts.all)
}

// apart is the policy where each caller, or each of several routes, counts alone.
type apart struct {
	settings
	counts *counts
	whom   policy.Whom
}

// Request implements policy.Request.
func (p *apart) Request(x *exchange.Exchange) {
	t := p.counts.table
	place, ok := t.take(t.keyOf(p.whom.Append(make([]byte, 0, 512), x)), p.limit, p.dry)
	if !ok {
		p.counts.refused.Add(1)
		kind := fault.TooManyConcurrent
		if p.by == "route" {
			kind = fault.Overloaded
		} else if !p.dry {
			x.Signals |= exchange.Limited
		}
		if refuse(x, &p.settings, kind) {
			return
		}
	}
	x.AtEnd(place)
}

// refuse turns a request away, or says that it would; it reports which.
func refuse(x *exchange.Exchange, s *settings, kind *fault.Kind) bool {
	if s.dry {
		x.Judge(name, "would_refuse")
		return false
	}
	x.Judge(name, "full")
	if kind.Side == fault.Gateway {
		x.End = exchange.Shed
	}
	x.Fail(&fault.Fault{Kind: kind, RetryAfter: 1})
	return true
}

// counts are what outlives a revision.
type counts struct {
	scope   string
	all     lot
	table   *table // nil where all count as one: there may be many routes
	refused atomic.Uint64
}

// lot is how many are under way.
type lot struct{ atomic.Int64 }

// Settle implements exchange.Settler.
func (l *lot) Settle(*exchange.Exchange) { l.Add(-1) }

func newCounts(scope, by string) *counts {
	c := &counts{scope: scope}
	if by != "all" {
		c.table = newTable()
	}
	return c
}

// Report implements policy.Reporter.
func (c *counts) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"scope", c.scope}}
	keys, under := c.table.len()
	figure(policy.Figure{Name: "concurrency_under_way", Help: "Requests under way.", Labels: labels, Value: float64(under + c.all.Load())})
	figure(policy.Figure{Name: "concurrency_callers", Help: "Callers, or routes, with requests under way that are counted each by itself.", Labels: labels, Value: float64(keys)})
	figure(policy.Figure{Name: "concurrency_refused_total", Counter: true, Help: "Requests beyond a limit, those of a dry run included.", Labels: labels, Value: float64(c.refused.Load())})
}

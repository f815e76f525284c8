// Package shed is the policy shed (steps 4 and 8): it finds out how many requests an API can take at a time by how long it takes to answer, and
// turns away what is beyond that, routes of low priority first.
//
// In reading order: shed.go (options, and the life of a request), group.go (what routes share), window.go (what is measured),
// limit.go (the decision, pure).
//
// It refuses to guess from anything but the answers of endpoints: what the gateway itself answers, what clients break off, and what
// was wrong with a request say nothing of how busy the API is.
package shed

import (
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Priority string           `yaml:"priority" default:"normal" enum:"high,normal,low" doc:"what goes on for longest: high has the whole limit, normal 90% of it, low 80%"`
	Group    string           `yaml:"group" pattern:"^[a-z][a-z0-9_-]{0,63}$" form:"1 to 64 of a-z, 0-9, _ -, beginning with a letter" doc:"routes with the same group share one limit, as routes to the same API should; without it each route has its own, and a policy on every route one for all"`
	Slack    document.Percent `yaml:"slack" default:"100%" range:"10%..1000%" doc:"how much longer than at rest the API may take before the limit goes down; 100% is twice as long"`
	Min      int64            `yaml:"min" default:"8" range:"1..1000000" doc:"the limit goes no lower"`
	Max      int64            `yaml:"max" default:"2000" range:"1..1000000" doc:"the limit goes no higher"`
	Initial  int64            `yaml:"initial" default:"100" range:"1..1000000" doc:"the limit before anything was measured, between min and max"`
	DryRun   bool             `yaml:"dry_run" default:"false" doc:"measure and tell the log, and turn nothing away"`
}

// Kind is the policy for the chain.
var Kind = kind(clock.Now)

const name = "shed"

// kind is the policy on a clock.
func kind(now func() int64) policy.Kind {
	return policy.Kind{Name: name, Options: Options{}, Build: func(o policy.Options) (any, error) { return build(o, now) }}
}

// built is the policy before it is bound.
type built struct {
	settings
	group string
	now   func() int64
}

// settings are what both the built and the running policy have.
type settings struct {
	bounds
	part int64 // of the limit, in percent
	dry  bool
}

func build(o policy.Options, now func() int64) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if options.Min > options.Max {
		return nil, o.Errorf("min", "the limit is to be %d at least and %d at most; lower min or raise max", options.Min, options.Max)
	}
	b := &built{now: now, settings: settings{
		bounds: bounds{min: float64(options.Min), max: float64(options.Max), slack: options.Slack.Fraction(),
			initial: float64(min(max(options.Initial, options.Min), options.Max))},
		part: map[string]int64{"high": 100, "normal": 90, "low": 80}[options.Priority], dry: options.DryRun}}
	if b.group = "group " + options.Group; options.Group == "" {
		b.group = "route " + o.Scope()
	}
	return b, nil
}

// Bind implements policy.Binder. What was learnt of an API is no matter of options, and stays when they change.
func (b *built) Bind(w *policy.World) (any, error) {
	p := &running{settings: b.settings, now: b.now}
	p.group = policy.Hold(w.State, name, b.group, func() *group { return newGroup(b.group, &b.bounds) })
	p.leave.running, p.undo.running = p, p
	return p, nil
}

// running is the policy in force.
type running struct {
	settings
	group *group
	now   func() int64
	leave leave
	undo  undo
}

// Request implements policy.Request.
func (p *running) Request(x *exchange.Exchange) {
	n, fits := p.group.enter(&p.settings)
	if !fits {
		p.group.shed[p.part/10-8].Add(1)
		if !p.dry {
			x.Judge(name, "shed")
			x.End = exchange.Shed
			x.Fail(&fault.Fault{Kind: fault.Overloaded, RetryAfter: 1 + int(n%3)}) // not all at once
			return
		}
		x.Judge(name, "would_shed")
	}
	x.AtEnd(&p.leave)
}

// UpstreamResponse implements policy.UpstreamResponse: the head of the answer is there, and what is measured over. From now on the request
// is a matter of its body, or of a tunnel, and takes no place. An exchange comes here only if Request let it in.
func (p *running) UpstreamResponse(x *exchange.Exchange) {
	if !x.Detached { // what renews a stored answer was not counted
		p.group.inFlight.Add(-1)
		x.AtEnd(&p.undo)
	}
	if took := measured(x); took > 0 {
		p.group.sample(p.now(), took, &p.bounds)
	}
}

// leave gives back the place of an exchange that is over, and sees those that got no answer in time.
type leave struct{ *running }

// Settle implements exchange.Settler.
func (l *leave) Settle(x *exchange.Exchange) {
	l.group.inFlight.Add(-1)
	if f := x.Fault; f != nil && late(f.Kind) {
		l.group.drop(l.now(), &l.bounds)
	}
}

// undo takes back, just before leave, that the place was given back when the answer's head came. So no exchange has to remember
// whether it has a place.
type undo struct{ *running }

// Settle implements exchange.Settler.
func (u *undo) Settle(*exchange.Exchange) { u.group.inFlight.Add(1) }

// late says whether a fault is that of an API which cannot keep up.
func late(k *fault.Kind) bool {
	switch k {
	case fault.UpstreamTimeout, fault.ExchangeTimeout, fault.QueueTimeout, fault.Saturated, fault.UpstreamRefused, fault.ConnectTimeout:
		return true
	}
	return false
}

// maxMeasuredBody is how long a request's body may be for its answer to be measured, in bytes: how long a larger one takes is for
// the client to say.
const maxMeasuredBody = 64 << 10

// measured is how long the endpoint took to begin its answer, in nanoseconds, or 0 for an answer that says nothing of that: one to a
// request that was wrong, that took several tries, or whose body was on its way meanwhile.
func measured(x *exchange.Exchange) int64 {
	t := &x.Times
	status := x.Upstream.Status
	switch {
	case x.Upstream.Tries != 1, t.Sent == 0, t.FirstByte <= t.Sent:
	case status < 200, status >= 400 && status < 500:
	case x.Request.Length < 0, x.Request.Length > maxMeasuredBody, x.Request.Streaming:
	default:
		return t.FirstByte - t.Sent
	}
	return 0
}

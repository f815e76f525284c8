// Package quota is the policy quota (steps 4 and 9): how much of an API a caller may use in a calendar day or month.
//
// In reading order: quota.go (options, and the life of a request), keep.go (what outlives a revision).
//
// It refuses to count a request that it turns away, to give back what was counted, and to look at a request before its sender is known.
package quota

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/quota"
)

// Options are those of the policy.
type Options struct {
	Requests        int64    `yaml:"requests" range:"1..1000000000000" doc:"how many requests in a period; with cost, how much of it"`
	Per             string   `yaml:"per" default:"month" enum:"day,month" doc:"the period of requests"`
	Limits          []Limit  `yaml:"limits" length:"1..2" doc:"instead of requests and per, where a day and a month both have a limit"`
	Plan            bool     `yaml:"plan" default:"false" doc:"the quotas of the consumer's plan count instead, where it has any"`
	Zone            string   `yaml:"zone" default:"UTC" length:"1..64" doc:"whose midnight ends a day and a month: a name of the IANA database such as Europe/Oslo"`
	By              []string `yaml:"by,one" default:"consumer" length:"1..4" pattern:"^(consumer|credential|address|route|all|header:[A-Za-z0-9-]{1,64})$" form:"consumer, credential, address, route, all or header:NAME" doc:"who is counted; several together are counted as one"`
	Cost            int64    `yaml:"cost" default:"1" range:"1..1000000" doc:"how much a request uses"`
	DryRun          bool     `yaml:"dry_run" default:"false" doc:"count and tell the log, and turn nothing away"`
	Store           string   `yaml:"store" default:"local" enum:"local,redis" doc:"local counts on this node, in a file that outlives a restart; redis counts in the shared store for all nodes together"`
	WhenUnavailable string   `yaml:"when_unavailable" default:"share" enum:"share,open,closed" doc:"with redis, when it does not answer: share lets this node give out its share, open lets all pass, closed answers 503"`
	Nodes           int      `yaml:"nodes" default:"1" range:"1..1000" doc:"with redis and share: among how many nodes a limit is divided"`
	Identities      int      `yaml:"identities" default:"262144" range:"64..16777216" doc:"how many callers are counted each by itself on this node, of all quotas in one zone together; the most that one asks for counts"`
	Fields          string   `yaml:"fields" default:"standard" enum:"standard,both,none" doc:"what responses tell: RateLimit and RateLimit-Policy; these and X-RateLimit-Limit, -Remaining and -Reset; or nothing"`

	_ struct{} `atmost:"requests,limits"`
}

// Limit is one of several.
type Limit struct {
	Requests int64  `yaml:"requests" required:"true" range:"1..1000000000000" doc:"how many requests in the period"`
	Per      string `yaml:"per" required:"true" enum:"day,month" doc:"the period"`
}

// Kind is the policy for the chain.
var Kind = kind(time.Now)

const (
	name = "quota"
	all  = "all" // by, where nobody is told apart
)

// kind is the policy on a clock.
func kind(now func() time.Time) policy.Kind {
	return policy.Kind{Name: name, Options: Options{}, Keys: true, Build: func(o policy.Options) (any, error) { return build(o, now) }}
}

// built is the policy before it is bound.
type built struct {
	settings
	whom     policy.Whom // nobody in particular for all
	scope    string
	identity string // of what is counted, but for its place in the store
	size     int
	shared   bool
	errorf   func(key, format string, args ...any) error
}

// settings are what both the built and the running policy have.
type settings struct {
	limits   quota.Limits // of who has no plan that counts
	plan     bool
	cost     int64
	dry      bool
	fields   string // nothing in a dry run
	degraded string // when_unavailable
	nodes    int
	calendar *quota.Calendar
	now      func() time.Time
}

func build(o policy.Options, now func() time.Time) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	b := &built{settings: settings{plan: options.Plan, cost: options.Cost, dry: options.DryRun, fields: options.Fields,
		degraded: options.WhenUnavailable, nodes: options.Nodes, now: now},
		scope: o.Scope(), size: options.Identities, shared: options.Store == "redis", errorf: o.Errorf}
	if b.dry {
		b.fields = "none" // what is left is no matter to callers who are not limited
	}
	if options.Requests > 0 {
		b.limits.Lower(periodOf(options.Per), options.Requests)
	}
	for _, l := range options.Limits {
		if b.limits[periodOf(l.Per)] != 0 {
			return nil, o.Errorf("limits", "there are two limits for one %s; one for each period is allowed", l.Per)
		}
		b.limits.Lower(periodOf(l.Per), l.Requests)
	}
	if b.limits.None() && !options.Plan {
		return nil, o.Errorf("", "nothing is limited; give requests, limits, or plan: true")
	}
	for p, most := range b.limits {
		if most != 0 && options.Cost > most {
			return nil, o.Errorf("cost", "a request uses %d of a quota of %d for the %s, so that none would ever pass; lower cost or raise the quota", options.Cost, most, quota.Period(p))
		}
	}
	zone, err := quota.Zone(options.Zone)
	if err != nil {
		return nil, o.Errorf("zone", "%s", err)
	}
	b.calendar = quota.NewCalendar(zone)
	by := options.By
	if slices.Contains(by, all) {
		if len(by) > 1 {
			return nil, o.Errorf("by", "all stands in %s; it means that nobody is told apart, and stands alone", strings.Join(by, ", "))
		}
		by = nil
	}
	if b.whom, err = policy.NewWhom(by); err != nil {
		return nil, o.Errorf("by", "%s", err)
	}
	b.whom.ByListener = true
	if !b.shared {
		for key, set := range map[string]bool{"nodes": options.Nodes != 1, "when_unavailable": options.WhenUnavailable != "share"} {
			if set {
				return nil, o.Errorf(key, "it is for store: redis; the store is local")
			}
		}
	}
	b.identity = o.Scope() + " " + b.whom.String() + " " + zone.String()
	return b, nil
}

func periodOf(word string) quota.Period {
	if word == "day" {
		return quota.Day
	}
	return quota.Month
}

// Bind implements policy.Binder.
func (b *built) Bind(w *policy.World) (any, error) {
	if b.shared && w.Redis == nil {
		return nil, b.errorf("store", "the configuration has no shared store; add redis: with its address, or leave store out")
	}
	key := w.Keys.Key("quota identities")
	r := &running{settings: b.settings, whom: b.whom, prefix: policy.AppendText(key[:], b.identity)}
	place := "local"
	if b.shared {
		r.shared, place = quota.NewShared(w.Redis), "redis"
	}
	r.book, r.counts = hold(w, b, place)
	return r, nil
}

// running is the policy in force.
type running struct {
	settings
	whom   policy.Whom
	prefix []byte // of identities: the key, and what tells its counts from those of others
	book   *book
	counts *counts
	shared *quota.Shared // nil where this node counts
}

// Request implements policy.Request.
func (r *running) Request(x *exchange.Exchange) {
	limits := r.limits
	if c := x.Caller.Consumer; r.plan && c != nil && c.Plan != nil && len(c.Plan.Quotas) > 0 {
		limits = quota.Limits{}
		for i := range c.Plan.Quotas {
			q := &c.Plan.Quotas[i]
			limits.Lower(periodOf(q.Period), q.Requests)
		}
	}
	if limits.None() {
		return
	}
	now := r.now()
	spans, id := r.calendar.At(now), r.id(x)
	var o quota.Outcome
	if r.shared == nil {
		o = r.book.Take(id, r.cost, &limits, spans, now.Unix())
	} else if !r.ask(x, id, &limits, spans, now.Unix(), &o) {
		return
	}
	if o.Shared {
		r.counts.crowded.Add(1)
	}
	if r.fields != "none" {
		for p := range limits {
			if limits[p] != 0 {
				x.Allow(exchange.Allowance{Name: told[p], Quota: limits[p], Window: (spans[p].End - spans[p].Start) * int64(time.Second),
					Left: max(limits[p]-o.Used[p], 0), Reset: o.Rest[p] * int64(time.Second)})
			}
		}
	}
	if o.Refused {
		r.refuse(x, id, &o)
	}
}

// id is the number of who asks.
func (r *running) id(x *exchange.Exchange) quota.ID {
	var room [512]byte // enough for what is usual
	sum := sha256.Sum256(r.whom.Append(append(room[:0], r.prefix...), x))
	return quota.ID(sum[:len(quota.ID{})])
}

// told are the names of quotas in the field RateLimit.
var told = [quota.Periods]string{"quota-day", "quota-month"}

// ask asks the store, and reports false when the exchange goes on, or ends, without its answer.
func (r *running) ask(x *exchange.Exchange, id quota.ID, limits *quota.Limits, spans *quota.Spans, now int64, o *quota.Outcome) bool {
	var err error
	if *o, err = r.shared.Take(id, r.cost, limits, spans); err == nil {
		if !o.Refused {
			// What this node lets pass is its share, should the store go away.
			r.book.Take(id, r.cost, unlimited(limits), spans, now)
		}
		return true
	}
	r.counts.unshared.Add(1)
	switch {
	case r.degraded == "share":
		x.Judge(name, "degraded")
		share := limits.Share(r.nodes)
		*o = r.book.Take(id, r.cost, &share, spans, now)
		*limits = share
		return true
	case r.degraded == "open" || r.dry:
		x.Judge(name, "degraded")
	default:
		x.Judge(name, "unavailable")
		x.Fail(&fault.Fault{Kind: fault.QuotaUnavailable, RetryAfter: 1, Cause: err})
	}
	return false
}

// unlimited are limits that count the same periods and refuse nothing.
func unlimited(l *quota.Limits) *quota.Limits {
	out := &quota.Limits{}
	for p := range l {
		if l[p] != 0 {
			out[p] = 1 << 52
		}
	}
	return out
}

// spread is within how many seconds callers come back who were told to: not all at midnight.
const spread = 30

// refuse turns a request away, or says that it would.
func (r *running) refuse(x *exchange.Exchange, id quota.ID, o *quota.Outcome) {
	r.counts.refused[o.By].Add(1)
	if r.dry {
		x.Judge(name, "would_exceed")
		return
	}
	x.Judge(name, "exceeded")
	if r.whom.Late() || r.whom.Has(policy.ByAddress) || r.whom.Has(policy.ByHeader) {
		x.Signals |= exchange.Limited
	}
	x.Fail(&fault.Fault{Kind: fault.QuotaExceeded, RetryAfter: int(o.Rest[o.By]) + int(id[len(id)-1])%(spread+1)})
}

// Response implements policy.Response.
func (r *running) Response(x *exchange.Exchange) {
	if r.fields == "none" {
		return
	}
	policy.TellAllowances(x)
	if r.fields == "both" {
		policy.TellLegacyAllowances(x)
	}
}

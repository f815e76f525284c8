// Package ratelimit is the policy rate_limit (steps 4 and 9): how many requests who may send in a time.
//
// In reading order: ratelimit.go (options, and how they become limits), bind.go (what outlives a revision),
// stage.go (the life of a request), store.go (counting with other gateways), report.go.
//
// What counts is package limit. This one refuses to count a request that a limit refused, to hold who somebody is in the clear, and to answer
// otherwise than with 429, or 503 where the operator asked for it.
package ratelimit

import (
	"maps"
	"slices"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/limit"
)

// Options are those of the policy.
type Options struct {
	Rate            document.Rate    `yaml:"rate" doc:"How many requests come back in a second (s), minute (m), hour (h) or day (d), such as 100/s or 0.5/s."`
	Burst           int64            `yaml:"burst" range:"1..1000000000" doc:"How many requests may come at once. The number of the rate when left out."`
	By              []string         `yaml:"by,one" default:"consumer" length:"1..4" pattern:"^(consumer|credential|address|route|header:[A-Za-z0-9-]{1,64})$" form:"consumer, credential, address, route or header:NAME" doc:"Whom the rate is for; several together are counted as one."`
	Cost            int64            `yaml:"cost" default:"1" range:"0..1000000" doc:"How much one request uses; 0 is not counted."`
	Costs           map[string]int64 `yaml:"costs" length:"1..16" doc:"How much a request uses by its method, where that differs."`
	Limits          []Limit          `yaml:"limits" length:"1..7" doc:"Further limits. A request has to be within all of them."`
	Plan            bool             `yaml:"plan" default:"false" doc:"The rates of a consumer's plan take the place of rate, where it has some."`
	Store           string           `yaml:"store" default:"local" enum:"local,redis,leased" doc:"Where it is counted: on this gateway; in the shared store, request by request; or there, in batches that are spent here."`
	Nodes           int              `yaml:"nodes" default:"1" range:"1..1000" doc:"How many gateways share the store. When it cannot be asked each counts by itself, with the limits divided by so many."`
	WhenUnavailable string           `yaml:"when_unavailable" default:"share" enum:"share,open,closed" doc:"When the store cannot be asked: count here with a share of the limits, let everyone pass, or refuse with 503."`
	Fields          string           `yaml:"fields" default:"standard" enum:"standard,both,none" doc:"What responses tell: RateLimit and RateLimit-Policy; these and X-RateLimit-Limit, -Remaining and -Reset; or nothing."`
	DryRun          bool             `yaml:"dry_run" default:"false" doc:"Count and log, and let everyone pass."`
	Memory          document.Size    `yaml:"memory" default:"64MiB" range:"1MiB..16GiB" doc:"Memory for counting, of all policies rate_limit together; the most that one asks for counts."`
}

// Limit is one of several.
type Limit struct {
	Name  string           `yaml:"name" required:"true" pattern:"^[a-z][a-z0-9_-]{0,31}$" form:"1 to 32 of a-z, 0-9, _ and -, the first a letter" doc:"What responses and metrics call it; what was counted is kept under it."`
	Rate  document.Rate    `yaml:"rate" required:"true" doc:"As above."`
	Burst int64            `yaml:"burst" range:"1..1000000000" doc:"As above."`
	By    []string         `yaml:"by,one" default:"consumer" length:"1..4" pattern:"^(consumer|credential|address|route|header:[A-Za-z0-9-]{1,64})$" form:"consumer, credential, address, route or header:NAME" doc:"As above."`
	Cost  int64            `yaml:"cost" default:"1" range:"0..1000000" doc:"As above."`
	Costs map[string]int64 `yaml:"costs" length:"1..16" doc:"As above."`

	Node document.Node `yaml:",self"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "rate_limit", Options: Options{}, Build: build}

// planNames are what the limits of a plan are called, in its order.
var planNames = [...]string{"plan", "plan-2", "plan-3", "plan-4", "plan-5", "plan-6", "plan-7", "plan-8"}

// mainName is what the limit outside of the list is called.
const mainName = "default"

// settings is the policy before it has met the world.
type settings struct {
	at      policy.Options
	scope   string
	main    *rule // nil for none
	others  []*rule
	plans   *rule // what the limits of a plan have in common, nil when they are not asked
	options Options
}

// rule is one limit as it was configured. It does not change.
type rule struct {
	name  string
	terms limit.Terms // none in that of plans
	share limit.Terms // of one of the nodes
	cost  int64
	costs []cost // sorted by method
	whom  policy.Whom
}

type cost struct {
	method string
	cost   int64
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	s := &settings{at: o, scope: o.Scope(), options: options}
	if options.Rate.Per == 0 && !options.Plan && len(options.Limits) == 0 {
		return nil, o.Errorf("", "rate_limit limits nothing; give it rate, limits or plan")
	}
	if options.Rate.Per != 0 {
		r, err := s.rule(o.Errorf, mainName, &Limit{Rate: options.Rate, Burst: options.Burst, By: options.By, Cost: options.Cost, Costs: options.Costs})
		if err != nil {
			return nil, err
		}
		s.main = r
	} else if options.Burst != 0 {
		return nil, o.Errorf("burst", "a burst without a rate; add rate, or remove burst")
	}
	if options.Plan {
		if s.main != nil && !slices.Contains(options.By, "consumer") {
			return nil, o.Errorf("plan", "the rates of a plan take the place of one by consumer, and rate is not; put rate under limits, which hold besides, or take consumer into by")
		}
		consumers, _ := policy.NewWhom([]string{"consumer"}) // which is a word
		s.plans = &rule{name: planNames[0], cost: options.Cost, costs: costs(options.Costs), whom: consumers}
	}
	seen := map[string]bool{mainName: true}
	for i := range options.Limits {
		l := &options.Limits[i]
		errorf := func(key, format string, args ...any) error {
			at := l.Node
			if key != "" && at.Has(key) {
				at = at.At(key)
			}
			return at.Errorf(format, args...)
		}
		if seen[l.Name] || slices.Contains(planNames[:], l.Name) {
			return nil, errorf("name", "%s is the name of another limit; choose another", l.Name)
		}
		seen[l.Name] = true
		r, err := s.rule(errorf, l.Name, l)
		if err != nil {
			return nil, err
		}
		s.others = append(s.others, r)
	}
	if options.Store == "local" {
		for key, set := range map[string]bool{"nodes": options.Nodes != 1, "when_unavailable": options.WhenUnavailable != "share"} {
			if set {
				return nil, o.Errorf(key, "%s is for limits in the shared store; add store: redis or store: leased, or remove it", key)
			}
		}
	}
	return s, nil
}

// rule makes a limit of its options.
func (s *settings) rule(errorf func(key, format string, args ...any) error, name string, l *Limit) (*rule, error) {
	if l.Rate.Count < 1 && l.Burst == 0 {
		l.Burst = 1
	}
	if l.Burst == 0 {
		l.Burst = int64(min(l.Rate.Count, limit.MaxBurst))
	}
	if l.Rate.Per > 24*time.Hour {
		return nil, errorf("rate", "%s is over more than a day; give a day at most", l.Rate)
	}
	terms, err := limit.NewTerms(l.Rate.Count, l.Rate.Per, l.Burst)
	if err != nil {
		return nil, errorf("rate", "found %s with a burst of %d; %v", l.Rate, l.Burst, err)
	}
	r := &rule{name: name, terms: terms, share: terms.Share(s.options.Nodes), cost: l.Cost, costs: costs(l.Costs)}
	most := l.Cost
	for method, n := range l.Costs {
		switch {
		case !token(method):
			return nil, errorf("costs", "%q is not a method: letters and hyphens are allowed, such as POST", method)
		case n < 0 || n > 1_000_000:
			return nil, errorf("costs", "%s costs %d; 0 to 1000000 are allowed", method, n)
		}
		most = max(most, n)
	}
	if most > l.Burst {
		return nil, errorf("burst", "a request may cost %d, and the burst is %d: it could never pass; raise burst to %d or more", most, l.Burst, most)
	}
	if r.whom, err = policy.NewWhom(l.By); err != nil {
		return nil, errorf("by", "%s", err)
	}
	return r, nil
}

// costs sorts them by method.
func costs(by map[string]int64) []cost {
	var out []cost
	for _, method := range slices.Sorted(maps.Keys(by)) {
		out = append(out, cost{method, by[method]})
	}
	return out
}

// of is what a request of this method uses.
func (r *rule) of(method string) int64 {
	for i := range r.costs {
		if r.costs[i].method == method {
			return r.costs[i].cost
		}
	}
	return r.cost
}

// token says whether text may be a method, as far as any method anybody uses goes (RFC 9110 §9.1).
func token(text string) bool {
	for i := range len(text) {
		if c := text[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-') {
			return false
		}
	}
	return text != "" && len(text) <= 32
}

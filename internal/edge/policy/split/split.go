// Package split is the policy split (steps 4 and 9): it parts the requests of a route among several upstreams by weight, such as a
// canary, and sends the same caller to the same one where that is asked for.
//
// In reading order: split.go (options, which upstream), choice.go (the decision, pure), sticky.go (what callers are told apart by).
//
// It refuses to know how the upstreams are: one that is down stays chosen, and answers as it would without a split.
package split

import (
	"maps"
	"slices"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	To     map[string]int    `yaml:"to" required:"true" length:"1..16" doc:"the upstreams by name, each with its weight, 0 to 1,000,000: of two with 95 and 5 the second gets 5 of 100 requests"`
	By     string            `yaml:"by" default:"request" enum:"request,consumer,address,header,cookie" doc:"what goes to the same upstream each time: nothing, or what the same consumer, address, value of a field or browser sends"`
	Header string            `yaml:"header" length:"1..128" doc:"the name of the field, for by: header"`
	Cookie string            `yaml:"cookie" default:"straum_split" length:"1..128" doc:"the name of the cookie that browsers are told apart by, for by: cookie"`
	MaxAge document.Duration `yaml:"max_age" default:"720h" range:"1m..9600h" doc:"how long a browser keeps the cookie"`
	Choose string            `yaml:"choose" length:"1..128" doc:"the name of a field by which a request chooses for itself, by the name of the upstream; any client may then"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "split", Options: Options{}, Build: build, Settles: true}

const maxWeight = 1_000_000

// split is the policy. It does not change.
type split struct {
	shares []share
	total  uint64
	key    func(x *exchange.Exchange) string // empty when the request has none; nil for each request by itself
	cookie *cookie                           // nil unless browsers are told apart
	choose string
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	s := &split{choose: options.Choose}
	for _, name := range slices.Sorted(maps.Keys(options.To)) {
		weight := options.To[name]
		if weight < 0 || weight > maxWeight {
			return nil, o.Errorf("to", "the weight of %s is %d; 0 to %d are allowed", name, weight, maxWeight)
		}
		if err := o.Upstream("to", name); err != nil {
			return nil, err
		}
		s.shares = append(s.shares, newShare(name, uint64(weight)))
		s.total += uint64(weight)
	}
	if s.total == 0 {
		return nil, o.Errorf("to", "all weights are 0, so that no upstream is left; give one a weight")
	}
	if options.Choose != "" && !grammar.IsToken(options.Choose) {
		return nil, o.Errorf("choose", "%q is not a field name", options.Choose)
	}
	switch {
	case options.Header != "" && options.By != "header":
		return nil, o.Errorf("header", "header goes with by: header; found by: %s", options.By)
	case options.By == "header" && !grammar.IsToken(options.Header):
		return nil, o.Errorf("header", "by: header needs the name of a field in header; found %q", options.Header)
	case !grammar.IsToken(options.Cookie):
		return nil, o.Errorf("cookie", "%q is not the name of a cookie", options.Cookie)
	}
	switch options.By {
	case "consumer", "address":
		whom, err := policy.NewWhom([]string{options.By})
		if err != nil {
			return nil, err
		}
		s.key = func(x *exchange.Exchange) string { return x.KeepScratch(whom.Append(x.Scratch(), x)) }
	case "header":
		name := options.Header
		s.key = func(x *exchange.Exchange) string { value, _ := x.Request.Header.Header(name); return value }
	case "cookie":
		s.cookie = newCookie(options.Cookie, options.MaxAge)
		s.key = s.cookie.of
	}
	return s, nil
}

// Request implements policy.Request.
func (s *split) Request(x *exchange.Exchange) {
	if s.choose != "" {
		if name, there := x.Request.Header.Header(s.choose); there {
			for i := range s.shares {
				if s.shares[i].name == name {
					x.Onward.Upstream = s.shares[i].name
					return
				}
			}
			x.Judge("split", "unknown_choice")
		}
	}
	key := ""
	if s.key != nil {
		key = s.key(x)
	}
	if key != "" {
		x.Onward.Upstream = sticky(s.shares, key)
	} else {
		x.Onward.Upstream = weighted(s.shares, s.total, random())
	}
}

// Shapes implements policy.Shaper.
func (s *split) Shapes() {}

// Response implements policy.Response: a browser that has no cookie gets one.
func (s *split) Response(x *exchange.Exchange) {
	if s.cookie != nil {
		s.cookie.give(x)
	}
}

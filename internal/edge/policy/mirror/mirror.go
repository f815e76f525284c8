// Package mirror is the policy mirror (step 4): copies of requests go to a second upstream, and its answers are thrown away.
//
// In reading order: mirror.go (options, and the life of a request), tee.go (content that is copied while it goes to the endpoint),
// sender.go (copies under way, and how many there may be).
//
// It refuses to make a request wait for its copy, to fail one for it, and to take more than a bounded part of the box: what does not fit
// is dropped and counted.
package mirror

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Upstream    string            `yaml:"upstream" required:"true" doc:"the upstream that gets the copies"`
	Share       document.Percent  `yaml:"share" default:"100%" range:"0%..100%" doc:"the part of the requests that is copied, chosen at random"`
	Methods     []string          `yaml:"methods" length:"1..32" doc:"the methods copied; all without it"`
	Body        document.Size     `yaml:"body" default:"64KiB" range:"0B..1MiB" doc:"requests with more content are not copied"`
	Timeout     document.Duration `yaml:"timeout" default:"5s" range:"10ms..5m" doc:"how long a copy may be under way, with its answer"`
	MaxInFlight int               `yaml:"max_in_flight" default:"64" range:"1..4096" doc:"how many copies may be under way at a time"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "mirror", Options: Options{}, Build: build}

// Mirrored is the field that copies have. A request with it is not copied again, so that gateways that mirror to each other end.
const Mirrored = "X-Straum-Mirrored"

// unbound is the policy before there is anything that copies.
type unbound struct {
	settings
	identity string
	route    string
}

type settings struct {
	upstream string
	share    float64
	methods  []string // sorted; empty for all
	body     int64
	timeout  time.Duration
	most     int64
	random   func() float64
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if err := o.Upstream("upstream", options.Upstream); err != nil {
		return nil, err
	}
	for _, m := range options.Methods {
		if !grammar.IsToken(m) || strings.ToUpper(m) != m {
			return nil, o.Errorf("methods", "%.40q is no method: write it in capitals, such as GET", m)
		}
	}
	slices.Sort(options.Methods)
	return &unbound{settings{options.Upstream, options.Share.Fraction(), options.Methods, int64(options.Body), options.Timeout.Std(),
		int64(options.MaxInFlight), rand.Float64}, o.Scope() + " " + options.Upstream, o.Scope()}, nil
}

// Bind implements policy.Binder. Copies under way, and what was counted, outlive a reload as long as the policy stands in the same place
// with the same upstream.
func (u *unbound) Bind(w *policy.World) (any, error) {
	s := policy.Hold(w.State, Kind.Name, u.identity, func() *sender { return &sender{route: u.route, upstream: u.upstream} })
	return &mirror{u.settings, w.Shadow, s}, nil
}

// mirror is the policy of one revision.
type mirror struct {
	settings
	shadow policy.Shadow // nil for a revision that is only judged
	sender *sender
}

// Request implements policy.Request. It runs after all that changes the request or may refuse it.
func (m *mirror) Request(x *exchange.Exchange) {
	if m.shadow == nil || !m.chooses(x) {
		return
	}
	r := &x.Request
	switch {
	case r.Upgrade != "":
		m.drop(x, upgrade)
		return
	case r.Length > m.body:
		m.drop(x, tooLarge)
		return
	}
	if why := m.sender.enter(m.most); why != nothing {
		m.drop(x, why)
		return
	}
	c := m.shadow.Copy(x, m.upstream)
	if c == nil {
		m.sender.leave()
		return
	}
	switch {
	case r.Body == nil || r.Length == 0:
		m.send(x, c, nil)
	case x.Held():
		content, f := x.HoldBody(exchange.Hold{Max: m.body}) // there already: it waits for nobody and reads nothing
		if f != nil {
			m.giveUp(x, c, tooLarge)
			return
		}
		m.send(x, c, slices.Clone(content))
	default:
		t := &tee{mirror: m, copy: c, from: r.Body}
		r.Body = t
		x.AtEnd(t)
	}
}

func (m *mirror) chooses(x *exchange.Exchange) bool {
	if len(m.methods) > 0 {
		if _, found := slices.BinarySearch(m.methods, x.Request.Method); !found {
			return false
		}
	}
	if m.share < 1 && m.random() >= m.share {
		return false
	}
	_, is := x.Request.Header.Header(Mirrored)
	return !is
}

// send sends a copy, for which there is a place.
func (m *mirror) send(x *exchange.Exchange, c policy.Copy, content []byte) {
	x.Judge(Kind.Name, "copied")
	go m.sender.runSend(c, content, m.timeout)
}

// giveUp drops a copy, for which there is a place.
func (m *mirror) giveUp(x *exchange.Exchange, c policy.Copy, why reason) {
	c.Drop()
	m.sender.leave()
	m.drop(x, why)
}

func (m *mirror) drop(x *exchange.Exchange, why reason) {
	x.Judge(Kind.Name, why.String())
	m.sender.dropped[why].Add(1)
}

// Package waf is the policy waf (step 4): requests are judged by the OWASP Core Rule Set, and those taken for an attack are refused, or noted
// only. The rules are the work of internal/waf, which is part of the program when it is built with the tag waf alone.
//
// In reading order: waf.go (options, and the life of a request), content.go (what of the content is looked at), inspector.go (what routes with
// the same rules share: the engine, its places, its figures and its notes).
//
// It refuses to look at responses, to write anything of a request but its id into the log, to hold a body that cannot be looked into, and to let
// a flood of requests have all processors.
package waf

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/waf"
)

// Options are those of the policy.
type Options struct {
	Mode         string        `yaml:"mode" default:"detect" enum:"detect,block" doc:"Whether what looks like an attack is noted only, or refused."`
	Paranoia     int           `yaml:"paranoia" default:"1" range:"1..4" doc:"The paranoia level of the Core Rule Set: the higher, the more is found and the more harmless requests are taken for attacks."`
	Threshold    int           `yaml:"threshold" default:"5" range:"1..1000" doc:"The score from which a request is taken for an attack; a critical rule scores 5, an error 4, a warning 3, a notice 2."`
	MaxBody      document.Size `yaml:"max_body" default:"128KiB" range:"1KiB..1MiB" doc:"The largest body that is looked into; it is held in memory meanwhile."`
	Over         string        `yaml:"over" default:"refuse" enum:"refuse,pass" doc:"What becomes of a larger body in mode block: 413, or it passes with its head looked at alone."`
	ExcludeRules []int         `yaml:"exclude_rules" length:"1..1024" doc:"Ids of rules that are left out."`
	ContentTypes []string      `yaml:"content_types" length:"1..64" doc:"Media types that requests may have besides those of APIs. What is no text, JSON or XML passes uninspected."`
	Rules        string        `yaml:"rules" length:"1..4096" doc:"A file of rules of one's own in SecLang, read before those of the Core Rule Set."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "waf", Options: Options{}, Build: build}

// unbound is the policy before it has an engine.
type unbound struct {
	settings
	engine  waf.Settings
	rules   string // a path, empty for none
	options policy.Options
}

// settings are what both the built and the running policy have.
type settings struct {
	scope   string
	blocks  bool
	passes  bool // larger bodies
	maxBody int64
}

// mediaType is a type without parameters (RFC 9110 §8.3.1), in lower case, that cannot end the list it is put into.
var mediaType = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$`)

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	for _, t := range options.ContentTypes {
		if !mediaType.MatchString(t) {
			return nil, o.Errorf("content_types", "found %q; allowed: media types in lower case without parameters, such as application/x-protobuf", t)
		}
	}
	for _, id := range options.ExcludeRules {
		if id < 1 {
			return nil, o.Errorf("exclude_rules", "found %d; allowed: ids of rules, such as 942100", id)
		}
	}
	u := &unbound{
		settings: settings{scope: o.Scope(), blocks: options.Mode == "block", passes: options.Over == "pass", maxBody: int64(options.MaxBody)},
		engine: waf.Settings{Paranoia: options.Paranoia, Threshold: options.Threshold, MaxBody: int(options.MaxBody),
			Exclude: options.ExcludeRules, ContentTypes: options.ContentTypes},
		options: o,
	}
	u.engine.Early = u.blocks // who only looks wants to see all
	if options.Rules != "" {
		u.rules = o.Beside(options.Rules)
	}
	return u, nil
}

// Bind implements policy.Binder. An engine belongs to all policies with the same rules, on whichever route.
func (u *unbound) Bind(w *policy.World) (any, error) {
	if !waf.Built {
		return nil, u.options.Errorf("", "%v", waf.ErrNotBuilt)
	}
	s := u.engine
	if u.rules != "" {
		text, err := readRules(u.rules)
		if err != nil {
			return nil, u.options.Errorf("rules", "%v", err)
		}
		s.Rules, s.RulesName = text, u.rules
	}
	i := policy.Hold(w.State, Kind.Name, identity(s), func() *inspector { return newInspector(s, w.Log) })
	if i.wrong != nil {
		return nil, u.options.Errorf("", "%v", i.wrong)
	}
	return &running{u.settings, i}, nil
}

// running is the policy in force.
type running struct {
	settings
	inspector *inspector
}

// Request implements policy.Request.
func (r *running) Request(x *exchange.Exchange) {
	i := r.inspector
	content, look := r.content(x)
	if x.Fault != nil {
		return
	}
	if !i.places.take() {
		i.busy.Add(1)
		if r.blocks {
			x.Judge(Kind.Name, "busy")
			x.Fail(&fault.Fault{Kind: fault.WAFBusy, RetryAfter: 1})
		} else {
			x.Judge(Kind.Name, "skipped")
		}
		return
	}
	began := time.Now()
	verdict := i.judge(x, content, look)
	i.count(&verdict, time.Since(began))
	switch {
	case verdict.Attack && r.blocks:
		x.Judge(Kind.Name, "blocked")
		x.Signals |= exchange.Suspect
		x.Fail(fault.New(fault.WAFBlocked, nil))
	case verdict.Attack:
		x.Judge(Kind.Name, "would_block")
	case len(verdict.Rules) > 0:
		x.Judge(Kind.Name, "matched")
	}
	if len(verdict.Rules) > 0 || verdict.Attack {
		i.note(x.ID, r.scope, r.blocks, &verdict, began)
	}
}

// judge takes the request through the rules, in the place that was taken for it.
func (i *inspector) judge(x *exchange.Exchange, content []byte, look bool) waf.Verdict {
	defer i.places.give() // also when the engine panics
	q := &x.Request
	proto := "HTTP/1.1"
	switch {
	case q.Major == 2:
		proto = "HTTP/2.0"
	case q.Minor == 0:
		proto = "HTTP/1.0"
	}
	h := waf.Head{Method: q.Method, Target: q.Target, Proto: proto}
	if x.Client.IsValid() {
		h.Client = x.Client.String()
	}
	if local := x.Conn.Local.Addr(); local.IsValid() {
		h.Server = local.String()
	}
	in := i.engine.Begin(h)
	host := q.Host
	if q.Port != "" {
		host += ":" + q.Port
	}
	in.Field("Host", host)
	fields := q.Header.All()
	for n := range fields {
		switch f := &fields[n]; f.Known {
		case exchange.Host, exchange.ContentLength, exchange.Expect: // what they say was checked and is told by the gateway
		default:
			in.Field(f.Name, f.Value)
		}
	}
	switch {
	case q.Length == exchange.Unknown && q.Major < 2:
		in.Field("Transfer-Encoding", "chunked")
	case q.Length > 0, q.Length == 0 && q.Method != "GET" && q.Method != "HEAD" && q.Method != "DELETE" && q.Method != "OPTIONS":
		in.Field("Content-Length", strconv.FormatInt(q.Length, 10))
	}
	if !in.Head() {
		if !look {
			content = nil
		}
		in.Content(content)
	}
	return in.End()
}

func identity(s waf.Settings) string { return fmt.Sprintf("%#v", s) }

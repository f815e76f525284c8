package ratelimit

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/limit"
)

// who authenticates in tests: the field Who names a consumer, with its plan after a slash, or a subject after an at sign.
var who = policy.Kind{Name: "who", Options: struct{}{}, Build: func(policy.Options) (any, error) { return &whoever{}, nil }, Authenticates: true}

type whoever struct{}

func (w *whoever) Authenticate(x *exchange.Exchange) policy.Finding {
	text, there := x.Request.Header.Header("Who")
	if !there {
		return policy.Nothing
	}
	if text == "bad" {
		return policy.Refused
	}
	if subject, is := strings.CutPrefix(text, "@"); is {
		x.Caller.Subject, x.Caller.Issuer = subject, "issuer"
		return policy.Accepted
	}
	name, plan, _ := strings.Cut(text, "/")
	name, x.Caller.Credential, _ = strings.Cut(name, "#")
	x.Caller.Consumer = &consumer.Consumer{ID: name, Plan: testPlans[plan]}
	return policy.Accepted
}
func (w *whoever) Challenge(*exchange.Exchange, policy.Finding) {}
func (w *whoever) Hide(*exchange.Exchange, policy.Finding)      {}

var testPlans = map[string]*consumer.Plan{
	"none": {Name: "none"},
	"gold": {Name: "gold", Rates: []consumer.Rate{{Requests: 3, Per: int64(time.Hour), Burst: 3}, {Requests: 5, Per: int64(24 * time.Hour), Burst: 5}}},
	"huge": {Name: "huge", Rates: []consumer.Rate{{Requests: 1, Per: int64(24 * time.Hour), Burst: 1_000_000_000}}},
}

// guest lets everyone in who shows nothing.
var guest = policy.Kind{Name: "authenticate", Options: struct{}{}, Build: func(policy.Options) (any, error) {
	return &policy.Terms{Anonymous: &consumer.Consumer{ID: "guest"}}, nil
}}

func get(fields ...string) string {
	return "GET / HTTP/1.1\nHost: a\n" + strings.Join(fields, "\n") + "\n\n"
}

// outcome runs a request and says what became of it.
func outcome(r *policytest.Running, text string) string { return told(ask(r, text)) }

// ask takes a request through a chain of the route one.
func ask(r *policytest.Running, text string) *exchange.Exchange {
	x := r.Request(text)
	x.Route = &exchange.Route{Name: "one"}
	r.Chain.Request(x)
	return x
}

func told(x *exchange.Exchange) string {
	if x.Fault == nil {
		return strings.TrimSpace("ok " + policytest.Verdict(x, "rate_limit"))
	}
	return strings.TrimSpace(x.Fault.Kind.Word + " " + policytest.Verdict(x, "rate_limit"))
}

// times is how many of n requests pass.
func times(r *policytest.Running, n int, text string) (passed int) {
	for range n {
		if strings.HasPrefix(outcome(r, text), "ok") {
			passed++
		}
	}
	return passed
}

func TestLimited(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{rate: 2/h, by: address}")
	for i, want := range []string{"ok", "ok", "rate_limited limited", "rate_limited limited"} {
		x := ask(r, get())
		if got := told(x); got != want {
			t.Fatalf("%d: %s, want %s", i, got, want)
		}
		if i < 2 {
			if x.Signals != 0 {
				t.Error("a good request is counted against its sender")
			}
			continue
		}
		f := x.Fault
		if f.Kind != fault.Limited || f.Kind.Status != 429 || f.RetryAfter < 1799 || f.RetryAfter > 1800+181 || x.Signals != exchange.Limited {
			t.Errorf("%+v, signals %d", f, x.Signals)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for random := range uint64(1000) {
		for _, want := range []struct {
			nanos       int64
			least, most int
		}{{0, 0, 1}, {1, 1, 2}, {1e9, 1, 2}, {1e9 + 1, 2, 3}, {60e9, 60, 67}, {3600e9, 3600, 3961}} {
			if got := retryAfter(want.nanos, random*0x9e3779b97f4a7c15); got < want.least || got > want.most {
				t.Fatalf("%d ns: %d s", want.nanos, got)
			}
		}
	}
	if retryAfter(60e9, 0) == retryAfter(60e9, 3) {
		t.Error("all are told to come back at once")
	}
}

// Who is told from whom.
func TestIdentity(t *testing.T) {
	type one struct {
		fields string
		peer   string
		conn   uint64
	}
	f := func(by string, a, b one, same bool) {
		t.Helper()
		w := policytest.New(t)
		r := w.Policies(policytest.Use{Kind: guest, YAML: "{}"}, policytest.Use{Kind: who, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: "{rate: 1/h, by: " + by + "}"})
		for i, o := range []one{a, b} {
			conn := &exchange.Conn{ID: o.conn}
			if o.peer != "" {
				conn.Peer = netip.AddrPortFrom(netip.MustParseAddr(o.peer), 1000)
			}
			r.Conn = conn
			x := r.Request(get(strings.Split(o.fields, ", ")...))
			x.Route = &exchange.Route{Name: "one"}
			if strings.Contains(o.fields, "Route: two") {
				x.Route = &exchange.Route{Name: "two"}
			}
			r.Chain.Request(x)
			want := "ok"
			if i == 1 && same {
				want = "rate_limited limited"
			}
			if got := told(x); got != want {
				t.Errorf("by %s: %+v after %+v: %s, want %s", by, b, a, got, want)
			}
		}
	}
	const here, there = "192.0.2.1", "192.0.2.2"
	// Addresses: IPv4, mapped or not; IPv6 by /64; none at all by connection.
	f("address", one{"A: a", here, 1}, one{"A: b", here, 2}, true)
	f("address", one{"A: a", here, 1}, one{"A: a", there, 1}, false)
	f("address", one{"A: a", here, 1}, one{"A: a", "::ffff:192.0.2.1", 1}, true)
	f("address", one{"A: a", "2001:db8:0:1::1", 1}, one{"A: a", "2001:db8:0:1:ffff::2", 1}, true)
	f("address", one{"A: a", "2001:db8:0:1::1", 1}, one{"A: a", "2001:db8:0:2::1", 1}, false)
	f("address", one{"A: a", "", 1}, one{"A: a", "", 1}, true)
	f("address", one{"A: a", "", 1}, one{"A: a", "", 2}, false)
	f("address", one{"A: a", "", 1}, one{"A: a", "0.0.0.1", 1}, false)
	// Consumers wherever they are; subjects without a consumer; the anonymous and whoever else by address.
	f("consumer", one{"Who: ann", here, 1}, one{"Who: ann", there, 2}, true)
	f("consumer", one{"Who: ann", here, 1}, one{"Who: bob", here, 1}, false)
	f("consumer", one{"Who: @ann", here, 1}, one{"Who: @ann", there, 1}, true)
	f("consumer", one{"Who: @ann", here, 1}, one{"Who: ann", here, 1}, false)
	f("consumer", one{"A: a", here, 1}, one{"A: a", there, 1}, false)
	f("consumer", one{"A: a", here, 1}, one{"A: a", here, 2}, true)
	f("consumer", one{"Who: guest", here, 1}, one{"A: a", here, 1}, false)
	// Credentials of one consumer, or the consumer where a credential has no name.
	f("credential", one{"Who: ann#1", here, 1}, one{"Who: ann#1", there, 1}, true)
	f("credential", one{"Who: ann#1", here, 1}, one{"Who: ann#2", here, 1}, false)
	f("credential", one{"Who: ann#1", here, 1}, one{"Who: bob#1", here, 1}, false)
	f("credential", one{"Who: ann", here, 1}, one{"Who: ann", there, 1}, true)
	f("credential", one{"A: a", here, 1}, one{"A: a", there, 1}, false)
	// Routes and fields; without the field by address.
	f("route", one{"Route: one", here, 1}, one{"Route: one", there, 1}, true)
	f("route", one{"Route: one", here, 1}, one{"Route: two", here, 1}, false)
	f("'header:X-Tenant'", one{"X-Tenant: a", here, 1}, one{"x-tenant: a", there, 1}, true)
	f("'header:X-Tenant'", one{"X-Tenant: a", here, 1}, one{"X-Tenant: A", here, 1}, false)
	f("'header:X-Tenant'", one{"A: a", here, 1}, one{"A: a", here, 1}, true)
	f("'header:X-Tenant'", one{"A: a", here, 1}, one{"X-Tenant:", there, 1}, false)
	long := strings.Repeat("a", 4000)
	f("'header:X-Tenant'", one{"X-Tenant: " + long, here, 1}, one{"X-Tenant: " + long, there, 1}, true)
	f("'header:X-Tenant'", one{"X-Tenant: " + long, here, 1}, one{"X-Tenant: " + long + "b", there, 1}, false)
	// Composites: any part may differ, and what stands in one cannot pass for another.
	f("[consumer, address]", one{"Who: ann", here, 1}, one{"Who: ann", there, 1}, false)
	f("[consumer, route]", one{"Who: ann, Route: one", here, 1}, one{"Who: ann, Route: one", there, 1}, true)
	f("['header:A', 'header:B']", one{"A: ab, B: c", here, 1}, one{"A: a, B: bc", here, 1}, false)
	f("['header:A', 'header:B']", one{"A: h\x01b, B: c", here, 1}, one{"A: h, B: bc", here, 1}, false)
	f("['header:A', 'header:B']", one{"A: a", here, 1}, one{"B: a", here, 1}, false)
}

// Two requests have one identity only when they agree in all that is asked of them.
func TestIdentityCollides(t *testing.T) {
	w, err := policy.NewWhom([]string{"header:A", "header:B", "consumer"})
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.StringMatching("[a4hs\x00\x01\x02]{0,4}|a{126,131}")
	rapid.Check(t, func(t *rapid.T) {
		var ids, parts [2]string
		for i := range ids {
			a, b, issuer, subject := text.Draw(t, "A"), text.Draw(t, "B"), text.Draw(t, "issuer"), "s"+text.Draw(t, "subject")
			x := &exchange.Exchange{}
			x.Begin(&exchange.Conn{ID: 7}, 1)
			x.Request.Header.Add("A", a)
			x.Request.Header.Add("B", b)
			x.Caller = exchange.Caller{Method: "jwt", Issuer: issuer, Subject: subject}
			ids[i], parts[i] = string(w.Append(nil, x)), fmt.Sprintf("%q %q %q %q", a, b, issuer, subject)
		}
		if (ids[0] == ids[1]) != (parts[0] == parts[1]) {
			t.Fatalf("%s and %s: %q and %q", parts[0], parts[1], ids[0], ids[1])
		}
	})
}

// A subject is never counted as a client of another issuer, however long the issuers' names are.
func TestSubjectIsNoClient(t *testing.T) {
	w, err := policy.NewWhom([]string{"consumer"})
	if err != nil {
		t.Fatal(err)
	}
	of := func(c exchange.Caller) string {
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{ID: 7}, 1)
		c.Method = "jwt"
		x.Caller = c
		return string(w.Append(nil, x))
	}
	for n := range 129 {
		issuer, id := strings.Repeat("i", n), "c"
		client := of(exchange.Caller{Issuer: issuer, Client: id})
		for cut := 2; cut < len(client); cut++ { // whatever of it is read as the issuer of a subject
			c := exchange.Caller{Issuer: client[2:cut]}
			if cut+1 < len(client) {
				c.Subject = client[cut+1:]
			}
			if c.Subject != "" && of(c) == client {
				t.Fatalf("issuer of %d bytes: %q", n, client)
			}
		}
	}
}

// Limits that need not know the caller come before authentication, so that who fails at it is limited too; the others come after it.
func TestOrder(t *testing.T) {
	w := policytest.New(t)
	early := w.Policies(policytest.Use{Kind: who, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: "{rate: 2/h, by: address}"})
	for i, want := range []string{"unauthenticated", "unauthenticated", "rate_limited limited"} {
		if got := outcome(early, get("Who: bad")); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
	w = policytest.New(t)
	late := w.Policies(policytest.Use{Kind: who, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: "{rate: 2/h}"})
	for range 5 {
		if got := outcome(late, get("Who: bad")); got != "unauthenticated" {
			t.Error(got)
		}
	}
	w = policytest.New(t)
	both := w.Policies(policytest.Use{Kind: who, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: "{rate: 3/h, limits: [{name: address, rate: 5/h, by: address}]}"})
	var all []string
	for range 7 {
		x := ask(both, get("Who: ann"))
		all = append(all, fmt.Sprint(told(x), len(x.Allowances)))
	}
	if got := strings.Join(all, ", "); got != "ok2, ok2, ok2, rate_limited limited2, rate_limited limited2, rate_limited limited1, rate_limited limited1" {
		t.Error(got)
	}
}

// All limits of a request grant or none is used, and the tightest is told.
func TestSeveral(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, `{by: address, rate: 10/h, limits: [{name: tenant, rate: 2/h, by: 'header:X-Tenant'}, {name: all, rate: 4/h, by: route}]}`)
	if n := times(r, 5, get("X-Tenant: a")); n != 2 {
		t.Errorf("%d pass", n)
	}
	x := ask(r, get("X-Tenant: b"))
	r.Chain.Response(x)
	if fmt.Sprint(x.Allowances[0].Left, x.Allowances[1].Left, x.Allowances[2].Left) != "7 1 1" {
		t.Errorf("%+v", x.Allowances)
	}
	x = ask(r, get("X-Tenant: a"))
	if len(x.Allowances) != 2 || x.Allowances[0].Left != 7 || x.Allowances[1].Left != 0 || x.Signals != 0 {
		t.Errorf("%+v, signals %d", x.Allowances, x.Signals)
	}
	times(r, 1, get("X-Tenant: b"))
	if x = ask(r, get("X-Tenant: c")); told(x) != "rate_limited limited" || x.Signals != 0 || len(x.Allowances) != 3 {
		t.Errorf("a limit that all share counts against one: %s, signals %d", told(x), x.Signals)
	}
}

func TestCosts(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{by: address, rate: 10/h, cost: 2, costs: {POST: 5, OPTIONS: 0}}")
	post, options := strings.Replace(get(), "GET", "POST", 1), strings.Replace(get(), "GET", "OPTIONS", 1)
	if n := times(r, 20, options); n != 20 {
		t.Errorf("%d that cost nothing pass", n)
	}
	if x := ask(r, options); len(x.Allowances) != 0 {
		t.Errorf("%+v", x.Allowances)
	}
	if got := outcome(r, post) + times5(r); got != "ok2" {
		t.Error(got)
	}
	if got := outcome(r, post); got != "rate_limited limited" {
		t.Error(got)
	}
}

func times5(r *policytest.Running) string { return fmt.Sprint(times(r, 5, get())) }

func TestPlan(t *testing.T) {
	w := policytest.New(t)
	uses := []policytest.Use{{Kind: guest, YAML: "{}"}, {Kind: who, YAML: "{}"}, {Kind: Kind, YAML: "{plan: true, rate: 2/h, limits: [{name: each, rate: 4/h, by: consumer}]}"}}
	r := w.Policies(uses...)
	if n := times(r, 9, get("Who: ann/gold")); n != 3 {
		t.Errorf("%d pass by the plan", n)
	}
	x := ask(r, get("Who: bob/gold"))
	var names []string
	for _, a := range x.Allowances {
		names = append(names, fmt.Sprint(a.Name, a.Left))
	}
	if got := strings.Join(names, " "); got != "plan2 plan-24 each3" {
		t.Error(got)
	}
	for _, fields := range []string{"Who: eve", "Who: zoe/none", "A: anonymous"} {
		if n := times(r, 9, get(fields)); n != 2 {
			t.Errorf("%s: %d pass by the rate", fields, n)
		}
	}
	// Another plan: what was used stays used.
	testPlans["more"] = &consumer.Plan{Name: "more", Rates: []consumer.Rate{{Requests: 100, Per: int64(time.Hour), Burst: 100}}}
	if x := ask(r, get("Who: ann/more")); told(x) != "ok" || x.Allowances[0].Left != 96 {
		t.Errorf("%s %+v", told(x), x.Allowances)
	}
	if got := outcome(r, get("Who: max/huge")); got != "ok" {
		t.Error(got)
	}
	// The plan of those who are anonymous counts, for each of them.
	free := policy.Kind{Name: "authenticate", Options: struct{}{}, Build: func(policy.Options) (any, error) {
		return &policy.Terms{Anonymous: &consumer.Consumer{ID: "guest", Plan: testPlans["gold"]}}, nil
	}}
	public := w.Policies(policytest.Use{Kind: free, YAML: "{}"}, uses[1], policytest.Use{Kind: Kind, YAML: "{plan: true}"})
	for i := range 2 {
		public.Conn = &exchange.Conn{Peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), 1)}
		if n := times(public, 9, get()); n != 3 {
			t.Errorf("%d anonymous pass", n)
		}
	}
	alone := w.Policies(uses[0], uses[1], policytest.Use{Kind: Kind, YAML: "{plan: true, cost: 3}"})
	if n := times(alone, 9, get("Who: kim")); n != 9 {
		t.Errorf("%d of one without a plan pass", n)
	}
	if n := times(alone, 9, get("Who: kim/gold")); n != 1 {
		t.Errorf("%d at a cost of three pass", n)
	}
}

func TestDryRun(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{by: address, rate: 1/h, dry_run: true}")
	for _, want := range []string{"ok", "ok would_limit", "ok would_limit"} {
		x := ask(r, get())
		x.Respond(200, "", nil)
		r.Chain.Response(x)
		if got := told(x); got != want || x.Signals != 0 || x.Response.Header.Len() != 0 {
			t.Errorf("%s, signals %d, %d fields", got, x.Signals, x.Response.Header.Len())
		}
	}
	if got := figure(w, "rate_limit_would_limit_total"); got != 2 {
		t.Errorf("%v are counted", got)
	}
}

// figure adds up the figures of a name.
func figure(w *policytest.World, name string) (sum float64) {
	w.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) {
			if f.Name == name {
				sum += f.Value
			}
		})
	})
	return sum
}

func TestFields(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		r := policytest.New(t).Policy(Kind, options)
		for i, status := range []int{200, 429} {
			x := ask(r, get())
			x.Respond(status, "", nil)
			r.Chain.Response(x)
			var got []string
			for _, field := range x.Response.Header.All() {
				got = append(got, field.Name+": "+field.Value)
			}
			if s := strings.Join(got, " | "); s != strings.Split(want, " then ")[i] {
				t.Errorf("%s: %s", options, s)
			}
		}
	}
	const first, second = `RateLimit-Policy: "default";q=1;w=60 | RateLimit: "default";r=0;t=60`, `RateLimit-Policy: "default";q=1;w=60 | RateLimit: "default";r=0;t=60`
	const legacy = " | X-RateLimit-Limit: 1 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 60"
	f("{by: address, rate: 1/m}", first+" then "+second)
	f("{by: address, rate: 1/m, fields: both}", first+legacy+" then "+second+legacy)
	f("{by: address, rate: 1/m, fields: none}", " then ")
}

// A reload keeps what was used, also when the numbers change; another route's limit is another limit.
func TestReload(t *testing.T) {
	w := policytest.New(t)
	if n := times(w.Policy(Kind, "{by: address, rate: 5/h, limits: [{name: b, rate: 9/h, by: address}]}"), 4, get()); n != 4 {
		t.Fatal(n)
	}
	if n := times(w.Policy(Kind, "{by: address, rate: 5/h, fields: none}"), 4, get()); n != 1 {
		t.Errorf("%d pass after a reload", n)
	}
	x := ask(w.Policy(Kind, "{by: address, rate: 100/m}"), get())
	if x.Fault != nil || x.Allowances[0].Left != 100-5-1 {
		t.Errorf("%v %+v", x.Fault, x.Allowances)
	}
}

// When memory is full newcomers share, which is told in the log, and is nobody's own doing.
func TestCrowded(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{by: [address, 'header:A'], rate: 1/h, memory: 1MiB}")
	for i := range 40_000 {
		r.Conn.ID = uint64(i)
		ask(r, get(fmt.Sprint("A: ", i)))
	}
	if x := ask(r, get("A: newcomer")); told(x) != "rate_limited crowded" || x.Signals != 0 {
		t.Errorf("%s, signals %d", told(x), x.Signals)
	}
	if got := w.State.Attention(); len(got) != 1 || !strings.Contains(got[0], "1 MiB are taken") {
		t.Error(got)
	}
	if figure(w, "rate_limit_crowded_total") == 0 || figure(w, "rate_limit_bytes") != 1<<20 || figure(w, "rate_limit_buckets") < 25_000 || figure(w, "rate_limit_limited_total") == 0 {
		t.Error("the figures do not tell")
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{
		"{}":                                "rate_limit limits nothing; give it rate, limits or plan",
		"{burst: 5}":                        "rate_limit limits nothing",
		"{rate: 100}":                       "which does not say in what time",
		"{rate: 0/s}":                       "a rate is more than 0 and at most 1000000000 a second",
		"{rate: 1000000000000/s, burst: 1}": "a rate is more than 0 and at most",
		"{rate: 1/d, burst: 1000}":          "longer than 400 days",
		"{rate: 1/s, burst: 0}":             "burst",
		"{rate: 1/s, by: user}":             "consumer, credential, address, route or header:NAME",
		"{rate: 1/s, by: [route, route]}":   "route is there twice; remove one",
		"{rate: 1/s, by: ['header:A', 'header:a']}":              "header:a is there twice; remove one",
		"{rate: 1/s, cost: 2}":                                   "it could never pass; raise burst to 2 or more",
		"{rate: 5/s, costs: {POST: 9}}":                          "it could never pass; raise burst to 9 or more",
		"{rate: 5/s, costs: {POST: -1}}":                         "POST costs -1; 0 to 1000000 are allowed",
		"{rate: 5/s, costs: {'P ST': 1}}":                        "is not a method",
		"{plan: true, burst: 5}":                                 "a burst without a rate; add rate, or remove burst",
		"{plan: true, rate: 1/s, by: address}":                   "put rate under limits",
		"{limits: [{name: a, rate: 1/s}, {name: a, rate: 2/s}]}": "a is the name of another limit; choose another",
		"{limits: [{name: plan-2, rate: 1/s}]}":                  "plan-2 is the name of another limit",
		"{limits: [{name: default, rate: 1/s}]}":                 "default is the name of another limit",
		"{limits: [{name: A, rate: 1/s}]}":                       "1 to 32 of a-z",
		"{limits: [{name: a, rate: 1/s, cost: 7}]}":              "1:",
		"{limits: [{name: a}]}":                                  "rate",
		"{rate: 1/s, nodes: 2}":                                  "nodes is for limits in the shared store",
		"{rate: 1/s, when_unavailable: open}":                    "when_unavailable is for limits in the shared store",
		"{rate: 1/s, store: redis}":                              "redis counts in the shared store, and there is none; add redis at the top, or take store: local",
		"{rate: 1/s, store: disk}":                               "allowed: local, redis, leased",
		"{rate: 1/s, fields: all}":                               "allowed: standard, both, none",
		"{rate: 1/s, memory: 1KiB}":                              "memory",
	} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	for options, burst := range map[string]int64{"{rate: 100/s}": 100, "{rate: 0.5/s}": 1, "{rate: 2.7/m}": 2, "{rate: 1000/h, burst: 7}": 7} {
		x := ask(w.Policy(Kind, strings.Replace(options, "}", ", by: route}", 1)), get())
		if a := x.Allowances[0]; a.Left > burst-1 {
			t.Errorf("%s: %+v", options, a)
		}
	}
}

// The page has every option, word and figure, and its examples are put in force.
func TestPage(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/policies/rate_limit.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, word := range []string{"limited", "crowded", "would_limit", "degraded", "unchecked", "unavailable", "rate_limited", "limit_unavailable"} {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("the page does not know the word %s", word)
		}
	}
	w := policytest.New(t)
	w.Policy(Kind, "{rate: 1/s}")
	policy.Hold(w.State, Kind.Name, "leases", func() *leases { return &leases{limit.NewLeases(1)} })
	w.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) {
			if !strings.Contains(page, "`straum_policy_"+f.Name+"`") {
				t.Errorf("the page does not know %s", f.Name)
			}
		})
	})
	examples := regexp.MustCompile(`(?m)- rate_limit: *(\{.*\})$`).FindAllStringSubmatch(page, -1)
	for _, example := range examples {
		if !strings.Contains(example[1], "store:") {
			w.Policy(Kind, example[1])
		}
	}
	if len(examples) < 3 {
		t.Errorf("%d examples", len(examples))
	}
}

// running is a chain with one request that is accepted again and again.
func again(r *policytest.Running, x *exchange.Exchange) {
	x.Verdicts, x.Allowances = x.Verdicts[:0], x.Allowances[:0]
	r.Chain.Request(x)
}

var cheap = map[string]string{
	"address":   "{rate: 1000000/s, burst: 100000000, by: address}",
	"consumer":  "{rate: 1000000/s, burst: 100000000}",
	"composite": "{rate: 1000000/s, burst: 100000000, by: [consumer, route, 'header:X-Tenant']}",
	"three":     "{rate: 1000000/s, burst: 100000000, by: address, limits: [{name: a, rate: 1000000/h, burst: 100000000, by: address}, {name: b, rate: 1000000/h, burst: 100000000, by: route}]}",
	"plan":      "{plan: true}",
}

func cheapRequest(r *policytest.Running) *exchange.Exchange {
	x := r.Request(get("X-Tenant: acme", "Accept: a"))
	x.Route = &exchange.Route{Name: "orders"}
	x.Caller = exchange.Caller{Method: "jwt", Consumer: &consumer.Consumer{ID: "acme", Plan: cheapPlan}}
	return x
}

var cheapPlan = &consumer.Plan{Name: "cheap", Rates: []consumer.Rate{{Requests: 1e9, Per: int64(time.Second), Burst: 1e9}, {Requests: 1e9, Per: int64(time.Minute), Burst: 1e9}}}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, options := range cheap {
		r := policytest.New(t).Policy(Kind, options)
		x := cheapRequest(r)
		if n := testing.AllocsPerRun(1000, func() {
			again(r, x)
			if x.Fault != nil {
				t.Fatal(x.Fault)
			}
			x.Response.Header.Reset()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkLocal(b *testing.B) {
	for name, options := range cheap {
		b.Run(name, func(b *testing.B) {
			r := policytest.New(b).Policy(Kind, options)
			x := cheapRequest(r)
			b.ReportAllocs()
			for b.Loop() {
				again(r, x)
			}
			if x.Fault != nil {
				b.Fatal(x.Fault)
			}
		})
	}
}

func BenchmarkClock(b *testing.B) {
	for b.Loop() {
		clock.Now()
	}
}

package quota

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// manual is a clock that is set by hand.
type manual struct{ at time.Time }

func (m *manual) now() time.Time { return m.at }

func at(text string) *manual {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &manual{t}
}

const get = "GET / HTTP/1.1\nHost: a\n\n"

// from makes a request, lets who change it, and takes it through the chain.
func from(r *policytest.Running, who func(*exchange.Exchange)) *exchange.Exchange {
	x := r.Request(get)
	if who != nil {
		who(x)
	}
	r.Chain.Request(x)
	return x
}

// verdict is what came of a request: the status it was refused with, and the word.
func verdict(x *exchange.Exchange) string {
	status := 200
	if x.Fault != nil {
		status = x.Fault.Kind.Status
	}
	return strings.TrimSpace(fmt.Sprint(status, " ", policytest.Verdict(x, "quota")))
}

func known(id string, plan *consumer.Plan) func(*exchange.Exchange) {
	return func(x *exchange.Exchange) {
		x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: id, Plan: plan}, Method: "api_key", Credential: id + "-key"}
	}
}

func clientAt(a string) func(*exchange.Exchange) {
	return func(x *exchange.Exchange) { x.Client = netip.MustParseAddr(a) }
}

// A quota is used up, says so and when it is back, is there again after midnight of its zone, and what is refused uses nothing.
func TestQuota(t *testing.T) {
	clock := at("2026-11-22T12:00:00+01:00")
	r := policytest.New(t).Policy(kind(clock.now), "{limits: [{requests: 3, per: day}, {requests: 5, per: month}], zone: Europe/Oslo}")
	ann := known("ann", nil)
	left := func(x *exchange.Exchange) (text string) {
		for _, a := range x.Allowances {
			text += fmt.Sprintf("%s %d/%d in %v of %v, ", a.Name, a.Left, a.Quota, time.Duration(a.Reset), time.Duration(a.Window))
		}
		return text
	}
	f := func(want, allowed string) *exchange.Exchange {
		t.Helper()
		x := from(r, ann)
		if got := verdict(x); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := left(x); got != allowed {
			t.Errorf("%s, want %s", got, allowed)
		}
		return x
	}
	const until = " in 12h0m0s of 24h0m0s, quota-month "
	f("200", "quota-day 2/3"+until+"4/5 in 204h0m0s of 720h0m0s, ")
	f("200", "quota-day 1/3"+until+"3/5 in 204h0m0s of 720h0m0s, ")
	f("200", "quota-day 0/3"+until+"2/5 in 204h0m0s of 720h0m0s, ")
	for range 10 {
		x := f("429 exceeded", "quota-day 0/3"+until+"2/5 in 204h0m0s of 720h0m0s, ")
		if x.Fault.Kind != fault.QuotaExceeded || x.Fault.RetryAfter < 12*3600 || x.Fault.RetryAfter > 12*3600+spread || x.Signals != exchange.Limited {
			t.Errorf("%+v, signals %d", x.Fault, x.Signals)
		}
	}
	if x := from(r, known("bob", nil)); x.Fault != nil {
		t.Error("somebody else is refused too")
	}
	clock.at = clock.at.Add(12*time.Hour - time.Second)
	f("429 exceeded", "quota-day 0/3 in 1s of 24h0m0s, quota-month 2/5 in 192h0m1s of 720h0m0s, ")
	clock.at = clock.at.Add(time.Second)
	f("200", "quota-day 2/3 in 24h0m0s of 24h0m0s, quota-month 1/5 in 192h0m0s of 720h0m0s, ")
	f("200", "quota-day 1/3 in 24h0m0s of 24h0m0s, quota-month 0/5 in 192h0m0s of 720h0m0s, ")
	x := f("429 exceeded", "quota-day 1/3 in 24h0m0s of 24h0m0s, quota-month 0/5 in 192h0m0s of 720h0m0s, ")
	if after := x.Fault.RetryAfter; after < 192*3600 || after > 192*3600+spread {
		t.Errorf("Retry-After %d", after)
	}
}

// Who is counted as whom.
func TestBy(t *testing.T) {
	route := func(name string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Route = &exchange.Route{Name: name} }
	}
	header := func(value string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Request.Header.Add("X-Tenant", value) }
	}
	both := func(all ...func(*exchange.Exchange)) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) {
			for _, f := range all {
				f(x)
			}
		}
	}
	subject := func(issuer, of string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Caller = exchange.Caller{Method: "jwt", Issuer: issuer, Subject: of} }
	}
	anonymous := func(x *exchange.Exchange) { x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "anyone"}} }
	nowhere := func(listener string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) {
			x.Client = netip.Addr{}
			conn := *x.Conn
			conn.Listener = listener
			x.Conn = &conn
		}
	}
	for _, c := range []struct {
		by   string
		a, b func(*exchange.Exchange)
		same bool
	}{
		{"address", clientAt("192.0.2.1"), clientAt("192.0.2.1"), true},
		{"address", clientAt("192.0.2.1"), clientAt("192.0.2.2"), false},
		{"address", clientAt("192.0.2.1"), clientAt("::ffff:192.0.2.1"), true},
		{"address", clientAt("2001:db8::1"), clientAt("2001:db8::2:1"), true},
		{"address", clientAt("2001:db8::1"), clientAt("2001:db8:0:1::1"), false},
		{"address", clientAt("fe80::1%eth0"), clientAt("fe80::2%eth1"), true},
		{"address", nowhere("a"), nowhere("a"), true},
		{"address", nowhere("a"), nowhere("b"), false},
		{"address", nowhere("a"), clientAt("0.0.0.0"), false},
		{"consumer", known("ann", nil), both(known("ann", nil), clientAt("192.0.2.9")), true},
		{"consumer", known("ann", nil), known("bob", nil), false},
		{"consumer", subject("i", "a"), both(subject("i", "a"), clientAt("192.0.2.9")), true},
		{"consumer", subject("i", "a"), subject("i", "b"), false},
		{"consumer", subject("ia", ""), subject("i", "a"), false},
		{"consumer", subject("i", "ab"), subject("ia", "b"), false},
		{"consumer", anonymous, both(anonymous, clientAt("192.0.2.9")), false},
		{"consumer", anonymous, nil, true},
		{"credential", known("ann", nil), both(known("ann", nil), func(x *exchange.Exchange) { x.Caller.Credential = "ann-2" }), false},
		{"route", route("a"), both(route("a"), known("ann", nil)), true},
		{"route", route("a"), route("b"), false},
		{"all", both(route("a"), known("ann", nil)), both(route("b"), clientAt("192.0.2.9")), true},
		{"header:X-Tenant", header("a"), both(header("a"), clientAt("192.0.2.9")), true},
		{"header:x-tenant", header("a"), header("b"), false},
		{"header:X-Tenant", nil, clientAt("192.0.2.9"), false},
		{"[consumer, route]", both(known("ann", nil), route("a")), both(known("ann", nil), route("b")), false},
		{"[consumer, route]", both(known("ann", nil), route("a")), both(known("ann", nil), route("a")), true},
	} {
		r := policytest.New(t).Policy(kind(at("2026-11-22T12:00:00Z").now), "{requests: 1, by: "+c.by+"}")
		first, second := from(r, c.a), from(r, c.b)
		if first.Fault != nil || (second.Fault != nil) != c.same {
			t.Errorf("by %s: %v, %v", c.by, first.Fault, second.Fault)
		}
		if second.Fault != nil && (second.Signals == exchange.Limited) != (c.by != "route" && c.by != "all") {
			t.Errorf("by %s: signals %d", c.by, second.Signals)
		}
	}
}

// The plan's quotas count where it has some, those of the policy for everybody else.
func TestPlan(t *testing.T) {
	clock := at("2026-11-22T12:00:00Z")
	r := policytest.New(t).Policy(kind(clock.now), "{plan: true, requests: 2, per: day}")
	gold := &consumer.Plan{Name: "gold", Quotas: []consumer.Quota{{Requests: 9, Period: "day"}, {Requests: 5, Period: "day"}, {Requests: 7, Period: "month"}}}
	passes := func(who func(*exchange.Exchange)) (n int) {
		for range 20 {
			if from(r, who).Fault == nil {
				n++
			}
		}
		return n
	}
	if n := passes(known("a", gold)); n != 5 {
		t.Errorf("%d of a plan", n)
	}
	clock.at = clock.at.AddDate(0, 0, 1)
	if n := passes(known("a", gold)); n != 2 {
		t.Errorf("%d of a plan on the next day", n)
	}
	if n := passes(known("b", &consumer.Plan{Name: "empty"})); n != 2 {
		t.Errorf("%d of a plan without quotas", n)
	}
	if n := passes(known("c", nil)); n != 2 {
		t.Errorf("%d without a plan", n)
	}
	r = policytest.New(t).Policy(kind(clock.now), "{plan: true}")
	if n := passes(known("c", nil)); n != 20 {
		t.Errorf("%d where only plans limit", n)
	}
}

func TestCostAndDryRun(t *testing.T) {
	clock := at("2026-11-22T12:00:00Z")
	r := policytest.New(t).Policy(kind(clock.now), "{requests: 10, cost: 4}")
	if a, b, c := verdict(from(r, nil)), verdict(from(r, nil)), verdict(from(r, nil)); a+b+c != "200200429 exceeded" {
		t.Error(a, b, c)
	}
	r = policytest.New(t).Policy(kind(clock.now), "{requests: 1, dry_run: true}")
	from(r, nil)
	x := from(r, nil)
	if verdict(x) != "200 would_exceed" || len(x.Allowances) > 0 || x.Signals != 0 {
		t.Errorf("%s %v %d", verdict(x), x.Allowances, x.Signals)
	}
}

func TestFields(t *testing.T) {
	clock := at("2026-11-22T12:00:00Z")
	for options, want := range map[string]string{
		"{requests: 9, per: day}":               `"quota-day";r=8;t=43200 `,
		"{requests: 9, per: day, fields: both}": `"quota-day";r=8;t=43200 8`,
		"{requests: 9, per: day, fields: none}": ` `,
	} {
		r := policytest.New(t).Policy(kind(clock.now), options)
		x := from(r, nil)
		x.Respond(200, "", nil)
		r.Chain.Response(x)
		left, _ := x.Response.Header.Header("RateLimit")
		legacy, _ := x.Response.Header.Header("X-RateLimit-Remaining")
		if got := left + " " + legacy; got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{
		"{}": "nothing is limited", "{requests: 0}": "requests", "{requests: 1, per: week}": "per", "{requests: 1, zone: Europe/Olso}": "no zone", "{requests: 1, zone: Local}": "the zone of the box",
		"{requests: 1, by: somebody}": "by", "{requests: 1, by: [address, address]}": "twice", "{requests: 1, by: [all, address]}": "stands alone", "{requests: 1, by: 'header:X Y'}": "by",
		"{requests: 1, cost: 2}": "none would ever pass", "{requests: 1, limits: [{requests: 1, per: day}]}": "limits", "{limits: [{requests: 1, per: day}, {requests: 2, per: day}]}": "two limits",
		"{requests: 1, store: redis}": "no shared store", "{requests: 1, nodes: 2}": "store: redis", "{requests: 1, when_unavailable: open}": "store: redis", "{requests: 1, request: 1}": "request",
	} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
}

// What was used is used after a reload, with another quota too, and after a restart.
func TestReload(t *testing.T) {
	clock := at("2026-11-22T12:00:00Z")
	w := policytest.New(t)
	w.Dir = t.TempDir()
	w.Policy(kind(clock.now), "{requests: 3}")
	passes := func(options string) (n int) {
		t.Helper()
		r := w.Policy(kind(clock.now), options)
		for range 20 {
			if from(r, known("ann", nil)).Fault == nil {
				n++
			}
		}
		return n
	}
	if n := passes("{requests: 3}"); n != 3 {
		t.Errorf("%d at first", n)
	}
	if n := passes("{requests: 3}"); n != 0 {
		t.Errorf("%d after a reload", n)
	}
	if n := passes("{requests: 5, cost: 1, identities: 128, fields: none}"); n != 2 {
		t.Errorf("%d more with a larger quota", n)
	}
	if got := w.Refused(kind(clock.now), "{requests: 5, zone: Nowhere}"); got == "" {
		t.Error("not refused")
	}
	w.State.Close()
	again := policytest.New(t)
	again.Keys, again.Dir = w.Keys, w.Dir
	w = again
	if n := passes("{requests: 6}"); n != 1 {
		t.Errorf("%d more after a restart", n)
	}
	if n := passes("{requests: 6, zone: Europe/Oslo}"); n != 6 {
		t.Errorf("%d in another zone", n)
	}
	w.State.Close()
	files, err := filepath.Glob(filepath.Join(w.Dir, "quota-*.counts"))
	if err != nil || len(files) != 2 {
		t.Errorf("%q %v", files, err)
	}
	for _, file := range files {
		if content, err := os.ReadFile(file); err != nil || bytes.Contains(content, []byte("ann")) {
			t.Errorf("%s says who called: %v", file, err)
		}
	}
}

// peer is a real redis-server of this test's own.
type peer struct {
	*redistest.Server
	t testing.TB
}

func startPeer(t testing.TB) *peer {
	t.Helper()
	return &peer{redistest.Start(t), t}
}

func (p *peer) client() *redis.Client {
	c, err := redis.New(redis.Settings{Addresses: []string{p.Addr}, Budget: 200 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	redistest.Await(p.t, func() bool { return c.Health().OK }, "the store does not come up")
	return c
}

// Two gateways count together, and each goes on with its share, with all, or with none when the store is paused. When it is back it says
// what it said before: what was given out meanwhile is not counted twice.
func TestShared(t *testing.T) {
	p := startPeer(t)
	keys := policytest.New(t).Keys
	node := func(options string) (*policytest.World, *policytest.Running) {
		w := policytest.New(t)
		w.Redis, w.Keys = p.client(), keys
		return w, w.Policy(Kind, "{requests: 10, store: redis, "+options+"}")
	}
	_, a := node("nodes: 2")
	_, b := node("nodes: 2")
	ann := known("ann", nil)
	pass := func(r *policytest.Running, times int) (n int) {
		for range times {
			if from(r, ann).Fault == nil {
				n++
			}
		}
		return n
	}
	if first, second := pass(a, 3), pass(b, 1); first != 3 || second != 1 {
		t.Fatal(first, second)
	}
	if x := from(b, ann); len(x.Allowances) != 1 || x.Allowances[0].Left != 5 || x.Allowances[0].Quota != 10 {
		t.Errorf("%+v", x.Allowances)
	}
	wOpen, open := node("when_unavailable: open")
	wClosed, closed := node("when_unavailable: closed")
	p.Pause()
	// Each has a share of 5, of which this one has given out 3 and that one 2.
	if n := pass(a, 10); n != 2 {
		t.Errorf("%d of the share of the first", n)
	}
	if n := pass(b, 10); n != 3 {
		t.Errorf("%d of the share of the second", n)
	}
	if got := verdict(from(b, ann)); got != "429 exceeded" {
		t.Error(got)
	}
	if n := pass(open, 20); n != 20 {
		t.Errorf("%d passed an open one", n)
	}
	if got := verdict(from(closed, ann)); got != "503 unavailable" {
		t.Error(got)
	}
	for _, w := range []*policytest.World{wOpen, wClosed} {
		if figure(w, "quota_unshared_total") == 0 {
			t.Error("nothing is told")
		}
	}
	p.Resume()
	// A request whose answer did not come in time may have been carried out once the store went on, so 5 were used and no more than one
	// for each that waited then; the gate shuts after five.
	w := policytest.New(t)
	w.Redis, w.Keys = p.client(), keys
	x := from(w.Policy(Kind, "{requests: 1000, store: redis}"), ann)
	if verdict(x) != "200" || 1000-x.Allowances[0].Left < 6 || 1000-x.Allowances[0].Left > 6+4*5 {
		t.Errorf("%s %+v", verdict(x), x.Allowances)
	}
}

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

func TestFigures(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{requests: 2, by: address, identities: 64}")
	for range 5 {
		from(r, clientAt("192.0.2.1"))
	}
	for i := range 200 {
		from(r, clientAt(fmt.Sprint("192.0.3.", i)))
	}
	if n := figure(w, "quota_exceeded_total"); n < 3 {
		t.Errorf("%v refused", n)
	}
	if all, crowded := figure(w, "quota_identities"), figure(w, "quota_crowded_total"); all > 64 || crowded < 201-64 {
		t.Errorf("%v counted, %v crowded", all, crowded)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, by := range []string{"consumer", "address", "[consumer, route, 'header:X-Tenant']"} {
		r := policytest.New(t).Policy(Kind, "{requests: 1000000000, by: "+by+"}")
		x := r.Request(get)
		x.Route = &exchange.Route{Name: "orders"}
		known("ann", nil)(x)
		if n := testing.AllocsPerRun(1000, func() {
			x.Allowances = x.Allowances[:0]
			r.Chain.Request(x)
		}); n > 0 || x.Fault != nil {
			t.Errorf("by %s: %v allocations, %v", by, n, x.Fault)
		}
	}
}

func BenchmarkQuota(b *testing.B) {
	r := policytest.New(b).Policy(Kind, "{limits: [{requests: 1000000000, per: day}, {requests: 1000000000, per: month}]}")
	x := r.Request(get)
	known("ann", nil)(x)
	b.ReportAllocs()
	for b.Loop() {
		x.Allowances = x.Allowances[:0]
		r.Chain.Request(x)
	}
}

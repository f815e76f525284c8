package shed

import (
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// manual is a clock that is set by hand.
type manual struct{ now int64 }

func (m *manual) kind() policy.Kind { return kind(func() int64 { return m.now }) }

const get = "GET / HTTP/1.1\nHost: a\n\n"

// enter takes a request through step 4.
func enter(r *policytest.Running) *exchange.Exchange {
	x := r.Request(get)
	r.Chain.Request(x)
	return x
}

// answer takes one through step 8, with what step 7 stamps.
func answer(r *policytest.Running, x *exchange.Exchange, took int64, status int) {
	x.Times.Sent, x.Times.FirstByte = 1, 1+took
	x.Upstream.Tries, x.Upstream.Status = 1, status
	r.Chain.UpstreamResponse(x)
}

func held(t *testing.T, w *policytest.World, name string) *group {
	t.Helper()
	return policy.Hold(w.State, "shed", name, func() *group {
		t.Fatal("no such group is held")
		return nil
	})
}

// Low priority is turned away first, then normal; all that share a group fill it.
func TestPriorities(t *testing.T) {
	w, clock := policytest.New(t), &manual{1}
	options := "group: a, min: 20, max: 20, initial: 20}"
	running := map[string]*policytest.Running{}
	var uses []string
	for _, priority := range []string{"low", "normal", "high"} {
		uses = append(uses, "{priority: "+priority+", "+options)
	}
	for i, priority := range []string{"low", "normal", "high"} {
		running[priority] = w.Policy(clock.kind(), uses[i])
	}
	fill := func(priority string) (n int) {
		for range 50 {
			if x := enter(running[priority]); x.Fault == nil {
				n++
			} else if x.Fault.Kind != fault.Overloaded || x.Fault.RetryAfter < 1 || x.Fault.RetryAfter > 3 || x.End != exchange.Shed || x.Signals != 0 || policytest.Verdict(x, "shed") != "shed" {
				t.Errorf("%+v %v %d %v", x.Fault, x.End, x.Signals, x.Verdicts)
			}
		}
		return n
	}
	if low, normal, high := fill("low"), fill("normal"), fill("high"); low != 16 || normal != 2 || high != 2 {
		t.Errorf("%d low, %d normal, %d high", low, normal, high)
	}
	if g := held(t, w, "group a"); g.shed[0].Load() != 34 || g.shed[1].Load() != 48 || g.shed[2].Load() != 48 || g.inFlight.Load() != 20 {
		t.Errorf("%d %d %d, %d in flight", g.shed[0].Load(), g.shed[1].Load(), g.shed[2].Load(), g.inFlight.Load())
	}
}

// A place is taken until the head of the answer is there, or the exchange is over, and comes back once.
func TestPlaces(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy((&manual{1}).kind(), "{min: 10, max: 10, initial: 10}")
	g := held(t, w, "route test")
	f := func(what string, want int64) {
		t.Helper()
		if n := g.inFlight.Load(); n != want {
			t.Errorf("%s: %d in flight, want %d", what, n, want)
		}
	}
	stream, gone := enter(r), enter(r)
	f("two are under way", 2)
	answer(r, stream, ms, 200)
	f("one was answered, and streams", 1)
	stream.Settle()
	f("it is over", 1)
	gone.Fail(fault.New(fault.ClientGone, nil))
	gone.Settle()
	f("the other left", 0)
	early := enter(r)
	early.Respond(200, "", nil) // of a policy, or a cache
	early.Settle()
	f("one was answered here", 0)
	var all sync.WaitGroup
	for range 8 {
		mine := *r
		conn := *r.Conn
		mine.Conn = &conn
		all.Go(func() {
			for range 1000 {
				x := enter(&mine)
				if x.Fault == nil {
					answer(&mine, x, ms, 200)
				}
				x.Settle()
			}
		})
	}
	all.Wait()
	f("all are over", 0)
}

// What counts as an answer that says how busy the API is.
func TestMeasured(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy((&manual{1}).kind(), "{}")
	g := held(t, w, "route test")
	f := func(what string, change func(*exchange.Exchange), count, drops int64) {
		t.Helper()
		x := enter(r)
		x.Times.Sent, x.Times.FirstByte = 1, 1+ms
		x.Upstream.Tries, x.Upstream.Status = 1, 200
		change(x)
		if x.Fault == nil {
			r.Chain.UpstreamResponse(x)
		}
		x.Settle()
		if c, d := g.window.count.Swap(0), g.window.drops.Swap(0); c != count || d != drops {
			t.Errorf("%s: %d measured, %d late", what, c, d)
		}
	}
	status := func(n int) func(*exchange.Exchange) { return func(x *exchange.Exchange) { x.Upstream.Status = n } }
	failed := func(k *fault.Kind) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Fail(fault.New(k, nil)) }
	}
	f("200", status(200), 1, 0)
	f("304", status(304), 1, 0)
	f("503", status(503), 1, 0)
	f("404", status(404), 0, 0)
	f("429", status(429), 0, 0)
	f("a switch of protocols", status(101), 0, 0)
	f("two tries", func(x *exchange.Exchange) { x.Upstream.Tries = 2 }, 0, 0)
	f("none", func(x *exchange.Exchange) { x.Upstream.Tries, x.Times.Sent = 0, 0 }, 0, 0)
	f("a small body", func(x *exchange.Exchange) { x.Request.Length = maxMeasuredBody }, 1, 0)
	f("a large body", func(x *exchange.Exchange) { x.Request.Length = maxMeasuredBody + 1 }, 0, 0)
	f("a body of unknown length", func(x *exchange.Exchange) { x.Request.Length = exchange.Unknown }, 0, 0)
	f("a body that was on its way", func(x *exchange.Exchange) { x.Request.Streaming = true }, 0, 0)
	f("a client that left", failed(fault.ClientGone), 0, 0)
	f("a time that was over", failed(fault.UpstreamTimeout), 0, 1)
	f("a queue that was full", failed(fault.Saturated), 0, 1)
	f("a connection that broke", failed(fault.UpstreamReset), 0, 0)
}

// The limit goes down as answers take longer, and stays what it is over a reload, with other bounds within them.
func TestReload(t *testing.T) {
	w, clock := policytest.New(t), &manual{int64(1e12)}
	options := "{initial: 100, max: 150}"
	r := w.Policy(clock.kind(), options)
	g := held(t, w, "route test")
	load := func(took int64, windows int) {
		for range windows {
			var all []*exchange.Exchange
			for range 80 {
				if x := enter(r); x.Fault == nil {
					all = append(all, x)
				}
			}
			clock.now += windowSpan + 2*took
			for _, x := range all {
				answer(r, x, took, 200)
				x.Settle()
			}
		}
	}
	load(10*ms, 20)
	if n := g.limit.Load(); n != 150 {
		t.Errorf("%d at rest", n)
	}
	load(100*ms, 3)
	low := g.limit.Load()
	if low >= 100 {
		t.Errorf("%d when all takes ten times as long", low)
	}
	under := enter(r)
	r = w.Policy(clock.kind(), "{initial: 50, priority: high, slack: 50%}")
	if again := held(t, w, "route test"); again != g || again.limit.Load() != low || again.inFlight.Load() != 1 {
		t.Error("a reload forgot what was learnt")
	}
	under.Settle()
	r = w.Policy(clock.kind(), "{max: 10, initial: 10, priority: high}")
	n := 0
	for range 20 {
		if enter(r).Fault == nil {
			n++
		}
	}
	if n != 10 {
		t.Errorf("%d at a time, though 10 are allowed from now on", n)
	}
}

func TestDryRun(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy((&manual{1}).kind(), "{min: 1, max: 1, initial: 1, dry_run: true}")
	g := held(t, w, "route test")
	first, second := enter(r), enter(r)
	if first.Fault != nil || second.Fault != nil || policytest.Verdict(second, "shed") != "would_shed" || second.End != exchange.Completed || g.inFlight.Load() != 2 {
		t.Errorf("%v %v %v", first.Fault, second.Fault, second.Verdicts)
	}
	first.Settle()
	second.Settle()
	if g.inFlight.Load() != 0 {
		t.Error(g.inFlight.Load())
	}
}

func TestFigures(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy((&manual{1}).kind(), "{min: 1, max: 1, initial: 1}")
	enter(r)
	enter(r)
	got := map[string]float64{}
	w.State.Each(func(r policy.Reporter) { r.Report(func(f policy.Figure) { got[f.Name] += f.Value }) })
	if got["shed_limit"] != 1 || got["shed_in_flight"] != 1 || got["shed_requests_total"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{"{min: 10, max: 5}": "lower min or raise max", "{priority: urgent}": "priority", "{group: A}": "group", "{slack: 5%}": "slack", "{slack: 2}": "slack", "{limit: 1}": "limit"} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := policytest.New(t).Policy(Kind, "{}")
	x := r.Request(get)
	if n := testing.AllocsPerRun(1000, func() {
		r.Chain.Request(x)
		answer(r, x, ms, 200)
		x.Settle()
	}); n > 0 || x.Fault != nil {
		t.Errorf("%v allocations, %v", n, x.Fault)
	}
}

func BenchmarkShed(b *testing.B) {
	r := policytest.New(b).Policy(Kind, "{}")
	x := r.Request(get)
	b.ReportAllocs()
	for b.Loop() {
		r.Chain.Request(x)
		answer(r, x, ms, 200)
		x.Settle()
	}
}

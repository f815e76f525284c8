package concurrency

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

const get = "GET / HTTP/1.1\nHost: a\n\n"

func from(r *policytest.Running, who func(*exchange.Exchange)) *exchange.Exchange {
	x := r.Request(get)
	if who != nil {
		who(x)
	}
	r.Chain.Request(x)
	return x
}

func known(id string) func(*exchange.Exchange) {
	return func(x *exchange.Exchange) {
		x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: id}, Method: "api_key"}
	}
}

func clientAt(a string) func(*exchange.Exchange) {
	return func(x *exchange.Exchange) { x.Client = netip.MustParseAddr(a) }
}

// Places are taken and come back, whoever is refused takes none, and the answer says whose matter it is.
func TestConcurrency(t *testing.T) {
	for _, c := range []struct {
		options string
		kind    *fault.Kind
		signals exchange.Signal
		end     exchange.End
	}{
		{"2", fault.Overloaded, 0, exchange.Shed},
		{"{limit: 2, by: all}", fault.Overloaded, 0, exchange.Shed},
		{"{limit: 2, by: consumer}", fault.TooManyConcurrent, exchange.Limited, exchange.Completed},
		{"{limit: 2, by: address}", fault.TooManyConcurrent, exchange.Limited, exchange.Completed},
	} {
		w := policytest.New(t)
		r := w.Policy(Kind, c.options)
		ann := known("ann")
		first, second := from(r, ann), from(r, ann)
		for range 5 {
			x := from(r, ann)
			if x.Fault == nil || x.Fault.Kind != c.kind || x.Fault.RetryAfter != 1 || x.Signals != c.signals || x.End != c.end || policytest.Verdict(x, "concurrency") != "full" {
				t.Errorf("%s: %v, %d, %v, %v", c.options, x.Fault, x.Signals, x.End, x.Verdicts)
			}
			x.Settle()
		}
		if first.Fault != nil || second.Fault != nil {
			t.Errorf("%s: %v %v", c.options, first.Fault, second.Fault)
		}
		if n := figure(w, "concurrency_under_way"); n != 2 {
			t.Errorf("%s: %v under way", c.options, n)
		}
		first.Settle()
		first.Settle()
		if x := from(r, ann); x.Fault != nil {
			t.Errorf("%s: a place did not come back", c.options)
		}
		if x := from(r, ann); x.Fault == nil {
			t.Errorf("%s: a place came back twice", c.options)
		}
		if n := figure(w, "concurrency_refused_total"); n != 6 {
			t.Errorf("%s: %v refused", c.options, n)
		}
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

// Who counts with whom.
func TestBy(t *testing.T) {
	subject := func(issuer, of string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { x.Caller = exchange.Caller{Method: "jwt", Issuer: issuer, Subject: of} }
	}
	anonymous := func(a string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) {
			x.Caller.Consumer, x.Client = &consumer.Consumer{ID: "anyone"}, netip.MustParseAddr(a)
		}
	}
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
		{"consumer", known("ann"), known("ann"), true},
		{"consumer", known("ann"), known("bob"), false},
		{"consumer", subject("ia", "b"), subject("i", "ab"), false},
		{"consumer", anonymous("192.0.2.1"), anonymous("192.0.2.2"), false},
		{"consumer", anonymous("192.0.2.1"), clientAt("192.0.2.1"), true},
		{"address", clientAt("2001:db8::1"), clientAt("2001:db8::2:1"), true},
		{"address", clientAt("2001:db8::1"), clientAt("2001:db8:0:1::1"), false},
		{"address", clientAt("192.0.2.1"), clientAt("::ffff:192.0.2.1"), true},
		{"address", nowhere("a"), nowhere("a"), true},
		{"address", nowhere("a"), nowhere("b"), false},
		{"all", clientAt("192.0.2.1"), clientAt("192.0.2.2"), true},
	} {
		r := policytest.New(t).Policy(Kind, "{limit: 1, by: "+c.by+"}")
		if first, second := from(r, c.a), from(r, c.b); first.Fault != nil || (second.Fault != nil) != c.same {
			t.Errorf("by %s: %v, %v", c.by, first.Fault, second.Fault)
		}
	}
}

// everywhere are options of a policy on every route.
type everywhere struct{ text string }

func (o everywhere) Decode(into any) error {
	d, err := document.Parse("a.yaml", []byte(o.text), document.Sources{})
	if err != nil {
		return err
	}
	return d.Root().Decode(into)
}
func (everywhere) Errorf(_, format string, args ...any) error { return fmt.Errorf(format, args...) }
func (everywhere) Upstream(string, string) error              { return nil }
func (everywhere) Scope() string                              { return policy.EveryRoute }
func (everywhere) Beside(path string) string                  { return path }

// On every route, each route has a limit of its own unless all count together.
func TestEveryRoute(t *testing.T) {
	w := policytest.New(t)
	for by, separate := range map[string]bool{"route": true, "all": false} {
		built, err := build(everywhere{"{limit: 1, by: " + by + "}"})
		if err != nil {
			t.Fatal(err)
		}
		bound, err := built.(policy.Binder).Bind(&w.World)
		if err != nil {
			t.Fatal(err)
		}
		r := w.Policy(Kind, "1")
		ask := func(route string) *exchange.Exchange {
			x := r.Request(get)
			x.Route = &exchange.Route{Name: route}
			bound.(policy.Request).Request(x)
			return x
		}
		first, other, again := ask("a"), ask("b"), ask("a")
		if first.Fault != nil || (other.Fault == nil) != separate || again.Fault == nil || again.Fault.Kind != fault.Overloaded || again.Signals != 0 {
			t.Errorf("by %s: %v, %v, %v", by, first.Fault, other.Fault, again.Fault)
		}
	}
}

func TestDryRun(t *testing.T) {
	for _, by := range []string{"all", "consumer"} {
		w := policytest.New(t)
		r := w.Policy(Kind, "{limit: 1, dry_run: true, by: "+by+"}")
		var all []*exchange.Exchange
		for range 3 {
			all = append(all, from(r, known("ann")))
		}
		if x := all[2]; x.Fault != nil || policytest.Verdict(x, "concurrency") != "would_refuse" || x.Signals != 0 || figure(w, "concurrency_under_way") != 3 {
			t.Errorf("by %s: %v %v %v", by, x.Fault, x.Verdicts, figure(w, "concurrency_under_way"))
		}
		for _, x := range all {
			x.Settle()
		}
		if n := figure(w, "concurrency_under_way"); n != 0 {
			t.Errorf("by %s: %v under way", by, n)
		}
	}
}

// There are never more than there may be at a time, and none is left over.
func TestAtOnce(t *testing.T) {
	for _, by := range []string{"all", "consumer"} {
		w := policytest.New(t)
		r := w.Policy(Kind, "{limit: 5, by: "+by+"}")
		var under, most, passed atomic.Int64
		var wait sync.WaitGroup
		for range 16 {
			mine := *r
			conn := *r.Conn
			mine.Conn = &conn
			wait.Go(func() {
				for range 2000 {
					x := from(&mine, known("ann"))
					if x.Fault == nil {
						n := under.Add(1)
						for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
						}
						passed.Add(1)
						under.Add(-1)
					}
					x.Settle()
				}
			})
		}
		wait.Wait()
		if most.Load() > 5 || passed.Load() == 0 || figure(w, "concurrency_under_way") != 0 || figure(w, "concurrency_callers") != 0 {
			t.Errorf("by %s: %d at a time, %d passed, %v left", by, most.Load(), passed.Load(), figure(w, "concurrency_under_way"))
		}
	}
}

// What is under way counts after a reload, with another limit too, and comes back to where it counts.
func TestReload(t *testing.T) {
	for _, by := range []string{"all", "consumer"} {
		w := policytest.New(t)
		options := func(limit int) string { return fmt.Sprintf("{limit: %d, by: %s}", limit, by) }
		ann := known("ann")
		old := w.Policy(Kind, options(3))
		under := []*exchange.Exchange{from(old, ann), from(old, ann), from(old, ann)}
		next := w.Policy(Kind, options(2))
		if x := from(next, ann); x.Fault == nil {
			t.Errorf("by %s: a reload forgot what is under way", by)
		}
		under[0].Settle()
		if x := from(next, ann); x.Fault == nil {
			t.Errorf("by %s: the lower limit does not hold", by)
		}
		under[1].Settle()
		if x := from(next, ann); x.Fault != nil {
			t.Errorf("by %s: the place of one that began before did not come back", by)
		}
		w.Policy(Kind, "{limit: 1, by: address}") // the old counts are given up
		under[2].Settle()
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{"{}": "limit", "0": "1", "{limit: 1, by: key}": "by", "{limit: 2000000}": "1000000", "{limit: 1, queue: 5}": "queue"} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, by := range []string{"route", "consumer", "address"} {
		r := policytest.New(t).Policy(Kind, "{limit: 10, by: "+by+"}")
		x := r.Request(get)
		known("ann")(x)
		if n := testing.AllocsPerRun(1000, func() {
			r.Chain.Request(x)
			x.Settle()
		}); n > 0 || x.Fault != nil {
			t.Errorf("by %s: %v allocations, %v", by, n, x.Fault)
		}
	}
}

func BenchmarkConcurrency(b *testing.B) {
	for _, by := range []string{"route", "consumer"} {
		b.Run(by, func(b *testing.B) {
			r := policytest.New(b).Policy(Kind, "{limit: 100, by: "+by+"}")
			x := r.Request(get)
			known("ann")(x)
			b.ReportAllocs()
			for b.Loop() {
				r.Chain.Request(x)
				x.Settle()
			}
		})
	}
}

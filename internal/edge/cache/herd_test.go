package cache

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// paced is a body that comes when the test says so.
type paced struct {
	runs chan string // closed at the end
	next string
	err  error
}

func (p *paced) Next() ([]byte, error) {
	run := p.next
	p.next = ""
	if run == "" {
		var more bool
		if run, more = <-p.runs; !more {
			if p.err != nil {
				return nil, p.err
			}
			return nil, io.EOF
		}
	}
	return []byte(run), nil
}

func (p *paced) Buffered() bool {
	if p.next == "" {
		select {
		case p.next = <-p.runs:
		default:
		}
	}
	return p.next != ""
}

// herd asks the same n times at once. The endpoint's first answer waits until all are there.
func herd(t *testing.T, w *world, n int, request func(i int) string) []*got {
	t.Helper()
	out := make([]*got, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { out[i] = w.ask(request(i)) })
	}
	all.Wait()
	return out
}

// gathered returns when n wait for what another has asked for, or when it is plain that they never will.
func (w *world) gathered(n int) {
	for by := time.Now().Add(20 * time.Second); w.cache.flights.Waiting() < n && time.Now().Before(by); {
		runtime.Gosched()
	}
}

// waiting waits until a condition is met.
func waiting(t *testing.T, met func() bool) {
	t.Helper()
	for by := time.Now().Add(20 * time.Second); !met(); runtime.Gosched() {
		if time.Now().After(by) {
			t.Fatal("in vain")
		}
	}
}

func TestHerd(t *testing.T) {
	for _, body := range []string{"in memory", "as it comes"} {
		w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
		const n = 500
		come := make(chan struct{})
		w.endpoint = func(*asked) *reply {
			<-come
			r := &reply{status: 200, fields: "Cache-Control: max-age=60", body: "answer"}
			if body == "as it comes" {
				p := &paced{runs: make(chan string)}
				r.source = p
				go func() {
					for _, run := range []string{"an", "sw", "er"} {
						time.Sleep(time.Millisecond)
						p.runs <- run
					}
					close(p.runs)
				}()
			}
			return r
		}
		go func() {
			// Whoever comes later hits or follows; it is the same to the endpoint.
			w.gathered(n - 1)
			close(come)
		}()
		collapsed := 0
		for _, g := range herd(t, w, n, func(int) string { return "GET /a" }) {
			if g.status != 200 || g.body != "answer" || g.broke != nil {
				t.Fatalf("%s: got %d %q, broke %v, fault %v", body, g.status, g.body, g.broke, g.fault)
			}
			if g.cached.Collapsed {
				collapsed++
			}
		}
		if c := w.count(); c != 1 {
			t.Errorf("%s: %d requests, want 1", body, c)
		}
		if collapsed == 0 {
			t.Errorf("%s: nobody followed", body)
		}
		want(t, w.ask("GET /a"), 200, "answer", exchange.CacheHit)
		if l := w.cache.flights.Len(); l != 0 {
			t.Errorf("%d flights are left", l)
		}
	}
}

// An answer that is not for all is had by nobody else, and nobody waits for the next.
func TestHerdOfPrivateAnswers(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	const n = 50
	var number, under, most atomic.Int64
	first := make(chan struct{})
	w.endpoint = func(*asked) *reply {
		i := number.Add(1)
		if i == 1 {
			<-first
		} else {
			if u := under.Add(1); u > most.Load() {
				most.Store(u)
			}
			waiting(t, func() bool { return number.Load() == n }) // all the others are under way together
			under.Add(-1)
		}
		return &reply{status: 200, fields: "Cache-Control: private", body: fmt.Sprint(i)}
	}
	go func() {
		w.gathered(n - 1)
		close(first)
	}()
	seen := map[string]bool{}
	for _, g := range herd(t, w, n, func(int) string { return "GET /a" }) {
		if g.status != 200 || seen[g.body] {
			t.Fatalf("got %d %q, seen before: %v", g.status, g.body, seen[g.body])
		}
		seen[g.body] = true
	}
	if c := w.count(); c != n {
		t.Errorf("%d requests, want %d", c, n)
	}
}

func TestHerdOfFaults(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	come := make(chan struct{})
	w.endpoint = func(*asked) *reply { <-come; return nil }
	go func() {
		w.gathered(100 - 1)
		close(come)
	}()
	collapsed := 0
	for _, g := range herd(t, w, 100, func(int) string { return "GET /a" }) {
		if g.fault == nil || g.fault.Kind != fault.ConnectFailed {
			t.Fatalf("got %d, fault %v", g.status, g.fault)
		}
		if g.cached.Collapsed {
			collapsed++
		}
	}
	if collapsed+w.count() != 100 || collapsed < 50 {
		t.Errorf("%d shared the fault of %d", collapsed, w.count())
	}
}

// Those who wait for a renewal that fails are served what is stale, if that may be.
func TestHerdOnStale(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	w.answers("Cache-Control: max-age=60, stale-if-error=600", "old")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	for _, r := range []*reply{nil, {status: 502, body: "bad"}} {
		come, before := make(chan struct{}), w.count()
		w.endpoint = func(*asked) *reply { <-come; return r }
		go func() {
			w.gathered(100 - 1)
			close(come)
		}()
		for _, g := range herd(t, w, 100, func(int) string { return "GET /a" }) {
			want(t, g, 200, "old", exchange.CacheStale)
		}
		if n := w.count() - before; n > 20 {
			t.Errorf("%d requests for 100 clients of an endpoint that fails", n)
		}
	}
	come, before := make(chan struct{}), w.count()
	w.endpoint = func(*asked) *reply {
		<-come
		return &reply{status: 200, fields: "Cache-Control: max-age=60", body: "new"}
	}
	go func() {
		for w.count() == before {
			runtime.Gosched()
		}
		close(come)
	}()
	for _, g := range herd(t, w, 100, func(int) string { return "GET /a" }) {
		if g.body != "new" {
			t.Fatalf("got %d %q", g.status, g.body)
		}
	}
	if n := w.count() - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// Those who revalidate at once ask once.
func TestHerdRevalidates(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	w.answers("Cache-Control: max-age=60\nETag: \"v1\"", "same")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	come := make(chan struct{})
	w.endpoint = func(q *asked) *reply {
		<-come
		if q.get("If-None-Match") != `"v1"` {
			return &reply{status: 500}
		}
		return &reply{status: 304, fields: "Cache-Control: max-age=60\nETag: \"v1\""}
	}
	go func() {
		w.gathered(100 - 1)
		close(come)
	}()
	for _, g := range herd(t, w, 100, func(int) string { return "GET /a" }) {
		if g.status != 200 || g.body != "same" {
			t.Fatalf("got %d %q", g.status, g.body)
		}
	}
	if n := w.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// Clients with different variants share among their like.
func TestHerdOfVariants(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	come := make(chan struct{})
	w.endpoint = func(q *asked) *reply {
		<-come
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nVary: X-Kind", body: "kind " + q.get("X-Kind")}
	}
	go func() {
		w.gathered(300 - 1)
		close(come)
	}()
	for i, g := range herd(t, w, 300, func(i int) string { return fmt.Sprintf("GET /a\nX-Kind: %d", i%3) }) {
		if g.body != fmt.Sprintf("kind %d", i%3) {
			t.Fatalf("client %d got %d %q", i, g.status, g.body)
		}
	}
	if n := w.count(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	for i := range 3 {
		want(t, w.ask(fmt.Sprintf("GET /a\nX-Kind: %d", i)), 200, fmt.Sprintf("kind %d", i), exchange.CacheHit)
	}
}

// The client whose request asks for all leaves: before the head came, and in the middle of the body.
func TestLeaderLeaves(t *testing.T) {
	for _, when := range []string{"before the head", "in the body"} {
		w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
		p := &paced{runs: make(chan string)}
		x, v := w.request("GET /a"), &Visit{}
		w.route.Look(x, v, w, func() bool { return false })
		if x.Answered() || x.Awaited == nil {
			t.Fatal("nobody leads")
		}
		follower := make(chan *got)
		go func() { follower <- w.ask("GET /a") }()
		waiting(t, x.Awaited.Awaited)
		if when == "before the head" {
			// Who waits is known to the flow by Awaited. One that left all the same must not take the others with it.
			w.answers("Cache-Control: max-age=60", "for the other")
			f := fault.New(fault.ClientGone, nil)
			if v.Rescue(x, f) {
				t.Fatal("one who left was answered")
			}
			x.Fail(f)
			v.End(x)
			want(t, <-follower, 200, "for the other", exchange.CacheMiss)
			continue
		}
		w.endpoint = func(*asked) *reply {
			return &reply{status: 200, fields: "Cache-Control: max-age=60", source: p}
		}
		w.forward(x)
		v.Store(x)
		go func() {
			p.runs <- "first "
			p.runs <- "second"
			close(p.runs)
		}()
		x.End = exchange.ClientGone
		x.Fail(fault.New(fault.ClientGone, nil))
		v.End(x)
		if g := <-follower; g.body != "first second" || g.broke != nil {
			t.Errorf("who followed got %d %q, %v", g.status, g.body, g.broke)
		}
		want(t, w.ask("GET /a"), 200, "first second", exchange.CacheHit)
	}
}

// What breaks off is never stored.
func TestTruncated(t *testing.T) {
	w := newWorld(t)
	w.endpoint = func(*asked) *reply {
		p := &paced{runs: make(chan string, 2), err: fault.New(fault.UpstreamReset, nil)}
		p.runs <- "half"
		close(p.runs)
		return &reply{status: 200, fields: "Cache-Control: max-age=60", source: p}
	}
	if g := w.ask("GET /a"); g.broke == nil {
		t.Errorf("got %q as if it were whole", g.body)
	}
	w.answers("Cache-Control: max-age=60", "whole")
	want(t, w.ask("GET /a"), 200, "whole", exchange.CacheMiss)
}

func TestTooLarge(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.MaxObject = 100 })
	for _, chunked := range []bool{false, true} {
		w.endpoint = func(*asked) *reply {
			return &reply{status: 200, fields: "Cache-Control: max-age=60", body: strings.Repeat("x", 101), chunked: chunked}
		}
		for range 2 {
			if g := w.ask("GET /a"); len(g.body) != 101 || g.cached.Outcome != exchange.CacheMiss {
				t.Errorf("chunked %v: got %d bytes, %s", chunked, len(g.body), g.cached.Outcome)
			}
		}
	}
}

// What was asked for before a purge is not stored after it.
func TestPurgeAgainstFill(t *testing.T) {
	for _, p := range []Purge{{URL: "http://a.test/a"}, {Prefix: "http://a.test/"}, {Tag: "t1"}, {All: true}} {
		w := newWorld(t)
		w.endpoint = func(*asked) *reply {
			w.pass(time.Second)
			if _, err := w.cache.Purge(p); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Second)
			return &reply{status: 200, fields: "Cache-Control: max-age=60\nSurrogate-Key: t1 t2", body: "old"}
		}
		want(t, w.ask("GET /a"), 200, "old", exchange.CacheMiss)
		w.answers("Cache-Control: max-age=60", "new")
		want(t, w.ask("GET /a"), 200, "new", exchange.CacheMiss)
		want(t, w.ask("GET /a"), 200, "new", exchange.CacheHit)
	}
}

func TestPurge(t *testing.T) {
	f := func(p Purge, url string, gone bool) {
		t.Helper()
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60\nSurrogate-Key: t1 t2\nCache-Tag: t3,t4\nETag: \"v1\"", "x")
		g := w.ask("GET " + url)
		if g.get("Surrogate-Key") != "" {
			t.Error("the surrogate key went to the client")
		}
		w.pass(time.Second)
		if n, err := w.cache.Purge(p); err != nil || (n == 1) != (gone || p.Soft) {
			t.Errorf("%+v: purged %d, %v", p, n, err)
		}
		w.settle()
		g = w.ask("GET " + url)
		if (g.cached.Outcome != exchange.CacheHit) != gone {
			t.Errorf("%+v: %s", p, g.cached.Outcome)
		}
	}
	f(Purge{URL: "http://a.test/a"}, "/a", true)
	f(Purge{URL: "http://A.test:80/a"}, "/a", true)
	f(Purge{URL: "http://a.test/a"}, "/a?q=1", false)
	f(Purge{URL: "http://a.test/a?*"}, "/a?q=1", true)
	f(Purge{URL: "http://a.test/b"}, "/a", false)
	f(Purge{Prefix: "http://a.test/a"}, "/ab", true)
	f(Purge{Tag: "t2"}, "/a", true)
	f(Purge{Tag: "t4"}, "/a", true)
	f(Purge{Tag: "t"}, "/a", false)
	f(Purge{All: true}, "/a", true)
	f(Purge{All: true, Soft: true}, "/a", true)
	w := newWorld(t)
	for _, p := range []Purge{{}, {URL: "x", All: true}, {URL: "a.test/a"}} {
		if _, err := w.cache.Purge(p); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
}

func TestSoftPurge(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=600, stale-while-revalidate=30\nETag: \"v1\"", "x")
	w.ask("GET /a")
	w.pass(time.Second)
	w.cache.Purge(Purge{URL: "http://a.test/a", Soft: true})
	w.pass(10 * time.Second)
	w.answers("Cache-Control: max-age=600", "y")
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheStale)
	w.settle()
	want(t, w.ask("GET /a"), 200, "y", exchange.CacheHit)
}

// A revision that changes nothing, or the room, keeps what is stored.
func TestReload(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60", "x")
	w.ask("GET /a")
	if err := w.cache.Use(Settings{Memory: 32 << 20, MaxObject: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	w.route = w.cache.Route("test", Terms{})
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheHit)
	if err := w.cache.Use(Settings{}); err != nil {
		t.Fatal(err)
	}
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheBypass)
}

// A caller's request, whose answer may not be for others, keeps nobody waiting who is not known.
func TestCallersKeepNobodyWaiting(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
	come := make(chan struct{})
	w.endpoint = func(q *asked) *reply {
		if q.get("Authorization") != "" {
			<-come
		}
		return &reply{status: 200, fields: "Cache-Control: max-age=60", body: "for " + q.get("Authorization")}
	}
	first := make(chan *got)
	go func() { first <- w.ask("GET /a\nAuthorization: somebody") }()
	waiting(t, func() bool { return w.count() == 1 })
	second := make(chan *got)
	go func() { second <- w.ask("GET /a") }()
	waiting(t, func() bool { return w.count() == 2 })
	want(t, <-second, 200, "for ", exchange.CacheMiss)
	close(come)
	want(t, <-first, 200, "for somebody", exchange.CacheMiss)
	want(t, w.ask("GET /a"), 200, "for ", exchange.CacheHit)
}

// What another gateway of the fleet deletes is not stored here by a fill that is under way.
func TestDeletedAgainstFill(t *testing.T) {
	w := newWorld(t)
	x, v := w.request("GET /a"), &Visit{}
	w.route.Look(x, v, w, func() bool { return false })
	k := v.key
	w.answers("Cache-Control: max-age=60", "old")
	w.forward(x)
	w.pass(time.Second)
	fleet{w.cache}.Deleted(k, w.clock.Load())
	v.Store(x)
	v.End(x)
	w.answers("Cache-Control: max-age=60", "new")
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheMiss)
	w.pass(time.Second)
	fleet{w.cache}.Deleted(k, w.clock.Load())
	w.pass(time.Second)
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheMiss)
	w.pass(time.Second)
	fleet{w.cache}.Gap(0, w.clock.Load()) // something may have been missed
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheExpired)
	w.settle()
}

// Of several stored answers that a request selects, the newest is used (RFC 9111 §4.1).
func TestNewestVariant(t *testing.T) {
	w := newWorld(t)
	answer := func(names, body string) {
		w.answers("Cache-Control: max-age=600\nVary: "+names+"\nDate: "+date(time.Duration(w.clock.Load()-epoch)), body)
	}
	answer("A", "by A")
	w.ask("GET /a\nA: 1\nB: 1")
	w.pass(time.Second)
	answer("B", "by B")
	w.ask("GET /a\nA: 2\nB: 1") // selected by B alone
	want(t, w.ask("GET /a\nA: 1\nB: 1"), 200, "by B", exchange.CacheHit)
	w.pass(time.Second)
	answer("A", "by A again")
	w.ask("GET /a\nA: 1\nB: 2\nCache-Control: no-cache")
	want(t, w.ask("GET /a\nA: 1\nB: 1"), 200, "by A again", exchange.CacheHit)
	want(t, w.ask("GET /a\nA: 3\nB: 1"), 200, "by B", exchange.CacheHit)
	// The set that was changed last is not the one with the newest answer for this request.
	w.pass(time.Second)
	answer("B", "by another B")
	w.ask("GET /a\nA: 4\nB: 4")
	want(t, w.ask("GET /a\nA: 1\nB: 1"), 200, "by A again", exchange.CacheHit)
}

// Who wants something newer than what is under way asks for himself.
func TestNotForThisOne(t *testing.T) {
	for _, control := range []string{"no-cache", "max-age=0", "max-age=10"} {
		w := newWorld(t, func(t *Terms) { t.Wait = time.Minute })
		come := make(chan struct{})
		w.endpoint = func(q *asked) *reply {
			if q.get("Cache-Control") == "" {
				<-come
				return &reply{status: 200, fields: "Cache-Control: max-age=600\nAge: 50", body: "of another cache"}
			}
			return &reply{status: 200, fields: "Cache-Control: max-age=600", body: "new"}
		}
		first, second := make(chan *got), make(chan *got)
		go func() { first <- w.ask("GET /a") }()
		waiting(t, func() bool { return w.count() == 1 })
		go func() { second <- w.ask("GET /a\nCache-Control: " + control) }()
		if control != "max-age=10" {
			want(t, <-second, 200, "new", exchange.CacheMiss) // without waiting
			close(come)
			<-first
			continue
		}
		w.gathered(1)
		close(come)
		<-first
		if g := <-second; g.body != "new" {
			t.Errorf("%s: got %q", control, g.body)
		}
	}
}

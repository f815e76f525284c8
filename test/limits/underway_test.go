package limits

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"straum.dev/straum/test/gateway"
)

// holding is an endpoint that answers when it is told to, and takes WebSockets, which it keeps open.
type holding struct {
	addr    string
	reached chan string // the path of each request
	next    chan bool   // each lets one of those that wait go
}

func hold(t *testing.T) *holding {
	h := &holding{reached: make(chan string, 1000), next: make(chan bool)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, err := websocket.Accept(w, r, nil)
			if err == nil {
				_, _, _ = c.Read(r.Context()) // until it ends
				c.CloseNow()
			}
			return
		}
		h.reached <- r.URL.Path
		select {
		case <-h.next:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	h.addr = server.Listener.Addr().String()
	return h
}

// socket opens a WebSocket; nil when the gateway refuses it, with the answer's status.
func (f *front) socket(path string, fields ...string) (*websocket.Conn, int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), gateway.Patience)
	defer cancel()
	header := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		header.Add(fields[i], fields[i+1])
	}
	c, a, err := websocket.Dial(ctx, "ws://"+f.plain+path, &websocket.DialOptions{HTTPClient: f.h1, HTTPHeader: header})
	if err == nil {
		f.t.Cleanup(func() { c.CloseNow() })
		return c, a.StatusCode
	}
	if a == nil {
		f.t.Fatal(err)
	}
	return nil, a.StatusCode
}

// A tunnel counts as long as it lives, over reloads, and each consumer for itself; a reload to a lower limit sends nobody away, and holds from then on.
func TestConcurrencyOfTunnels(t *testing.T) {
	t.Parallel()
	h := hold(t)
	f := open(t, setting{endpoint: h.addr, routes: `
  - { name: mine, match: { path: /mine }, upstream: app, policies: [ api_key: {}, concurrency: { limit: 3, by: consumer } ] }
  - { name: ours, match: { path: /ours }, upstream: app, policies: [ concurrency: 2 ] }
`})
	mine := func(what, who string, want int) *websocket.Conn {
		t.Helper()
		c, status := f.socket("/mine", as(who)...)
		if status != want {
			t.Errorf("%s: got %d, want %d", what, status, want)
		}
		return c
	}
	under := func(scope string) float64 {
		return f.Number("straum_policy_concurrency_under_way", fmt.Sprintf("scope=%q", scope))
	}
	var open []*websocket.Conn
	for range 3 {
		open = append(open, mine("within the limit", "acme", 101))
	}
	mine("one more", "acme", 429)
	f.want("another way", f.get("/mine", as("acme")...), 429, "too_many_concurrent")
	mine("another consumer", "bob", 101)
	for range 2 {
		if _, status := f.socket("/ours"); status != 101 {
			t.Errorf("a route: got %d", status)
		}
	}
	a := f.over(f.h2, "/ours")
	f.want("a route that is full, over HTTP/2", a, 503, "overloaded")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	if m, o := under("mine"), under("ours"); m != 4 || o != 2 {
		t.Errorf("the metrics count %v and %v, want 4 and 2", m, o)
	}

	f.change("limit: 3", "limit: 2")
	if m := under("mine"); m != 4 {
		t.Errorf("after a reload the metrics count %v, want 4", m)
	}
	mine("after a reload", "acme", 429)
	open[0].CloseNow()
	gateway.Await(t, "the first is over", func() bool { return under("mine") == 3 })
	mine("two are left, and two are allowed", "acme", 429)
	open[1].CloseNow()
	gateway.Await(t, "the second is over", func() bool { return under("mine") == 2 })
	mine("one is left", "acme", 101)
	mine("and now two", "acme", 429)
	f.change("limit: 2", "limit: 4")
	mine("more are allowed", "acme", 101)

	// A request that the client gives up gives its place back.
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.plain+"/mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", key("acme"))
	go func() { _, err := f.h1.Do(r); given <- err }()
	if path := <-h.reached; path != "/mine" {
		t.Errorf("%s reached the endpoint", path)
	}
	mine("four are under way", "acme", 429)
	cancel()
	<-given
	gateway.Await(t, "what was given up is over", func() bool { return under("mine") == 4 })
	mine("its place is free", "acme", 101)
}

// Many clients at once over both protocols: never are more under way than the limit, and the places all come back.
func TestConcurrencyOfMany(t *testing.T) {
	t.Parallel()
	const limit = 5
	var now, most, all atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		all.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond) // so that they meet
	}))
	t.Cleanup(server.Close)
	f := open(t, setting{endpoint: server.Listener.Addr().String(), routes: `
  - { name: all, match: { path: /all }, upstream: app, policies: [ concurrency: 5 ] }
`})
	var done sync.WaitGroup
	var passed, refused, wrong atomic.Int64
	for n := range 30 {
		client := []*http.Client{f.h1, f.h2}[n%2]
		done.Go(func() {
			for range 40 {
				switch a := f.over(client, "/all"); {
				case a.err == nil && a.status == 200:
					passed.Add(1)
				case a.err == nil && a.status == 503 && a.code() == "overloaded":
					refused.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	done.Wait()
	t.Logf("%d passed, %d were refused, at most %d were under way", passed.Load(), refused.Load(), most.Load())
	if wrong.Load() > 0 || refused.Load() == 0 || passed.Load() != all.Load() {
		t.Errorf("%d passed of %d that reached the endpoint, %d were refused, %d got something else", passed.Load(), all.Load(), refused.Load(), wrong.Load())
	}
	// An answer reaches the client a little before the endpoint's function is over.
	if n := most.Load(); n > 2*limit {
		t.Errorf("%d were under way", n)
	}
	gateway.Await(t, "all places are given back", func() bool { return f.Number("straum_policy_concurrency_under_way") == 0 })
	for range limit {
		f.want("afterwards", f.get("/all"), 200, "")
	}
}

// What is shed is what matters least: with a limit of ten, eight places are for all, nine for what is normal, ten for what is high. Places come back,
// a reload keeps who holds one, and bans do not count it.
func TestShedOrder(t *testing.T) {
	t.Parallel()
	h := hold(t)
	f := open(t, setting{endpoint: h.addr, routes: `
  - { name: high,   match: { path: /high },   upstream: app, policies: [ shed: { group: app, priority: high, min: 10, max: 10, initial: 10 } ] }
  - { name: normal, match: { path: /normal }, upstream: app, policies: [ shed: { group: app, min: 10, max: 10, initial: 10 } ] }
  - { name: low,    match: { path: /low },    upstream: app, policies: [ shed: { group: app, priority: low, min: 10, max: 10, initial: 10 } ] }
`})
	answers := make(chan answer, 100)
	send := func(path string) {
		t.Helper()
		go func() { answers <- f.get(path) }()
		select {
		case got := <-h.reached:
			if got != path {
				t.Fatalf("%s reached the endpoint, want %s", got, path)
			}
		case a := <-answers:
			t.Fatalf("%s: got %v", path, a)
		case <-time.After(gateway.Patience):
			t.Fatalf("%s does not reach the endpoint", path)
		}
	}
	shed := func(what, path string) {
		t.Helper()
		a := f.get(path)
		f.want(what, a, 503, "overloaded")
		if seconds := number(t, a.header.Get("Retry-After"), `^(\d)$`); seconds < 1 || seconds > 3 {
			t.Errorf("%s: Retry-After is %d", what, seconds)
		}
	}
	for range 8 {
		send("/low")
	}
	shed("eight are under way", "/low")
	send("/normal")
	shed("nine are under way", "/low")
	shed("nine are under way", "/normal")
	send("/high")
	for _, path := range []string{"/low", "/normal", "/high"} {
		shed("ten are under way", path)
	}
	f.change("name: normal", "name: ordinary")
	for _, path := range []string{"/low", "/normal", "/high"} {
		shed("ten are under way, after a reload", path)
	}
	for range 10 {
		h.next <- true
		f.want("what was under way", <-answers, 200, "")
	}
	gateway.Await(t, "nobody waits", func() bool { return f.Number("straum_policy_shed_in_flight") == 0 })
	for range 8 {
		send("/low")
	}
	for range 8 {
		h.next <- true
		<-answers
	}
	for priority, want := range map[string]float64{"low": 4, "normal": 3, "high": 2} {
		if n := f.Number("straum_policy_shed_requests_total", fmt.Sprintf("priority=%q", priority)); n != want {
			t.Errorf("the metrics have %v of %s, want %v", n, priority, want)
		}
	}
}

// An endpoint that becomes slow is found out: the limit comes down to what it can do, and what is low pays for it first.
func TestShedSlowEndpoint(t *testing.T) {
	t.Parallel()
	const workers = 4
	var slow atomic.Bool
	free := make(chan bool, workers)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slow.Load() {
			time.Sleep(time.Millisecond)
			return
		}
		free <- true
		time.Sleep(10 * time.Millisecond) // what its work takes
		<-free
	}))
	t.Cleanup(server.Close)
	f := open(t, setting{endpoint: server.Listener.Addr().String(), routes: `
  - { name: high, match: { path: /high }, upstream: app, policies: [ shed: { group: app, priority: high, initial: 60 } ] }
  - { name: low,  match: { path: /low },  upstream: app, policies: [ shed: { group: app, priority: low, initial: 60 } ] }
`})
	limit := func() float64 { return f.Number("straum_policy_shed_limit", `group="group app"`) }
	gateway.Await(t, "what it takes at rest is known", func() bool {
		f.use("at rest", 20, "/high")
		return f.Number("straum_policy_shed_rest_seconds", `group="group app"`) > 0
	})
	stop := make(chan struct{})
	var done sync.WaitGroup
	var sent, shed [2]atomic.Int64
	var wrong atomic.Int64
	for n := range 60 {
		which := n % 2
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := f.get([]string{"/high", "/low"}[which])
				sent[which].Add(1)
				switch {
				case a.err == nil && a.status == 503 && a.code() == "overloaded":
					shed[which].Add(1)
					time.Sleep(5 * time.Millisecond) // it does not come back at once
				case a.err != nil || a.status != 200:
					wrong.Add(1)
				}
			}
		})
	}
	slow.Store(true)
	gateway.Await(t, "the limit comes down", func() bool { return limit() <= 30 })
	gateway.Await(t, "and what is low is shed", func() bool { return shed[1].Load() >= 300 })
	close(stop)
	done.Wait()
	t.Logf("the limit is %v; high: %d of %d were shed; low: %d of %d", limit(), shed[0].Load(), sent[0].Load(), shed[1].Load(), sent[1].Load())
	if wrong.Load() > 0 {
		t.Errorf("%d got neither an answer nor were shed", wrong.Load())
	}
	if high, low := float64(shed[0].Load())/float64(sent[0].Load()), float64(shed[1].Load())/float64(sent[1].Load()); high >= low {
		t.Errorf("of high %.2f were shed, of low %.2f", high, low)
	}
}

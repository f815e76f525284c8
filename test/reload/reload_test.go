// Package reload proves from outside that putting another configuration in force loses nothing.
package reload

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// endpoint answers every request, and echoes the messages of those that ask for a WebSocket.
func endpoint(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "hello")
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // the client shows it
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// variant is the n-th of many configurations, each with other listeners' limits, upstream settings and routes than the one before.
func variant(n int, listen string, endpoints []string) string {
	limits := []string{"{ connections: 2000 }", "{ connections: 3000, header_count: 80 }", "{ connections_per_client: 1500, body: 1MB }"}[n%3]
	timeouts := []string{"{ idle: 75s }", "{ idle: 60s, header: 20s }"}[n%2]
	balance := []string{"least_requests", "round_robin", "random", "latency", "{ hash: { by: client_ip } }"}[n%5]
	pool := []string{"{ idle: 256 }", "{ idle: 64, queue: 2000 }"}[n/2%2]
	more := []string{"", "    breaker: { consecutive_errors: 50 }\n", "    ejection: off\n", "    retry: { attempts: 1 }\n"}[n/3%4]
	some := endpoints
	if n%4 == 3 {
		some = endpoints[:1]
	}
	return fmt.Sprintf("listeners:\n  - { address: %q, name: main, limits: %s, timeouts: %s }\n", listen, limits, timeouts) +
		fmt.Sprintf("upstreams:\n  app:\n    endpoints: [%s]\n    balance: %s\n    pool: %s\n%s", strings.Join(some, ", "), balance, pool, more) +
		fmt.Sprintf("routes:\n  - { name: all, match: { path: /* }, upstream: app }\n  - { name: turn%d, match: { path: /turn/%d }, upstream: app }\n", n%7, n)
}

// tunnel sends messages through a WebSocket and wants each back, until stop.
func tunnel(addr string, id int, stop <-chan struct{}, up *sync.WaitGroup, echoes *atomic.Int64) error {
	ctx := context.Background()
	c, r, err := websocket.Dial(ctx, "ws://"+addr+"/echo", nil)
	up.Done()
	if err != nil {
		return fmt.Errorf("tunnel %d: %v: %w", id, r, err)
	}
	defer c.CloseNow()
	for n := 0; ; n++ {
		sent := fmt.Sprintf("message %d of tunnel %d", n, id)
		if err := c.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			return fmt.Errorf("tunnel %d was dropped after %d messages: %w", id, n, err)
		}
		limited, cancel := context.WithTimeout(ctx, gateway.Patience)
		_, got, err := c.Read(limited)
		cancel()
		if err != nil || string(got) != sent {
			return fmt.Errorf("tunnel %d was dropped after %d messages: got %q, %w", id, n, got, err)
		}
		echoes.Add(1)
		select {
		case <-stop:
			return c.Close(websocket.StatusNormalClosure, "")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestThousandReloads reloads under load. No request fails, no tunnel drops, and nothing is left behind.
func TestThousandReloads(t *testing.T) {
	reloads, conns, tunnels := 1000, 64, 50
	if testing.Short() || gateway.Race {
		reloads = 150
	}
	listen := gateway.Free(t)
	endpoints := []string{endpoint(t), endpoint(t)}
	g := gateway.Start(t, variant(0, listen, endpoints))

	load := traffic.Start(traffic.Plan{Addr: listen, Conns: conns, Pause: 10 * time.Millisecond})
	defer load.Stop()
	stop := make(chan struct{})
	var up, down sync.WaitGroup
	var echoes atomic.Int64
	broken := make(chan error, tunnels)
	up.Add(tunnels)
	for id := range tunnels {
		down.Go(func() {
			if err := tunnel(listen, id, stop, &up, &echoes); err != nil {
				broken <- err
			}
		})
	}
	up.Wait()

	type size struct {
		memory                  int64
		goroutines, descriptors int
	}
	measure := func() (s size) {
		s.memory, _ = g.Memory()
		s.goroutines, s.descriptors = g.Goroutines(), g.Descriptors()
		return s
	}
	var early size
	before := load.Requests()
	for n := 1; n <= reloads; n++ {
		if err := g.Reload(variant(n, listen, endpoints)); err != nil {
			t.Fatalf("reload %d: %v", n, err)
		}
		if n == reloads/10 {
			early = measure()
		}
	}
	if got := load.Requests() - before; got < int64(conns) || echoes.Load() < int64(tunnels) {
		t.Errorf("there was no load: %d requests, %d echoes", got, echoes.Load())
	}
	// Connections to endpoints come and go with the load, and the collector has its rhythm: what grew with each reload would be
	// far above this.
	var late size
	gateway.Await(t, "goroutines and descriptors are what they were", func() bool {
		late = measure()
		if late.goroutines > early.goroutines+conns+20 || late.descriptors > early.descriptors+conns+20 {
			t.Logf("early %+v, late %+v", early, late)
			return false
		}
		return true
	})
	if grown := late.memory - early.memory; grown > 24<<20 && !gateway.Race { // with the race detector memory tells nothing
		t.Errorf("memory grew by %d bytes over %d reloads: from %+v to %+v", grown, reloads-reloads/10, early, late)
	}
	close(stop)
	down.Wait()
	close(broken)
	for err := range broken {
		t.Error(err)
	}
	r := load.Stop()
	if r.Failed > 0 {
		t.Errorf("%d of %d requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
	t.Logf("%d reloads, %d requests, %d of them told to close, %d echoes; early %+v, late %+v", reloads, r.Requests, r.Closing, echoes.Load(), early, late)
}

// TestBadFile shows that a file with mistakes changes nothing but what is told about it.
func TestBadFile(t *testing.T) {
	listen := gateway.Free(t)
	endpoints := []string{endpoint(t)}
	good := variant(0, listen, endpoints)
	g := gateway.Start(t, good)
	before := g.Numbers()
	bad := strings.Replace(good, "balance: least_requests", "balance: least_request", 1)
	err := g.Reload(bad)
	if err == nil || !strings.Contains(err.Error(), "straum.yaml:6:14") || !strings.Contains(err.Error(), "least_requests") {
		t.Errorf("got %v, want the place and a suggestion", err)
	}
	now := g.Numbers()
	if now.Sum("straum_config_last_reload_successful") != 0 || now.Sum("straum_config_reload_failures_total") < 1 ||
		now.Sum("straum_config_revision") != before.Sum("straum_config_revision") {
		t.Errorf("the metrics do not tell that a configuration was refused: %v, %v, %v", now.Sum("straum_config_last_reload_successful"),
			now.Sum("straum_config_reload_failures_total"), now.Sum("straum_config_revision"))
	}
	if r, _, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v after a refused file", r, err)
	}
	if !g.Ready() {
		t.Error("not ready after a refused file")
	}
	if err := g.Reload(variant(1, listen, endpoints)); err != nil {
		t.Fatal(err)
	}
	if n := g.Numbers(); n.Sum("straum_config_last_reload_successful") != 1 || n.Sum("straum_config_revision") <= before.Sum("straum_config_revision") {
		t.Error("the metrics do not tell that a configuration is in force again")
	}
}

// TestRenamedFile saves as editors do: a new file is written beside and renamed over the old, and no signal is sent.
func TestRenamedFile(t *testing.T) {
	listen := gateway.Free(t)
	endpoints := []string{endpoint(t)}
	g := gateway.Start(t, variant(0, listen, endpoints))
	for n := 1; n <= 3; n++ {
		beside := filepath.Join(g.Dir, ".straum.yaml.swp")
		if err := os.WriteFile(beside, []byte(g.Whole(variant(n, listen, endpoints))), 0o600); err != nil {
			t.Fatal(err)
		}
		if n == 2 { // some move the old one away first
			if err := os.Rename(g.Config, g.Config+"~"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(beside, g.Config); err != nil {
			t.Fatal(err)
		}
		gateway.Await(t, fmt.Sprintf("revision %d is in force", n+1), func() bool { return g.Number("straum_config_revision") == float64(n+1) })
	}
}

// TestListenersComeAndGo adds a listener and takes it away under load.
func TestListenersComeAndGo(t *testing.T) {
	listen, other := gateway.Free(t), gateway.Free(t)
	endpoints := []string{endpoint(t)}
	one := variant(0, listen, endpoints)
	two := strings.Replace(one, "upstreams:", fmt.Sprintf("  - { address: %q, name: other }\nupstreams:", other), 1)
	g := gateway.Start(t, one)
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 8})
	defer load.Stop()
	for range 5 {
		if _, _, err := traffic.Once(other, traffic.Get("/")); err == nil {
			t.Fatal("somebody answers at a listener that is not there")
		}
		if err := g.Reload(two); err != nil {
			t.Fatal(err)
		}
		leaving := traffic.Start(traffic.Plan{Addr: other, Conns: 8, UntilRefused: true})
		gateway.Await(t, "load on the new listener", func() bool { return leaving.Requests() > 100 })
		if err := g.Reload(one); err != nil {
			t.Fatal(err)
		}
		r := leaving.Wait()
		if r.Failed > 0 || r.Closing == 0 {
			t.Fatalf("%d of %d requests failed while their listener went, and %d were told of it:\n%s", r.Failed, r.Requests, r.Closing, strings.Join(r.Failures, "\n"))
		}
	}
	if r := load.Stop(); r.Failed > 0 {
		t.Errorf("%d of %d requests to the listener that stays failed:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// TestTakenAddress asks for a listener that cannot be had: all stays as it was.
func TestTakenAddress(t *testing.T) {
	listen, taken := gateway.Free(t), endpoint(t)
	config := variant(0, listen, []string{taken})
	g := gateway.Start(t, config)
	err := g.Reload(strings.Replace(config, "upstreams:", fmt.Sprintf("  - { address: %q, name: other }\nupstreams:", taken), 1))
	if err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v, want a refusal that names the address", err)
	}
	if r, _, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v after a refused file", r, err)
	}
}

// TestStateSurvives reloads while a breaker is open and an endpoint set aside: both go on.
func TestStateSurvives(t *testing.T) {
	listen, dead := gateway.Free(t), gateway.Free(t)
	good := endpoint(t)
	config := func(n int) string {
		return fmt.Sprintf(`listeners:
  - { address: %q, limits: { connections: %d } }
upstreams:
  broken:
    endpoints: [%q]
    ejection: off
    retry: { attempts: 0 }
    breaker: { consecutive_errors: 3, cooldown: 1h, max_cooldown: 1h }
    timeouts: { idle: %ds }
  half:
    endpoints: [%q, %q]
    balance: round_robin
    ejection: { consecutive_errors: 3, base: 1h, max: 1h }
    timeouts: { idle: %ds }
routes:
  - { match: { path: /broken }, upstream: broken }
  - { match: { path: /half }, upstream: half }
`, listen, 1000+n, dead, 10+n, dead, good, 10+n)
	}
	g := gateway.Start(t, config(0))
	open := func() bool {
		r, _, err := traffic.Once(listen, traffic.Get("/broken"))
		return err == nil && r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != ""
	}
	ejected := func() float64 { return g.Number("straum_endpoint_ejected", `upstream="half"`) }
	gateway.Await(t, "the breaker opens", open)
	gateway.Await(t, "the endpoint is set aside", func() bool {
		traffic.Once(listen, traffic.Get("/half"))
		return ejected() == 1
	})
	for n := 1; n <= 10; n++ {
		if err := g.Reload(config(n)); err != nil {
			t.Fatal(err)
		}
		if !open() || g.Number("straum_upstream_breaker_state", `upstream="broken"`, `state="open"`) != 1 {
			t.Fatalf("the breaker is not open after reload %d", n)
		}
		if ejected() != 1 {
			t.Fatalf("the endpoint is not set aside after reload %d", n)
		}
	}
}

// TestUnderWay takes away the route, the upstream and the listener of a request and of a tunnel that are under way: both go on to
// their end.
func TestUnderWay(t *testing.T) {
	listen, other := gateway.Free(t), gateway.Free(t)
	letGo := make(chan struct{})
	arrived := make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("first ", 10_000))
		w.(http.Flusher).Flush()
		arrived <- struct{}{}
		<-letGo
		fmt.Fprint(w, strings.Repeat("second", 10_000))
	}))
	t.Cleanup(slow.Close)
	echo := endpoint(t)
	before := fmt.Sprintf(`listeners:
  - { address: %q, name: stays }
  - { address: %q, name: goes }
upstreams:
  slow: { endpoints: [%q] }
  echo: { endpoints: [%q] }
  app: { endpoints: [%q] }
routes:
  - { match: { path: /slow }, upstream: slow }
  - { match: { path: /echo }, upstream: echo }
  - { match: { path: / }, upstream: app }
`, listen, other, slow.Listener.Addr(), echo, echo)
	after := fmt.Sprintf(`listeners:
  - { address: %q, name: stays }
upstreams:
  app: { endpoints: [%q] }
routes:
  - { match: { path: / }, upstream: app }
`, listen, echo)
	g := gateway.Start(t, before)
	ctx, cancel := context.WithTimeout(context.Background(), gateway.Patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+other+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	type outcome struct {
		body string
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		_, body, err := traffic.Once(other, traffic.Get("/slow"))
		done <- outcome{body, err}
	}()
	<-arrived
	if err := g.Reload(after); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/slow", "/echo"} {
		if r, _, err := traffic.Once(listen, traffic.Get(path)); err != nil || r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %v %v after its route went, want 404", path, r, err)
		}
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte("still there")); err != nil {
		t.Errorf("the tunnel was dropped: %v", err)
	}
	if _, got, err := ws.Read(ctx); err != nil || string(got) != "still there" {
		t.Errorf("the tunnel was dropped: got %q, %v", got, err)
	}
	close(letGo)
	if o := <-done; o.err != nil || o.body != strings.Repeat("first ", 10_000)+strings.Repeat("second", 10_000) {
		t.Errorf("the request did not go on to its end: %d bytes, %v", len(o.body), o.err)
	}
	ws.Close(websocket.StatusNormalClosure, "")
	l := g.AwaitAccess("of the request under way", func(l gateway.Line) bool { return l.Text("path") == "/slow" && l.Number("status") == 200 })
	if l.Text("fault") != "" || l.Text("listener") != "goes" {
		t.Errorf("got the line %v", l)
	}
	gateway.Await(t, "the listener that went holds nothing", func() bool { return g.Number("straum_listener_connections", `listener="goes"`) == 0 })
}

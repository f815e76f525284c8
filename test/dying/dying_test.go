// Package dying proves from outside what endpoints that die, hang, hang up or come back do to requests: as little as can be.
package dying

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(traffic.Main(m)) }

func failures(t *testing.T, r traffic.Result) {
	t.Helper()
	if r.Failed > 0 {
		t.Errorf("%d of %d requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// TestKilledUnderLoad kills one of two endpoints again and again while GETs are under way: no request fails.
func TestKilledUnderLoad(t *testing.T) {
	a, b := traffic.NewChild(t), traffic.NewChild(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{a.Addr, b.Addr}, "    ejection: { base: 200ms, max: 400ms }"))
	var fromA, fromB atomic.Int64
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 32, Pause: 2 * time.Millisecond, Check: func(r *http.Response, body string) error {
		switch {
		case r.StatusCode != http.StatusOK:
			return fmt.Errorf("status %d: %s", r.StatusCode, body)
		case strings.HasSuffix(body, a.Addr):
			fromA.Add(1)
		case strings.HasSuffix(body, b.Addr):
			fromB.Add(1)
		default:
			return fmt.Errorf("somebody else's answer: %q", body)
		}
		return nil
	}})
	defer load.Stop()
	gateway.Await(t, "both endpoints answer", func() bool { return fromA.Load() > 1000 && fromB.Load() > 1000 })
	for range 3 {
		a.Kill()
		n := fromB.Load()
		gateway.Await(t, "the other endpoint takes it all", func() bool { return fromB.Load() > n+500 })
		a.Start()
		n = fromA.Load()
		gateway.Await(t, "the endpoint that came back is used", func() bool { return fromA.Load() > n+200 })
	}
	failures(t, load.Stop())
	if g.Number("straum_upstream_retries_total") == 0 {
		t.Error("no request was tried again: the endpoint did not die under load")
	}
}

// TestProbes watches active health: an endpoint that dies is unhealthy and spared, and healthy again once it is back.
func TestProbes(t *testing.T) {
	t.Parallel()
	a, b := traffic.NewChild(t), traffic.NewChild(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{a.Addr, b.Addr},
		"    balance: round_robin\n    ejection: off\n    retry: { attempts: 0 }\n    health: { path: /, every: 100ms, timeout: 100ms, rise: 2, fall: 2 }"))
	healthy := func() float64 { return g.Number("straum_endpoint_healthy", `endpoint="`+a.Addr+`"`) }
	gateway.Await(t, "both are healthy", func() bool { return g.Number("straum_endpoint_healthy") == 2 })
	a.Kill()
	gateway.Await(t, "the dead endpoint is unhealthy", func() bool { return healthy() == 0 })
	for range 20 {
		if r, body, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK || !strings.HasSuffix(body, b.Addr) {
			t.Fatalf("got %v %q %v with an unhealthy endpoint beside a healthy one", r, body, err)
		}
	}
	a.Start()
	gateway.Await(t, "it is healthy again", func() bool { return healthy() == 1 })
	gateway.Await(t, "it is used again", func() bool {
		_, body, err := traffic.Once(listen, traffic.Get("/"))
		return err == nil && strings.HasSuffix(body, a.Addr)
	})
	if !g.Logged(a.Addr) {
		t.Error("the log tells nothing of the endpoint")
	}
}

// TestEjection watches passive health: an endpoint whose answers fail is set aside and tried again later.
func TestEjection(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	sick.Store(true)
	a := traffic.NewScripted(t, func(c net.Conn, _ int64) {
		in := bufio.NewReader(c)
		for {
			if _, _, err := traffic.Read(in); err != nil {
				return
			}
			if sick.Load() {
				io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick")
			} else {
				io.WriteString(c, traffic.OK)
			}
		}
	})
	b := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{a.Addr, b.Addr}, "    balance: round_robin\n    ejection: { consecutive_errors: 3, base: 1s, max: 1s }"))
	ejected := func() float64 { return g.Number("straum_endpoint_ejected", `endpoint="`+a.Addr+`"`) }
	var bad int
	gateway.Await(t, "the sick endpoint is set aside", func() bool {
		if r, _, err := traffic.Once(listen, traffic.Get("/")); err == nil && r.StatusCode == http.StatusServiceUnavailable {
			bad++
		}
		return ejected() == 1
	})
	if bad != 3 {
		t.Errorf("got %d bad answers before the ejection, want 3", bad)
	}
	sick.Store(false)
	gateway.Await(t, "it is back", func() bool {
		r, _, err := traffic.Once(listen, traffic.Get("/"))
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("got %v %v with one good endpoint", r, err)
		}
		return ejected() == 0
	})
}

// TestBreaker lets all of an upstream fail: requests are refused at once, with a time to come back, until it has recovered.
func TestBreaker(t *testing.T) {
	t.Parallel()
	a := traffic.NewChild(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{a.Addr}, "    ejection: off\n    retry: { attempts: 0 }\n    breaker: { consecutive_errors: 4, cooldown: 500ms, max_cooldown: 1s }"))
	state := func(s string) bool { return g.Number("straum_upstream_breaker_state", `state="`+s+`"`) == 1 }
	if r, _, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK || !state("closed") {
		t.Fatal(r, err)
	}
	a.Kill()
	var refused *http.Response
	for n := 0; refused == nil && n < 100; n++ {
		r, _, err := traffic.Once(listen, traffic.Get("/"))
		switch {
		case err != nil:
			t.Fatal(err)
		case r.StatusCode == http.StatusServiceUnavailable:
			refused = r
			if n != 4 {
				t.Errorf("the breaker opened after %d failures, want 4", n)
			}
		case r.StatusCode != http.StatusBadGateway:
			t.Fatalf("got %d, want 502 or 503", r.StatusCode)
		}
	}
	if refused == nil {
		t.Fatal("the breaker did not open")
	}
	if after, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || after < 1 {
		t.Errorf("got Retry-After %q, want seconds", refused.Header.Get("Retry-After"))
	}
	g.AwaitAccess("of the refusal", func(l gateway.Line) bool { return l.Text("fault") == "breaker_open" && l.Number("status") == 503 })
	a.Start()
	gateway.Await(t, "the breaker closes", func() bool {
		r, _, err := traffic.Once(listen, traffic.Get("/"))
		return err == nil && r.StatusCode == http.StatusOK
	})
	gateway.Await(t, "the metrics tell so", func() bool { return state("closed") })
}

// TestHangs asks an endpoint that takes connections and says nothing: 504 after the time for the first byte, and a GET is not held
// up when there is another endpoint.
func TestHangs(t *testing.T) {
	t.Parallel()
	hung := traffic.NewScripted(t, func(c net.Conn, _ int64) { io.Copy(io.Discard, c) })
	good := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, fmt.Sprintf(`listeners:
  - address: %q
upstreams:
  hung: { endpoints: [%q], timeouts: { first_byte: 200ms } }
  two: { endpoints: [%q, %q], balance: round_robin, timeouts: { try: 200ms }, ejection: off }
routes:
  - { match: { path: /hung }, upstream: hung }
  - { match: { path: /two }, upstream: two }
`, listen, hung.Addr, hung.Addr, good.Addr))
	r, _, err := traffic.Once(listen, traffic.Get("/hung"))
	if err != nil || r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("got %v %v, want 504", r, err)
	}
	for range 6 {
		if r, _, err := traffic.Once(listen, traffic.Get("/two")); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("got %v %v, want the other endpoint's answer", r, err)
		}
	}
	gateway.Await(t, "connections to the endpoint that hangs are given up", func() bool { return hung.Open.Load() == 0 })
	g.AwaitAccess("of the timeout", func(l gateway.Line) bool { return l.Text("fault") == "upstream_timeout" })
}

// TestHangsUp puts endpoints behind the gateway that close their connections in every polite way and some others, between answers:
// after one, after a few, at random, with and without saying so. No request may fail. A POST can meet a connection that is closed
// while it is being sent: it may be repeated only when it is certain that no byte of it was read, which these endpoints keep count
// of, so they also prove that none arrives twice.
func TestHangsUp(t *testing.T) {
	serve := func(seen *seen, polite bool, after func() int) func(net.Conn, int64) {
		return func(c net.Conn, _ int64) {
			in := bufio.NewReader(c)
			for left := after(); left > 0; left-- {
				r, body, err := traffic.Read(in)
				if err != nil {
					return
				}
				seen.note(r.Method, body)
				answer := traffic.OK
				if polite && left == 1 {
					answer = strings.Replace(answer, "\r\n", "\r\nConnection: close\r\n", 1)
				}
				io.WriteString(c, answer)
			}
		}
	}
	for name, c := range map[string]struct {
		polite bool
		after  func() int
	}{
		"says so after each":     {true, func() int { return 1 }},
		"says so after 7":        {true, func() int { return 7 }},
		"says so at random":      {true, func() int { return 1 + rand.IntN(10) }},
		"silently after each":    {false, func() int { return 1 }},
		"silently after 7":       {false, func() int { return 7 }},
		"silently and at random": {false, func() int { return 1 + rand.IntN(10) }},
	} {
		t.Run(name, func(t *testing.T) {
			var seen seen
			e := traffic.NewScripted(t, serve(&seen, c.polite, c.after))
			listen := gateway.Free(t)
			g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, ""))
			load := traffic.Start(traffic.Plan{Addr: listen, Conns: 16, Pause: time.Millisecond, Request: func(conn, n int) string {
				if n%2 == 0 {
					return traffic.Get("/")
				}
				return traffic.Post("/", fmt.Sprintf("%d of %d", n, conn))
			}, Check: func(r *http.Response, body string) error {
				// A silent endpoint may close while a POST is on its way; whether it was read cannot be known then, and telling so
				// with 502 is right.
				if !c.polite && r.StatusCode == http.StatusBadGateway && r.Request.Method == http.MethodPost {
					return nil
				}
				if r.StatusCode != http.StatusOK {
					return fmt.Errorf("status %d: %s", r.StatusCode, body)
				}
				return nil
			}})
			gateway.Await(t, "enough requests", func() bool { return load.Requests() >= 3000 || load.Failed() > 0 })
			r := load.Stop()
			failures(t, r)
			if twice := seen.twice.Load(); twice > 0 {
				t.Errorf("%d POSTs arrived more than once", twice)
			}
			if unsure := load.Answers(http.StatusBadGateway); unsure > 0 {
				t.Logf("%d of %d requests were POSTs of which it could not be known whether they were read", unsure, r.Requests)
				if unsure > r.Requests/20 {
					t.Errorf("%d of %d requests were answered 502: the gateway does not look before it sends", unsure, r.Requests)
				}
			}
			if t.Failed() {
				for _, l := range g.Access() {
					if l.Number("status") >= 500 {
						t.Logf("%v", l)
						break
					}
				}
			}
		})
	}
}

// seen counts POSTs that arrived more than once, by their bodies, which are unique.
type seen struct {
	twice  atomic.Int64
	bodies sync.Map
}

func (s *seen) note(method, body string) {
	if method != http.MethodPost {
		return
	}
	if _, again := s.bodies.LoadOrStore(body, true); again {
		s.twice.Add(1)
	}
}

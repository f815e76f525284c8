package edge_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// caching is a setup with a cache in memory.
func caching(t testing.TB, terms cache.Terms, more ...func(*setup)) (func(*setup), *cache.Cache) {
	c := cache.New(cache.Options{})
	if err := c.Use(cache.Settings{Memory: 64 << 20, MaxObject: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	terms.Status = true
	if terms.Wait == 0 {
		terms.Wait = wire.Patience
	}
	return func(s *setup) {
		s.chain.Cache = c.Route("all", terms)
		for _, change := range more {
			change(s)
		}
	}, c
}

// storable is an answer that may be stored for an hour.
func storable(body string, lines ...string) string {
	return "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

func TestCacheAnswers(t *testing.T) {
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string {
		return storable("hello", `ETag: "v1"`, "Surrogate-Key: a b")
	}))
	change, _ := caching(t, cache.Terms{})
	g := start(t, change, e.Addr)
	f := func(request string, status int, body, cacheStatus string) {
		t.Helper()
		m, r := g.ask(request)
		if m.Status() != status || string(m.Body) != body || !strings.HasPrefix(m.Get("Cache-Status"), cacheStatus) || m.Has("Surrogate-Key") {
			t.Errorf("%s: %s\n%q, record %+v", request, m, m.Body, r)
		}
	}
	f(get, 200, "hello", "Straum; fwd=uri-miss; stored; ttl=3")
	f(get, 200, "hello", "Straum; hit; ttl=3")
	f(get+"\nIf-None-Match: \"v1\"", 304, "", "Straum; hit; ttl=3")
	f(get+"\nRange: bytes=1-3", 206, "ell", "Straum; hit; ttl=3")
	f(strings.Replace(get, "GET", "HEAD", 1), 200, "", "Straum; hit; ttl=3")
	seen.One(t)
	f("POST /things HTTP/1.1\nHost: api.example.com\nContent-Length: 1\n\nx", 200, "hello", "Straum; fwd=method")
	f(get, 200, "hello", "Straum; fwd=uri-miss; stored")
}

// 500 clients on one cold key are one request, whether the body is there at once or comes slowly, and all get all of it.
func TestCacheHerd(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprint("slow ", slow), func(t *testing.T) {
			const clients = 500
			var requests atomic.Int64
			come := make(chan struct{})
			body := strings.Repeat("0123456789", 10_000)
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Body(m, "")
				requests.Add(1)
				<-come
				if !slow {
					p.Send(storable(body))
					return true
				}
				p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n")
				for at := 0; at < len(body); at += 20_000 {
					p.Send(fmt.Sprintf("%x\r\n%s\r\n", 20_000, body[at:at+20_000]))
					time.Sleep(time.Millisecond)
				}
				p.Send("0\r\n\r\n")
				return true
			})
			change, c := caching(t, cache.Terms{})
			g := start(t, func(s *setup) { change(s); s.silent = true }, e.Addr)
			var all sync.WaitGroup
			var sent atomic.Int64
			for range clients {
				all.Go(func() {
					p := wire.Dial(t, g.addr)
					defer p.Close()
					p.Send(crlf(get))
					sent.Add(1)
					if m := p.Answer("GET"); m.Status() != 200 || string(m.Body) != body {
						t.Errorf("got %s and %d bytes", m, len(m.Body))
					}
				})
			}
			await(t, "all clients asked", func() bool { return sent.Load() == clients && requests.Load() > 0 })
			close(come)
			all.Wait()
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests reached the endpoint, want 1", n)
			}
			if s := c.Stat(); s.Flights != 0 || s.Collapsed == 0 {
				t.Errorf("stat %+v", s)
			}
		})
	}
}

// The client whose request asks for all leaves, while others wait for the head or in the middle of the body.
func TestCacheLeaderLeaves(t *testing.T) {
	for _, when := range []string{"head", "body"} {
		t.Run(when, func(t *testing.T) {
			came, on := make(chan struct{}, 8), make(chan struct{})
			var requests atomic.Int64
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Body(m, "")
				requests.Add(1)
				head := "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 10\r\n\r\n"
				if when == "body" {
					p.Send(head + "01234")
				}
				came <- struct{}{}
				<-on
				if when == "head" {
					p.Send(head + "01234")
				}
				p.Send("56789")
				return true
			})
			change, c := caching(t, cache.Terms{})
			g := start(t, change, e.Addr)
			first := wire.Dial(t, g.addr)
			first.Send(crlf(get))
			wait(t, "the first request", came)
			if when == "body" {
				first.Head()
			}
			answers := make(chan *wire.Message, 3)
			for range 3 {
				go func() {
					p := wire.Dial(t, g.addr)
					defer p.Close()
					p.Send(crlf(get))
					answers <- p.Answer("GET")
				}()
			}
			if when == "body" {
				await(t, "others follow", func() bool { return c.Stat().Collapsed == 3 })
			} else {
				time.Sleep(50 * time.Millisecond) // nothing tells that they wait; the sooner the first leaves, the more the test asks for
			}
			first.Close()
			time.Sleep(600 * time.Millisecond) // twice as long as it takes the gateway to look for the client
			close(on)
			for range 3 {
				if m := <-answers; m.Status() != 200 || string(m.Body) != "0123456789" {
					t.Errorf("another got %s %q", m, m.Body)
				}
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// A client that reads slowly slows nobody who follows it.
func TestCacheSlowLeader(t *testing.T) {
	body := strings.Repeat("x", 3<<20)
	e := wire.Listen(t, wire.Answering(storable(body)))
	change, _ := caching(t, cache.Terms{})
	g := start(t, change, e.Addr)
	slow := wire.Dial(t, g.addr)
	slow.Send(crlf(get))
	slow.Head() // and reads no further
	for range 3 {
		p := wire.Dial(t, g.addr)
		p.Send(crlf(get))
		if m := p.Answer("GET"); string(m.Body) != body {
			t.Fatalf("got %s and %d bytes", m, len(m.Body))
		}
		p.Close()
	}
	slow.Close()
}

// An open breaker, a dead endpoint and 503 are answered with what is stale, if that may be.
func TestCacheRescues(t *testing.T) {
	var down atomic.Bool
	var requests atomic.Int64
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		requests.Add(1)
		if down.Load() {
			p.Send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown")
		} else {
			p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=600\r\nETag: \"v1\"\r\nContent-Length: 2\r\n\r\nup")
		}
		return true
	})
	change, _ := caching(t, cache.Terms{})
	g := start(t, func(s *setup) {
		change(s)
		s.upstream.Retry.MaxAttempts = 1
		s.upstream.Balance = balance.Settings{Kind: balance.Hash, Bound: 125}
		s.upstream.Key = upstream.Key{Source: upstream.CookieKey, Name: "stick", Sticky: true}
		s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 1, Cooldown: time.Hour, MaxCooldown: time.Hour, Probes: 1, Successes: 1, ProbeTimeout: time.Hour}
		s.upstream.BreakerErrors = []int{503}
	}, e.Addr)
	g.ask(get)
	down.Store(true)
	for i, want := range []string{"Straum; fwd=stale; fwd-status=503; detail=server_error", "Straum; fwd=stale; detail=breaker_open", "Straum; fwd=stale; detail=breaker_open"} {
		m, r := g.ask(get)
		if m.Status() != 200 || string(m.Body) != "up" || m.Get("Cache-Status") != want {
			t.Errorf("%d: %s %q, record %+v", i, m, m.Body, r)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	if m, _ := g.ask(strings.Replace(get, "/things", "/others", 1)); m.Status() != 503 {
		t.Errorf("what is not stored: %s", m)
	}
}

// What is stale is renewed by a copy of the request, which no observer sees.
func TestCacheRenews(t *testing.T) {
	var n atomic.Int64
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		i := n.Add(1)
		if i > 1 && (m.Get("If-None-Match") != `"v1"` || m.Has("Range") || m.Get("X-Mine") != "1") {
			t.Errorf("the renewal asked %s", m)
		}
		age := 0
		if i > 1 {
			age = 3600
		}
		p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: max-age=%d, stale-while-revalidate=600\r\nETag: \"v1\"\r\nContent-Length: 1\r\n\r\n%d", age, i))
		return true
	})
	change, c := caching(t, cache.Terms{Renew: wire.Patience})
	g := start(t, change, e.Addr)
	request := get + "\nX-Mine: 1"
	g.ask(request)
	if m, _ := g.ask(request + "\nRange: bytes=0-0"); m.Status() != 206 || string(m.Body) != "1" {
		t.Errorf("stale: %s %q", m, m.Body)
	}
	await(t, "the renewal", func() bool { return n.Load() == 2 && c.Stat().Flights == 0 })
	if m, _ := g.ask(request); string(m.Body) != "2" || !strings.HasPrefix(m.Get("Cache-Status"), "Straum; hit; ttl=3") {
		t.Errorf("renewed: %s %q", m, m.Body)
	}
	select {
	case r := <-g.done:
		t.Errorf("an observer saw the renewal: %+v", r)
	default:
	}
}

// What clients send that is in no key does not change what others are answered. The endpoint here is one that believes everything.
func TestCachePoisoning(t *testing.T) {
	gullible := func(m *wire.Message) string {
		var said []string
		for _, name := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Scheme", "X-Forwarded-Prefix", "X-Host", "X-Original-URL", "X-Rewrite-URL",
			"X-HTTP-Method-Override", "X-Method-Override"} {
			said = append(said, m.Get(name))
		}
		return storable(m.Method() + " " + m.Target() + " " + strings.Join(said, "|") + " " + string(m.Body))
	}
	clean := "GET /a%2Db?x=1 HTTP/1.1\nHost: api.example.com"
	honest := func(t *testing.T, g *gateway) string {
		m, _ := g.ask(clean)
		return string(m.Body)
	}
	for _, attack := range []string{
		clean + "\nX-Forwarded-Host: evil.test",
		clean + "\nX-Forwarded-Proto: https",
		clean + "\nX-Forwarded-Port: 1",
		clean + "\nX-Forwarded-Scheme: nothttps",
		clean + "\nX-Forwarded-Prefix: /evil",
		clean + "\nX-Host: evil.test",
		clean + "\nX-Original-URL: /evil",
		clean + "\nX-Rewrite-URL: /evil",
		clean + "\nX-HTTP-Method-Override: DELETE",
		clean + "\nx-method-override: DELETE",
		clean + "\nForwarded: host=evil.test",
		clean + "\nContent-Length: 4\n\nevil",
		clean + "\nTransfer-Encoding: chunked\n\n4\r\nevil\r\n0\r\n\r\n",
		"GET /a%2Db?x=1 HTTP/1.1\nHost: evil.test",
		"GET /a%2Db?x=1 HTTP/1.1\nHost: api.example.com:8080",
		"GET http://api.example.com:81/a%2Db?x=1 HTTP/1.1\nHost: api.example.com:81",
		"GET /a%2Db?x=1& HTTP/1.1\nHost: api.example.com",
		"GET /a%2Db?x=1;y HTTP/1.1\nHost: api.example.com",
		"GET /a%2Db%3Fx=1 HTTP/1.1\nHost: api.example.com",
		"GET /a%252Db?x=1 HTTP/1.1\nHost: api.example.com",
		"GET /a-b%00?x=1 HTTP/1.1\nHost: api.example.com",
		"GET //a-b?x=1 HTTP/1.1\nHost: api.example.com",
		"GET /a-b/?x=1 HTTP/1.1\nHost: api.example.com",
		"GET /a-b?x=1%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\nHost: api.example.com",
		"HEAD /a%2Db?x=1 HTTP/1.1\nHost: api.example.com\nX-Forwarded-Host: evil.test",
		"POST /a%2Db?x=1 HTTP/1.1\nHost: api.example.com\nContent-Length: 4\n\nevil",
	} {
		for _, trusted := range []bool{false, true} {
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Body(m, "")
				if m.Method() == "HEAD" {
					head, _, _ := strings.Cut(gullible(m), "\r\n\r\n")
					p.Send(head + "\r\n\r\n")
				} else {
					p.Send(gullible(m))
				}
				return true
			})
			change, _ := caching(t, cache.Terms{}, func(s *setup) {
				if trusted { // a proxy that hands on what clients say
					s.trusted = []string{"127.0.0.0/8"}
				}
			})
			before := honest(t, start(t, change, e.Addr)) // of a gateway nobody attacked
			change, _ = caching(t, cache.Terms{}, func(s *setup) {
				if trusted {
					s.trusted = []string{"127.0.0.0/8"}
				}
			})
			g := start(t, change, e.Addr)
			for range 2 {
				g.ask(attack)
			}
			// The port that the gateway listens on differs between the two.
			mask := func(s string) string {
				return strings.Join(append(strings.Split(s, "|")[:3:3], strings.Split(s, "|")[4:]...), "|")
			}
			if after := honest(t, g); mask(after) != mask(before) {
				t.Errorf("after %q, trusted %v: others get %q instead of %q", attack, trusted, after, before)
			}
		}
	}
}

// An answer with line ends inside its fields is refused and never stored, so that nothing of it becomes an answer of its own.
func TestCacheResponseSplitting(t *testing.T) {
	var n atomic.Int64
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if n.Add(1) == 1 {
			p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Said: a\rSet-Cookie: evil=1\r\nContent-Length: 4\r\n\r\nevil")
			return false
		}
		p.Send(storable("good"))
		return true
	})
	change, _ := caching(t, cache.Terms{})
	g := start(t, func(s *setup) { change(s); s.upstream.Retry.MaxAttempts = 1 }, e.Addr)
	if m, _ := g.ask(get); m.Status() != 502 {
		t.Errorf("got %s", m)
	}
	if m, _ := g.ask(get); m.Status() != 200 || string(m.Body) != "good" {
		t.Errorf("got %s %q", m, m.Body)
	}
	// Bytes behind an answer are no answer to anybody.
	e = wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(storable(m.Target()) + storable("smuggled"))
		return true
	})
	change, _ = caching(t, cache.Terms{})
	g = start(t, change, e.Addr)
	for _, path := range []string{"/one", "/two", "/one", "/two"} {
		if m, _ := g.ask("GET " + path + " HTTP/1.1\nHost: a.test"); string(m.Body) != path {
			t.Errorf("%s is answered %q", path, m.Body)
		}
	}
}

// A new revision keeps what is stored.
func TestCacheOutlivesRevisions(t *testing.T) {
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return storable("x") }))
	change, c := caching(t, cache.Terms{})
	g := start(t, change, e.Addr)
	g.ask(get)
	if err := c.Use(cache.Settings{Memory: 32 << 20, MaxObject: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	s := *g.setup
	s.chain.Cache = c.Route("all", cache.Terms{Status: true, Wait: time.Second})
	g.use(&s)
	if m, _ := g.ask(get); !strings.HasPrefix(m.Get("Cache-Status"), "Straum; hit") {
		t.Errorf("got %s", m)
	}
	seen.One(t)
}

// A policy of step 9 that changes the answer of one client changes nothing of what is stored.
type scribbler struct{}

func (scribbler) Response(x *exchange.Exchange) {
	for _, f := range x.Response.Header.All() {
		x.Response.Header.SetHeader(f.Name, "scribbled")
	}
	x.Response.Header.Append(exchange.SetCookie, "Set-Cookie", "who="+x.Request.Method)
}

func TestCacheIsNotScribbledOn(t *testing.T) {
	e := wire.Listen(t, wire.Answering(storable("x", "X-Said: 1")))
	change, c := caching(t, cache.Terms{})
	g := start(t, func(s *setup) { change(s); s.chain.Add("scribbler", scribbler{}) }, e.Addr)
	for range 3 {
		g.ask(get)
	}
	s := *g.setup
	s.chain.Responses = nil
	s.chain.Cache = c.Route("all", cache.Terms{Status: true})
	g.use(&s)
	if m, _ := g.ask(get); m.Get("X-Said") != "1" || m.Has("Set-Cookie") || !strings.Contains(m.Get("Cache-Status"), "hit") {
		t.Errorf("got %s", m)
	}
}

// A hit allocates nothing on its whole way from the connection and back.
func TestCacheHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	e := wire.Listen(t, wire.Answering(storable(strings.Repeat("x", 1000), `ETag: "v1"`, "Content-Type: text/plain", "Vary: Accept-Encoding")))
	change, c := caching(t, cache.Terms{Early: 0.1})
	g := start(t, func(s *setup) { change(s); s.silent = true }, e.Addr)
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, in := []byte(crlf(get+"\nAccept-Encoding: gzip")), make([]byte, 64<<10)
	ask := func() {
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
		for have := 0; ; {
			n, err := conn.Read(in[have:])
			if err != nil {
				t.Fatal(err)
			}
			have += n
			if head := bytes.Index(in[:have], []byte("\r\n\r\n")); head > 0 && have >= head+4+1000 {
				return
			}
		}
	}
	for range 200 {
		ask()
	}
	const requests = 5000
	best := uint64(1 << 62)
	for round := 0; round < 3 && best > requests/50; round++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range requests {
			ask()
		}
		runtime.ReadMemStats(&after)
		best = min(best, after.Mallocs-before.Mallocs)
	}
	if t.Logf("%d allocations in %d hits", best, requests); best > requests/50 {
		t.Errorf("want %d at most", requests/50)
	}
	if s := c.Stat(); s.Memory.Hits < requests {
		t.Errorf("%d hits", s.Memory.Hits)
	}
}

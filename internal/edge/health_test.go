package edge_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// moody answers 500, or 200 when it is well.
func moody(well *atomic.Bool) wire.Handle {
	return func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if well.Load() {
			p.Send(wire.OK("well"))
		} else {
			p.Send("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n")
		}
		return true
	}
}

func TestBreaker(t *testing.T) {
	var well atomic.Bool
	e := wire.Listen(t, moody(&well))
	g := start(t, func(s *setup) {
		s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 3, Cooldown: 300 * time.Millisecond, MaxCooldown: time.Hour, Probes: 1, Successes: 2, ProbeTimeout: time.Minute}
		s.upstream.BreakerErrors = []int{500}
	}, e.Addr)
	c := wire.Dial(t, g.addr)
	for range 3 {
		if m, _ := g.askOn(c, get); m.Status() != 500 {
			t.Fatal(m.Start)
		}
	}
	m, r := g.askOn(c, get)
	if p := readProblem(t, m); p.Code != "breaker_open" || m.Get("Retry-After") != "1" || r.upstream.Tries != 0 || !r.keepAlive {
		t.Errorf("%s%+v %+v", m, p, r)
	}
	if got := g.stats().Breaker.State; got != breaker.Open {
		t.Errorf("%v", got)
	}
	// A setting changes; what was learnt stays.
	g.setup.upstream.Pool.Idle = 1
	g.use(g.setup)
	if got := g.stats().Breaker.State; got != breaker.Open {
		t.Errorf("after a new revision: %v", got)
	}
	well.Store(true)
	await(t, "the breaker to close", func() bool {
		m, _ := g.askOn(c, get)
		return m.Status() == 200 && g.stats().Breaker.State == breaker.Closed
	})
	for _, to := range []struct {
		state  breaker.State
		status int
	}{{breaker.ForcedOpen, 503}, {breaker.ForcedClosed, 200}} {
		if !g.set.Force("api", to.state) {
			t.Error("no breaker to force")
		}
		if m, _ := g.askOn(c, get); m.Status() != to.status {
			t.Errorf("%v: %s", to.state, m.Start)
		}
	}
	if !g.set.ReleaseBreaker("api") || g.set.Force("other", breaker.ForcedOpen) {
		t.Error("released nothing, or forced what is not there")
	}
	if got := g.stats().Breaker; got.State != breaker.Closed || got.Active != 0 {
		t.Errorf("%+v", got)
	}
}

// Half-open, as many requests as are probes go through; the others fail at once.
func TestBreakerProbes(t *testing.T) {
	var well atomic.Bool
	came, goOn := make(chan struct{}, 8), make(chan struct{})
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if !well.Load() {
			p.Reset()
			return false
		}
		came <- struct{}{}
		<-goOn
		p.Send(wire.OK("well"))
		return true
	})
	g := start(t, func(s *setup) {
		s.upstream.Retry.MaxAttempts = 1
		s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 1, Cooldown: time.Millisecond, MaxCooldown: time.Millisecond, Probes: 2, Successes: 2, ProbeTimeout: time.Minute}
	}, e.Addr)
	g.ask(get)
	well.Store(true)
	await(t, "the cooldown to end", func() bool { return clock.Now() > g.stats().Breaker.Until })
	var probes []*wire.Peer
	for range 2 {
		c := wire.Dial(t, g.addr)
		c.Send(crlf(get))
		probes = append(probes, c)
		wait(t, "a probe", came)
	}
	m, r := g.ask(get)
	if readProblem(t, m).Code != "breaker_open" || r.upstream.Tries != 0 {
		t.Errorf("%s %+v", m, r)
	}
	close(goOn)
	for _, c := range probes {
		if m := c.Answer("GET"); m.Status() != 200 {
			t.Errorf("%s", m.Start)
		}
	}
	await(t, "the breaker to close", func() bool { s := g.stats().Breaker; return s.State == breaker.Closed && s.Active == 0 })
}

func TestMaxActive(t *testing.T) {
	handle, came, _ := hang()
	e := wire.Listen(t, handle)
	g := start(t, func(s *setup) {
		s.upstream.Breaker = &breaker.Settings{MaxActive: 2, Cooldown: time.Second, MaxCooldown: time.Second, Probes: 1, Successes: 1, ProbeTimeout: time.Minute}
	}, e.Addr)
	var held []*wire.Peer
	for range 2 {
		c := wire.Dial(t, g.addr)
		c.Send(crlf(get))
		wait(t, "a request", came)
		held = append(held, c)
	}
	m, _ := g.ask(get)
	if readProblem(t, m).Code != "saturated" || m.Get("Retry-After") == "" {
		t.Errorf("%s", m)
	}
	for _, c := range held {
		c.Close()
	}
	await(t, "the places to be free", func() bool { return g.stats().Breaker.Active == 0 })
	if s := g.stats().Breaker; s.State != breaker.Closed || s.Consecutive != 0 {
		t.Errorf("clients that left count: %+v", s)
	}
}

// What no endpoint was asked for holds no place.
func TestNoEndpointHoldsNoPlace(t *testing.T) {
	g := start(t, func(s *setup) {
		s.upstream.Endpoints[0].Weight = 0
		s.upstream.Breaker = &breaker.Settings{MaxActive: 1, Cooldown: time.Second, MaxCooldown: time.Second, Probes: 1, Successes: 1, ProbeTimeout: time.Minute}
	}, dead(t))
	for range 3 {
		if m, _ := g.ask(get); readProblem(t, m).Code != "no_endpoint" || g.stats().Breaker.Active != 0 {
			t.Errorf("%s, %+v", m, g.stats().Breaker)
		}
	}
}

// Neither clients that leave nor 4xx open a breaker, and a retry that meets the open breaker ends.
func TestRetryMeetsOpenBreaker(t *testing.T) {
	g := start(t, func(s *setup) {
		s.upstream.Retry.MaxAttempts = 5
		s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 2, Cooldown: time.Hour, MaxCooldown: time.Hour, Probes: 1, Successes: 1, ProbeTimeout: time.Minute}
	}, dead(t), dead(t), dead(t))
	m, r := g.ask(get)
	if readProblem(t, m).Code != "breaker_open" || r.upstream.Tries != 2 {
		t.Errorf("%s %+v", m, r)
	}
	if s := g.stats().Breaker; s.Active != 0 {
		t.Errorf("%+v", s)
	}
}

// An endpoint that fails is left out, and comes back by itself.
func TestEjection(t *testing.T) {
	var asked atomic.Int32
	bad := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		asked.Add(1)
		p.Send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
		return true
	})
	good := wire.Listen(t, wire.Answering(wire.OK("")))
	g := start(t, func(s *setup) {
		s.upstream.Health = health.Settings{Rise: 1, Fall: 1, Failures: 2, EjectBase: 150 * time.Millisecond, EjectMax: 150 * time.Millisecond, MaxShare: 50}
	}, bad.Addr, good.Addr)
	c := wire.Dial(t, g.addr)
	ejected := func() bool {
		for _, e := range g.stats().Endpoints {
			if e.Ejected {
				return e.Address == bad.Addr && !e.Usable
			}
		}
		return false
	}
	await(t, "the bad endpoint to be out", func() bool { g.askOn(c, get); return ejected() })
	before := asked.Load()
	for ejected() {
		g.askOn(c, get)
	}
	if n := asked.Load() - before; n > 1 { // the last one may have come just after the end
		t.Errorf("asked %d times while it was out", n)
	}
	await(t, "it to be asked again", func() bool { g.askOn(c, get); return asked.Load() > before })
	if !g.log.has("endpoint is out") {
		t.Error("nothing in the log")
	}
}

// When all are bad, all are used; at most MaxShare of them are out by ejection.
func TestAllBad(t *testing.T) {
	var well atomic.Bool
	var endpoints []string
	for range 3 {
		endpoints = append(endpoints, wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			if well.Load() {
				p.Send(wire.OK(""))
				return true
			}
			p.Reset()
			return false
		}).Addr)
	}
	g := start(t, func(s *setup) {
		s.upstream.Retry.MaxAttempts = 1
		s.upstream.Health = health.Settings{Rise: 1, Fall: 1, Failures: 1, EjectBase: time.Hour, EjectMax: time.Hour, MaxShare: 100}
	}, endpoints...)
	await(t, "all to be out", func() bool {
		g.ask(get)
		for _, e := range g.stats().Endpoints {
			if e.Usable {
				return false
			}
		}
		return true
	})
	well.Store(true)
	for range 30 {
		if m, _ := g.ask(get); m.Status() != 200 {
			t.Fatal(m.Start)
		}
	}
}

// Active checks take an endpoint out before a request meets it.
func TestActiveChecks(t *testing.T) {
	var well atomic.Bool
	well.Store(true)
	bad := wire.Listen(t, moody(&well))
	good := wire.Listen(t, wire.Answering(wire.OK("good")))
	g := start(t, func(s *setup) {
		s.upstream.Check = &health.Check{Every: 20 * time.Millisecond, Timeout: wire.Patience, Path: "/up", Expect: []health.Statuses{{From: 200, To: 299}}}
	}, bad.Addr, good.Addr)
	judged := func(word string) func() bool {
		return func() bool {
			for _, e := range g.stats().Endpoints {
				if e.Address == bad.Addr {
					return e.Health == word
				}
			}
			return false
		}
	}
	await(t, "the endpoint to be healthy", judged("healthy"))
	well.Store(false)
	await(t, "the endpoint to be unhealthy", judged("unhealthy"))
	for range 6 {
		if m, _ := g.ask(get); string(m.Body) != "good" {
			t.Errorf("%s", m)
		}
	}
	g.setup.upstream.Check = nil
	g.use(g.setup)
	if !judged("unknown")() {
		t.Error("without checks it is still held unhealthy")
	}
}

// An endpoint that joins a running upstream begins with a small share.
func TestSlowStart(t *testing.T) {
	var first, second atomic.Int32
	count := func(n *atomic.Int32) wire.Handle {
		return func(p *wire.Peer, m *wire.Message) bool { n.Add(1); p.Send(wire.OK("")); return true }
	}
	a, b := wire.Listen(t, count(&first)), wire.Listen(t, count(&second))
	g := start(t, func(s *setup) {
		s.upstream.Balance = balance.Settings{Kind: balance.Random, SlowStart: int64(time.Hour)}
	}, a.Addr)
	c := wire.Dial(t, g.addr)
	g.askOn(c, get)
	g.setup.upstream.Endpoints = append(g.setup.upstream.Endpoints, upstream.Endpoint{Address: b.Addr, Weight: 1})
	g.use(g.setup)
	for range 200 {
		g.askOn(c, get)
	}
	// It gets 10 of 110 parts: 18 of 200 on average; half would be 100.
	if n := second.Load(); n > 60 {
		t.Errorf("%d of 200 at once", n)
	}
	if s := g.stats(); len(s.Endpoints) != 2 || s.Endpoints[0].Answered < 100 {
		t.Errorf("what was learnt of the first endpoint is gone: %+v", s)
	}
}

// What DNS takes away is drained: its requests end, its connections go; what it adds is used.
func TestNamesChange(t *testing.T) {
	came, goOn := make(chan struct{}), make(chan struct{})
	old := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() == "/slow" {
			came <- struct{}{}
			<-goOn
		}
		p.Send(wire.OK("old"))
		return true
	})
	_, port, _ := net.SplitHostPort(old.Addr)
	listener, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("127.0.0.2 is not there:", err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					fmt.Fprint(conn, wire.OK("new"))
				}
			}()
		}
	}()
	n := &names{}
	n.set("api.internal", "127.0.0.1")
	g := start(t, func(s *setup) {
		s.lookup = n.lookup
		s.upstream.ResolveEvery = time.Second
	}, "api.internal:"+port)
	await(t, "the name to resolve", func() bool { return len(g.stats().Endpoints) == 1 })
	for range 3 {
		if m, _ := g.ask(get); string(m.Body) != "old" {
			t.Fatal(m)
		}
	}
	slow := wire.Dial(t, g.addr)
	slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	wait(t, "the slow request", came)
	n.set("api.internal", "127.0.0.2")
	await(t, "the new address to be used", func() bool { m, _ := g.ask(get); return string(m.Body) == "new" })
	if s := g.stats().Endpoints; len(s) != 1 || s[0].Name != "api.internal:"+port || !strings.HasPrefix(s[0].Address, "127.0.0.2:") {
		t.Errorf("%+v", s)
	}
	close(goOn)
	if m := slow.Answer("GET"); string(m.Body) != "old" {
		t.Errorf("what was under way: %s", m)
	}
	// The name is forgotten by DNS: the last good addresses stay.
	n.set("api.internal")
	time.Sleep(1500 * time.Millisecond) // one look-up at least
	if m, _ := g.ask(get); string(m.Body) != "new" {
		t.Errorf("%s", m)
	}
}

func TestSticky(t *testing.T) {
	a, b := wire.Listen(t, wire.Answering(wire.OK("a"))), wire.Listen(t, wire.Answering(wire.OK("b")))
	g := start(t, func(s *setup) {
		s.upstream.Balance = balance.Settings{Kind: balance.Sticky, Otherwise: balance.RoundRobin}
		s.upstream.Key = upstream.Key{Source: upstream.CookieKey, Name: "seat", Sticky: true, TTL: time.Minute}
	}, a.Addr, b.Addr)
	for range 4 {
		m, _ := g.ask(get)
		set := m.Get("Set-Cookie")
		name, rest, _ := strings.Cut(set, "=")
		value, attributes, _ := strings.Cut(rest, ";")
		if _, err := strconv.ParseUint(value, 16, 64); err != nil || name != "seat" || attributes != " Path=/; HttpOnly; SameSite=Lax; Max-Age=60" {
			t.Fatalf("%q", set)
		}
		for range 4 {
			again, _ := g.ask(get + "\nCookie: x=y; seat=" + value + "; z=1")
			if string(again.Body) != string(m.Body) || again.Has("Set-Cookie") {
				t.Errorf("%s after %s", again, m)
			}
		}
	}
	// A cookie that is none of ours, or names an endpoint that is gone, is replaced.
	for _, value := range []string{"junk", "", "1"} {
		if m, _ := g.ask(get + "\nCookie: seat=" + value); !m.Has("Set-Cookie") {
			t.Errorf("%q: %s", value, m)
		}
	}
	// The seat is dead: another takes over and says so.
	gone := dead(t)
	g.setup.upstream.Endpoints = append(g.setup.upstream.Endpoints, upstream.Endpoint{Address: gone, Weight: 1})
	g.use(g.setup)
	key := strconv.FormatUint(balance.Member{ID: gone}.Key(), 16)
	if m, r := g.ask(get + "\nCookie: seat=" + key); m.Status() != 200 || r.upstream.Tries != 2 || !m.Has("Set-Cookie") {
		t.Errorf("%s %+v", m, r)
	}
}

func TestHash(t *testing.T) {
	var endpoints []string
	for i := range 4 {
		endpoints = append(endpoints, wire.Listen(t, wire.Answering(wire.OK(strconv.Itoa(i)))).Addr)
	}
	for _, key := range []struct {
		key  upstream.Key
		line string
	}{
		{upstream.Key{Source: upstream.HeaderKey, Name: "x-tenant"}, "X-Tenant: %d"},
		{upstream.Key{Source: upstream.CookieKey, Name: "t"}, "Cookie: a=b; t=%d"},
	} {
		g := start(t, func(s *setup) {
			s.upstream.Balance = balance.Settings{Kind: balance.Hash}
			s.upstream.Key = key.key
		}, endpoints...)
		used := map[string]bool{}
		for tenant := range 20 {
			line := "\n" + fmt.Sprintf(key.line, tenant)
			m, _ := g.ask(get + line)
			for range 2 {
				if again, _ := g.ask(get + line); string(again.Body) != string(m.Body) {
					t.Errorf("tenant %d went to %s and %s", tenant, m.Body, again.Body)
				}
			}
			used[string(m.Body)] = true
		}
		if len(used) < 3 {
			t.Errorf("20 tenants use %v", used)
		}
		spread := map[string]bool{}
		for range 30 {
			m, _ := g.ask(get)
			spread[string(m.Body)] = true
		}
		if len(spread) < 2 {
			t.Errorf("without a key all go to %v", spread)
		}
	}
	g := start(t, func(s *setup) {
		s.upstream.Balance = balance.Settings{Kind: balance.Hash}
		s.upstream.Key = upstream.Key{Source: upstream.ClientKey}
	}, endpoints...)
	m, _ := g.ask(get)
	for range 5 {
		if again, _ := g.ask(get); string(again.Body) != string(m.Body) {
			t.Error("one client, two endpoints")
		}
	}
}

// An upstream that is no longer wanted ends when the last request on it has; the same name later begins anew.
func TestRetire(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("")))
	g := start(t, nil, e.Addr)
	g.ask(get)
	old := g.live["api"]
	other := *g.setup
	other.upstream.Name = "other"
	g.use(&other)
	if len(g.set.All()) != 1 || g.set.Stats()[0].Name != "other" {
		t.Errorf("%+v", g.set.Stats())
	}
	if s := old.Stats().Endpoints[0]; s.Idle != 0 || s.Open != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := g.set.Prepare([]upstream.Settings{{Name: "bad", BreakerErrors: []int{1000}, Health: health.Settings{Rise: 1, Fall: 1}}}); err == nil || !strings.Contains(err.Error(), "upstream bad: breaker: status 1000") {
		t.Errorf("%v", err)
	}
}

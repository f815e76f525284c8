package edge_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// Every way to lose a connection is named by the one that has to be opened next: the reuse audit.
func TestReuseAudit(t *testing.T) {
	f := func(want string, change func(*setup), handle wire.Handle, lose func(*gateway)) {
		t.Run(want, func(t *testing.T) {
			e := wire.Listen(t, handle)
			g := start(t, change, e.Addr)
			lose(g)
			for len(g.done) > 0 {
				<-g.done
			}
			g.endpoint()
			_, r := g.ask("GET /after HTTP/1.1\nHost: a")
			if r.upstream.Opened != want || r.upstream.Reused {
				t.Errorf("opened because %q, want %q", r.upstream.Opened, want)
			}
			if s := g.endpoint(); s.Opened[want] != 1 {
				t.Errorf("counted %v", s.Opened)
			}
			// The audit does not tell the same loss twice.
			if _, r := g.ask("GET /after HTTP/1.1\nHost: a"); !r.upstream.Reused {
				t.Errorf("and again: %+v", r)
			}
		})
	}
	// then answers the requests for /after plainly and others with what it is given.
	then := func(other wire.Handle) wire.Handle {
		return func(p *wire.Peer, m *wire.Message) bool {
			if m.Target() == "/after" {
				p.Send(wire.OK(""))
				return true
			}
			return other(p, m)
		}
	}
	answer := func(a string, again bool) wire.Handle {
		return then(func(p *wire.Peer, m *wire.Message) bool { p.Send(a); return again })
	}
	ask := func(g *gateway) { g.ask(get) }
	f("cold", nil, answer("", false), func(*gateway) {})
	f("idle_closed", nil, answer(wire.OK(""), false), func(g *gateway) {
		ask(g)
		time.Sleep(20 * time.Millisecond) // longer than a close can go unnoticed
	})
	f("idle_timeout", func(s *setup) { s.upstream.Pool.IdleTimeout = time.Millisecond }, answer(wire.OK(""), true), func(g *gateway) {
		ask(g)
		await(g.t, "the sweep", func() bool { return g.endpoint().Open == 0 })
		g.setup.upstream.Pool.IdleTimeout = time.Minute
		g.use(g.setup)
	})
	f("idle_full", func(s *setup) { s.upstream.Pool.Idle = 0 }, answer(wire.OK(""), true), func(g *gateway) {
		ask(g)
		g.endpoint()
		g.setup.upstream.Pool.Idle = 8
		g.use(g.setup)
	})
	f("endpoint_closes", nil, answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false), ask)
	f("no_length", nil, answer("HTTP/1.1 200 OK\r\n\r\nall", false), ask)
	f("error", func(s *setup) { s.upstream.Retry.MaxAttempts = 1 }, answer("ICY\r\n\r\n", false), ask)
	f("answer_not_read", nil, then(func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
		p.Gone()
		return false
	}), func(g *gateway) {
		c := wire.Dial(g.t, g.addr)
		c.Send(crlf(get))
		c.Head()
		c.Close()
		g.next()
	})
	f("surplus_bytes", nil, answer(wire.OK("")+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake", true), ask)
	f("early_answer", nil, then(func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
		p.Gone()
		return false
	}), func(g *gateway) {
		c := wire.Dial(g.t, g.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", strings.Repeat("x", 50000))
		c.Answer("POST")
		g.next()
	})
	f("tunnel", nil, then(func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		return false
	}), func(g *gateway) {
		c := wire.Dial(g.t, g.addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		c.Head()
		c.Close()
		g.next()
	})
}

func TestBusy(t *testing.T) {
	handle, came, _ := hang()
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() == "/hold" {
			return handle(p, m)
		}
		p.Send(wire.OK(""))
		return true
	})
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
	wait(t, "the request", came)
	if _, r := g.ask(get); r.upstream.Opened != "busy" {
		t.Errorf("%+v", r)
	}
}

// The connection used last is used first, so that those not needed grow old.
func TestLastInFirstOut(t *testing.T) {
	came, goOn := make(chan struct{}), make(chan struct{})
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() == "/hold" {
			came <- struct{}{}
			<-goOn
		}
		p.Send(wire.OK(p.Conn.RemoteAddr().String()))
		return true
	})
	g := start(t, nil, e.Addr)
	// Four at once, all from one accepting socket, so that one shard has them all.
	var held []*wire.Peer
	for len(held) < 4 {
		c := wire.Dial(t, g.addr)
		wire.Dial(t, g.addr)
		held = append(held, c)
		c.Send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
		wait(t, "the request", came)
	}
	last := ""
	for i, c := range held {
		goOn <- struct{}{}
		last = string(c.Answer("GET").Body)
		await(t, "the connection to be idle", func() bool { return g.stats().Endpoints[0].Idle == i+1 })
	}
	for range 5 {
		if m, _ := g.askOn(held[0], get); string(m.Body) != last {
			t.Errorf("went over %s, the last used is %s", m.Body, last)
		}
		g.endpoint()
	}
}

// A full pool makes exchanges wait in a queue of bounded length for a bounded time.
func TestQueue(t *testing.T) {
	came, goOn := make(chan struct{}, 8), make(chan struct{})
	var most, now atomic.Int32
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		most.Store(max(most.Load(), now.Add(1)))
		came <- struct{}{}
		<-goOn
		now.Add(-1)
		p.Send(wire.OK(""))
		return true
	})
	g := start(t, func(s *setup) { s.upstream.Pool.Connections, s.upstream.Pool.Queue = 2, 2 }, e.Addr)
	clients := make([]*wire.Peer, 4)
	for i := range clients {
		clients[i] = wire.Dial(t, g.addr)
		clients[i].Send(crlf(get))
		if i < 2 {
			wait(t, "the request", came)
		} else {
			await(t, "the request to wait", func() bool { return g.stats().Endpoints[0].Waiting == int64(i-1) })
		}
	}
	m, r := g.ask(get)
	if readProblem(t, m).Code != "saturated" || r.upstream.Tries == 0 || m.Get("Retry-After") != "1" {
		t.Errorf("%s, %+v", m, r)
	}
	close(goOn)
	for _, c := range clients {
		if m := c.Answer("GET"); m.Status() != 200 {
			t.Errorf("%s", m)
		}
	}
	if s := g.endpoint(); most.Load() > 2 || s.Open != 2 || s.Waiting != 0 || s.Opened["cold"]+s.Opened["busy"] != 2 || s.Reused != 2 {
		t.Errorf("%d at once, %+v", most.Load(), s)
	}
}

func TestQueueTimeout(t *testing.T) {
	handle, came, left := hang()
	e := wire.Listen(t, handle)
	g := start(t, func(s *setup) {
		s.upstream.Pool.Connections, s.upstream.Pool.QueueTimeout, s.upstream.Retry.MaxAttempts = 1, short, 1
	}, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send(crlf(get))
	wait(t, "the request", came)
	m, r := g.ask(get)
	if readProblem(t, m).Code != "queue_timeout" || m.Status() != 503 || r.upstream.Status != 0 {
		t.Errorf("%s, %+v", m, r)
	}
	// One who waits and leaves is out of the queue.
	g.setup.upstream.Pool.QueueTimeout = wire.Patience
	g.use(g.setup)
	impatient := wire.Dial(t, g.addr)
	impatient.Send(crlf(get))
	await(t, "the request to wait", func() bool { return g.stats().Endpoints[0].Waiting == 1 })
	impatient.Close()
	if r := g.next(); r.fault != "client_gone" {
		t.Errorf("%+v", r)
	}
	// And one who waits goes on when a connection is lost.
	patient := wire.Dial(t, g.addr)
	patient.Send(crlf(get))
	await(t, "the request to wait", func() bool { return g.stats().Endpoints[0].Waiting == 1 })
	c.Close()
	wait(t, "the first connection to be closed", left)
	wait(t, "the second request", came)
	patient.Close()
	if s := g.endpoint(); s.Waiting != 0 || s.Open != 0 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// A lower limit is kept as soon as connections come back.
func TestLimitLowered(t *testing.T) {
	came, goOn := make(chan struct{}, 8), make(chan struct{})
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		came <- struct{}{}
		<-goOn
		p.Send(wire.OK(""))
		return true
	})
	g := start(t, nil, e.Addr)
	var clients []*wire.Peer
	for range 4 {
		c := wire.Dial(t, g.addr)
		c.Send(crlf(get))
		wait(t, "the request", came)
		clients = append(clients, c)
	}
	g.setup.upstream.Pool.Connections = 1
	g.use(g.setup)
	close(goOn)
	for _, c := range clients {
		c.Answer("GET")
	}
	await(t, "one connection is left", func() bool {
		s := g.endpoint()
		return s.Open == 1 && s.Idle == 1
	})
}

// Whatever clients and endpoints do to each other, every answer that arrives is the one to its request.
func TestNoCrossTalk(t *testing.T) {
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false
		}
		id := m.Get("X-Id")
		body := strings.Repeat(id+",", rand.IntN(3000))
		switch rand.IntN(12) {
		case 0:
			return false
		case 1:
			p.Reset()
			return false
		case 2: // surplus: the beginning of an answer nobody asked for
			p.TrySend("HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Id: surplus\r\nContent-Length: 0\r\n\r\n")
			return true
		case 3: // breaks off
			p.TrySend("HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\nContent-Length: " + strconv.Itoa(len(body)+5) + "\r\n\r\n" + body)
			return false
		case 4: // in parts
			p.TrySend("HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\nTransfer-Encoding: chunked\r\n\r\n")
			if body != "" {
				p.TrySend(fmt.Sprintf("%x\r\n%s\r\n", len(body), body))
			}
			return p.TrySend("0\r\n\r\n") == nil
		case 5: // closes right behind its answer
			p.TrySend("HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
			return false
		}
		return p.TrySend("HTTP/1.1 200 OK\r\nX-Id: "+id+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body) == nil
	})
	g := start(t, func(s *setup) {
		s.upstream.Retry.MaxAttempts = 3
		s.upstream.Budget.PerSecond = 10000
		s.upstream.Pool.Connections, s.upstream.Pool.Idle = 6, 4
	}, e.Addr)
	rounds := 250
	if testing.Short() {
		rounds = 50
	}
	var group sync.WaitGroup
	var whole atomic.Int32
	for worker := range 8 {
		group.Go(func() {
			var c *wire.Peer
			for i := range rounds {
				if c == nil {
					c = wire.Dial(t, g.addr)
				}
				id := fmt.Sprintf("w%di%d", worker, i)
				body := strings.Repeat("b", rand.IntN(2)*rand.IntN(20000))
				method := []string{"GET", "PUT", "POST"}[rand.IntN(3)]
				request := method + " /" + id + " HTTP/1.1\r\nHost: a\r\nX-Id: " + id + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
				abort := rand.IntN(6) == 0
				if abort {
					request = request[:rand.IntN(len(request))+1]
				}
				if c.TrySend(request) != nil {
					c = nil
					continue
				}
				if abort {
					if rand.IntN(2) == 0 {
						time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
					}
					c.Close()
					c = nil
					continue
				}
				m, err := c.TryHead()
				if err == nil {
					err = c.TryBody(m, method)
				}
				if err != nil {
					if m != nil && m.Status() == 200 && m.Get("X-Id") != id {
						t.Errorf("%s got the answer to %s", id, m.Get("X-Id"))
					}
					c.Close()
					c = nil
					continue
				}
				if m.Status() == 200 {
					whole.Add(1)
					if got := strings.Trim(strings.ReplaceAll(string(m.Body), id+",", ""), ","); m.Get("X-Id") != id || got != "" {
						t.Errorf("%s got the answer to %s, %q", id, m.Get("X-Id"), got)
					}
				}
				if m.Get("Connection") == "close" {
					c.Close()
					c = nil
				}
			}
		})
	}
	group.Wait()
	await(t, "all to be over", func() bool { s := g.stats().Endpoints[0]; return s.Active == 0 && s.Waiting == 0 })
	s := g.stats().Endpoints[0]
	if s.Open != int64(s.Idle) || s.Open > 6 || s.Open < 0 {
		t.Errorf("connections are lost or counted twice: %+v", s)
	}
	if int(whole.Load()) < rounds {
		t.Errorf("only %d whole answers", whole.Load())
	}
}

// The endpoint may be a unix socket.
func TestUnixEndpoint(t *testing.T) {
	path := t.TempDir() + "/e.sock"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			host := ""
			for line := range strings.SplitSeq(string(buf[:n]), "\r\n") {
				if value, ok := strings.CutPrefix(line, "Host: "); ok {
					host = value
				}
			}
			fmt.Fprint(conn, wire.OK(host))
		}
	}()
	g := start(t, func(s *setup) { s.upstream.Host.Mode = upstream.HostEndpoint }, "unix:"+path)
	c := wire.Dial(t, g.addr) // one client, whose next request comes only when the connection to the endpoint is back in the pool
	for range 3 {
		if m, r := g.askOn(c, get); string(m.Body) != "localhost" || r.upstream.Endpoint != "unix:"+path {
			t.Errorf("%s %s %+v", m, m.Body, r)
		}
	}
	if s := g.endpoint(); s.Reused != 2 {
		t.Errorf("%+v", s)
	}
}

// Revisions come and go under traffic; no request notices.
func TestReloadUnderTraffic(t *testing.T) {
	a, b := wire.Listen(t, wire.Answering(wire.OK(""))), wire.Listen(t, wire.Answering(wire.OK("")))
	g := start(t, func(s *setup) { s.silent = true }, a.Addr, b.Addr)
	var stop atomic.Bool
	var asked atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			c := wire.Dial(t, g.addr)
			for !stop.Load() {
				c.Send(crlf(get))
				if m := c.Answer("GET"); m.Status() != 200 {
					t.Errorf("%s%s", m, m.Body)
					return
				}
				asked.Add(1)
			}
		})
	}
	both := g.setup.upstream.Endpoints
	for i := range 60 {
		s := *g.setup
		s.upstream.Endpoints = [][]upstream.Endpoint{both, both[:1], both[1:]}[i%3]
		s.upstream.Pool.Idle, s.upstream.Pool.Connections = i%4, i%3*4
		s.upstream.Breaker = nil
		if i%2 == 0 {
			s.upstream.Breaker = &breaker.Settings{MaxActive: 100 + i, Cooldown: time.Second, MaxCooldown: time.Second, Probes: 1, Successes: 1, ProbeTimeout: time.Second}
		}
		if i%5 == 0 {
			s.upstream.Check = &health.Check{Every: time.Hour, Timeout: wire.Patience, TCP: true, Expect: []health.Statuses{{From: 200, To: 299}}}
		}
		if i%7 == 6 {
			s.upstream.Name = "other"
		}
		before := asked.Load()
		g.use(&s)
		await(t, "traffic to go on", func() bool { return asked.Load() > before+4 })
	}
	stop.Store(true)
	group.Wait()
}

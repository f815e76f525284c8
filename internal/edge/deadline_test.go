package edge_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

const short = 60 * time.Millisecond

func TestDeadlines(t *testing.T) {
	f := func(name string, timeouts upstream.Timeouts, route *upstream.Timeouts, word string) {
		t.Run(name, func(t *testing.T) {
			handle, came, left := hang()
			e := wire.Listen(t, handle)
			g := start(t, func(s *setup) {
				s.upstream.Timeouts, s.route.Timeouts, s.upstream.Retry.MaxAttempts = timeouts, route, 1
			}, e.Addr)
			m, r := g.ask("POST /things HTTP/1.1\nHost: a\nContent-Length: 0")
			if m.Status() != 504 || r.fault != word || r.end != exchange.Completed || readProblem(t, m).Code != word {
				t.Errorf("%s, %+v", m.Start, r)
			}
			wait(t, "the request", came)
			wait(t, "the endpoint's connection to be closed", left)
			if s := g.endpoint(); s.Failed != 1 || s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	f("first byte", upstream.Timeouts{FirstByte: short}, nil, "upstream_timeout")
	f("try", upstream.Timeouts{Try: short, FirstByte: wire.Patience}, nil, "upstream_timeout")
	f("exchange", upstream.Timeouts{Exchange: short}, nil, "exchange_timeout")
	f("exchange before try", upstream.Timeouts{Exchange: short, Try: wire.Patience}, nil, "exchange_timeout")
	f("of the route", upstream.Timeouts{FirstByte: wire.Patience}, &upstream.Timeouts{FirstByte: short}, "upstream_timeout")
}

// A try that met its deadline leaves time for another.
func TestTryDeadlineThenRetry(t *testing.T) {
	handle, _, left := hang()
	slow, good := wire.Listen(t, handle), wire.Listen(t, wire.Answering(wire.OK("fine")))
	g := start(t, func(s *setup) { s.upstream.Timeouts.Try = short }, slow.Addr, good.Addr)
	tries := 0
	for range 4 {
		m, r := g.ask(get)
		if m.Status() != 200 {
			t.Fatalf("%s", m)
		}
		tries = max(tries, r.upstream.Tries)
	}
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
	wait(t, "the slow connection to be closed", left)
}

// full listens with a backlog that is full, so that connecting hangs.
func full(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}).String()
	for {
		conn, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestConnectDeadline(t *testing.T) {
	f := func(timeouts upstream.Timeouts, word string) {
		t.Helper()
		g := start(t, func(s *setup) { s.upstream.Timeouts, s.upstream.Retry.MaxAttempts = timeouts, 1 }, full(t))
		if m, r := g.ask(get); m.Status() != 504 || r.fault != word || r.upstream.Tries != 1 {
			t.Errorf("%s, %+v", m.Start, r)
		}
		if s := g.endpoint(); s.Open != 0 || s.Failed != 1 {
			t.Errorf("%+v", s)
		}
	}
	f(upstream.Timeouts{Connect: short}, "connect_timeout")
	f(upstream.Timeouts{Connect: wire.Patience, Exchange: short}, "exchange_timeout")
}

func TestAnswerStalls(t *testing.T) {
	f := func(name string, timeouts upstream.Timeouts) {
		t.Run(name, func(t *testing.T) {
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
				p.Gone()
				return false
			})
			g := start(t, func(s *setup) { s.upstream.Timeouts = timeouts }, e.Addr)
			c := wire.Dial(t, g.addr)
			c.Send(crlf(get))
			m := c.Head()
			if err := c.TryBody(m, "GET"); err == nil || string(m.Body) != "12345" {
				t.Errorf("%q, %v", m.Body, err)
			}
			if r := g.next(); r.fault != "upstream_timeout" || r.end != exchange.UpstreamBroke {
				t.Errorf("%+v", r)
			}
			if s := g.endpoint(); s.Failed != 1 || s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	f("idle", upstream.Timeouts{Idle: short})
	f("exchange", upstream.Timeouts{Exchange: 2 * short})
}

// What a client no longer waits for is not worked on any longer than it takes to notice.
func TestClientGone(t *testing.T) {
	handle, came, left := hang()
	e := wire.Listen(t, handle)
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send(crlf(get))
	wait(t, "the request", came)
	at := time.Now()
	c.Close()
	wait(t, "the endpoint's connection to be closed", left)
	if took := time.Since(at); took > 5*time.Second { // the tick is 250 ms; the rest is for a busy box
		t.Errorf("took %v", took)
	}
	if r := g.next(); r.end != exchange.ClientGone || r.fault != "client_gone" || r.status != 0 || r.upstream.Tries != 1 {
		t.Errorf("%+v", r)
	}
	if s := g.endpoint(); s.Failed != 0 || s.Open != 0 {
		t.Errorf("held against the endpoint: %+v", s)
	}
}

func TestClientGoneInTheBody(t *testing.T) {
	left := make(chan struct{}, 1)
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
		p.Gone()
		left <- struct{}{}
		return false
	})
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send(crlf(get))
	c.Head()
	c.Bytes(5)
	c.Close()
	wait(t, "the endpoint's connection to be closed", left)
	if r := g.next(); r.end != exchange.ClientGone || r.fault != "client_gone" || r.status != 200 {
		t.Errorf("%+v", r)
	}
	if s := g.endpoint(); s.Failed != 0 {
		t.Errorf("held against the endpoint: %+v", s)
	}
}

// A client that leaves in the middle of its own body.
func TestClientGoneInItsBody(t *testing.T) {
	left := make(chan struct{}, 1)
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Bytes(5)
		p.Gone()
		left <- struct{}{}
		return false
	})
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "12345")
	await(t, "the request to be under way", func() bool { return g.stats().Endpoints[0].Active == 1 })
	c.Close()
	wait(t, "the endpoint's connection to be closed", left)
	if r := g.next(); r.end != exchange.ClientGone || r.fault != "client_gone" || r.status != 0 {
		t.Errorf("%+v", r)
	}
	if s := g.endpoint(); s.Failed != 0 || s.Open != 0 {
		t.Errorf("held against the endpoint: %+v", s)
	}
}

// The time to the first byte begins when the request is sent, however long its body takes.
func TestFirstByteAfterSlowBody(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	g := start(t, func(s *setup) { s.upstream.Timeouts = upstream.Timeouts{FirstByte: 400 * time.Millisecond} }, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "1234")
	for range 6 {
		time.Sleep(100 * time.Millisecond) // what is tested is that this much time does not matter
		c.Send("x")
	}
	if m := c.Answer("POST"); m.Status() != 200 {
		t.Errorf("%s", m)
	}
}

// An endpoint that refuses a body before it has all of it is heard, and its connection not used again.
func TestEarlyAnswer(t *testing.T) {
	for _, status := range []string{"413 Too Large", "503 Busy"} {
		e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			p.Bytes(5)
			p.Send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nno")
			p.Gone()
			return false
		})
		g := start(t, func(s *setup) { s.upstream.Retry.Statuses = []int{503}; s.upstream.Retry.NonIdempotent = true }, e.Addr)
		c := wire.Dial(t, g.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "12345")
		m := c.Answer("POST")
		r := g.next()
		if m.Start != "HTTP/1.1 "+status && !strings.HasPrefix(m.Start, "HTTP/1.1 "+status[:3]) || string(m.Body) != "no" || r.keepAlive || r.end != exchange.Completed || r.fault != "" {
			t.Errorf("%s %q, %+v", m.Start, m.Body, r)
		}
		if status[:3] == "503" && (r.upstream.Why != "body" || r.upstream.Tries != 1) {
			t.Errorf("%+v", r)
		}
		if s := g.endpoint(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
		c.Gone()
	}
}

func TestContinue(t *testing.T) {
	const head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	f := func(name string, handle wire.Handle, status int, goesOn bool) {
		t.Run(name, func(t *testing.T) {
			e := wire.Listen(t, handle)
			g := start(t, nil, e.Addr)
			c := wire.Dial(t, g.addr)
			c.Send(head)
			m := c.Head()
			if goesOn {
				if m.Status() != 100 {
					t.Fatalf("%s", m)
				}
				c.Send("clay")
				m = c.Head()
			}
			c.Body(m, "PUT")
			if r := g.next(); m.Status() != status || r.fault != "" || !goesOn && r.keepAlive {
				t.Errorf("%s, %+v", m.Start, r)
			}
		})
	}
	f("the endpoint says so", func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 100 Continue\r\n\r\n")
		p.Body(m, "")
		p.Send(wire.OK(""))
		return true
	}, 200, true)
	f("the endpoint knows no 100", wire.Answering(wire.OK("")), 200, true)
	f("the endpoint refuses", func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n")
		p.Gone()
		return false
	}, 401, false)
	var seen atomic.Int32
	f("the endpoint refuses one try", func(p *wire.Peer, m *wire.Message) bool {
		if seen.Add(1) == 1 {
			p.Reset()
			return false
		}
		p.Send("HTTP/1.1 100 Continue\r\n\r\n")
		p.Body(m, "")
		p.Send(wire.OK(""))
		return true
	}, 200, true)
}

func TestTunnel(t *testing.T) {
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Get("Upgrade") != "echo" {
			p.Send(wire.OK("plain"))
			return true
		}
		p.Send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
		p.Send(p.Bytes(5))
		p.Ended()
		return false
	})
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	if m := c.Head(); m.Status() != 101 || m.Get("Upgrade") != "echo" {
		t.Fatalf("%s", m)
	}
	c.Send("world")
	if got := c.Bytes(11); got != "hello world" {
		t.Errorf("%q", got)
	}
	if s := g.stats().Endpoints[0]; s.Active != 1 || s.Open != 1 {
		t.Errorf("while it stands: %+v", s)
	}
	c.Close()
	r := g.next()
	if r.end != exchange.Tunnelled || r.status != 101 || r.fault != "" {
		t.Errorf("%+v", r)
	}
	if s := g.endpoint(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
	if _, r := g.ask(get); r.upstream.Opened != "tunnel" {
		t.Errorf("%+v", r)
	}
}

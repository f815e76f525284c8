package edge_test

import (
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// A client that leaves in its body, when the endpoint has begun to answer, is not the endpoint's failure: else any client could have
// endpoints ejected.
func TestClientGoneAfterEarlyAnswer(t *testing.T) {
	for _, framing := range []string{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 10\r\n\r\nhello", "\r\nhello"} {
		e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			p.Bytes(5)
			p.Send("HTTP/1.1 200 OK\r\n" + framing)
			p.Gone()
			return false
		})
		g := start(t, nil, e.Addr)
		c := wire.Dial(t, g.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "12345")
		if m := c.Head(); m.Status() != 200 {
			t.Fatalf("%s", m)
		}
		c.CloseWrite() // the body is cut short; the answer could still be read
		if r := g.next(); r.end != exchange.ClientGone || r.fault != "client_gone" {
			t.Errorf("%q: %+v", framing, r)
		}
		c.Close()
		if s := g.endpoint(); s.Failed != 0 || s.Open != 0 {
			t.Errorf("%q: held against the endpoint: %+v", framing, s)
		}
	}
}

// A client that reads slowly until the time is over is not the endpoint's failure either.
func TestExchangeTimeoutOfSlowReader(t *testing.T) {
	large := "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n" + strings.Repeat("x", 16<<20) // at hand: it is the client that is slow
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.TrySend(large)
		return false
	})
	const allowed = 300 * time.Millisecond
	g := start(t, func(s *setup) { s.upstream.Timeouts.Exchange = allowed }, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send(crlf(get))
	m := c.Head()
	time.Sleep(2 * allowed) // what is tested is what happens when this is over
	if err := c.TryBody(m, "GET"); err == nil {
		t.Error("the whole answer came")
	}
	if r := g.next(); r.fault != "exchange_timeout" {
		t.Errorf("%+v", r)
	}
	if s := g.endpoint(); s.Failed != 0 || s.Open != 0 {
		t.Errorf("held against the endpoint: %+v", s)
	}
}

// The time to the first byte begins when the request is sent, however long it waited for a connection.
func TestFirstByteAfterQueue(t *testing.T) {
	const wait = 200 * time.Millisecond
	release := make(chan struct{})
	came := make(chan struct{}, 1)
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() == "/hold" {
			came <- struct{}{}
			<-release
		} else {
			time.Sleep(wait / 2)
		}
		p.Send(wire.OK("fine"))
		return true
	})
	g := start(t, func(s *setup) {
		s.upstream.Pool.Connections, s.upstream.Retry.MaxAttempts = 1, 1
	}, e.Addr)
	holder := wire.Dial(t, g.addr)
	holder.Send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
	<-came
	g.setup.upstream.Timeouts = upstream.Timeouts{FirstByte: wait}
	g.use(g.setup)
	c := wire.Dial(t, g.addr)
	c.Send(crlf(get))
	await(t, "the request to wait", func() bool { return g.stats().Endpoints[0].Waiting == 1 })
	time.Sleep(wait) // what is tested is that this time does not matter
	close(release)
	if m := c.Answer("GET"); m.Status() != 200 {
		t.Errorf("%s", m)
	}
	holder.Answer("GET")
}

// What follows an answer is not read as the next one, however large the answer was and however soon the connection is wanted again.
func TestSurplusBehindLargeAnswer(t *testing.T) {
	for _, size := range []int{100, 5000, 40_000, 300_000} {
		e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			p.TrySend(wire.OK(strings.Repeat("x", size)) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake")
			return true
		})
		g := start(t, nil, e.Addr)
		c := wire.Dial(t, g.addr)
		for range 50 {
			c.Send(crlf(get), crlf(get)) // the second is served as soon as the first is
			for range 2 {
				if m := c.Answer("GET"); m.Status() != 200 || len(m.Body) != size {
					t.Fatalf("%d: got %s with %d bytes", size, m.Start, len(m.Body))
				}
			}
		}
	}
}

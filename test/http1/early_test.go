package http1

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// An endpoint may answer before it has the whole body. The client gets that answer while it still sends, and since nobody knows
// where the next request would begin, it is the last one.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		switch m.Target() {
		case "/at-once":
			p.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			p.Gone()
		case "/closes":
			p.Send("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
		case "/later":
			p.Bytes(100_000)
			p.Send("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nn\r\n1\r\no\r\n0\r\n\r\n")
			p.Gone()
		case "/fine":
			p.Body(m, "")
			p.Send(wire.OK("fine"))
			return true
		}
		return false
	}, "")
	for _, path := range []string{"/at-once", "/closes", "/later"} {
		for _, test := range []struct{ name, head, piece string }{
			{"length", "Content-Length: 50000000\r\n", strings.Repeat("x", 50_000)},
			{"chunked", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n", 50_000, strings.Repeat("x", 50_000))},
		} {
			t.Run(path[1:]+" "+test.name, func(t *testing.T) {
				c := wire.Dial(t, addr)
				c.Send("POST " + path + " HTTP/1.1\r\nHost: a\r\n" + test.head + "\r\n")
				stop, stopped := make(chan bool), make(chan bool)
				go func() { // goes on sending until it has seen the answer, as clients do
					defer close(stopped)
					for range 900 {
						select {
						case <-stop:
							return
						default:
							if c.TrySend(test.piece) != nil {
								return
							}
						}
					}
				}()
				m := c.Answer("POST")
				close(stop)
				<-stopped
				if m.Status() != 403 || string(m.Body) != "no" || m.Get("Connection") != "close" {
					t.Errorf("%s%q", m, m.Body)
				}
			})
		}
	}
	c := wire.Dial(t, addr)
	c.Send("POST /fine HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
	c.Answer("POST")
}

// When the endpoint is done early but the client is slow with a little that is left, the client still gets a whole answer.
func TestEarlyAnswerToASlowClient(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Bytes(5)
		p.Send(wire.OK("enough"))
		p.Gone()
		return false
	}, "")
	c := wire.Dial(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
	m := c.Answer("POST")
	if string(m.Body) != "enough" {
		t.Fatalf("%s%q", m, m.Body)
	}
	if m.Get("Connection") == "close" {
		c.Ended()
	}
}

// A body that breaks off on its way must not reach the endpoint as a whole one.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	var begun, ended, whole atomic.Int64
	addr, g := frontSeen(t, func(p *wire.Peer, m *wire.Message) bool {
		begun.Add(1)
		defer ended.Add(1)
		if p.TryBody(m, "") == nil {
			whole.Add(1)
		}
		return false
	}, "")
	for _, test := range []struct{ head, body string }{
		{"Content-Length: 300000\r\n", strings.Repeat("x", 200_000)},
		{"Content-Length: 10\r\n", "abc"},
		{"Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n"},
		{"Transfer-Encoding: chunked\r\n", "5\r\nabc"},
		{"Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n0\r\n"},
		{"Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\nxyz\r\n"},
		{"Transfer-Encoding: chunked\r\n", "5\r\nabcdefgh\r\n"},
	} {
		for how, end := range map[string]func(*wire.Peer){"half": (*wire.Peer).CloseWrite, "close": (*wire.Peer).Close, "reset": (*wire.Peer).Reset} {
			c := wire.Dial(t, addr)
			c.Send("POST / HTTP/1.1\r\nHost: a\r\n"+test.head+"\r\n", test.body)
			end(c)
			if how == "half" {
				if got := c.Gone(); strings.Contains(got, " 200 ") {
					t.Errorf("%q %.40q: answered %q", test.head, test.body, got)
				}
				c.Close()
			}
			gateway.Await(t, "the gateway and the endpoint to be done with it", func() bool {
				return g.Number("straum_listener_connections") == 0 && begun.Load() == ended.Load()
			})
			if n := whole.Swap(0); n != 0 {
				t.Errorf("%q %.40q, %s: the endpoint got a whole body", test.head, test.body, how)
			}
		}
	}
	if begun.Load() == 0 {
		t.Error("the endpoint saw none of them, so this shows nothing")
	}
}

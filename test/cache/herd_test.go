package cache

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// herd is an endpoint that holds its first answer back, and clients that ask for the same meanwhile.
type herd struct {
	*front
	asked   atomic.Int64
	arrived chan struct{} // the first request is there
	release chan struct{} // closed: the answer may leave
	more    chan struct{} // closed: so may the rest of it
	clients []*wire.Peer  // the first is the one whose request reached the endpoint
}

// gather has n clients wait for one answer. head is that answer's, body is sent in two halves.
func gather(t *testing.T, n int, head, body string) *herd {
	t.Helper()
	h := &herd{arrived: make(chan struct{}, n), release: make(chan struct{}), more: make(chan struct{})}
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false
		}
		h.asked.Add(1)
		h.arrived <- struct{}{}
		<-h.release
		if p.TrySend(head+body[:len(body)/2]) != nil {
			return false
		}
		<-h.more
		return p.TrySend(body[len(body)/2:]) == nil
	})
	t.Cleanup(func() { h.let(h.release); h.let(h.more) })
	h.front = open(t, setting{endpoint: endpoint.Addr, policy: "cache: { wait: 60s }", upstream: "pool: { connections: 2000 }"})
	ask := "GET /cold HTTP/1.1\r\nHost: " + h.plain + "\r\n\r\n"
	for i := range n {
		c := wire.Dial(t, h.plain)
		h.clients = append(h.clients, c)
		c.Send(ask)
		if i == 0 {
			<-h.arrived
		}
	}
	gateway.Await(t, "all clients wait", func() bool { return h.Goroutines() >= n })
	return h
}

// let closes a gate once.
func (h *herd) let(gate chan struct{}) {
	select {
	case <-gate:
	default:
		close(gate)
	}
}

// TestHerd has 500 clients ask for what nobody has asked for before: the endpoint is asked once, and all get what it says.
func TestHerd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		size int
		head string // without the length
	}{
		{"short", 1 << 10, "Cache-Control: max-age=60\r\n"},
		{"long", 1 << 18, "Cache-Control: max-age=60\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			clients := 500
			if gateway.Race {
				clients = 100
			}
			body := string(content(1, test.size))
			h := gather(t, clients, fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n", test.head, len(body)), body)
			h.let(h.release)
			if test.size > 1<<10 { // half of it is there for all before the endpoint has sent the rest
				for _, c := range h.clients {
					m := c.Head()
					if got := c.Bytes(len(body) / 4); m.Status() != http.StatusOK || got != body[:len(body)/4] {
						t.Fatalf("%s", m)
					}
				}
				h.let(h.more)
				for _, c := range h.clients {
					if got := c.Bytes(len(body) - len(body)/4); got != body[len(body)/4:] {
						t.Fatal("the rest is another")
					}
				}
			} else {
				h.let(h.more)
				for _, c := range h.clients {
					if m := c.Answer("GET"); m.Status() != http.StatusOK || string(m.Body) != body {
						t.Fatalf("%s%.200s", m, m.Body)
					}
				}
			}
			if n := h.asked.Load(); n != 1 {
				t.Errorf("the endpoint was asked %d times for one answer", n)
			}
		})
	}
}

// TestHerdLeftByItsLeader: the client whose request reached the endpoint goes away; nobody else notices.
func TestHerdLeftByItsLeader(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			t.Parallel()
			body := string(content(1, 1<<18))
			h := gather(t, 50, fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n", len(body)), body)
			if late { // in the middle of the content
				h.let(h.release)
				h.clients[0].Head()
				h.clients[0].Bytes(len(body) / 4)
			}
			h.clients[0].Reset()
			h.let(h.release)
			h.let(h.more)
			for _, c := range h.clients[1:] {
				if m := c.Answer("GET"); m.Status() != http.StatusOK || string(m.Body) != body {
					t.Fatalf("%s%.200s", m, m.Body)
				}
			}
			if n := h.asked.Load(); n != 1 {
				t.Errorf("the endpoint was asked %d times for one answer", n)
			}
		})
	}
}

// TestHerdOnePrivate: the answer turns out to be for one alone. Nobody else gets it, and nobody waits for the one before him.
func TestHerdOnePrivate(t *testing.T) {
	t.Parallel()
	const clients = 50
	body := string(content(1, 1<<10))
	h := gather(t, clients, fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: private, max-age=60\r\nContent-Length: %d\r\n\r\n", len(body)), body)
	h.let(h.release)
	for range clients - 1 { // all others ask for themselves, at the same time: none of them has an answer yet
		<-h.arrived
	}
	h.let(h.more)
	for _, c := range h.clients {
		m := c.Answer("GET")
		if m.Status() != http.StatusOK || string(m.Body) != body || strings.Contains(m.Get("Cache-Status"), "hit") {
			t.Fatalf("%s%.200s", m, m.Body)
		}
	}
	if n := h.asked.Load(); n != clients {
		t.Errorf("the endpoint was asked %d times by %d clients for what is private", n, clients)
	}
}

// TestHerdOfFaults: the endpoint breaks off before its head; all get the same fault from one request and what the route lets it be tried again.
func TestHerdOfFaults(t *testing.T) {
	t.Parallel()
	const clients = 50
	h := gather(t, clients, "nonsense\r\n\r\n", "")
	h.let(h.release)
	h.let(h.more)
	for _, c := range h.clients {
		if m := c.Answer("GET"); m.Status() != http.StatusBadGateway {
			t.Fatalf("%s%.200s", m, m.Body)
		}
	}
	if n := h.asked.Load(); n > 5 {
		t.Errorf("the endpoint was asked %d times while it was ill", n)
	}
}

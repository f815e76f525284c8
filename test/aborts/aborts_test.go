// Package aborts proves from outside that clients who go away, at whatever moment, leave nothing behind.
package aborts

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// endpoint waits below /wait until its client is gone, sends without an end below /endless, echoes WebSocket-like upgrades, and
// answers all else once it has read it.
type endpoint struct {
	addr               string
	waiting, cancelled atomic.Int64
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			c, in, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, in)
		case strings.HasPrefix(r.URL.Path, "/wait"):
			e.waiting.Add(1)
			<-r.Context().Done()
			e.cancelled.Add(1)
		case strings.HasPrefix(r.URL.Path, "/endless"):
			for buf := make([]byte, 32<<10); ; {
				if _, err := w.Write(buf); err != nil {
					return
				}
			}
		default:
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				fmt.Fprint(w, "hello")
			}
		}
	}))
	t.Cleanup(s.Close)
	e.addr = s.Listener.Addr().String()
	return e
}

// phases are the moments at which a client can go, by how it gets there.
var phases = []struct {
	name string
	run  func(c net.Conn)
}{
	{"before a byte", func(net.Conn) {}},
	{"in the request line", func(c net.Conn) { io.WriteString(c, "GET /ha") }},
	{"in the head", func(c net.Conn) { io.WriteString(c, "GET /half HTTP/1.1\r\nHost: local") }},
	{"behind the head", func(c net.Conn) { io.WriteString(c, traffic.Get("/")) }},
	{"before the body", func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
	}},
	{"in the body", func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 50000))
	}},
	{"in a chunk", func(c net.Conn) {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc")
	}},
	{"while the endpoint thinks", func(c net.Conn) {
		io.WriteString(c, traffic.Get("/wait"))
		time.Sleep(2 * time.Millisecond)
	}},
	{"while the answer comes", func(c net.Conn) {
		io.WriteString(c, traffic.Get("/endless"))
		io.ReadFull(c, make([]byte, 100_000))
	}},
	{"after the answer", func(c net.Conn) {
		io.WriteString(c, traffic.Get("/"))
		http.ReadResponse(bufio.NewReader(c), nil)
	}},
	{"with a second request behind", func(c net.Conn) { io.WriteString(c, traffic.Get("/")+traffic.Get("/wait")) }},
	{"in a tunnel", func(c net.Conn) {
		io.WriteString(c, "GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		http.ReadResponse(bufio.NewReader(c), nil)
		io.WriteString(c, "half a message")
	}},
}

// TestEveryPhase aborts 5,000 times, at every moment, by closing and by resetting: nothing is left behind, and good requests are
// served all the while.
func TestEveryPhase(t *testing.T) {
	aborts := 5000
	if testing.Short() || gateway.Race {
		aborts = 1200
	}
	e, listen := newEndpoint(t), gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.addr}, "    breaker: { consecutive_errors: 3, min_requests: 5 }"))
	good := traffic.Start(traffic.Plan{Addr: listen, Conns: 2, Pause: time.Millisecond})
	defer good.Stop()
	gateway.Await(t, "good requests", func() bool { return good.Requests() > 100 })
	goroutines, descriptors := g.Goroutines(), g.Descriptors()

	var work sync.WaitGroup
	next := atomic.Int64{}
	for range 16 {
		work.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= aborts {
					return
				}
				c, err := net.Dial("tcp", listen)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(gateway.Patience))
				if n/len(phases)%2 == 0 {
					c.(*net.TCPConn).SetLinger(0)
				}
				phases[n%len(phases)].run(c)
				c.Close()
			}
		})
	}
	work.Wait()
	gateway.Await(t, "the endpoint's requests are cancelled", func() bool { return e.cancelled.Load() == e.waiting.Load() })
	if e.waiting.Load() < int64(aborts)/int64(len(phases))/4 {
		t.Errorf("only %d requests got as far as the endpoint", e.waiting.Load())
	}
	gateway.Await(t, "connections are gone", func() bool { return g.Number("straum_listener_connections") == 2 })
	gateway.Await(t, "nothing is under way but the good", func() bool { return g.Number("straum_endpoint_active_requests") <= 2 })
	r := good.Stop()
	if r.Failed > 0 {
		t.Errorf("%d of %d good requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
	var idle, goroutinesLate, descriptorsLate int
	gateway.Await(t, "goroutines and descriptors are what they were", func() bool {
		idle = int(g.Number("straum_endpoint_idle_connections")) // kept on purpose
		goroutinesLate, descriptorsLate = g.Goroutines(), g.Descriptors()
		t.Logf("%d idle connections; goroutines %d, then %d; descriptors %d, then %d", idle, goroutines, goroutinesLate, descriptors, descriptorsLate)
		return goroutinesLate <= goroutines+10 && descriptorsLate <= descriptors+idle+20
	})
	n := g.Numbers()
	if opened := n.Sum("straum_upstream_breaker_state", `state="open"`); opened != 0 {
		t.Error("clients that went away opened the breaker")
	}
	if n.Sum("straum_endpoint_ejected") != 0 {
		t.Error("clients that went away had the endpoint set aside")
	}
	if n.Sum("straum_unfinished_total", `end="client_gone"`) == 0 {
		t.Error("nothing tells of the clients that went away")
	}
}

// TestCancelled waits for the endpoint to see that a client is gone, in both ways of going.
func TestCancelled(t *testing.T) {
	for _, linger := range []int{-1, 0} {
		e, listen := newEndpoint(t), gateway.Free(t)
		g := gateway.Start(t, gateway.Simple(listen, []string{e.addr}, ""))
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		c.(*net.TCPConn).SetLinger(linger)
		io.WriteString(c, traffic.Get("/wait"))
		gateway.Await(t, "the request is at the endpoint", func() bool { return e.waiting.Load() == 1 })
		c.Close()
		gateway.Await(t, "the endpoint's request is cancelled", func() bool { return e.cancelled.Load() == 1 })
		l := g.AwaitAccess("of the client that went", func(l gateway.Line) bool { return l.Text("path") == "/wait" })
		if l.Text("end") != "client_gone" || l.Text("fault") != "client_gone" {
			t.Errorf("got the line %v, want the end client_gone", l)
		}
	}
}

// Package drain proves from outside that stopping loses nothing within the time given for it, and ends when it is over.
package drain

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// held is an endpoint whose answers below /held wait until they are let go, and which takes WebSockets it says nothing on.
type held struct {
	addr    string
	arrived chan struct{} // one for each request that is held
	letGo   chan struct{} // closed: they are answered
}

func endpoint(t *testing.T) *held {
	h := &held{arrived: make(chan struct{}, 100), letGo: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			c.Read(context.Background()) // until the tunnel ends
		case strings.HasPrefix(r.URL.Path, "/held"):
			h.arrived <- struct{}{}
			select {
			case <-h.letGo:
				fmt.Fprint(w, "at last")
			case <-r.Context().Done():
			}
		default:
			fmt.Fprint(w, "hello")
		}
	}))
	t.Cleanup(s.Close)
	h.addr = s.Listener.Addr().String()
	return h
}

func config(listen string, h *held, drain string) string {
	return gateway.Simple(listen, []string{h.addr}, "") + "shutdown: { drain: " + drain + " }\n"
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(gateway.Patience))
	return c, bufio.NewReader(c)
}

// TestUnderLoad stops the gateway while clients send without a pause: every request is answered, the last ones of connections with
// Connection: close.
func TestUnderLoad(t *testing.T) {
	for range 3 {
		listen, h := gateway.Free(t), endpoint(t)
		g := gateway.Start(t, config(listen, h, "20s"))
		load := traffic.Start(traffic.Plan{Addr: listen, Conns: 32, UntilRefused: true})
		gateway.Await(t, "load", func() bool { return load.Requests() > 2000 })
		if code := g.Stop(); code != 0 {
			t.Errorf("got the exit code %d, want 0", code)
		}
		r := load.Wait()
		if r.Failed > 0 {
			t.Errorf("%d of %d requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
		}
		if r.Closing == 0 {
			t.Error("no answer said Connection: close")
		}
	}
}

// TestShortPauses is TestUnderLoad with clients that think for a moment between two requests, as they do.
func TestShortPauses(t *testing.T) {
	listen, h := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, config(listen, h, "20s"))
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 64, Pause: 20 * time.Millisecond, UntilRefused: true})
	gateway.Await(t, "load", func() bool { return load.Requests() > 1000 })
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if r := load.Wait(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// TestLongRequest holds a request under way while the gateway stops: monitors are told at once, and the request is answered.
func TestLongRequest(t *testing.T) {
	listen, h := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, config(listen, h, "30s"))
	c, in := dial(t, listen)
	fmt.Fprint(c, traffic.Get("/held"))
	<-h.arrived
	g.Signal(syscall.SIGTERM)
	gateway.Await(t, "readiness is off", func() bool { return g.Readyz() == http.StatusServiceUnavailable })
	gateway.Await(t, "no connection is taken", func() bool {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if !g.Running() {
		t.Fatal("the gateway has ended with a request under way")
	}
	close(h.letGo)
	r, body, err := traffic.Answer(in, traffic.Get("/held"))
	if err != nil || body != "at last" || !r.Close {
		t.Errorf("got %v %q %v, want the answer with Connection: close", r, body, err)
	}
	if code := g.Wait(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if g.Logged("connections were cut") {
		t.Error("the log tells of connections that were cut")
	}
}

// TestDeadline lets the time to drain run out: tunnels and requests are cut, told in the log, and the exit is a good one.
func TestDeadline(t *testing.T) {
	listen, h := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, config(listen, h, "500ms"))
	ctx, cancel := context.WithTimeout(context.Background(), gateway.Patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+listen+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	c, in := dial(t, listen)
	fmt.Fprint(c, traffic.Get("/held"))
	<-h.arrived
	g.Signal(syscall.SIGTERM)
	if _, _, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the tunnel was not cut: %v", err)
	}
	if r, _, err := traffic.Answer(in, ""); err == nil && r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %v, want no answer or 503", r)
	}
	if code := g.Wait(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if !g.Logged(`"connections":2`) {
		t.Error("the log does not tell of two connections that were cut")
	}
	lines := map[string]int{}
	for _, l := range g.Access() {
		lines[l.Text("path")]++
	}
	if lines["/"] != 1 || lines["/held"] != 1 {
		t.Errorf("got the lines %v in the access log, want one of the tunnel and one of the request", lines)
	}
}

// TestSecondSignal ends the gateway at once.
func TestSecondSignal(t *testing.T) {
	listen, h := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, config(listen, h, "1h"))
	c, _ := dial(t, listen)
	fmt.Fprint(c, traffic.Get("/held"))
	<-h.arrived
	g.Signal(syscall.SIGTERM)
	gateway.Await(t, "readiness is off", func() bool { return g.Readyz() == http.StatusServiceUnavailable })
	g.Signal(syscall.SIGINT)
	if code := g.Wait(); code != 1 {
		t.Errorf("got the exit code %d, want 1", code)
	}
}

// TestIdle stops a gateway with idle connections: they do not hold it up.
func TestIdle(t *testing.T) {
	listen, h := gateway.Free(t), endpoint(t)
	g := gateway.Start(t, config(listen, h, "1h"))
	for range 20 {
		c, in := dial(t, listen)
		if r, _, err := traffic.Exchange(c, in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
			t.Fatal(r, err)
		}
		dial(t, listen) // one that has said nothing yet
	}
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
}

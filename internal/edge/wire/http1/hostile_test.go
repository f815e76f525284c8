package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/test/hostile"
)

// lone is a handler that answers every request itself, and notes each with what would have gone to an endpoint.
type lone struct {
	mu   sync.Mutex
	seen []string
	sent []string
}

func (l *lone) Serve(c exchange.Codec, x *exchange.Exchange) {
	f := c.Decode(x)
	var text []byte
	if f == nil {
		text, f = l.read(c, x)
	}
	if f != nil {
		x.Fail(f)
		if f.Kind.Status != 0 {
			x.Respond(f.Kind.Status, "text/plain", []byte(f.Told()))
		}
	} else {
		l.note(x, text)
		x.Respond(200, "text/plain", []byte("ok\n"))
	}
	c.Encode(x)
}

func (l *lone) read(c exchange.Codec, x *exchange.Exchange) (text []byte, f *fault.Fault) {
	if x.Request.Continue {
		if f := c.Interim(x, 100, nil); f != nil {
			return nil, f
		}
	}
	if x.Request.Body == nil {
		return nil, nil
	}
	for {
		run, err := x.Request.Body.Next()
		if err == io.EOF {
			return text, nil
		}
		if err != nil {
			return nil, err.(*fault.Fault)
		}
		text = append(text, run...)
	}
}

func (l *lone) note(x *exchange.Exchange, text []byte) {
	sent := appendRequest(nil, x, &exchange.Outgoing{Path: x.Request.Path, Host: "up"}, false)
	w := writer{out: append(make([]byte, 0, len(sent)+len(text)+1000), sent...)}
	how := byLength
	if x.Request.Length == exchange.Unknown {
		how = byChunks
	}
	if len(text) > 0 {
		w.gather(text, how)
	}
	w.finish(how, &x.Request.Trailer, &x.Request)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, x.Request.Method+" "+x.Request.Path)
	l.sent = append(l.sent, string(w.out))
}

func (l *lone) take() (seen, sent []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen, sent = l.seen, l.sent
	l.seen, l.sent = nil, nil
	return seen, sent
}

// open is a gate that nothing closes.
type open struct{}

func (open) Crowded() bool  { return false }
func (open) Draining() bool { return false }

// serve runs sessions on a port of the loopback interface until the test ends, and returns the address.
func serve(t *testing.T, set *Settings, handler exchange.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				conn, err := socket.New(nc)
				if err != nil {
					t.Error(err)
					return
				}
				s := Open(conn, &exchange.Conn{Peer: conn.Peer(), Local: conn.Local()}, open{}, set, handler, nil)
				for s.Serve() {
				}
				s.Close()
			})
		}
	})
	t.Cleanup(func() { listener.Close(); group.Wait() })
	return listener.Addr().String()
}

func ordinary() *Settings {
	return &Settings{Limits: *roomy(), Timeouts: Timeouts{Header: 10 * time.Second, Progress: 10 * time.Second}}
}

func TestHostileRequests(t *testing.T) {
	cases, err := hostile.Cases()
	if err != nil {
		t.Fatal(err)
	}
	handler := new(lone)
	addr := serve(t, ordinary(), handler)
	for _, c := range cases {
		if c.Path {
			continue // decided in step 3
		}
		if err := hostile.Send(addr, &c); err != nil {
			t.Errorf("requests.txt:%d: %s: %v; %s", c.Line, c.Name, err, c.Reason)
		}
		seen, sent := handler.take()
		if fault := amiss(&c, seen, sent); fault != "" {
			t.Errorf("requests.txt:%d: %s: %s; %s", c.Line, c.Name, fault, c.Reason)
		}
	}
}

// amiss says what is wrong with the requests that got through and with what would have been sent for them.
func amiss(c *hostile.Case, seen, sent []string) string {
	if c.Cut && len(seen) > 0 {
		return "got through though it was broken off"
	}
	for i, line := range seen {
		if strings.Contains(line, "/smuggled") {
			return line + " got through"
		}
		in := bufio.NewReader(strings.NewReader(sent[i]))
		if got, err := hostile.ReadStrict(in); err != nil || got != line {
			return fmt.Sprintf("sent as %q, read as %q, %v", sent[i], got, err)
		}
		if left, _ := io.ReadAll(in); len(left) > 0 {
			return fmt.Sprintf("sent with %q behind it", left)
		}
	}
	return ""
}

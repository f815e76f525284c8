// Package slow proves from outside that clients who take their time cost little, and those who abuse it are let go.
package slow

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

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

// endpoint counts the bytes of bodies it reads to their end or not, and sends as many as the query asks for.
func endpoint(t *testing.T, read *atomic.Int64) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, io.TeeReader(r.Body, counter{read}))
		if err != nil {
			return
		}
		var size int64
		fmt.Sscan(r.URL.Query().Get("size"), &size)
		if size == 0 {
			fmt.Fprintf(w, "%d bytes", n)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.CopyN(w, zeros{}, size)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func config(listen, endpoint, timeouts string) string {
	return strings.Replace(gateway.Simple(listen, []string{endpoint}, ""), "    name: main\n",
		"    name: main\n    timeouts: { "+timeouts+" }\n", 1)
}

// TestSlowHeads drips request heads over thousands of connections: each is answered 408 and closed, good clients are served
// meanwhile, and what they cost is bounded.
func TestSlowHeads(t *testing.T) {
	conns := 3000
	if testing.Short() || gateway.Race {
		conns = 500
	}
	var read atomic.Int64
	listen := gateway.Free(t)
	g := gateway.Start(t, config(listen, endpoint(t, &read), "header: 3s"))
	before, _ := g.Memory()
	slow := make([]net.Conn, conns)
	for i := range slow {
		slow[i], _ = dial(t, listen)
		fmt.Fprintf(slow[i], "GET /slow/%d HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", i)
	}
	gateway.Await(t, "all are held", func() bool { return g.Number("straum_listener_connections") >= float64(conns) })
	stop := make(chan struct{})
	go func() { // a few bytes every now and then, as slowloris does
		for {
			for _, c := range slow {
				select {
				case <-stop:
					return
				default:
					io.WriteString(c, "a") // it may be closed
				}
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	for range 20 {
		if r, _, err := traffic.Once(listen, traffic.Get("/good")); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("got %v %v beside slow clients", r, err)
		}
	}
	now, _ := g.Memory()
	if cost := (now - before) / int64(conns); !gateway.Race && cost > 20<<10 {
		t.Errorf("a slow head costs %d bytes, want 20 KiB at most", cost)
	} else {
		t.Logf("a slow head costs %d bytes", cost)
	}
	for i, c := range slow {
		r, _, err := traffic.Answer(bufio.NewReader(c), "")
		if err != nil || r.StatusCode != http.StatusRequestTimeout || !r.Close {
			t.Fatalf("slow connection %d got %v %v, want 408 with Connection: close", i, r, err)
		}
	}
	close(stop)
	gateway.Await(t, "all are closed", func() bool { return g.Number("straum_listener_connections") == 0 })
	if n := g.Number("straum_faults_total", `kind="header_timeout"`); n != float64(conns) {
		t.Errorf("got %v faults, want %d", n, conns)
	}
}

// TestSilent connects and says nothing: the connection is closed, without an answer, after the idle time at the latest.
func TestSilent(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listen := gateway.Free(t)
	g := gateway.Start(t, config(listen, endpoint(t, &read), "idle: 1s, header: 1s"))
	c, in := dial(t, listen)
	if b, err := in.ReadByte(); err != io.EOF {
		t.Errorf("got %q %v, want a closed connection", b, err)
	}
	c.Close()
	gateway.Await(t, "it is gone", func() bool { return g.Number("straum_listener_connections") == 0 })
}

// TestIdle leaves a connection open after an answer: it is closed after the idle time, not before.
func TestIdle(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listen := gateway.Free(t)
	g := gateway.Start(t, config(listen, endpoint(t, &read), "idle: 2s"))
	c, in := dial(t, listen)
	for range 3 { // each request starts the time anew
		if r, _, err := traffic.Exchange(c, in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK || r.Close {
			t.Fatal(r, err)
		}
		time.Sleep(1200 * time.Millisecond)
	}
	if b, err := in.ReadByte(); err != io.EOF {
		t.Errorf("got %q %v, want a closed connection", b, err)
	}
	gateway.Await(t, "it is counted", func() bool { return g.Number("straum_listener_refused_total", `reason="idle_timeout"`) == 1 })
}

// TestSlowBody sends a body below the least rate: the exchange ends, at the endpoint too.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listen := gateway.Free(t)
	g := gateway.Start(t, config(listen, endpoint(t, &read), "progress: 1s, min_rate: 100KB"))
	c, in := dial(t, listen)
	fmt.Fprint(c, "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
				c.Write(make([]byte, 100)) // 2 KB a second
			}
		}
	}()
	r, _, err := traffic.Answer(in, "")
	close(over)
	if err != nil || r.StatusCode != http.StatusRequestTimeout || !r.Close {
		t.Errorf("got %v %v, want 408 with Connection: close", r, err)
	}
	g.AwaitAccess("of the slow body", func(l gateway.Line) bool { return l.Text("fault") == "body_timeout" && l.Text("side") == "client" })
	gateway.Await(t, "the endpoint's exchange is over", func() bool { return g.Number("straum_endpoint_active_requests") == 0 })
}

// TestStalledBody sends a part of a body and then nothing.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listen := gateway.Free(t)
	gateway.Start(t, config(listen, endpoint(t, &read), "progress: 1s, min_rate: 0"))
	c, in := dial(t, listen)
	fmt.Fprint(c, "POST /stalled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nsome")
	if r, _, err := traffic.Answer(in, ""); err != nil || r.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %v %v, want 408", r, err)
	}
}

// TestSteadyBody sends a large body slowly but steadily, above the least rate, for several times as long as every timeout.
func TestSteadyBody(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%t", chunked), func(t *testing.T) {
			t.Parallel()
			var read atomic.Int64
			listen := gateway.Free(t)
			gateway.Start(t, config(listen, endpoint(t, &read), "progress: 1s, min_rate: 1KB, header: 1s, idle: 1s"))
			c, in := dial(t, listen)
			const piece, pieces = 2000, 80 // 40 KB a second over 4 s
			if chunked {
				fmt.Fprint(c, "POST /steady HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
			} else {
				fmt.Fprintf(c, "POST /steady HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", piece*pieces)
			}
			for range pieces {
				var err error
				if chunked {
					_, err = fmt.Fprintf(c, "%x\r\n%s\r\n", piece, strings.Repeat("x", piece))
				} else {
					_, err = c.Write(make([]byte, piece))
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if chunked {
				fmt.Fprint(c, "0\r\n\r\n")
			}
			r, body, err := traffic.Answer(in, "")
			if err != nil || r.StatusCode != http.StatusOK || body != fmt.Sprintf("%d bytes", piece*pieces) {
				t.Errorf("got %v %q %v", r, body, err)
			}
		})
	}
}

// TestSlowReader takes a large answer slowly but steadily and gets all of it; one that stops reading is let go.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listen := gateway.Free(t)
	g := gateway.Start(t, config(listen, endpoint(t, &read), "progress: 1s, min_rate: 1KB"))
	const size = 12 << 20 // more than all buffers of the kernel on the way
	get := traffic.Get(fmt.Sprintf("/large?size=%d", size))

	c, in := dial(t, listen)
	c.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprint(c, get)
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for buf := make([]byte, 256<<10); ; time.Sleep(50 * time.Millisecond) {
		n, err := io.ReadFull(r.Body, buf)
		total += n
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || total != size {
				t.Errorf("got %d of %d bytes, then %v", total, size, err)
			}
			break
		}
	}

	c, in = dial(t, listen)
	c.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprint(c, get)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	line := g.AwaitAccess("of the client that stopped reading", func(l gateway.Line) bool { return l.Text("fault") == "client_slow" })
	if line.Text("side") != "client" {
		t.Errorf("got the line %v", line)
	}
	if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v at the end", err)
	}
	gateway.Await(t, "the endpoint's exchange is over", func() bool { return g.Number("straum_endpoint_active_requests") == 0 })
	if memory, _ := g.Memory(); !gateway.Race && memory > 64<<20 {
		t.Errorf("memory is %d bytes", memory)
	}
}

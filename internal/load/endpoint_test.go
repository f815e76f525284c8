package load

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// way is a way to an endpoint.
type way struct {
	name         string
	secure, h2   bool
	unix, closes bool
}

func ways() []way {
	return []way{
		{name: "h1"}, {name: "h1+close", closes: true}, {name: "h1+tls", secure: true}, {name: "h1+tls+close", secure: true, closes: true}, {name: "unix", unix: true},
		{name: "h2c", h2: true}, {name: "h2c+close", h2: true, closes: true}, {name: "h2", secure: true, h2: true}, {name: "h2+close", secure: true, h2: true, closes: true},
	}
}

// plan is a plan for the way with the usual settings, and an endpoint of net/http that answers with the handler.
func (w way) plan(t *testing.T, handler http.Handler) *Plan {
	t.Helper()
	p := &Plan{Connections: 4, NoKeepAlive: w.closes, HTTP2: w.h2, Timeout: 20 * time.Second}
	if w.h2 {
		p.Streams = 3
	}
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = quiet()
	if w.h2 && !w.secure {
		s.Config.Protocols = inTheClear()
	}
	if w.unix {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = l
	}
	s.EnableHTTP2 = w.h2
	if w.secure {
		s.StartTLS()
		p.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	p.Address = s.Listener.Addr().String()
	if w.unix {
		p.Address = "unix:" + p.Address
	}
	return p
}

// scripted is an endpoint that does as it is told with each connection. What it does has to end once the connection is closed.
func scripted(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, serve)
	return l.Addr().String()
}

func serveOn(t *testing.T, l net.Listener, serve func(net.Conn)) {
	var running sync.WaitGroup
	var guard sync.Mutex
	conns := map[net.Conn]bool{}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue
			}
			guard.Lock()
			conns[c] = true
			guard.Unlock()
			running.Go(func() {
				serve(c)
				c.Close()
				guard.Lock()
				delete(conns, c)
				guard.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		guard.Lock()
		for c := range conns {
			c.Close()
		}
		guard.Unlock()
		running.Wait()
	})
}

// eachRequest calls answer for each request on a connection, which it gives the body's length; it ends with the connection or when answer is false.
func eachRequest(c net.Conn, answer func(*http.Request) bool) {
	reader := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || !answer(r) {
			return
		}
	}
}

// get is a plan with one plain request.
func get(address string) *Plan {
	return &Plan{Address: address, Connections: 2, Timeout: 10 * time.Second, Requests: []Request{{Name: "get", Method: "GET", Host: "a.example", Target: "/", Weight: 1}}}
}

// result runs a plan that has to run, and holds the sums that always have to be right against each other.
func result(t *testing.T, p *Plan) *Result {
	t.Helper()
	r, err := Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, r)
	return r
}

func checkSums(t testing.TB, r *Result) {
	t.Helper()
	errs, statuses, kindsDone, kindsFailed := uint64(0), uint64(0), uint64(0), uint64(0)
	for _, n := range r.Errors {
		errs += n
	}
	for _, n := range r.Statuses {
		statuses += n
	}
	for _, k := range r.Kinds {
		kindsDone, kindsFailed = kindsDone+k.Done, kindsFailed+k.Failed
		if uint64(k.Latency.TotalCount()) != k.Done {
			t.Errorf("a kind has %d latencies of %d answers", k.Latency.TotalCount(), k.Done)
		}
	}
	if r.Done+errs != r.Due || statuses != r.Done || kindsDone != r.Done || kindsFailed != errs || r.Late > r.Errors[TimedOut] ||
		uint64(r.Latency.TotalCount()) != r.Done || uint64(r.Service.TotalCount()) != r.Done {
		t.Errorf("due %d, done %d, errors %v, late %d, statuses %v, of kinds %d and %d: they do not add up", r.Due, r.Done, r.Errors, r.Late, r.Statuses, kindsDone, kindsFailed)
	}
}

// counter counts.
type counter struct{ atomic.Int64 }

func (c *counter) take() int64 { return c.Add(1) }

// selfSigned is the TLS of an endpoint and of who trusts it.
func selfSigned(t *testing.T) (endpoint, trusting *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}, s.Client().Transport.(*http.Transport).TLSClientConfig
}

// ok answers with a length.
func ok(c net.Conn) bool {
	_, err := fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	return err == nil
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// inTheClear is HTTP/2 without TLS.
func inTheClear() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

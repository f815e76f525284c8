package traffic

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// OK is an answer of two bytes that keeps the connection open.
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// Scripted is an endpoint whose connections are served by a function, for what no proper server does.
type Scripted struct {
	Addr     string
	Accepted atomic.Int64
	Open     atomic.Int64 // connections now

	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// NewScripted starts one, which lives until the test ends. serve gets each connection and its number, from 0; the connection is
// closed when it returns.
func NewScripted(t testing.TB, serve func(c net.Conn, n int64)) *Scripted {
	t.Helper()
	return newScripted(t, "tcp", "127.0.0.1:0", serve)
}

// NewScriptedAt is NewScripted at a network and address of one's own.
func NewScriptedAt(t testing.TB, network, addr string, serve func(c net.Conn, n int64)) *Scripted {
	t.Helper()
	return newScripted(t, network, addr, serve)
}

func newScripted(t testing.TB, network, addr string, serve func(c net.Conn, n int64)) *Scripted {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Scripted{Addr: l.Addr().String(), listener: l, conns: map[net.Conn]bool{}}
	t.Cleanup(s.Close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			n := s.Accepted.Add(1) - 1
			s.Open.Add(1)
			go func() {
				defer s.Open.Add(-1)
				serve(c, n)
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
		}
	}()
	return s
}

// Close ends it with all its connections.
func (s *Scripted) Close() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Read reads a request with its body.
func Read(in *bufio.Reader) (*http.Request, string, error) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(r.Body)
	return r, string(body), err
}

// Serve answers every request of a connection with the same bytes.
func Serve(c net.Conn, answer string) {
	in := bufio.NewReader(c)
	for {
		if _, _, err := Read(in); err != nil {
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// ServeOK answers every request of a connection with OK.
func ServeOK(c net.Conn, _ int64) { Serve(c, OK) }

package listen

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// Some tests need a second process: they run this binary again with one of the roles.
const roleVariable = "LISTEN_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		roles[role]()
		return
	}
	goleak.VerifyTestMain(m)
}

// child starts this binary in a role. It ends when its input is closed.
func child(t *testing.T, role string, arguments ...string) (in io.WriteCloser, out io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], arguments...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err = cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	return in, out
}

// echo is a session that answers each run of bytes with the same and parks as soon as there is nothing to read. The word "wait"
// makes it hold on to its goroutine until further bytes come.
type echo struct {
	h    *echoes
	c    *socket.Conn
	info *exchange.Conn
	gate *Gate
}

type echoes struct {
	prefix string
	greet  bool // say the peer's address first

	mu      sync.Mutex
	infos   []*exchange.Conn
	closed  []uint64 // IDs in the order of closing
	initial []string
}

func (h *echoes) Open(c *socket.Conn, info *exchange.Conn, gate *Gate, initial []byte) Session {
	h.mu.Lock()
	h.infos = append(h.infos, info)
	h.initial = append(h.initial, string(initial))
	h.mu.Unlock()
	e := &echo{h, c, info, gate}
	if h.greet {
		c.Write([]byte(info.Peer.String()+">"+info.Local.String()+"\n"), nil, int64(time.Second))
	}
	if len(initial) > 0 {
		c.Write(initial, nil, int64(time.Second))
	}
	return e
}

func (h *echoes) ends() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]uint64(nil), h.closed...)
}

// opened is what the i-th session was opened with.
func (h *echoes) opened(i int) (info *exchange.Conn, initial string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.infos[i], h.initial[i]
}

func (e *echo) Serve() bool {
	var buf [256]byte
	wait := false
	for {
		n, err := e.c.TryRead(buf[:])
		if err == socket.ErrTimeout && !wait {
			return true
		}
		if err == socket.ErrTimeout {
			n, err = e.c.Read(buf[:], 0)
		}
		if err != nil {
			return false
		}
		e.info.Requests++
		wait = bytes.Contains(buf[:n], []byte("wait"))
		last := e.gate.Draining()
		if e.c.Write([]byte(e.h.prefix), buf[:n], int64(time.Second)) != nil {
			return false
		}
		if last {
			return false
		}
	}
}

func (e *echo) Close() {
	e.c.Close()
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	e.h.closed = append(e.h.closed, e.info.ID)
}

// logs collects what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

// start makes a set with one listener that is drained when the test ends.
func start(t testing.TB, h Handler, s Settings) (*Set, string, *logs) {
	t.Helper()
	set, out := empty(t)
	if s.Name == "" {
		s.Name = "main"
	}
	if s.Address == "" {
		s.Address = "127.0.0.1:0"
	}
	if err := set.Apply([]Settings{s}, map[string]Handler{s.Name: h}); err != nil {
		t.Fatal(err)
	}
	return set, set.Stats()[0].Address, out
}

func empty(t testing.TB) (*Set, *logs) {
	t.Helper()
	out := new(logs)
	set, err := New(slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	set.handshake = 10 * time.Millisecond // loopback has no distant clients
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		set.Drain(ctx)
	})
	return set, out
}

// await waits until a condition holds that nothing announces.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	nc, err := dialAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc
}

func dialAddress(address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", address)
}

// say sends words and wants them back behind prefix.
func say(t testing.TB, nc net.Conn, prefix, words string) {
	t.Helper()
	if _, err := nc.Write([]byte(words)); err != nil {
		t.Fatal(err)
	}
	hear(t, nc, prefix+words)
}

func hear(t testing.TB, nc net.Conn, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	n, err := io.ReadFull(nc, buf)
	if err != nil || string(buf) != want {
		t.Fatalf("heard %q, %v; want %q", buf[:n], err, want)
	}
}

// over wants the other end to have closed the connection.
func over(t testing.TB, nc net.Conn) {
	t.Helper()
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the connection is still open")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatal("the connection was not closed in time")
	}
}

func stat(set *Set) Stats { return set.Stats()[0] }

// openFunc is a Handler that only needs the socket.
type openFunc func(*socket.Conn) Session

func (f openFunc) Open(c *socket.Conn, _ *exchange.Conn, _ *Gate, _ []byte) Session { return f(c) }

// bare is a session without state of its own, so that what is measured is what this package and package socket hold.
type bare struct{ *socket.Conn }

func (b bare) Serve() bool { return b.State() == socket.PeerSilent }
func (b bare) Close()      { b.Conn.Close() }

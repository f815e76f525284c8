package replay

import (
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
)

// store starts a redis-server of the test's own and returns its address and how to end it.
func store(t *testing.T) (addr string, end func()) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	end = func() {
		if !done {
			server.Process.Kill()
			server.Wait()
		}
		done = true
	}
	t.Cleanup(end)
	return addr, end
}

func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{addr}, Budget: 500 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	await(t, "the store to answer", func() bool { return c.Health().OK })
	return c
}

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for by := time.Now().Add(30 * time.Second); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// What one node has used no other one can, as long as the store answers; without it each has its own memory.
func TestGuard(t *testing.T) {
	addr, end := store(t)
	node := func() *Guard {
		return &Guard{Memory: NewMemory(1000, time.Minute), Store: dial(t, addr), Name: "test"}
	}
	a, b := node(), node()
	f := func(g *Guard, n int, want Verdict) {
		t.Helper()
		if got := g.Use(thing(n), 0); got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	f(a, 1, Fresh)
	f(b, 1, Used)
	f(a, 1, Used)
	f(b, 2, Fresh)
	f(a, 2, Used)
	f(&Guard{Memory: NewMemory(1000, time.Minute), Store: b.Store, Name: "other"}, 2, Fresh)
	// The store forgets by itself.
	c := exec.Command("redis-cli", "-p", addr[strings.LastIndexByte(addr, ':')+1:], "--scan")
	keys, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for key := range strings.FieldsSeq(string(keys)) {
		left, err := exec.Command("redis-cli", "-p", addr[strings.LastIndexByte(addr, ':')+1:], "PTTL", key).Output()
		if s := strings.TrimSpace(string(left)); err != nil || strings.HasPrefix(s, "-") || len(s) > 5 {
			t.Errorf("%s stays for %s, %v", key, s, err)
		}
	}
	if n := len(strings.Fields(string(keys))); n != 3 {
		t.Errorf("%d keys: %s", n, keys)
	}
	end()
	f(a, 3, Fresh)
	f(a, 3, Used)
	f(b, 3, Fresh)
	if got, want := a.Memory.Figures(0), (Figures{Entries: 3, Used: 3, Unshared: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

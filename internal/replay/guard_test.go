package replay

import (
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{addr}, Budget: 500 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	redistest.Await(t, func() bool { return c.Health().OK }, "the store does not answer")
	return c
}

// memory is one that remembers for a minute.
func memory() *Memory {
	m := NewMemory()
	m.Ask(1000, 30*time.Second, 29*time.Second, 0)
	return m
}

// What a memory is asked for later makes it larger and longer, and it forgets nothing. What was forgotten before is not taken again either.
func TestAsk(t *testing.T) {
	const second = int64(time.Second)
	m := NewMemory()
	g := &Guard{Memory: m, Name: "test"}
	use := func(n int, now int64, want Verdict) {
		t.Helper()
		if got := g.Use(thing(n), "a", now); got != want {
			t.Errorf("%d at %d: %v, want %v", n, now/second, got, want)
		}
	}
	m.Ask(1000, 60*time.Second, 0, 1000*second)
	m.Ask(1000, 600*time.Second, 10*time.Second, 1000*second) // another route of the same revision
	if !m.Knows(0) || m.Life() != 611*time.Second {
		t.Errorf("nothing was used, and all would be known; %v", m.Life())
	}
	use(1, 1000*second, Fresh)
	m.Ask(1000, 60*time.Second, 60*time.Second, 1100*second) // a reload that shortens: what another revision took stays known
	use(1, 1600*second, Used)
	if !m.Knows(0) {
		t.Error("no longer than before, but not known")
	}
	m.Ask(1000, 3600*time.Second, 0, 2000*second)
	if m.Knows(2000-602) || !m.Knows(2000-600) {
		t.Error("what was too old before may have been used and is taken, or what was not is not")
	}
	use(2, 2000*second, Fresh)
	use(2, 5600*second, Used)
	m.Ask(1000, 7200*time.Second, 0, 5600*second)
	use(2, 9100*second, Used)
	m.Ask(1<<20, time.Second, 0, 9100*second)
	if n := m.table.shards[0].most; n != 1<<16 {
		t.Errorf("room for %d", n)
	}
}

// What one node has used no other one can, as long as the store answers; without it each has its own memory.
func TestGuard(t *testing.T) {
	store := redistest.Start(t)
	node := func() *Guard {
		return &Guard{Memory: memory(), Store: dial(t, store.Addr), Name: "test"}
	}
	a, b := node(), node()
	f := func(g *Guard, n int, want Verdict) {
		t.Helper()
		if got := g.Use(thing(n), "a", 0); got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	f(a, 1, Fresh)
	f(b, 1, Used)
	f(a, 1, Used)
	f(b, 2, Fresh)
	f(a, 2, Used)
	f(&Guard{Memory: memory(), Store: b.Store, Name: "other"}, 2, Fresh)
	// The store forgets by itself.
	c := exec.Command("redis-cli", "-p", store.Port(), "--scan")
	keys, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for key := range strings.FieldsSeq(string(keys)) {
		left, err := exec.Command("redis-cli", "-p", store.Port(), "PTTL", key).Output()
		if s := strings.TrimSpace(string(left)); err != nil || strings.HasPrefix(s, "-") || len(s) > 5 {
			t.Errorf("%s stays for %s, %v", key, s, err)
		}
	}
	if n := len(strings.Fields(string(keys))); n != 3 {
		t.Errorf("%d keys: %s", n, keys)
	}
	store.Kill()
	f(a, 3, Fresh)
	f(a, 3, Used)
	f(b, 3, Fresh)
	if got, want := a.Memory.Figures(0), (Figures{Entries: 3, Used: 3, Unshared: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

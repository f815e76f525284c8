package redis

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"straum.dev/straum/internal/redistest"
)

// journal is a log to look into.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// dial makes a client that does not rest long. Its budget is for a machine that is busy; the tests count, they do not measure.
func dial(t testing.TB, s Settings) (*Client, *journal) {
	t.Helper()
	j := &journal{}
	if s.Budget == 0 {
		s.Budget = 200 * time.Millisecond
	}
	c, err := newClient(s, slog.New(slog.NewTextHandler(j, nil)), time.Now, func(int) time.Duration { return 20 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Start()
	return c, j
}

func awaitUp(t testing.TB, c *Client) {
	t.Helper()
	redistest.Await(t, func() bool { return c.Health().OK }, "the client does not come up: "+c.Health().Why)
}

func awaitDown(t testing.TB, c *Client, why string) {
	t.Helper()
	redistest.Await(t, func() bool { h := c.Health(); return !h.OK && strings.Contains(h.Why, why) }, "the client does not go down with "+why)
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

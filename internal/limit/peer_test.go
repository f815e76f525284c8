package limit

import (
	"log/slog"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// peer is a real redis-server of this test's own.
type peer struct {
	*redistest.Server
	t testing.TB
}

func startPeer(t testing.TB, args ...string) *peer {
	t.Helper()
	return &peer{redistest.Start(t, args...), t}
}

func (p *peer) dial(budget time.Duration) *redis.Client {
	p.t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{p.Addr}, Budget: budget}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	redistest.Await(p.t, func() bool { return c.Health().OK }, "the client does not come up")
	return c
}

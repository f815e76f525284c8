// Package redis is the shared store of a fleet, Redis or Valkey: one connection setting for the whole gateway. It serves step 4, where
// policies look up what another gateway has already learnt, and limits count together. Nothing here is in the way when the store is gone: a
// Client is made without it, each call has a budget of a few milliseconds, and after a row of failures nobody asks it until one goroutine in
// the background has found that it answers again.
//
// In reading order: redis.go (the client), settings.go, gate.go (whether the store may be asked; pure), keep.go (the goroutine that
// connects and watches), call.go (the commands), script.go, why.go (failures in words), figures.go.
//
// It refuses to wait longer than the budget, to try a command twice, to queue, and to say a password in an error or a log line.
package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// ErrUnavailable says that the store did not answer within the budget, or was not asked because it has not been answering. Whether the
// command was carried out is not known.
var ErrUnavailable = errors.New("the shared store (redis) is not available")

// ErrRefused says that the store answers, and refused this command. The error has the store's code, such as OOM or NOPERM.
var ErrRefused = errors.New("the shared store (redis) refused the command")

// maxInFlight is how many commands may be under way, those that nobody waits for any more included. It is half of the ring that rueidis
// keeps them in, so that putting one in never waits.
const maxInFlight = 256

// Client is a kept connection to the store. It is used by many goroutines at once. Whoever made it closes it.
type Client struct {
	settings Settings
	option   rueidis.ClientOption
	log      *slog.Logger
	now      func() time.Time
	rest     func(failures int) time.Duration

	conn     atomic.Pointer[rueidis.Client] // nil until the first connection
	gate     gate
	inFlight atomic.Int64
	figures  counters

	mu     sync.Mutex
	health Health

	tripped chan struct{} // asks the keeper to look now
	start   sync.Once
	ctx     context.Context // of the keeper
	stop    context.CancelFunc
	stopped chan struct{}
}

// New makes a client and lets it connect in the background, for as long as it takes; it returns at once. The error is about the settings or
// the files they name, never about the store. now is the wall clock.
func New(s Settings, log *slog.Logger, now func() time.Time) (*Client, error) {
	c, err := Prepare(s, log, now)
	if err == nil {
		c.Start()
	}
	return c, err
}

// Prepare is New without a connection, for a configuration that is only looked at: Start makes one.
func Prepare(s Settings, log *slog.Logger, now func() time.Time) (*Client, error) {
	return newClient(s, log, now, rest)
}

func newClient(s Settings, log *slog.Logger, now func() time.Time, rest func(int) time.Duration) (*Client, error) {
	s = s.filled()
	option, err := s.option()
	if err != nil {
		return nil, err
	}
	c := &Client{settings: s, option: option, log: log, now: now, rest: rest,
		tripped: make(chan struct{}, 1), stopped: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.health = Health{Why: "not connected yet", Since: now()}
	c.gate.shut.Store(true)
	return c, nil
}

// Start lets the client connect in the background. Until there is a connection calls get ErrUnavailable. Only the first Start counts.
func (c *Client) Start() {
	if c == nil {
		return
	}
	c.start.Do(func() { go c.runKeep(c.ctx) })
}

// Close ends the connection, started or not. Calls after it get ErrUnavailable.
func (c *Client) Close() {
	c.stop()
	c.start.Do(func() { close(c.stopped) })
	<-c.stopped
}

// Key is the name of a key in the store: the prefix of the settings and then name. Keys of one script must be of one slot of a cluster:
// give their names one part in braces, as in limit:{id}:a and limit:{id}:b.
func (c *Client) Key(name string) string { return c.settings.Prefix + name }

// Budget is how long a call may take.
func (c *Client) Budget() time.Duration { return c.settings.Budget }

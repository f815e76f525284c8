// Package cache answers requests with what was answered before (steps 5 and 8), as far as RFC 9111 and the route allow. It joins the rules
// (freshness), what is under way (flight) and the stores (memory, disk, remote).
//
// In reading order: cache.go (what lives as long as the process), stores.go (the stores as one), route.go (what a route says), key.go and steer.go
// (what of a request is in a key), visit.go (what is kept of one exchange), look.go (step 5), find.go (what is stored for a request), ask.go (who
// asks the endpoint, and who waits), serve.go (answers from what is stored), store.go (step 8), keep.go (how an answer becomes an object), head.go
// and post.go (answers to HEAD and POST), rescue.go (stale answers in place of faults), end.go (step 11), renew.go (renewals in the background),
// invalid.go (what unsafe methods make useless), apart.go (keys whose answers are not shared), status.go (the field Cache-Status), control.go,
// explain.go and words.go (for operators).
//
// It refuses to know the flow: that asks at step 5, tells at step 8, and ends the visit at step 11.
package cache

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/redis"
)

// Options are what a cache has for the life of the process.
type Options struct {
	Log *slog.Logger
	// Dir is where the disk store lies unless Settings say otherwise, and where purges are remembered; empty when the gateway keeps no state.
	Dir string
	// Path gives the canonical form of a URL's path, as routes have it, for purges; nil leaves paths as they are written.
	Path purge.Path
}

// Settings are those of a revision.
type Settings struct {
	Memory    int64 // bytes
	MaxObject int64 // bytes of a body in memory; longer ones go to disk, or are not stored
	Disk      *Disk // nil for none
	// Redis is the fleet's second level, nil for none.
	Redis *redis.Client
	// Keys name and hide what lies there; not nil with Redis.
	Keys *keyring.Ring
	// RedisMaxObject is bytes of a body there.
	RedisMaxObject int64
}

// Disk are the settings of the disk store.
type Disk struct {
	Path      string // a directory; empty for the folder cache in Options.Dir
	Size      int64  // bytes
	MaxObject int64  // bytes of a body
}

// Cache is the cache of a gateway: it outlives revisions.
type Cache struct {
	options Options
	log     *slog.Logger
	now     func() int64 // Unix time in nanoseconds; tests have their own
	order   atomic.Int64 // the last time that tick gave

	mu       sync.Mutex // one change of settings at a time
	settings Settings
	stores   atomic.Pointer[stores] // never nil

	purges  purge.List
	invalid invalid // URLs that unsafe methods were successful with
	deleted invalid // keys that another gateway of the fleet deleted; for what is under way
	apart   apart
	reading reading
	popular popular
	flights *flight.Table
	loners  atomic.Uint64 // flights that nobody can join

	renewing atomic.Int64 // renewals under way
	stop     atomic.Bool  // renewals are to end
	over     sync.WaitGroup
	ending   sync.Mutex      // no goroutine begins while it ends
	closing  context.Context // ends with Close, for sweeps
	close    context.CancelFunc

	sweepMu     sync.Mutex
	sweeping    bool // runSweep is under way
	sweepWanted bool

	lists   [64]sync.Mutex // a change of a list of variants holds that of its key
	figures figures
}

// tick is the time as far as it says what came first: when the endpoint is asked, and when something is purged or made useless. It is later each
// time, also after the clock was set back, so that a purge reaches all that was asked for before it.
func (c *Cache) tick() int64 {
	for {
		last := c.order.Load()
		now := max(c.now(), last+1)
		if c.order.CompareAndSwap(last, now) {
			return now
		}
	}
}

// flightBudget is how many bytes of bodies that are under way may lie in memory.
const flightBudget = 64 << 20

// New makes a cache that stores nothing before the first Use.
func New(o Options) *Cache {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{options: o, log: o.Log, now: func() int64 { return time.Now().UnixNano() }}
	c.flights = flight.New(flightBudget, o.Log)
	c.stores.Store(&stores{})
	c.closing, c.close = context.WithCancel(context.Background())
	if o.Dir != "" {
		if err := c.purges.Load(o.Dir); err != nil {
			o.Log.Warn("the purges of the cache that were remembered cannot be read; all that was stored before is purged", "error", err)
			c.purges.Add(purge.Rule{Kind: purge.All, At: c.tick()})
		}
		for _, r := range c.purges.Rules() { // the clock may have been set back since
			c.order.Store(max(c.order.Load(), r.At))
		}
	}
	return c
}

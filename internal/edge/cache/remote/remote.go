// Package remote is the second level of a fleet's cache, in Redis or Valkey (steps 5 and 8): what one gateway stored the others find, one asks the
// endpoint where several would, and what one purges all purge. It is a help and never a need: when Redis is gone each gateway goes on with its own
// levels.
//
// In reading order: remote.go (the Store), name.go (names and seals), value.go (what lies in Redis), get.go, put.go (the queue of writes), owed.go
// (what is to be done once Redis is there again), lock.go (who asks the endpoint), log.go (the rules of purges in Redis), fleet.go (what gateways
// tell each other), figures.go.
//
// It refuses to make a request wait longer than the budget of internal/redis, to serve what might have been purged without its knowing, to believe
// what was not sealed with the fleet's secret, and to show in Redis what is stored or for which URL.
package remote

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/redis"
)

// Options are what a Store is made of.
type Options struct {
	Redis *redis.Client
	// Keys are the fleet's: gateways with another secret find nothing of each other.
	Keys *keyring.Ring
	// MaxObject is bytes of a body; longer ones are not stored. 0 is DefaultMaxObject, MaxMaxObject the most.
	MaxObject int64
	Log       *slog.Logger
	// Fleet hears what other gateways say; nil for nobody.
	Fleet Fleet
	// Now is Unix time in nanoseconds; nil for the system's.
	Now func() int64
}

// DefaultMaxObject and MaxMaxObject bound Options.MaxObject. All values share one connection with everything else that is asked of Redis, and each is
// in the way of what comes after it.
const (
	DefaultMaxObject = 256 << 10
	MaxMaxObject     = 8 << 20
)

// MaxAge is how long an object lies in Redis at most, whatever its terms. Rules of purges are kept a day longer.
const MaxAge = 7 * 24 * time.Hour

// Fleet hears what other gateways say. Its methods are called one after the other on a goroutine of the Store, and should not wait long. What is
// heard may be heard twice.
type Fleet interface {
	// Purged brings a rule of another gateway, or one that was in force before this gateway could hear it. It has no number.
	Purged(r purge.Rule)
	// Deleted says that what lies under a key is gone if it was asked for at this Unix time in nanoseconds or before.
	Deleted(k object.Key, at int64)
	// Gap says that deletions may have been missed between two Unix times in nanoseconds: what came to the first levels before until should be
	// compared with the endpoint or with Redis before long. since is 0 when nothing was heard before. Rules of purges were not missed: those of the
	// gap were brought before.
	Gap(since, until int64)
}

// Store is objects in Redis. It implements object.Store. Whoever made it closes it.
type Store struct {
	redis *redis.Client
	names *names
	max   int64
	log   *slog.Logger
	now   func() int64
	coder *coder

	gets    atomic.Int64 // under way
	queues  [writers]queue
	queued  atomic.Int64 // bytes
	owed    owed
	fleet   *fleet
	figures counters

	ctx     context.Context
	stop    context.CancelFunc
	unhear  func()
	running sync.WaitGroup
}

var _ object.Store = (*Store)(nil)

// New makes a store and lets it connect in the background. It finds nothing until it hears the fleet and knows what was purged.
func New(o Options) *Store {
	s := &Store{redis: o.Redis, names: newNames(o.Keys), max: o.MaxObject, log: o.Log, now: o.Now, coder: newCoder()}
	if s.max <= 0 {
		s.max = DefaultMaxObject
	}
	s.max = min(s.max, MaxMaxObject)
	if s.now == nil {
		s.now = func() int64 { return time.Now().UnixNano() }
	}
	s.owed.keys = map[object.Key]int64{}
	s.fleet = newFleet(s, o.Fleet)
	s.ctx, s.stop = context.WithCancel(context.Background())
	for i := range s.queues {
		q := &s.queues[i]
		q.wake = make(chan struct{}, 1)
		s.running.Go(func() { s.runWrite(q) })
	}
	s.running.Go(s.fleet.runFleet)
	s.unhear = s.redis.Subscribe(channel, s.fleet)
	return s
}

// Close ends what the store does on its own. What waits to be written is not written any more.
func (s *Store) Close() {
	s.unhear()
	s.stop()
	s.running.Wait()
}

// InStep says whether the store hears the fleet and knows all that was purged: only then Get finds anything. What a restart left on disk should not
// be used unasked before that.
func (s *Store) InStep() bool { return s.fleet.inStep() }

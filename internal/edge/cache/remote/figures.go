package remote

import (
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/redis"
)

type counters struct {
	hits, misses, skipped, full, damaged, failed                       atomic.Uint64
	stored, dropped, large, older, dead, deleted, forgotten            atomic.Uint64
	in, out, raw                                                       atomic.Uint64
	locks, waits, polls, awaited, told, heard, foreign, missed, caught atomic.Uint64
	waited, spent                                                      atomic.Int64
	gets                                                               [len(Buckets) + 1]atomic.Uint64
}

// Buckets are the upper ends of Figures.Took, but for the last, which has none.
var Buckets = [...]time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond,
	100 * time.Millisecond, time.Second}

// took counts a get by its time in nanoseconds.
func (c *counters) took(ns int64) {
	i := 0
	for i < len(Buckets) && ns > int64(Buckets[i]) {
		i++
	}
	c.gets[i].Add(1)
	c.spent.Add(ns)
}

// Figures are counts since the Store was made, but for what is said to be now.
type Figures struct {
	Hits, Misses uint64 // of Get
	Skipped      uint64 // of Get, not asked: Redis is gone, what was purged is not known, or a deletion is not carried out yet
	Full         uint64 // of Get, not asked because too many were under way
	Damaged      uint64 // values that nobody with our secret wrote, or of another version; they are removed
	Failed       uint64 // commands that Redis did not carry out in time, or refused

	Stored  uint64 // of Put
	Dropped uint64 // of Put, because the queue was full or Redis gone
	Large   uint64 // of Put, because of its length
	Older   uint64 // of Put, because something newer was there, or a deletion
	Dead    uint64 // of Put, because it was of no use any more
	Deleted uint64

	BytesIn, BytesOut uint64 // of values, read and written
	BytesRaw          uint64 // written, before they were compressed

	Locks   uint64        // that this gateway got
	Waits   uint64        // for what another gateway asked for
	Polls   uint64        // of those
	Awaited uint64        // of the waits, that brought it
	Waited  time.Duration // by those, in all

	Told      uint64 // rules of purges
	Heard     uint64 // messages of other gateways
	Foreign   uint64 // messages that were not sealed with our secret
	Missed    uint64 // messages there was no room for
	CaughtUp  uint64 // times the rules were read anew after a connection was lost
	Forgotten uint64 // times the whole fleet's cache was purged because too many deletions were waiting

	Took [len(Buckets) + 1]uint64 // of Get, by time
	Time time.Duration            // of Get, in all

	Queued int64 // bytes now
	Owed   int64 // deletions and rules now that Redis was not told of
	Redis  redis.Health
}

// Figures reads the counts.
func (s *Store) Figures() Figures {
	c := &s.figures
	f := Figures{Hits: c.hits.Load(), Misses: c.misses.Load(), Skipped: c.skipped.Load(), Full: c.full.Load(), Damaged: c.damaged.Load(), Failed: c.failed.Load(),
		Stored: c.stored.Load(), Dropped: c.dropped.Load(), Large: c.large.Load(), Older: c.older.Load(), Dead: c.dead.Load(), Deleted: c.deleted.Load(),
		BytesIn: c.in.Load(), BytesOut: c.out.Load(), BytesRaw: c.raw.Load(),
		Locks: c.locks.Load(), Waits: c.waits.Load(), Polls: c.polls.Load(), Awaited: c.awaited.Load(), Waited: time.Duration(c.waited.Load()),
		Told: c.told.Load(), Heard: c.heard.Load(), Foreign: c.foreign.Load(), Missed: c.missed.Load(), CaughtUp: c.caught.Load(), Forgotten: c.forgotten.Load(),
		Time: time.Duration(c.spent.Load()), Queued: s.queued.Load(), Owed: s.owed.some.Load(), Redis: s.redis.Health()}
	for i := range c.gets {
		f.Took[i] = c.gets[i].Load()
	}
	return f
}

package disk

import (
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
)

// Figures are those of the store since it was opened.
type Figures struct {
	Objects         int
	Bytes, Room     int64
	Hits, Misses    uint64
	Stored, Evicted uint64
	Dropped         uint64 // not stored because the store had no room or time
	Failed          uint64 // damaged, or an error of the disk
	Healthy         bool
	Why             string        // it is not
	Waited          time.Duration // in all, by requests
	Took            [8]uint64     // gets, by how long they took: up to 0.01, 0.1, 1, 5, 20, 100, 1000 ms, more
}

type counts struct {
	hits, misses, stored, evicted, dropped, failed atomic.Uint64
	waited                                         atomic.Int64
	took                                           [8]atomic.Uint64
	full                                           atomic.Bool  // the file system is
	said                                           atomic.Int64 // when something was last complained of
	fullSaid                                       atomic.Int64 // when that the file system is full was last told; 0 for never
}

// bounds are those of Took.
var bounds = [7]time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond,
	100 * time.Millisecond, time.Second}

// got counts a Get.
func (c *counts) got(hit bool, took time.Duration) {
	if hit {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	n := 0
	for n < len(bounds) && took > bounds[n] {
		n++
	}
	c.took[n].Add(1)
}

// Figures reads them.
func (s *Store) Figures() Figures {
	c := &s.counts
	f := Figures{Objects: int(s.index.objects.Load()), Bytes: s.index.used.Load(), Room: s.size.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(),
		Stored: c.stored.Load(), Evicted: c.evicted.Load(), Dropped: c.dropped.Load(), Failed: c.failed.Load(), Healthy: true,
		Waited: time.Duration(c.waited.Load())}
	for n := range f.Took {
		f.Took[n] = c.took[n].Load()
	}
	switch {
	case !s.breaker.closed():
		f.Healthy, f.Why = false, "the disk does not answer in time, so it is left alone for a while"
	case c.full.Load():
		f.Healthy, f.Why = false, "the file system is nearly full, so the oldest objects are removed and little is stored"
	}
	return f
}

// complainEvery bounds what a sick disk writes into the log.
const complainEvery = int64(10 * time.Second)

// complain tells the operator that something failed, now and then.
func (s *Store) complain(what string, err error) {
	now, last := clock.Now(), s.counts.said.Load()
	if now-last >= complainEvery && s.counts.said.CompareAndSwap(last, now) {
		s.Log.Warn("cache on disk: "+what, "dir", s.Dir, "error", err, "failed", s.counts.failed.Load())
	}
}

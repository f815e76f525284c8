package cache

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
)

// Purge says what is to be removed: exactly one of URL, Prefix, Tag and All.
type Purge struct {
	// URL is one resource with all its variants, on every route: scheme://host[:port]/path[?query], with exactly this query or none. With ?* at its
	// end it is with any query and without.
	URL    string
	Prefix string // of URLs
	Tag    string // a surrogate key
	All    bool
	// Soft makes it stale instead: it is validated before its next use, and may serve while it is renewed or in an error.
	Soft bool
}

// Purge removes what is stored and was asked for before now, here and, with a shared store, on every gateway of the fleet. What is under way is not
// stored. count is how many objects in memory it was; those on disk and in Redis are gone from now on and found later. An error with the purge in
// force here says that the fleet hears of it later.
func (c *Cache) Purge(p Purge) (count int, err error) {
	r, err := c.rule(&p)
	if err != nil {
		return 0, err
	}
	c.purges.Add(r)
	c.savePurges()
	count = c.matching(&r)
	c.sweepMemory()
	c.sweep()
	if s := c.stores.Load(); s.remote != nil {
		if err := s.remote.Tell(r); err != nil {
			return count, &NotTold{err}
		}
	}
	return count, nil
}

// NotTold says that a purge is in force on this gateway, and that the others will hear of it once the shared store answers.
type NotTold struct{ Cause error }

func (e *NotTold) Error() string {
	return "the purge is in force on this gateway; the others of the fleet hear of it as soon as the shared store (redis) answers: " + e.Cause.Error()
}

// Unwrap gives the cause.
func (e *NotTold) Unwrap() error { return e.Cause }

var errPurge = errors.New("exactly one of url, prefix, tag and all says what to purge; name one")

func (c *Cache) rule(p *Purge) (r purge.Rule, err error) {
	said := 0
	for _, is := range [...]bool{p.URL != "", p.Prefix != "", p.Tag != "", p.All} {
		if is {
			said++
		}
	}
	switch {
	case said != 1:
		return r, errPurge
	case p.URL != "":
		r, err = purge.ForURL(p.URL, c.options.Path)
	case p.Prefix != "":
		r, err = purge.ForPrefix(p.Prefix, c.options.Path)
	case p.Tag != "":
		r, err = purge.ForTag(p.Tag)
	default:
		r.Kind = purge.All
	}
	r.Soft, r.At = p.Soft, c.tick()
	return r, err
}

// savePurges writes the rules to where they outlive the process, together with what lies on disk.
func (c *Cache) savePurges() {
	if c.options.Dir == "" || c.stores.Load().disk == nil {
		return
	}
	err := os.MkdirAll(c.options.Dir, 0o700)
	if err == nil {
		err = c.purges.Save(c.options.Dir)
	}
	if err != nil {
		c.log.Warn("the purges of the cache cannot be remembered; after a restart what lies on disk may be served again", "error", err)
	}
}

// matching counts what a rule is for in memory.
func (c *Cache) matching(r *purge.Rule) (n int) {
	s := c.stores.Load()
	if s.memory == nil {
		return 0
	}
	s.memory.Each(func(_ object.Key, o *object.Object) bool {
		if o.Variants == nil && o.Terms.RequestTime <= r.At && r.Matches(o.URL, o.Tags) {
			n++
		}
		return true
	})
	return n
}

// sweepMemory removes what is purged from memory, which gives its room back.
func (c *Cache) sweepMemory() {
	s := c.stores.Load()
	if s.memory == nil {
		return
	}
	var gone []object.Key
	s.memory.Each(func(k object.Key, o *object.Object) bool {
		if c.gone(o) {
			gone = append(gone, k)
		}
		return true
	})
	for _, k := range gone {
		if o := s.memory.Peek(k); o != nil && c.gone(o) {
			s.memory.Delete(k)
		}
	}
}

// sweep has all that is stored compared with the rules, on a goroutine of its own: memory at once and the disk slowly. Rules that come meanwhile have
// it begin again.
func (c *Cache) sweep() {
	c.sweepMu.Lock()
	defer c.sweepMu.Unlock()
	c.sweepWanted = true
	if !c.sweeping && c.begins() {
		c.sweeping = true
		go c.runSweep()
	}
}

// sweeps says whether to sweep once more.
func (c *Cache) sweeps() bool {
	c.sweepMu.Lock()
	defer c.sweepMu.Unlock()
	c.sweeping = c.sweepWanted && c.closing.Err() == nil
	c.sweepWanted = false
	return c.sweeping
}

// longestLife is longer than an exchange lasts, and than anything lies in Redis that is compared with rules here.
const longestLife = int64(8 * 24 * time.Hour)

func (c *Cache) runSweep() {
	defer c.over.Done()
	for c.sweeps() {
		rules := c.purges.Newest()
		c.savePurges()
		c.sweepMemory()
		if d := c.stores.Load().disk; d != nil {
			d.Sweep(c.closing, func(o *object.Object) bool { return !c.gone(o) })
		}
		if c.closing.Err() == nil {
			c.purges.Retire(rules, c.now()-longestLife, 0)
		}
	}
}

// Stat are the figures of the cache.
type Stat struct {
	Memory, Disk, Redis *StoreStat // nil for one that is not there
	Flights             int        // answers under way that may be shared
	Collapsed           uint64     // requests that were answered by what another had asked for
	Renewals            uint64     // in the background
	RenewalsFailed      uint64
	RenewalsSkipped     uint64            // as many as may be were under way
	Invalidated         uint64            // by unsafe methods
	Purges              int               // rules in force
	Unstored            map[string]uint64 // answers not stored, by why
}

// StoreStat are the figures of one store.
type StoreStat struct {
	Objects         int
	Bytes, Room     int64
	Hits, Misses    uint64
	Stored, Evicted uint64 // Redis gives up what it does by itself, and does not say
	Dropped         uint64 // not stored because the store had no room or time
	Failed          uint64 // damaged, or an error of the disk or of Redis
	Healthy         bool
	Why             string        // it is not
	Waited          time.Duration // in all, by requests
	Took            [8]uint64     // gets, by how long they took: up to 0.01, 0.1, 1, 5, 20, 100, 1000 ms, more
}

// figures count what happens.
type figures struct {
	collapsed, renewals, renewalsFailed, skipped, invalidated atomic.Uint64
	unstored                                                  tally
}

// tally counts words.
type tally [64]atomic.Uint64

// places are those of words in a tally. The last is of words that are not known.
var places = func() map[freshness.Why]int {
	places := map[freshness.Why]int{}
	for i, w := range Words() {
		places[w] = i
	}
	return places
}()

func (t *tally) count(w freshness.Why) {
	place, known := places[w]
	if !known || place >= len(t) {
		place = len(t) - 1
	}
	t[place].Add(1)
}

// each are the words that were counted.
func (t *tally) each() map[string]uint64 {
	counts := map[string]uint64{}
	for w, place := range places {
		if n := t[min(place, len(t)-1)].Load(); n > 0 {
			counts[string(w)] = n
		}
	}
	return counts
}

// Stat reads the figures.
func (c *Cache) Stat() Stat {
	f := &c.figures
	s := Stat{
		Flights: c.flights.Len(), Collapsed: f.collapsed.Load(), Renewals: f.renewals.Load(), RenewalsFailed: f.renewalsFailed.Load(),
		RenewalsSkipped: f.skipped.Load(), Invalidated: f.invalidated.Load(), Purges: len(c.purges.Rules()), Unstored: f.unstored.each(),
	}
	in := c.stores.Load()
	if in.memory != nil {
		m := in.memory.Figures()
		s.Memory = &StoreStat{
			Objects: m.Objects, Bytes: m.Bytes, Room: m.Room, Hits: m.Hits, Misses: m.Misses, Stored: m.Stored, Evicted: m.Evicted, Dropped: m.Rejected, Healthy: true,
		}
	}
	if in.disk != nil {
		d := in.disk.Figures()
		s.Disk = &StoreStat{
			Objects: d.Objects, Bytes: d.Bytes, Room: d.Room, Hits: d.Hits, Misses: d.Misses, Stored: d.Stored, Evicted: d.Evicted, Dropped: d.Dropped,
			Failed: d.Failed, Healthy: d.Healthy, Why: d.Why, Waited: d.Waited, Took: d.Took,
		}
	}
	if in.remote != nil {
		r := in.remote.Figures()
		s.Redis = &StoreStat{
			Hits: r.Hits, Misses: r.Misses + r.Skipped + r.Full, Stored: r.Stored, Dropped: r.Dropped, Failed: r.Failed + r.Damaged,
			Healthy: r.Redis.OK, Why: r.Redis.Why, Waited: r.Time, Took: r.Took,
		}
	}
	return s
}

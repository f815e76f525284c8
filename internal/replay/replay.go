// Package replay remembers what may be used only once, such as signatures, for as long as it could be used again. It serves the policies
// of step 4 that take signed requests.
//
// Memory is bounded by a number of entries. When a Table is full it says so rather than forget something that could still be replayed, so
// only what was proven genuine should be given to it: nobody else can fill it then. Of those who can, each may have as much as is left to
// all others, so that one who fills its share is refused and nobody else. A Table lives in the memory of one process: what was
// used on another node, or before a restart, it does not know. With a shared store a Guard knows that too.
//
// In reading order: replay.go (the table), guard.go (the table and the store).
//
// It refuses to know what the things are; each is a hash.
package replay

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Verdict is what a Table says of a thing.
type Verdict uint8

// The verdicts.
const (
	Fresh Verdict = iota // it was not used before; now it was
	Used                 // it was
	Full                 // no room to remember it, so that it must not be used
)

const (
	// shards keep exchanges on different cores apart.
	shards = 16
	// parts is into how many parts of a life time is cut. Things are forgotten a slice at a time, so one is remembered for up to a
	// quarter longer than it has to be.
	parts = 4
)

// Table remembers things for a lifetime. It is used by any number of goroutines.
type Table struct{ shards [shards]shard }

type shard struct {
	mu      sync.Mutex
	slice   int64 // nanoseconds
	most    int   // entries
	current int64 // the slice of time that began last
	entries int
	owners  map[string]int // entries of each
	// past holds a set for each slice of time in which things may be alive: slice i is at i modulo its length.
	past [parts + 1]set
	_    [64]byte // keeps shards off each other's cache lines
}

type set struct {
	things map[[16]byte]struct{}
	owners map[string]int
}

// New makes a table for most entries at a time, each of which is remembered for at least life.
func New(most int, life time.Duration) *Table {
	t := &Table{}
	for i := range t.shards {
		t.shards[i].slice, t.shards[i].most, t.shards[i].owners = sliceOf(life), max(most/shards, 1), map[string]int{}
	}
	return t
}

func sliceOf(life time.Duration) int64 { return max((int64(life)+parts-1)/parts, 1) }

// Grow makes room for most entries, and remembers what is there and what comes for at least life from now. It never takes room or time away.
func (t *Table) Grow(most int, life time.Duration, now int64) {
	for i := range t.shards {
		t.shards[i].grow(max(most/shards, 1), sliceOf(life), now)
	}
}

func (s *shard) grow(most int, slice, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, most)
	if slice <= s.slice {
		return
	}
	s.forget(now / s.slice)
	var all set // it counts as used now: that is too long, and never too short
	for _, one := range s.past {
		if all.things == nil {
			all = one
			continue
		}
		maps.Copy(all.things, one.things) // a thing is in one set alone
		for owner, n := range one.owners {
			all.owners[owner] += n
		}
	}
	clear(s.past[:])
	s.current = max(now, s.current*s.slice) / slice
	s.slice = slice
	s.past[s.current%int64(len(s.past))] = all
}

// Use uses a thing, named by a hash that nobody can make collide. owner is who uses it, by a name that lasts. now is in nanoseconds, of any
// clock that does not run backwards; where one does, things are remembered for longer.
func (t *Table) Use(thing [32]byte, owner string, now int64) Verdict {
	s := &t.shards[thing[31]%shards]
	key := [16]byte(thing[:16])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now / s.slice)
	for i := range s.past {
		if _, used := s.past[i].things[key]; used {
			return Used
		}
	}
	if s.full(s.owners[owner]) {
		return Full
	}
	at := &s.past[s.current%int64(len(s.past))]
	if at.things == nil {
		*at = set{map[[16]byte]struct{}{}, map[string]int{}}
	}
	at.things[key] = struct{}{}
	at.owners[owner]++
	s.owners[owner]++
	s.entries++
	return Fresh
}

// full says whether one who has some entries gets no more: there have to be more left than it has. One alone gets half of all, two who are
// greedy a third each, and there is always something left for one more.
func (s *shard) full(has int) bool { return has >= s.most-s.entries }

// forget gives up the sets of slices that are a lifetime old, up to when slice began.
func (s *shard) forget(slice int64) {
	if slice-s.current >= int64(len(s.past)) { // all of them, at one go
		clear(s.past[:])
		clear(s.owners)
		s.current, s.entries = slice, 0
	}
	for s.current < slice {
		s.current++
		at := &s.past[s.current%int64(len(s.past))]
		s.entries -= len(at.things)
		for owner, n := range at.owners {
			if s.owners[owner] -= n; s.owners[owner] <= 0 {
				delete(s.owners, owner)
			}
		}
		*at = set{} // its memory goes too
	}
}

// Full gives those whose next thing might find no room at now, in order.
func (t *Table) Full(now int64) (owners []string) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.forget(now / s.slice)
		for owner, n := range s.owners {
			if s.full(n) {
				owners = append(owners, owner)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

// Len is how many entries there are at now.
func (t *Table) Len(now int64) int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.forget(now / s.slice)
		n += s.entries
		s.mu.Unlock()
	}
	return n
}

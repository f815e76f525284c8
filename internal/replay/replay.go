// Package replay remembers what may be used only once, such as signatures, for as long as it could be used again. It serves the policies
// of step 4 that take signed requests.
//
// Memory is bounded by a number of entries. When a Table is full it says so rather than forget something that could still be replayed, so
// only what was proven genuine should be given to it: nobody else can fill it then. A Table lives in the memory of one process: what was
// used on another node, or before a restart, it does not know. With a shared store a Guard knows that too.
//
// In reading order: replay.go (the table), guard.go (the table and the store).
//
// It refuses to know what the things are; each is a hash.
package replay

import (
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
	// slices is into how many parts of a life time is cut. Things are forgotten a slice at a time, so one is remembered for up to a
	// quarter longer than it has to be.
	slices = 4
)

// Table remembers things for a lifetime. It is used by any number of goroutines.
type Table struct {
	slice  int64 // nanoseconds
	most   int   // entries of one shard
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	current int64 // the slice of time that began last
	entries int
	// past holds a set for each slice of time in which things may be alive: slice i is at i modulo its length.
	past [slices + 1]map[[16]byte]struct{}
	_    [64]byte // keeps shards off each other's cache lines
}

// New makes a table for most entries at a time, each of which is remembered for at least life.
func New(most int, life time.Duration) *Table {
	return &Table{slice: max((int64(life)+slices-1)/slices, 1), most: max(most/shards, 1)}
}

// Use uses a thing, named by a hash that nobody can make collide. now is in nanoseconds, of any clock that does not run backwards; where
// one does, things are remembered for longer.
func (t *Table) Use(thing [32]byte, now int64) Verdict {
	s := &t.shards[thing[31]%shards]
	key := [16]byte(thing[:16])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now / t.slice)
	for _, set := range s.past {
		if _, used := set[key]; used {
			return Used
		}
	}
	if s.entries >= t.most {
		return Full
	}
	at := &s.past[s.current%int64(len(s.past))]
	if *at == nil {
		*at = map[[16]byte]struct{}{}
	}
	(*at)[key] = struct{}{}
	s.entries++
	return Fresh
}

// forget gives up the sets of slices that are a lifetime old, up to when slice began.
func (s *shard) forget(slice int64) {
	if slice-s.current >= int64(len(s.past)) { // all of them, at one go
		clear(s.past[:])
		s.current, s.entries = slice, 0
	}
	for s.current < slice {
		s.current++
		at := &s.past[s.current%int64(len(s.past))]
		s.entries -= len(*at)
		*at = nil // its memory goes too
	}
}

// Full says whether there are things at now that would find no room.
func (t *Table) Full(now int64) bool {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.forget(now / t.slice)
		full := s.entries >= t.most
		s.mu.Unlock()
		if full {
			return true
		}
	}
	return false
}

// Len is how many entries there are at now.
func (t *Table) Len(now int64) int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.forget(now / t.slice)
		n += s.entries
		s.mu.Unlock()
	}
	return n
}

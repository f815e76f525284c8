package cache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
)

// apart remembers the keys whose answers could not be shared, so that nobody waits for another's, and those whose renewal failed, so that it is not
// tried again at once. It is bounded: where it is full, one that is there is forgotten.
type apart struct {
	shards [16]struct {
		mu   sync.Mutex
		keys map[object.Key]reason
	}
	any atomic.Bool // something was noted once
}

// reason is why, and how long it counts.
type reason struct {
	why   freshness.Why // empty for a renewal that failed
	last  freshness.Why // why the last answer was not stored; for explanations
	until int64         // Unix time in nanoseconds, for why
	rest  int64         // no renewal before; 0 for none
	fails uint8         // renewals in a row
}

const (
	apartKeys = 1024 // a shard
	// apartFor is how long a key's answers are not waited for after one of them could not be shared.
	apartFor = int64(30 * time.Second)
	// restFirst and restMost are how long a renewal that failed is not tried again; it doubles from one to the other.
	restFirst, restMost = int64(time.Second), int64(time.Minute)
)

// why is why answers under a key are not shared at the moment; empty when they may be.
func (a *apart) why(k object.Key, now int64) freshness.Why {
	r := a.look(k)
	if r.until <= now {
		return ""
	}
	return r.why
}

// last is why the last answer under a key was not stored, as far as that is remembered.
func (a *apart) last(k object.Key) freshness.Why { return a.look(k).last }

// rests says whether nothing is to be renewed under a key, since that failed just now.
func (a *apart) rests(k object.Key, now int64) bool { return a.look(k).rest > now }

func (a *apart) look(k object.Key) reason {
	if !a.any.Load() {
		return reason{}
	}
	s := &a.shards[binary.LittleEndian.Uint16(k[:])%uint16(len(a.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[k]
}

// note says that an answer under a key was not stored, and with shared false that it would have been of no use to others.
func (a *apart) note(k object.Key, why freshness.Why, shared bool, now int64) {
	a.change(k, func(r *reason) {
		r.last = why
		if !shared {
			r.why, r.until = why, now+apartFor
		}
	})
}

// failed says that a renewal under a key failed.
func (a *apart) failed(k object.Key, now int64) {
	a.change(k, func(r *reason) {
		r.rest = now + min(restFirst<<min(r.fails, 6), restMost)
		r.fails = min(r.fails+1, 6)
	})
}

// forget says that an answer under a key was stored, and may be shared.
func (a *apart) forget(k object.Key) {
	if !a.any.Load() {
		return
	}
	s := &a.shards[binary.LittleEndian.Uint16(k[:])%uint16(len(a.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, k)
}

func (a *apart) change(k object.Key, do func(*reason)) {
	a.any.Store(true)
	s := &a.shards[binary.LittleEndian.Uint16(k[:])%uint16(len(a.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[object.Key]reason{}
	}
	r, known := s.keys[k]
	if !known && len(s.keys) >= apartKeys {
		for other := range s.keys { // whichever comes first
			delete(s.keys, other)
			break
		}
	}
	do(&r)
	s.keys[k] = r
}

// popular counts the hits of answers that are near their end. Keys share places, so that one may be renewed early for another's hits, which does no
// harm.
type popular struct {
	hits [4096]atomic.Uint32
}

// enough is how many hits near its end make an answer one that is renewed before it is stale.
const enough = 8

// counts counts a hit and says whether the answer is to be renewed.
func (p *popular) counts(k object.Key) bool {
	n := &p.hits[binary.LittleEndian.Uint16(k[2:])%uint16(len(p.hits))]
	if n.Add(1) < enough {
		return false
	}
	n.Store(0)
	return true
}

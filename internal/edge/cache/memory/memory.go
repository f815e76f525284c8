// Package memory keeps objects of the cache in memory (steps 5 and 8), in a bounded number of bytes. What is kept when there is no room for all is
// decided by how often keys were asked for, lately, so that a scan drives out nothing that is in use.
//
// In reading order: memory.go (the store, and how it is read), policy.go (what is kept), sketch.go (how often keys were asked for).
//
// It refuses to look into objects, to know whether they are fresh, and to keep one whose body lies in a file.
package memory

import (
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/cache/object"
)

// largest is the share of the room that one object may have: a larger one would drive out too many others.
const largest = 8

// Store keeps objects in memory. It implements object.Store; all methods may be called from any goroutine. It has no goroutines of its own.
//
// The sum of object.Object.Size of what it keeps never exceeds the room: whoever puts an object makes the room for it. What was dropped lives on for
// as long as exchanges use it, and is not counted then.
//
// Reading takes no lock that all share. What was read is noted with its shard, sixteen reads at a time are told to the policy, and when the policy is
// busy they are forgotten: it needs no more than a good sample.
type Store struct {
	shards [shards]shard

	writing sync.Mutex // guards policy; a shard's lock may be taken while it is held, and not the other way round
	policy  policy

	room, bytes, objects      atomic.Int64 // as of the policy, for those who do not hold the lock
	stored, evicted, rejected atomic.Uint64
	told                      func(k object.Key, o *object.Object) // of what was evicted, or nil
}

const (
	shards = 64
	noted  = 16 // reads by shard until the policy is told
)

type shard struct {
	lock    sync.RWMutex
	entries map[object.Key]*entry
	_       [64]byte // the next line of a cache: reading must not disturb others' reading
	hits    atomic.Uint64
	misses  atomic.Uint64
	notes   [noted]atomic.Pointer[entry] // the last hits
}

// entry is one object's place. Its shard's lock guards object, the policy's lock all else but the key.
type entry struct {
	key    object.Key
	object *object.Object // nil from when it is not kept any more

	size       int64
	segment    *segment // nil when it is in none
	prev, next *entry
	gone       *object.Object // what object was, for who is told
}

// Figures are those of a store since it was made.
type Figures struct {
	Objects      int
	Bytes, Room  int64
	Hits, Misses uint64
	Stored       uint64 // puts that found a place, if only for a moment
	Evicted      uint64 // to make room
	Rejected     uint64 // puts of what was too large, or lies in a file
}

// New makes a store with room for so many bytes; with none it keeps nothing. evicted may be nil; it is told what has made room for others, or was not
// worth their place when it was put. It is called by whoever put something or changed the room, holds no lock, and may call the store.
func New(bytes int64, evicted func(k object.Key, o *object.Object)) *Store {
	s := &Store{told: evicted}
	for i := range s.shards {
		s.shards[i].entries = map[object.Key]*entry{}
	}
	s.policy.init(s.drop)
	s.Resize(bytes)
	return s
}

func (s *Store) shard(k *object.Key) *shard { return &s.shards[k[0]%shards] }

// Get returns the object under a key, nil when there is none.
func (s *Store) Get(k object.Key) *object.Object {
	sh := s.shard(&k)
	var o *object.Object
	sh.lock.RLock()
	e := sh.entries[k]
	if e != nil {
		o = e.object
	}
	sh.lock.RUnlock()
	if o == nil {
		sh.misses.Add(1)
		return nil
	}
	n := sh.hits.Add(1)
	sh.notes[n%noted].Store(e)
	if n%noted == 0 && s.writing.TryLock() {
		s.tell(sh)
		s.writing.Unlock()
	}
	return o
}

// Peek is Get for the cache's own looks: it counts nothing, and is no sign that anybody wants the object.
func (s *Store) Peek(k object.Key) *object.Object {
	sh := s.shard(&k)
	sh.lock.RLock()
	defer sh.lock.RUnlock()
	if e := sh.entries[k]; e != nil {
		return e.object
	}
	return nil
}

// tell tells the policy what was read in a shard.
func (s *Store) tell(sh *shard) {
	for i := range sh.notes {
		if e := sh.notes[i].Swap(nil); e != nil {
			s.policy.read(e)
		}
	}
}

// Put keeps an object, unless it takes more than an eighth of the room or has a File; it may be evicted at once, when it is not worth the place of
// others. What was under the key is gone.
func (s *Store) Put(k object.Key, o *object.Object) { s.put(k, o, false) }

// Add is Put where nothing is under the key, and nothing otherwise: for what was read from a slower store, as something newer may have come meanwhile.
func (s *Store) Add(k object.Key, o *object.Object) { s.put(k, o, true) }

func (s *Store) put(k object.Key, o *object.Object, add bool) {
	size := o.Size()
	s.writing.Lock()
	if add && s.shard(&k).entries[k] != nil {
		s.writing.Unlock()
		return
	}
	if o.File != nil || size > s.policy.room/largest {
		s.remove(&k)
		s.writing.Unlock()
		s.rejected.Add(1)
		return
	}
	sh := s.shard(&k)
	e := sh.entries[k] // only who holds the policy's lock changes the entries
	if e == nil {
		e = &entry{key: k}
	}
	sh.lock.Lock()
	e.object = o
	sh.entries[k] = e
	sh.lock.Unlock()
	gone := s.policy.put(e, size)
	s.count()
	s.writing.Unlock()
	s.stored.Add(1)
	s.tellEvicted(gone)
}

// Delete removes an object.
func (s *Store) Delete(k object.Key) {
	s.writing.Lock()
	s.remove(&k)
	s.writing.Unlock()
}

// remove removes what is under a key, for who holds the policy's lock.
func (s *Store) remove(k *object.Key) {
	if e := s.shard(k).entries[*k]; e != nil {
		s.policy.remove(e)
		s.drop(e)
		s.count()
	}
}

// drop takes an entry that left the policy out of its shard.
func (s *Store) drop(e *entry) {
	sh := s.shard(&e.key)
	sh.lock.Lock()
	e.gone, e.object = e.object, nil // notes may hold the entry for long
	delete(sh.entries, e.key)
	sh.lock.Unlock()
}

// count brings the figures in line with the policy's.
func (s *Store) count() {
	s.bytes.Store(s.policy.bytes())
	s.objects.Store(int64(s.policy.entries))
}

// tellEvicted tells of a chain of entries that were evicted.
func (s *Store) tellEvicted(gone *entry) {
	for e := gone; e != nil; {
		o, next := e.gone, e.next
		e.gone, e.next = nil, nil
		s.evicted.Add(1)
		if s.told != nil {
			s.told(e.key, o)
		}
		e = next
	}
}

// Each calls f for each object until it returns false. It holds no lock meanwhile: f may call the store, and what is put or removed meanwhile may be
// among them or not.
func (s *Store) Each(f func(k object.Key, o *object.Object) bool) {
	type pair struct {
		k object.Key
		o *object.Object
	}
	var some []pair
	for i := range s.shards {
		sh := &s.shards[i]
		some = some[:0]
		sh.lock.RLock()
		for k, e := range sh.entries {
			some = append(some, pair{k, e.object})
		}
		sh.lock.RUnlock()
		for _, p := range some {
			if !f(p.k, p.o) {
				return
			}
		}
	}
}

// Resize gives the store another room. What finds no place in it is evicted at once.
func (s *Store) Resize(bytes int64) {
	s.writing.Lock()
	s.room.Store(max(0, bytes))
	gone := s.policy.resize(max(0, bytes))
	s.count()
	s.writing.Unlock()
	s.tellEvicted(gone)
}

// Figures reads the figures.
func (s *Store) Figures() Figures {
	f := Figures{
		Objects: int(s.objects.Load()), Bytes: s.bytes.Load(), Room: s.room.Load(),
		Stored: s.stored.Load(), Evicted: s.evicted.Load(), Rejected: s.rejected.Load(),
	}
	for i := range s.shards {
		f.Hits += s.shards[i].hits.Load()
		f.Misses += s.shards[i].misses.Load()
	}
	return f
}

// Close forgets everything, and keeps nothing any more.
func (s *Store) Close() { s.Resize(0) }

package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Key stands for an identity: two hashes of 64 bits each under seeds of this process, so that nobody can choose identities that fall together,
// and among a billion of them two alike are less likely than one in 10^20. Nothing of the identity can be read from it.
type Key struct{ a, b uint64 }

// Ask is one limit that is asked: of whom, and how much.
type Ask struct {
	Key   Key
	Terms *Terms
	Cost  int64
	Crowd *Crowd // of the limit; never nil
	Verdict
}

// Table holds buckets in memory, bounded in bytes. It is used by many goroutines at once, and outlives revisions.
//
// A bucket that is full again says nothing, and its place is taken by the next newcomer; one that is not is never given up. When a newcomer
// finds no place, it counts in a bucket it shares with others, see Crowd: a flood of identities cannot set anybody's bucket back.
//
// Each key has two places it may be in, sets of eight buckets, and a newcomer goes to the emptier one ("The power of two choices in
// randomized load balancing", Mitzenmacher 2001); when both are full, one there that may be elsewhere moves on. More than 85 % of a table is taken
// before newcomers find no place.
type Table struct {
	seeds   [2]maphash.Seed
	most    atomic.Int64 // sets of a shard
	crowded atomic.Uint64
	last    atomic.Int64 // when somebody found no place, in nanoseconds
	shards  [shards]shard
}

const (
	shards = 256
	ways   = 8
	// bucketBytes is what one identity takes of memory for one limit.
	bucketBytes = 32
	setBytes    = ways * bucketBytes
	fewSets     = 4 // of a shard that is used
)

// bucket is one identity's state for one limit.
type bucket struct {
	key      Key
	full     int64 // when it is full again, in ticks; 0 for a place nobody has used
	interval int64 // of the terms it was kept under, in ticks
}

type set [ways]bucket

type shard struct {
	mu   sync.Mutex
	sets []set    // a power of two of them, or none
	_    [32]byte // so that two locks are not in one cache line
}

// NewTable makes a table that takes so many bytes at most. It takes them as it fills, and keeps what it took.
func NewTable(bytes int64) *Table {
	t := &Table{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	t.Allow(bytes)
	return t
}

// Allow lets the table take so many bytes, if that is more than before: what it has is not given up.
func (t *Table) Allow(bytes int64) {
	sets := int64(fewSets)
	for sets*2*shards*setBytes <= bytes {
		sets *= 2
	}
	for {
		old := t.most.Load()
		if sets <= old || t.most.CompareAndSwap(old, sets) {
			return
		}
	}
}

// Key is the key of an identity.
func (t *Table) Key(identity []byte) Key {
	return Key{maphash.Bytes(t.seeds[0], identity), maphash.Bytes(t.seeds[1], identity)}
}

// MaxAsks is how many limits may be asked as one.
const MaxAsks = 16

// Take asks limits as one: either all grant, and each is used, or none is. It gives the index of the first that refused, or -1; those after it
// were not asked. now is in nanoseconds and should not go back; when it does, nothing comes back earlier.
func (t *Table) Take(asks []Ask, now int64) int {
	if len(asks) == 1 {
		return t.takeOne(&asks[0], now)
	}
	return t.takeAll(asks, now)
}

func (t *Table) takeOne(a *Ask, now int64) int {
	at, ticks := a.Key.shard(), now*tick
	s := &t.shards[at]
	s.mu.Lock()
	b := t.find(s, a, at, ticks)
	b.full, a.Verdict = a.Terms.spend(b.full, ticks, a.Cost)
	a.Crowded = b.key != a.Key
	s.mu.Unlock()
	if !a.OK {
		return 0
	}
	return -1
}

func (t *Table) takeAll(asks []Ask, now int64) int {
	if len(asks) > MaxAsks {
		panic("BUG: more limits are asked as one than there may be")
	}
	// Locks are taken in the order of the shards, each once, so that two who need the same ones wait for each other and not in a ring.
	var room [MaxAsks]int
	locks := room[:0]
	for i := range asks {
		locks = insert(locks, asks[i].Key.shard())
	}
	for _, at := range locks {
		t.shards[at].mu.Lock()
	}
	refused, ticks := -1, now*tick
	var before [MaxAsks]int64 // what full was, so that it can be as if nobody had asked
	for i := range asks {
		a := &asks[i]
		at := a.Key.shard()
		s := &t.shards[at]
		b := t.find(s, a, at, ticks)
		before[i] = b.full
		b.full, a.Verdict = a.Terms.spend(b.full, ticks, a.Cost)
		a.Crowded = b.key != a.Key
		if !a.OK {
			refused = i
			break
		}
	}
	for i := refused - 1; i >= 0; i-- {
		a := &asks[i]
		at := a.Key.shard()
		if a.Crowded {
			a.Crowd.bucket(at).full = before[i]
		} else if b := t.shards[at].has(a.Key); b != nil { // it may have moved since
			b.full = before[i]
		}
	}
	for _, at := range locks {
		t.shards[at].mu.Unlock()
	}
	return refused
}

// insert keeps a short list sorted and without doubles.
func insert(list []int, x int) []int {
	at := len(list)
	for at > 0 && list[at-1] > x {
		at--
	}
	if at > 0 && list[at-1] == x {
		return list
	}
	list = append(list, 0)
	copy(list[at+1:], list[at:])
	list[at] = x
	return list
}

// adopt makes the bucket one of these terms, when it was kept under others: as many tokens are missing as before, but no more than there are. The
// second is for those who read the clock earlier than somebody who came before them.
func (b *bucket) adopt(t *Terms, now int64) *bucket {
	if b.interval != t.interval {
		b.full, b.interval = t.carry(b.full, now, b.interval), t.interval
	} else if most := now + t.depth; b.full-most > int64(time.Second)*tick {
		b.full = most
	}
	return b
}

func (k Key) shard() int { return int(k.a >> 56) }

// find gives the bucket of who asks, or the one it shares when there is no place for its own. The lock of the shard is held; now is in ticks.
func (t *Table) find(s *shard, a *Ask, at int, now int64) *bucket {
	if s.sets == nil {
		s.sets = make([]set, fewSets)
	}
	b := s.has(a.Key)
	if b == nil {
		b = t.place(s, a, at, now)
	}
	return b.adopt(a.Terms, now)
}

func (s *shard) choices(k Key) (first, second *set) {
	mask := uint64(len(s.sets) - 1)
	return &s.sets[k.a&mask], &s.sets[k.b&mask]
}

func (s *shard) has(k Key) *bucket {
	first, second := s.choices(k)
	if b := first.has(k); b != nil {
		return b
	}
	return second.has(k)
}

func (set *set) has(k Key) *bucket {
	for i := range set {
		if set[i].key == k {
			return &set[i]
		}
	}
	return nil
}

// free gives a place in the set, nil for none, and how many there are.
func (set *set) free(now int64) (place *bucket, n int) {
	for i := range set {
		if set[i].full <= now {
			if n++; n == 1 {
				place = &set[i]
			}
		}
	}
	return place, n
}

// place finds a newcomer a place.
func (t *Table) place(s *shard, a *Ask, at int, now int64) *bucket {
	for {
		first, second := s.choices(a.Key)
		b, n := first.free(now)
		if other, m := second.free(now); m > n {
			b = other
		}
		if b == nil {
			if b = s.clear(first, now); b == nil {
				b = s.clear(second, now)
			}
		}
		if b != nil {
			*b = bucket{key: a.Key, interval: a.Terms.interval}
			return b
		}
		if int64(2*len(s.sets)) > t.most.Load() {
			t.crowded.Add(1)
			t.last.Store(now / tick)
			return a.Crowd.bucket(at)
		}
		s.grow(now)
	}
}

// clear makes a place in a full set: it moves a bucket to the other set it may be in. It gives nil when those are full too.
func (s *shard) clear(full *set, now int64) *bucket {
	for i := range full {
		to, other := s.choices(full[i].key)
		if to == full {
			to = other
		}
		if place, _ := to.free(now); place != nil && to != full {
			*place = full[i]
			return &full[i]
		}
	}
	return nil
}

// grow doubles a shard. What is full again is left behind. A set becomes two, and what was in it goes to one of them by the same of its two
// hashes, so there is always a place.
func (s *shard) grow(now int64) {
	old := s.sets
	s.sets = make([]set, 2*len(old))
	for i := range old {
		for j := range old[i] {
			b := &old[i][j]
			if b.full <= now {
				continue
			}
			to, other := s.choices(b.key)
			if b.key.a&uint64(len(old)-1) != uint64(i) {
				to = other
			}
			place, _ := to.free(0)
			*place = *b
		}
	}
}

// Figures are what a table holds. They are counted when they are asked for, a shard at a time.
type Figures struct {
	Buckets int64  // that are not full
	Bytes   int64  // taken
	Most    int64  // that may be taken
	Crowded uint64 // asks that found no place of their own, since the table was made
}

// Figures reads them. now is as for Take.
func (t *Table) Figures(now int64) (f Figures) {
	f.Most, f.Crowded = t.most.Load()*shards*setBytes, t.crowded.Load()
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		f.Bytes += int64(len(s.sets)) * setBytes
		for j := range s.sets {
			_, free := s.sets[j].free(now * tick)
			f.Buckets += int64(ways - free)
		}
		s.mu.Unlock()
	}
	return f
}

// CrowdedAt is when somebody last found no place of its own, 0 for never.
func (t *Table) CrowdedAt() int64 { return t.last.Load() }

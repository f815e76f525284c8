package ban

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxScores is how many addresses have a score at most, in all shards together. One takes about 140 bytes.
const maxScores = 65_536

// scoreShards keep exchanges on different cores apart.
const scoreShards = 16

// scores is the table of scores. When it is full, the lowest score goes for a higher one: a flood of addresses that did little drives out
// nobody who did more.
type scores struct {
	seed    maphash.Seed // so that nobody can choose addresses of one shard
	most    int          // in a shard
	shards  [scoreShards]scoreShard
	evicted atomic.Uint64
}

type scoreShard struct {
	mu       sync.Mutex
	halfLife time.Duration
	slots    []slot
	places   map[key]int32 // in slots
	lowest   []int32       // a heap of places by rank
	_        [64]byte      // keeps shards off each other's cache lines
}

type slot struct {
	key key
	score
	rank   float64
	place  int32 // in lowest
	spared bool  // it was told that nobody here is banned
}

func newScores(most int) *scores {
	t := &scores{seed: maphash.MakeSeed(), most: most / scoreShards}
	for i := range t.shards {
		t.shards[i].halfLife, t.shards[i].places = time.Minute, map[key]int32{}
	}
	return t
}

func (t *scores) shard(k key) *scoreShard {
	return &t.shards[maphash.Comparable(t.seed, k)%scoreShards]
}

// use puts a half life in force for what is there and for what comes.
func (t *scores) use(halfLife time.Duration, now int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		was := s.halfLife
		s.halfLife = halfLife
		for j := range s.slots {
			s.slots[j].score = s.slots[j].fallen(now, was)
			s.slots[j].rank = s.slots[j].score.rank(halfLife)
		}
		for j := len(s.lowest)/2 - 1; j >= 0; j-- {
			s.down(j)
		}
		s.mu.Unlock()
	}
}

// strike adds points to a score and returns what it is now.
func (t *scores) strike(k key, signal Signal, points float64, now int64) score {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := s.places[k]; there {
		one := &s.slots[at]
		one.score = one.fallen(now, s.halfLife)
		one.by[signal] += points
		one.rank = one.score.rank(s.halfLife)
		s.down(int(one.place)) // a rank only grows
		return one.score
	}
	fresh := slot{key: k, score: score{at: now}}
	fresh.by[signal] = points
	fresh.rank = fresh.score.rank(s.halfLife)
	if len(s.slots) < t.most {
		fresh.place = int32(len(s.lowest))
		s.places[k] = int32(len(s.slots))
		s.slots = append(s.slots, fresh)
		s.lowest = append(s.lowest, int32(len(s.slots)-1))
		s.up(int(fresh.place))
		return fresh.score
	}
	t.evicted.Add(1)
	at := s.lowest[0]
	if fresh.rank > s.slots[at].rank {
		delete(s.places, s.slots[at].key)
		s.places[k] = at
		s.slots[at] = fresh // at the top of the heap, which is place 0
		s.down(0)
	}
	return fresh.score
}

// get returns a score as it is now; it is 0 for an address without one.
func (t *scores) get(k key, now int64) score {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := s.places[k]; there {
		return s.slots[at].fallen(now, s.halfLife)
	}
	return score{at: now}
}

// spare notes that an address is spared, and says whether that is news.
func (t *scores) spare(k key) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.places[k]
	if !there || s.slots[at].spared {
		return false
	}
	s.slots[at].spared = true
	return true
}

// drop gives up a score.
func (t *scores) drop(k key) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := s.places[k]; there {
		s.remove(at)
	}
}

// sweep gives up scores that have fallen below least.
func (t *scores) sweep(least float64, now int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for len(s.lowest) > 0 {
			at := s.lowest[0]
			if fallen := s.slots[at].fallen(now, s.halfLife); fallen.total() >= least {
				break
			}
			s.remove(at)
		}
		s.mu.Unlock()
	}
}

// clear gives up all of them.
func (t *scores) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.slots, s.lowest, s.places = nil, nil, map[key]int32{}
		s.mu.Unlock()
	}
}

func (t *scores) count() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.slots)
		s.mu.Unlock()
	}
	return n
}

// remove takes out the slot at a place; the last one moves there. mu is held.
func (s *scoreShard) remove(at int32) {
	hole := int(s.slots[at].place)
	last := len(s.lowest) - 1
	s.swap(hole, last)
	s.lowest = s.lowest[:last]
	if hole < last {
		s.down(hole)
		s.up(hole)
	}
	delete(s.places, s.slots[at].key)
	if end := int32(len(s.slots) - 1); at != end {
		s.slots[at] = s.slots[end]
		s.places[s.slots[at].key] = at
		s.lowest[s.slots[at].place] = at
	}
	s.slots = s.slots[:len(s.slots)-1]
}

func (s *scoreShard) rankAt(place int) float64 { return s.slots[s.lowest[place]].rank }

func (s *scoreShard) swap(a, b int) {
	s.lowest[a], s.lowest[b] = s.lowest[b], s.lowest[a]
	s.slots[s.lowest[a]].place, s.slots[s.lowest[b]].place = int32(a), int32(b)
}

func (s *scoreShard) up(place int) {
	for place > 0 {
		above := (place - 1) / 2
		if s.rankAt(above) <= s.rankAt(place) {
			return
		}
		s.swap(above, place)
		place = above
	}
}

func (s *scoreShard) down(place int) {
	for {
		below := 2*place + 1
		if below >= len(s.lowest) {
			return
		}
		if below+1 < len(s.lowest) && s.rankAt(below+1) < s.rankAt(below) {
			below++
		}
		if s.rankAt(place) <= s.rankAt(below) {
			return
		}
		s.swap(place, below)
		place = below
	}
}

package concurrency

import (
	"hash/maphash"
	"sync"

	"straum.dev/straum/internal/edge/exchange"
)

// table counts what is under way of each caller. There is an entry for those who have something under way, and for nobody else, so that
// there are never more entries than requests.
type table struct {
	seeds  [2]maphash.Seed
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	taken map[key]int64
	free  []*place // for the next
	_     [24]byte // so that two locks are not in one cache line
}

// key stands for a caller: two hashes with secrets of the process, so that nobody can choose one that is another's.
type key [2]uint64

func (t *table) keyOf(identity []byte) key {
	return key{maphash.Bytes(t.seeds[0], identity), maphash.Bytes(t.seeds[1], identity)}
}

// place is what one request has taken. It belongs to its shard when it has come back.
type place struct {
	shard *shard
	key   key
}

func newTable() *table { return &table{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}} }

// take counts one more request of a caller, and reports false if there are limit already. Then it is not counted, unless it goes on
// in any case.
func (t *table) take(k key, limit int64, anyway bool) (*place, bool) {
	s := &t.shards[k[0]%uint64(len(t.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.taken[k]
	fits := n < limit
	if !fits && !anyway {
		return nil, false
	}
	if s.taken == nil {
		s.taken = map[key]int64{}
	}
	s.taken[k] = n + 1
	var p *place
	if last := len(s.free) - 1; last >= 0 {
		p, s.free = s.free[last], s.free[:last]
	} else {
		p = &place{shard: s}
	}
	p.key = k
	return p, fits
}

// maxFree is how many places a shard keeps for later.
const maxFree = 1024

// Settle implements exchange.Settler.
func (p *place) Settle(*exchange.Exchange) {
	s := p.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.taken[p.key]; n > 1 {
		s.taken[p.key] = n - 1
	} else {
		delete(s.taken, p.key)
	}
	if len(s.free) < maxFree {
		s.free = append(s.free, p)
	}
}

// len is how many callers have requests under way, and how many requests those are.
func (t *table) len() (keys int, under int64) {
	if t == nil {
		return 0, 0
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		keys += len(s.taken)
		for _, n := range s.taken {
			under += n
		}
		s.mu.Unlock()
	}
	return keys, under
}

package ban

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// evidence is who has used which address well of late, so that an address that many share is not banned for one of them. It has room for
// eight consumers in each of 65,536 groups, 4 MiB, and takes no lock. Addresses fall into groups by a hash that nobody else can compute. In a
// full group the oldest goes, so that evidence is lost rather than made up: for two pairs to be taken for one, 46 bits would have to be the same.
type evidence struct {
	keys   [2]uint64
	seed   maphash.Seed
	tick   uint   // a tick is 1 << tick nanoseconds
	window uint64 // in ticks, 32 to 64
	groups [][MaxConsumers]atomic.Uint64
}

// A word of a group is a mark of the address, one of the consumer, and when it was seen last, in ticks. 0 is free.
const (
	tickBits = 18
	markBits = (64 - tickBits) / 2
	tickMask = 1<<tickBits - 1
	markMask = 1<<markBits - 1
)

// newEvidence makes room for some groups, a power of two, of what is seen within a window.
func newEvidence(groups int, window time.Duration) *evidence {
	tick := uint(max(bits.Len64(uint64(window)>>5), 1) - 1)
	return &evidence{keys: [2]uint64{rand.Uint64(), rand.Uint64() | 1}, seed: maphash.MakeSeed(), tick: tick, window: uint64(window) >> tick,
		groups: make([][MaxConsumers]atomic.Uint64, groups)}
}

// hash mixes an address, or a wider network of it when more than its bits are 0. Multiplying by secrets is enough against whoever never
// sees what comes out.
func (e *evidence) hash(k key) uint64 {
	high, low := bits.Mul64(k.high^e.keys[0], e.keys[1])
	high2, low2 := bits.Mul64(k.low^high^low^e.keys[1], e.keys[0]|1)
	return high2 ^ low2
}

// note notes that a consumer has used an address well, and reports whether that was news in this tick.
func (e *evidence) note(k key, consumer string, now int64) bool {
	h := e.hash(k)
	group := &e.groups[h&uint64(len(e.groups)-1)]
	tick := uint64(now) >> e.tick & tickMask
	pair := (h>>40&markMask)<<markBits | maphash.String(e.seed, consumer)&markMask
	word := pair<<tickBits | tick
	oldest, age := 0, uint64(0) // when all are new, the first
	for i := range group {
		there := group[i].Load()
		if there == word {
			return false
		}
		if there>>tickBits == pair && there != 0 {
			group[i].CompareAndSwap(there, word) // who was faster has seen the same
			return true
		}
		if there == 0 {
			oldest, age = i, tickMask+1
		} else if old := since(tick, there); old > age {
			oldest, age = i, old
		}
	}
	group[oldest].Store(word)
	return true
}

// consumers is how many have used an address well within a window.
func (e *evidence) consumers(k key, now int64) (n int) {
	h := e.hash(k)
	group := &e.groups[h&uint64(len(e.groups)-1)]
	tick := uint64(now) >> e.tick & tickMask
	for i := range group {
		there := group[i].Load()
		if there != 0 && there>>(tickBits+markBits) == h>>40&markMask && since(tick, there) <= e.window {
			n++
		}
	}
	return n
}

// sweep frees what is older than a window, before its ticks come round.
func (e *evidence) sweep(now int64) {
	tick := uint64(now) >> e.tick & tickMask
	for i := range e.groups {
		for j := range e.groups[i] {
			word := &e.groups[i][j]
			if there := word.Load(); there != 0 && since(tick, there) > e.window {
				word.CompareAndSwap(there, 0)
			}
		}
	}
}

// since is how many ticks ago a word was written. One from a moment that is still to come, by the clock of another goroutine, is new.
func since(tick, word uint64) uint64 {
	if age := (tick - word) & tickMask; age <= tickMask/2 {
		return age
	}
	return 0
}

package balance

import "sync/atomic"

// roundRobin takes turns. Every `total` picks in a row give each member exactly its weight, spread smoothly: the turns
// visit the points 0..total-1 in steps of about total divided by the golden ratio, a step that shares no divisor with
// total and hence meets each point once. One counter is all the state; there is no lock and no list of current weights.
type roundRobin struct {
	*pool
	step    uint64
	_       [64]byte
	turn    atomic.Uint64
	spilled atomic.Uint64 // turns that fell to an ineligible member and are spread over the others
	_       [48]byte
}

func newRoundRobin(p *pool) *roundRobin {
	step := max(scale(golden, p.total), 1)
	for gcd(p.total, step) > 1 {
		step++ // ends at total-1 at the latest
	}
	return &roundRobin{pool: p, step: step}
}

func (b *roundRobin) Pick(_, random uint64, now int64, tried Tried) (int, bool) {
	if len(b.slots) == 0 {
		return 0, false
	}
	turn := b.turn.Add(1) - 1
	i := b.owner(turn % b.total * b.step % b.total)
	if b.accept(i, random, now, &tried) {
		return b.slots[i].index, true
	}
	return b.scatter(b.spilled.Add(1)*golden, now, &tried)
}

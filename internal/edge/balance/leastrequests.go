package balance

import "sync/atomic"

// leastRequests picks the member that would have the fewest requests in flight for its weight after getting this one:
// the least (active+1)/weight. Members without any request take turns by weight, so that a system with little to do
// spreads evenly instead of always asking the first or the heaviest. One pass, no lock.
//
// Two picks at the same instant may see the same numbers and meet at one endpoint; the next pick sees both.
type leastRequests struct {
	*pool
	_    [64]byte
	turn atomic.Uint64
	_    [56]byte
}

func (b *leastRequests) Pick(_, _ uint64, now int64, tried Tried) (int, bool) {
	if len(b.slots) == 0 {
		return 0, false
	}
	turn := b.turn.Add(1) - 1
	for r := firstRound; r <= lastRound; r++ {
		var i int
		if b.even && (b.slow == 0 || r&evenUnfit != 0) {
			i = b.leastEven(turn, r, now, &tried)
		} else {
			i = b.leastWeighted(turn, r, now, &tried)
		}
		if i >= 0 {
			return b.slots[i].index, true
		}
	}
	return 0, false
}

// leastEven looks first at the slot whose turn it is; an idle one is taken at once, nothing beats it. If it is not idle,
// three others get the turn by chance before the search in order begins: else the slot behind a busy or unusable one
// would have that one's turns on top of its own.
func (b *leastRequests) leastEven(turn uint64, r round, now int64, tried *Tried) int {
	n := len(b.slots)
	i := int(turn % uint64(n))
	for again := range uint64(3) {
		if b.eligible(i, r, now, tried) && b.slots[i].load.Active() <= 0 {
			return i
		}
		i = int(scale(mix(turn*4+again), uint64(n)))
	}
	best, fewest := -1, int64(0)
	for range n {
		if b.eligible(i, r, now, tried) {
			active := b.slots[i].load.Active()
			if active <= 0 {
				return i
			}
			if best < 0 || active < fewest {
				best, fewest = i, active
			}
		}
		if i++; i == n {
			i = 0
		}
	}
	return best
}

func (b *leastRequests) leastWeighted(turn uint64, r round, now int64, tried *Tried) int {
	best, bestActive, bestWeight := -1, uint64(0), uint64(1)
	var idle uint64 // weight of those without requests
	n := len(b.slots)
	i := int(turn % uint64(n))
	for range n {
		if b.eligible(i, r, now, tried) {
			active := uint64(max(b.slots[i].load.Active(), 0))
			weight := b.weight(i, r, now)
			if active == 0 {
				idle += weight
			}
			if best < 0 || (active+1)*bestWeight < (bestActive+1)*weight {
				best, bestActive, bestWeight = i, active, weight
			}
		}
		if i++; i == n {
			i = 0
		}
	}
	if best < 0 || bestActive > 0 || idle == bestWeight {
		return best
	}
	// The best one is idle. By the rule above it would win every time it is, so let all idle ones take turns by weight.
	point := scale(turn*golden, idle)
	for i := range b.slots {
		if b.eligible(i, r, now, tried) && b.slots[i].load.Active() <= 0 {
			weight := b.weight(i, r, now)
			if point < weight {
				return i
			}
			point -= weight
		}
	}
	return best // someone got a request meanwhile
}

package balance

import "math"

// hash gives the same key to the same member by rendezvous hashing (Thaler, Ravishankar 1998): each member scores the
// key, the best score wins. When a member goes, exactly its keys move, spread over all others by weight; when it comes
// back they return. There is no table to rebuild when DNS changes, and the next choice of a key is simply the next score,
// which is where it goes when its member is unusable, tried, or over the bound.
//
// A slow starter begins with a tenth of its keys and gets the others back one by one.
type hash struct {
	*pool
	bound uint64 // percent of the fair share, 0 = none
}

func (b *hash) Pick(key, _ uint64, now int64, tried Tried) (int, bool) {
	for r := firstRound; r <= lastRound; r++ {
		i := -1
		if b.bound > 0 {
			room, of := b.room(r, now, &tried)
			i = b.best(key, r, now, &tried, room, of)
		}
		if i < 0 {
			i = b.best(key, r, now, &tried, math.MaxUint64, 1)
		}
		if i >= 0 {
			return b.slots[i].index, true
		}
	}
	return 0, false
}

// room returns the bound as a fraction: a member stays within it with one more request if active < ceil(weight × room /
// of), that is bound × (all active + 1) × its share of all weights. At least one member does, unless the numbers change
// before they are read again.
func (b *hash) room(r round, now int64, tried *Tried) (room, of uint64) {
	var active, weights uint64
	for i := range b.slots {
		if b.eligible(i, r, now, tried) {
			active += uint64(max(b.slots[i].load.Active(), 0))
			weights += b.weight(i, r, now)
		}
	}
	return b.bound * (active + 1), full * max(weights, 1)
}

// best returns the slot with the best score among those within the bound, -1 if there is none.
func (b *hash) best(key uint64, r round, now int64, tried *Tried, room, of uint64) int {
	if b.even && (b.slow == 0 || r&evenUnfit != 0) {
		return b.bestEven(key, r, now, tried, limit(full, room, of))
	}
	best, top := -1, 0.0
	for i := range b.slots {
		if !b.eligible(i, r, now, tried) {
			continue
		}
		weight := b.weight(i, r, now)
		if float64(b.slots[i].load.Active()) >= limit(weight, room, of) {
			continue
		}
		// -weight/ln(u), u uniform in (0, 1), lets each member win in proportion to its weight (Schindelhauer, Schomaker
		// 2005). Among equal weights it orders members as the bare hash does.
		u := (float64(mix(key^b.slots[i].id)>>11) + 0.5) / (1 << 53)
		if score := -float64(weight) / math.Log(u); best < 0 || score > top {
			best, top = i, score
		}
	}
	return best
}

func (b *hash) bestEven(key uint64, r round, now int64, tried *Tried, limit float64) int {
	best, top := -1, uint64(0)
	for i := range b.slots {
		score := mix(key ^ b.slots[i].id)
		if (best < 0 || score > top) && float64(b.slots[i].load.Active()) < limit && b.eligible(i, r, now, tried) {
			best, top = i, score
		}
	}
	return best
}

func limit(weight, room, of uint64) float64 {
	return math.Ceil(float64(room) * float64(weight) / float64(of))
}

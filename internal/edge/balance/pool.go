package balance

import (
	"math/bits"
	"slices"
)

// pool is what all kinds share: the members of weight above 0, and who of them is eligible.
type pool struct {
	slots []slot
	// ends[i] is the sum of the weights up to and including slot i: slot i owns the points below it that no earlier slot owns.
	ends  []uint64
	total uint64
	even  bool  // all weights are the same (and then 1)
	slow  int64 // the slow start window in ns, 0 = none
}

type slot struct {
	load   *Load
	weight uint64 // divided by the greatest common divisor of all
	id     uint64 // hash of the member's ID
	index  int    // in the list given to New
}

func newPool(members []Member, slow int64) *pool {
	p := &pool{slow: slow, even: true}
	var divisor uint64
	for i, m := range members {
		if m.Weight > 0 {
			p.slots = append(p.slots, slot{load: m.Load, weight: uint64(m.Weight), id: m.Key(), index: i})
			divisor = gcd(divisor, uint64(m.Weight))
		}
	}
	for i := range p.slots {
		p.slots[i].weight /= divisor
		p.total += p.slots[i].weight
		p.ends = append(p.ends, p.total)
		p.even = p.even && p.slots[i].weight == 1
	}
	return p
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// round is one of the four passes of the package comment, as two bits: what it disregards.
type round uint8

const (
	evenTried  round = 1
	evenUnfit  round = 2
	firstRound round = 0
	lastRound        = evenTried | evenUnfit
)

func (p *pool) eligible(i int, r round, now int64, tried *Tried) bool {
	s := &p.slots[i]
	return (r&evenUnfit != 0 || s.load.Usable(now)) && (r&evenTried != 0 || !tried.Has(s.index))
}

// weight is the slot's weight at the time in hundredths, slow start included. In the rounds that disregard health it is
// the plain one.
func (p *pool) weight(i int, r round, now int64) uint64 {
	s := &p.slots[i]
	if p.slow == 0 || r&evenUnfit != 0 {
		return s.weight * full
	}
	return s.weight * s.load.share(now, p.slow)
}

// owner returns the slot that owns the point, 0 <= point < total.
func (p *pool) owner(point uint64) int {
	if p.even {
		return int(point)
	}
	i, _ := slices.BinarySearch(p.ends, point+1)
	return i
}

// accept decides on a slot drawn by plain weight in the first round. Refusing a slow starter in proportion to what it
// lacks, and spreading the refused draws with scatter, gives exactly the slow-start weights without adding them up first.
func (p *pool) accept(i int, random uint64, now int64, tried *Tried) bool {
	if !p.eligible(i, firstRound, now, tried) {
		return false
	}
	if p.slow == 0 {
		return true
	}
	share := p.slots[i].load.share(now, p.slow)
	return share == full || scale(random, full) < share
}

// scatter picks among the eligible slots by weight; fraction, read as a number from 0 to 1 in units of 2^-64, says
// where. It looks at all slots twice, so it is for when the short way failed.
func (p *pool) scatter(fraction uint64, now int64, tried *Tried) (index int, ok bool) {
	for r := firstRound; r <= lastRound; r++ {
		var total uint64
		for i := range p.slots {
			if p.eligible(i, r, now, tried) {
				total += p.weight(i, r, now)
			}
		}
		if total == 0 {
			continue
		}
		point := scale(fraction, total)
		last := -1
		for i := range p.slots {
			if !p.eligible(i, r, now, tried) {
				continue
			}
			last = i
			w := p.weight(i, r, now)
			if point < w {
				break
			}
			point -= w
		}
		// Health may change between the two loops; then the last one seen will do, or else the next round.
		if last >= 0 {
			return p.slots[last].index, true
		}
	}
	return 0, false
}

// golden is 2^64 divided by the golden ratio. Its multiples modulo 2^64 fill the range as evenly as a sequence can, at
// any length (Knuth, The Art of Computer Programming 3, 6.4): turns taken at these fractions are smooth.
const golden = 0x9E3779B97F4A7C15

// scale maps a fraction of 2^64 to 0 <= x < n.
func scale(fraction, n uint64) uint64 {
	hi, _ := bits.Mul64(fraction, n)
	return hi
}

// mix turns any number into one whose bits all depend on all of its bits (the finaliser of SplitMix64, Steele, Lea,
// Flood 2014). It is a bijection and part of what a key means: changing it moves every key.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

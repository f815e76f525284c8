package load

import (
	"math/rand/v2"
	"sort"
	"time"
)

// schedule says when requests of an open loop are due: at a constant rate from the beginning of the run, whatever becomes of them. Loops
// share the arrivals in turn: this one has those whose number is first, first+step, and so on.
type schedule struct {
	interval    float64 // nanoseconds between arrivals of all loops together
	first, step uint64
}

func newSchedule(rate float64, worker, workers int) schedule {
	return schedule{interval: float64(time.Second) / rate, first: uint64(worker), step: uint64(workers)}
}

// due is when the nth arrival of this loop is due, in nanoseconds since the beginning. It is computed anew from n, so that no error adds up.
func (s schedule) due(n uint64) int64 {
	return int64(float64(s.first+n*s.step) * s.interval)
}

// choice picks requests by weight.
type choice struct {
	random *rand.Rand
	upTo   []float64 // sums of weights; nil when there is one request
}

func newChoice(requests []Request, seed, worker uint64) *choice {
	c := &choice{random: rand.New(rand.NewPCG(seed, worker))}
	if len(requests) > 1 {
		sum := 0.0
		for i := range requests {
			sum += requests[i].Weight
			c.upTo = append(c.upTo, sum)
		}
	}
	return c
}

// next is the index of the next request.
func (c *choice) next() int {
	if c.upTo == nil {
		return 0
	}
	at := c.random.Float64() * c.upTo[len(c.upTo)-1]
	return min(sort.Search(len(c.upTo), func(i int) bool { return c.upTo[i] > at }), len(c.upTo)-1)
}

// share is what one of several loops has of a whole; the first ones have what does not divide.
func share(whole uint64, worker, workers int) uint64 {
	part := whole / uint64(workers)
	if uint64(worker) < whole%uint64(workers) {
		part++
	}
	return part
}

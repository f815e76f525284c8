package ban

import (
	"math"
	"time"
)

// score is what counts against an address, by signal, as it was at a time. It falls by half in every half life, without steps: whether it
// is looked at once or many times makes no difference.
type score struct {
	by [Signals]float64
	at int64
}

// fallen is the score at a later time. A time that is earlier changes nothing.
func (s score) fallen(now int64, halfLife time.Duration) score {
	if now <= s.at {
		return s
	}
	left := math.Exp2(-float64(now-s.at) / float64(halfLife))
	for i := range s.by {
		s.by[i] *= left
	}
	s.at = now
	return s
}

func (s score) total() (all float64) {
	for _, n := range s.by {
		all += n
	}
	return all
}

// heaviest is the signal that weighs most, the first of several.
func (s score) heaviest() (most Signal) {
	for i := range s.by {
		if s.by[i] > s.by[most] {
			most = Signal(i)
		}
	}
	return most
}

// rank orders scores by what they are at any one time, whatever the time: all fall alike, so which of two is lower never changes.
func (s score) rank(halfLife time.Duration) float64 {
	return math.Log2(s.total()) + float64(s.at)/float64(halfLife)
}

// term is how long the ban of a number, from 1, takes: twice as long each time, up to the longest.
func term(number int, first, longest time.Duration) time.Duration {
	for ; number > 1 && first < longest; number-- {
		if first > longest/2 {
			return longest
		}
		first *= 2
	}
	return min(first, longest)
}

// rungOf is how the ban of a number, from 1, refuses.
func rungOf(number int, ladder []Rung) Rung { return ladder[min(number, len(ladder))-1] }

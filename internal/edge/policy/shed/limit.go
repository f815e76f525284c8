package shed

import (
	"math"
	"time"
)

// bounds are what the configuration says of the limit.
type bounds struct {
	min, max, initial float64
	slack             float64 // by how much an answer may take longer than at rest, as a fraction
}

// learner finds the limit. It is the gradient controller of Envoy's adaptive concurrency filter, which goes back to Netflix's library
// concurrency-limits (Gradient2): the time an answer takes at rest, against that it takes now, says how much of the limit is queue
// (Little's law), and the square root of the limit is added so that it can grow. As in Netflix's, a limit that is not made use of is left
// alone.
//
// The time at rest is the least of the last minute, as the round trip is in BBR (Cardwell and others 2016). An API that is always busy
// would be thought slower and slower then, and one that is busy when it is first seen would never be known otherwise. So, as in both,
// the limit is taken back for a moment to see: by half, and by half again as long as that makes answers faster.
type learner struct {
	limit  float64
	least  [parts]int64 // by part of the last minute, in nanoseconds; 0 for nothing measured
	part   int64        // the number of the current one
	anchor int64        // the time at rest as it was last looked for, or less if less was seen since; 0 for never
	looked bool         // the time at rest was looked for once
	look   look
}

// look is what a look at the time at rest is at.
type look struct {
	windows int     // that are left, 0 for no look
	limit   float64 // as long as it lasts
	median  int64   // of the limit before
}

const (
	// parts of partSpan nanoseconds are what is remembered of the time at rest.
	parts    = 6
	partSpan = int64(10 * time.Second)
	// lookWindows is how many windows a look takes at each limit: in the first the queue goes, and the second shows what is left.
	lookWindows = 2
	// risen is by how much a time has to differ from another to be told apart.
	risen = 1.1
	// steepest is the most that the limit goes down at a time.
	steepest = 0.5
	// fewest is how many answers there are to be for their median to say anything.
	fewest = 10
	// dropped is the share of answers that did not come in time from which on the limit goes down, whatever the others took.
	dropped = 0.1
)

func newLearner(b *bounds) learner { return learner{limit: b.initial, part: -1} }

// learn gives the limit after one more window, of which now is the end.
func (l *learner) learn(now int64, s seen, b *bounds) float64 {
	if s.count < fewest {
		s.median = 0
	}
	rose := l.remember(now, s.median)
	if l.look.windows > 0 {
		if l.goOn(s.median, b) {
			return l.look.limit
		}
		return l.limit
	}
	used := float64(s.most)*2 >= l.limit
	switch {
	case float64(s.drops) > dropped*float64(s.count+s.drops):
		l.limit *= 1 - (1-steepest)/2
	case s.median == 0 || !used:
	default:
		gradient := (1 + b.slack) * float64(l.rest(s.median)) / float64(s.median)
		l.limit = l.limit*min(max(gradient, steepest), 1) + math.Sqrt(l.limit)
	}
	l.limit = min(max(l.limit, b.min), b.max)
	if used && s.median > 0 && (rose || !l.looked) && l.limit > b.min {
		l.looked = true
		l.look = look{lookWindows, max(l.limit/2, b.min), s.median}
		return l.look.limit
	}
	return l.limit
}

// goOn takes a look one window further, and says whether it lasts.
func (l *learner) goOn(median int64, b *bounds) bool {
	if l.look.windows--; l.look.windows > 0 {
		return true
	}
	faster := float64(median)*risen <= float64(l.look.median)
	slower := float64(median) > float64(l.anchor)*risen // than it was: is that still a queue?
	if median == 0 || l.look.limit <= b.min || !faster && !slower {
		l.anchor = l.rest(0)
		return false
	}
	l.look = look{lookWindows, max(l.look.limit/2, b.min), median}
	return true
}

// remember keeps the least of each part, and reports whether the time at rest came up since it was looked for.
func (l *learner) remember(now, median int64) (rose bool) {
	part := now / partSpan
	if gone := part - l.part; l.part >= 0 && gone > 0 {
		for i := range min(gone, parts) {
			l.least[(part-i)%parts] = 0
		}
	}
	l.part = max(l.part, part)
	if at := &l.least[l.part%parts]; median > 0 && (*at == 0 || median < *at) {
		*at = median
	}
	rest := l.rest(0)
	if l.anchor == 0 || 0 < rest && rest < l.anchor {
		l.anchor = rest
	}
	return float64(rest) > float64(l.anchor)*risen
}

// rest is the time at rest in nanoseconds, or otherwise as long as there is none.
func (l *learner) rest(otherwise int64) int64 {
	least := int64(math.MaxInt64)
	for _, t := range l.least {
		if t > 0 {
			least = min(least, t)
		}
	}
	if least == math.MaxInt64 {
		return otherwise
	}
	return least
}

package redis

import (
	"sync/atomic"
	"time"
)

// gate says whether the store may be asked. Failures weigh more than successes: five in a row shut it, and so does a store of whose answers
// more than one in five is late for long.
type gate struct {
	shut  atomic.Bool
	score atomic.Int64
}

const (
	failureWeight = 4
	limitScore    = 5 * failureWeight
)

// weigh is the score after one more answer.
func weigh(score int64, ok bool) int64 {
	if ok {
		return max(score-1, 0)
	}
	return min(score+failureWeight, limitScore)
}

// note counts an answer and reports whether it shuts the gate.
func (g *gate) note(ok bool) bool {
	for {
		old := g.score.Load()
		next := weigh(old, ok)
		if next == old && ok {
			return false // the common case writes nothing
		}
		if g.score.CompareAndSwap(old, next) {
			return next >= limitScore && g.shut.CompareAndSwap(false, true)
		}
	}
}

// open lets calls through again.
func (g *gate) open() {
	g.score.Store(0)
	g.shut.Store(false)
}

// rest is how long the store is left alone after so many failed attempts in a row, the first being 1: a second, growing to ten.
func rest(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 4), 10*time.Second)
}

// Package pace judges whether a peer keeps up a minimum rate. It serves steps 2, 7 and 10, wherever a body moves.
//
// Only time spent waiting for the peer counts, and a verdict is given over a span of it that is long enough to mean something: a client that
// drips bytes is told from one that is slow for a moment, and neither is blamed for our own slowness.
//
// It refuses to measure time and to act on a verdict.
package pace

import "time"

// Pace judges one direction of one peer. The zero value asks for nothing. One goroutine at a time uses it.
type Pace struct {
	min    int64 // bytes a second, 0 for no minimum
	span   int64 // nanoseconds of waiting, before a verdict
	bytes  int64
	waited int64
}

// New asks for min bytes a second, 0 for none, over spans of waiting.
func New(min int64, span time.Duration) Pace { return Pace{min: min, span: int64(span)} }

// Asks says whether there is a minimum at all, for those to whom finding out how long was waited costs something.
func (p *Pace) Asks() bool { return p.min > 0 }

// Fast accounts n bytes that took waited nanoseconds of waiting, and returns false when a span ended below the minimum.
func (p *Pace) Fast(n, waited int64) bool {
	if p.min == 0 {
		return true
	}
	p.bytes += n
	if p.waited += waited; p.waited < p.span {
		return true
	}
	enough := float64(p.bytes) >= float64(p.min)*float64(p.waited)/float64(time.Second)
	p.bytes, p.waited = 0, 0
	return enough
}

package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// Decay is the time constant of the latency average: what was measured this long ago weighs 1/e.
const Decay = 10 * time.Second

// tick is the unit of the time stamp inside Load.latency, 2^16 ns. 32 bits of it wrap after 78 hours; an endpoint idle
// for longer may be taken as idle for less, which only makes an old latency fade later.
const tick = 16

// Load holds the live numbers of one endpoint. All methods may be called at the same time from many goroutines. The
// zero Load is usable, idle, has no latency yet and is past its slow start.
//
// The first half is written by every request, the second only when health changes; each has its own cache line, so that
// asking "usable?" on one core does not wait for a request ending on another.
type Load struct {
	active  atomic.Int64
	latency atomic.Uint64 // high half: float32 bits of the average in ns; low half: when, in ticks
	_       [48]byte

	down  atomic.Bool
	until atomic.Int64 // ejected until then; 0 = never ejected
	since atomic.Int64 // usable since then; 0 = since ever
	_     [40]byte
}

// Begin counts one request in. Each Begin is followed by exactly one End.
func (l *Load) Begin() { l.active.Add(1) }

// End counts one request out.
func (l *Load) End() { l.active.Add(-1) }

// Active returns the number of requests in flight.
func (l *Load) Active() int64 { return l.active.Load() }

// Observe adds the latency of one response, in nanoseconds, to the average. A latency above the average replaces it at
// once; one below pulls it down by as much as time has passed since the last one (the "peak EWMA" of Finagle's balancer).
// So trouble shows with the first slow response and trust returns within some multiples of Decay.
//
// Don't observe failures that came quickly: an endpoint that refuses in a millisecond would look like the best one.
func (l *Load) Observe(now, latency int64) {
	sample := float32(max(latency, 1))
	stamp := uint32(now >> tick)
	for {
		old := l.latency.Load()
		average, at := math.Float32frombits(uint32(old>>32)), uint32(old)
		switch age := int32(stamp - at); {
		case sample >= average || old == 0:
			average = sample
		case age <= 0: // same tick, or a slower goroutine brings an older time: no time passed, nothing fades
			return
		default:
			average = sample + (average-sample)*float32(fade(int64(age)<<tick))
		}
		if l.latency.CompareAndSwap(old, uint64(math.Float32bits(average))<<32|uint64(stamp)) {
			return
		}
	}
}

// Latency returns the average in nanoseconds as it has faded until now; 0 if nothing was observed yet. It fades towards
// zero while nothing is observed, so that an endpoint avoided for being slow is asked again.
func (l *Load) Latency(now int64) float64 {
	word := l.latency.Load()
	average := float64(math.Float32frombits(uint32(word >> 32)))
	if age := int32(uint32(now>>tick) - uint32(word)); age > 0 {
		average *= fade(int64(age) << tick)
	}
	return average
}

func fade(age int64) float64 { return math.Exp(-float64(age) / float64(Decay)) }

// Down takes the endpoint out of use (active checks fail) until Up.
func (l *Load) Down() { l.down.Store(true) }

// Up puts the endpoint back to use and starts its slow start now. It is also how an endpoint that joins a running
// upstream gets its slow start.
func (l *Load) Up(now int64) {
	l.since.Store(now) // first: who sees it up must see the new time
	l.down.Store(false)
}

// Eject takes the endpoint out of use until the given time; then it is usable again without anyone's doing, beginning
// with a slow start.
func (l *Load) Eject(until int64) { l.until.Store(until) }

// Restore ends an ejection now. Without one it does nothing.
func (l *Load) Restore(now int64) {
	if until := l.until.Load(); until > now {
		l.until.CompareAndSwap(until, now)
	}
}

// Usable tells whether the endpoint is neither down nor ejected.
func (l *Load) Usable(now int64) bool { return now >= l.until.Load() && !l.down.Load() }

// EjectedUntil returns the end of the last ejection, past or coming; 0 if there was none.
func (l *Load) EjectedUntil() int64 { return l.until.Load() }

// IsDown tells whether Down was called after the last Up.
func (l *Load) IsDown() bool { return l.down.Load() }

// share returns how much of its weight the endpoint gets at the time, in percent: 10 at the moment it becomes usable,
// then growing evenly to 100 at the end of the window.
func (l *Load) share(now, window int64) uint64 {
	since := max(l.since.Load(), l.until.Load())
	age := now - since
	switch {
	case since == 0 || age >= window:
		return full
	case age <= 0:
		return firstShare
	}
	return firstShare + uint64(float64(age)/float64(window)*(full-firstShare))
}

const (
	full       = 100
	firstShare = 10
)

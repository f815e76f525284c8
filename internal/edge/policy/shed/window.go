package shed

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// windowSpan is how long is measured at least before it is judged, in nanoseconds.
	windowSpan = int64(500 * time.Millisecond)
	// windowSamples is how many answers there are to be at least: the median of few says little.
	windowSamples = 20
	// windowMost is when a window is judged in any case, if anything was measured.
	windowMost = 10 * windowSpan
	// windowLongest is the longest that a window of a slow API is.
	windowLongest = int64(time.Minute)
)

// window is what was measured since the last judgement. All add to it at once without a lock, and one takes it; what is added meanwhile may
// count for the next.
type window struct {
	since atomic.Int64
	count atomic.Int64
	most  atomic.Int64 // under way at a time
	drops atomic.Int64
	span  atomic.Int64 // how long it is to be, see settle
	times [times]atomic.Uint32
}

// The times are kept in classes that are a sixteenth wide, from 1 µs to over an hour.
const (
	finest  = 10 // bits of what all is counted together: 1 µs
	fine    = 4  // bits behind the first that tell classes apart
	times   = (42 - finest + 1) << fine
	perBase = 1 << fine
)

// class is that of a time in nanoseconds.
func class(took int64) int {
	units := uint64(took) >> (finest - fine)
	if units < perBase {
		return int(units)
	}
	length := bits.Len64(units) - fine - 1
	return min((length+1)<<fine+int(units>>length)&(perBase-1), times-1)
}

// middle is the time in the middle of a class, in nanoseconds.
func middle(class int) int64 {
	length := class>>fine - 1
	if length < 0 {
		return int64(class<<(finest-fine)) + 1<<(finest-fine-1)
	}
	from := int64(perBase+class&(perBase-1)) << length
	return from<<(finest-fine) + int64(1)<<(length+finest-fine-1)
}

func (w *window) add(took int64) {
	w.times[class(took)].Add(1)
	w.count.Add(1)
}

// see notes that so many are under way.
func (w *window) see(n int64) {
	for {
		most := w.most.Load()
		if n <= most || w.most.CompareAndSwap(most, n) {
			return
		}
	}
}

// over says whether it is time to judge.
func (w *window) over(now int64) bool {
	since := w.since.Load()
	if since == 0 {
		w.since.CompareAndSwap(0, now)
		return false
	}
	age, span := now-since, max(w.span.Load(), windowSpan)
	return age >= span && w.count.Load()+w.drops.Load() >= windowSamples || age >= max(span, windowMost)
}

// settle makes the windows of an API that takes long to answer long enough to see what came of the last change of the limit.
func (w *window) settle(median int64) { w.span.Store(min(2*median, windowLongest)) }

// seen is a window as it is judged.
type seen struct {
	median int64 // of how long answers took, in nanoseconds; 0 for none
	count  int64
	drops  int64 // answers that did not come in time
	most   int64 // under way at a time
}

// take gives what was measured and begins anew. inFlight is how many are under way.
func (w *window) take(now, inFlight int64) seen {
	s := seen{count: w.count.Swap(0), drops: w.drops.Swap(0), most: w.most.Swap(inFlight)}
	var counts [times]uint32
	var total uint32
	for i := range w.times {
		counts[i] = w.times[i].Swap(0)
		total += counts[i]
	}
	w.since.Store(now)
	var below uint32
	for i, n := range counts {
		if below += n; n > 0 && 2*below >= total {
			s.median = middle(i)
			break
		}
	}
	return s
}

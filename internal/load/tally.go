package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	longestMicros = 60_000_000 // the histograms go to a minute
	manyKinds     = 16         // from here on, kinds are kept with two digits: 20 KB each and not 140
	tickTime      = 250 * time.Millisecond
)

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longestMicros, digits)
}

// micros is a time for a histogram: what is out of its range counts as its end.
func micros(nanoseconds int64) int64 { return min(max(nanoseconds/1000, 1), longestMicros) }

// failures in the order they are counted.
var failures = [...]Failure{Refused, TimedOut, Broken, Malformed, Handshake}

const (
	refused = iota
	timedOut
	broken
	malformed
	handshake
)

// tally is what one loop counts. Nobody else touches it while the loop runs.
type tally struct {
	begin, end int64 // the counted time, in nanoseconds since the beginning of the run

	due, done, late  uint64
	answers          uint64 // that came in the counted time
	statuses         [600]uint64
	failed           [len(failures)]uint64
	latency, service *hdrhistogram.Histogram
	lag              *hdrhistogram.Histogram
	kinds            []Kind
	sent, received   uint64
	opened           uint64
	last             int64 // when the last counted request ended

	slice *slice
	full  []*slice // of seconds that are over
}

// slice is a part of one second, handed on while the loop goes on with another. It has two digits, so that it may be made anew each time.
type slice struct {
	second       int // of the counted time; -1 before, and beyond it after
	all          uint64
	done, failed uint64 // counted
	latency      *hdrhistogram.Histogram
	longest      int64 // microseconds
}

func newTally(begin, end int64, kinds int) *tally {
	t := &tally{begin: begin, end: end, latency: newHistogram(3), service: newHistogram(3), lag: newHistogram(3), kinds: make([]Kind, kinds)}
	t.slice = newSlice(-1)
	return t
}

func newSlice(second int) *slice { return &slice{second: second, latency: newHistogram(2)} }

// kindHistogram is made when a kind is first answered: of a thousand kinds, most may be rare.
func (t *tally) kindHistogram(kind int) *hdrhistogram.Histogram {
	k := &t.kinds[kind]
	if k.Latency == nil {
		k.Latency = newHistogram(kindDigits(len(t.kinds)))
	}
	return k.Latency
}

func kindDigits(kinds int) int {
	if kinds > manyKinds {
		return 2
	}
	return 3
}

// counts tells whether what was due then is counted.
func (t *tally) counts(due int64) bool { return due >= t.begin && due < t.end }

// roll makes sure that the slice is of this moment's second.
func (t *tally) roll(now int64) {
	second := -1
	if now >= t.begin {
		second = int((now - t.begin) / int64(time.Second))
	}
	if second != t.slice.second {
		t.full = append(t.full, t.slice)
		t.slice = newSlice(second)
	}
}

// hand gives away what has gathered.
func (t *tally) hand() []*slice {
	given := append(t.full, t.slice)
	t.full, t.slice = nil, newSlice(t.slice.second)
	return given
}

func (t *tally) answered(counted bool, kind, status int, due, sent, now int64) {
	t.roll(now)
	t.slice.all++
	if t.counts(now) {
		t.answers++
	}
	if !counted {
		return
	}
	t.done++
	t.last = now
	t.statuses[status]++
	latency := micros(now - due)
	_ = t.latency.RecordValue(latency) // in range
	_ = t.service.RecordValue(micros(now - sent))
	_ = t.kindHistogram(kind).RecordValue(latency)
	t.kinds[kind].Done++
	t.slice.done++
	t.slice.longest = max(t.slice.longest, latency)
	_ = t.slice.latency.RecordValue(latency)
}

func (t *tally) fail(counted bool, kind, why int, now int64) {
	t.roll(now)
	if !counted {
		return
	}
	t.last = now
	t.failed[why]++
	t.kinds[kind].Failed++
	t.slice.failed++
}

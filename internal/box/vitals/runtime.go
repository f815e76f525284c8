package vitals

import (
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// What is asked of the Go runtime.
const (
	pausesName     = "/sched/pauses/total/gc:seconds" // stopping the world included
	schedulingName = "/sched/latencies:seconds"
	limitName      = "/gc/gomemlimit:bytes"
)

// runtimeReader reads the Go runtime's own figures. It is reused: the runtime fills the histograms it made the first time.
type runtimeReader struct{ samples []metrics.Sample }

func newRuntimeReader() *runtimeReader {
	return &runtimeReader{[]metrics.Sample{{Name: pausesName}, {Name: schedulingName}, {Name: limitName}}}
}

// runtimeSample is what it told at one time.
type runtimeSample struct {
	pauses, scheduling buckets
	limit              int64 // 0 is none
}

// buckets are how often a time lay between two bounds; there is one bound more than counts. The bounds never change.
type buckets struct {
	counts []uint64
	bounds []float64 // seconds
}

func (r *runtimeReader) read() *runtimeSample {
	metrics.Read(r.samples)
	out := &runtimeSample{pauses: bucketsOf(r.samples[0].Value), scheduling: bucketsOf(r.samples[1].Value)}
	if v := r.samples[2].Value; v.Kind() == metrics.KindUint64 && v.Uint64() < math.MaxInt64 {
		out.limit = int64(v.Uint64())
	}
	return out
}

// bucketsOf copies a histogram; a runtime that does not have it gives none.
func bucketsOf(v metrics.Value) buckets {
	if v.Kind() != metrics.KindFloat64Histogram {
		return buckets{}
	}
	h := v.Float64Histogram()
	return buckets{counts: slices.Clone(h.Counts), bounds: h.Buckets}
}

// since is what came between an earlier reading and this one, bucket by bucket, and how much that is in all.
func (b buckets) since(a buckets, i int) uint64 {
	if i >= len(a.counts) {
		return b.counts[i]
	}
	return grown(a.counts[i], b.counts[i])
}

// quantile is the upper bound of the bucket that the q-th part of what came since a lies in, 0 when nothing came. q is above 0 and at most 1.
func (b buckets) quantile(a buckets, q float64) time.Duration {
	var all uint64
	for i := range b.counts {
		all += b.since(a, i)
	}
	if all == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(all))), 1)
	var seen uint64
	for i := range b.counts {
		if seen += b.since(a, i); seen >= rank {
			bound := b.bounds[i+1]
			if math.IsInf(bound, 1) {
				bound = b.bounds[i]
			}
			return time.Duration(max(bound, 0) * float64(time.Second))
		}
	}
	return 0
}

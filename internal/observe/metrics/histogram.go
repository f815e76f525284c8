package metrics

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that grow with what they hold: four of equal width for every doubling. Bucket i of a
// histogram with unit u, in nanoseconds, ends at, and includes,
//
//	(i+1)·u                      for i < 4
//	(5 + i mod 4)·2^(i/4-1)·u    above
//
// so that every fourth bucket, from the third on, ends at 4u·2^k. Finding the bucket is a division by a constant and a shift. A
// quantile taken from it errs by less than an eighth of its value, which is why it is finer than what /metrics shows.
//
// The last bucket holds everything beyond.

const (
	// Exchanges and upstreams: 62.5 µs·2^20 is 65.536 s. /metrics shows 0.5 ms·2^k.
	spanUnit    = 15_625
	spanBuckets = 4 + 4*20 + 1
	// The gateway's own share: 10 µs·2^14 is 163.84 ms. /metrics shows 10, 15, 20, 30, 40, 60, ... µs.
	ownUnit    = 2_500
	ownBuckets = 4 + 4*14 + 1
)

func spanBucket(ns int64) int { return bucket(ns, spanUnit, spanBuckets) }
func ownBucket(ns int64) int  { return bucket(ns, ownUnit, ownBuckets) }

func bucket(ns int64, unit uint64, buckets int) int {
	if ns <= 0 {
		return 0
	}
	q := uint64(ns-1) / unit
	doubling := max(bits.Len64(q)-3, 0)
	return min(doubling*4+int(q>>doubling), buckets-1)
}

// bound is the end of bucket i in nanoseconds. The last bucket of a histogram has none.
func bound(i int, unit uint64) int64 {
	if i < 4 {
		return int64(uint64(i+1) * unit)
	}
	return int64(uint64(5+i%4) << (i/4 - 1) * unit)
}

// quantile estimates the q-quantile, 0 < q ≤ 1, of durations counted in buckets of a unit. Inside a bucket they are taken to be
// spread evenly; of the last bucket only where it begins is known. Without any count it is 0.
func quantile(counts []uint64, unit uint64, q float64) time.Duration {
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	rank := q * float64(total)
	seen := 0.0
	for i, n := range counts {
		if n == 0 || seen+float64(n) < rank {
			seen += float64(n)
			continue
		}
		from := int64(0)
		if i > 0 {
			from = bound(i-1, unit)
		}
		if i == len(counts)-1 {
			return time.Duration(from)
		}
		return time.Duration(float64(from) + float64(bound(i, unit)-from)*(rank-seen)/float64(n))
	}
	return 0
}

// coarse turns counts into the cumulative form of /metrics: the ends of every step-th bucket from the one numbered first on, in
// seconds, with how many durations are at most that long.
func coarse(counts []uint64, unit uint64, first, step int) (cumulative map[float64]uint64, total uint64) {
	cumulative = make(map[float64]uint64, len(counts)/step)
	for i, n := range counts {
		total += n
		if i >= first && (i-first)%step == 0 && i < len(counts)-1 {
			cumulative[float64(bound(i, unit))/1e9] = total
		}
	}
	return cumulative, total
}

// Package limit counts how much who has used of what may be used in a time. It serves step 4, where the policy rate_limit asks it; it knows
// nothing of requests.
//
// In reading order: limit.go (what a limit is), rate.go (the arithmetic; pure), table.go (buckets in memory), crowd.go (what happens when
// there is no room for more), shared.go (buckets in the shared store), lease.go (tokens drawn from there in batches, and spent here).
//
// A limit is a token bucket: it holds burst tokens, and so many come back in a time. Here it is kept as the generic cell rate algorithm does
// (ITU-T I.371 §A.1, there for cells of ATM): one number, the time at which the bucket will be full again. The two are the same limit.
//
// It refuses to read a clock, to hold an identity in the clear, to forget what somebody has used because others come, and to count what
// was refused.
package limit

import (
	"fmt"
	"math"
	"time"
)

// Terms are the numbers of one limit. The zero value is none; NewTerms makes them. They are immutable.
type Terms struct {
	count    float64 // tokens that come back
	per      int64   // in so many nanoseconds
	burst    int64
	interval int64 // ticks for one token to come back, rounded up
	depth    int64 // burst intervals: how far ahead the time may lie at which a bucket is full again
}

// Bounds of Terms.
const (
	MaxRate  = 1_000_000_000                // tokens a second
	MaxBurst = 1_000_000_000                // tokens
	MaxFill  = 400 * 24 * time.Hour         // for an empty bucket to be full again
	tick     = 16                           // of them make a nanosecond: room for 18 years in an int64
	maxDepth = int64(MaxFill) * int64(tick) // in ticks
)

// NewTerms makes the terms of count tokens in a time, of which burst may be used at once. The error says which of them cannot be.
func NewTerms(count float64, per time.Duration, burst int64) (Terms, error) {
	if !(count > 0) || per <= 0 || count/per.Seconds() > MaxRate {
		return Terms{}, fmt.Errorf("a rate is more than 0 and at most %d a second", MaxRate)
	}
	if burst < 1 || burst > MaxBurst {
		return Terms{}, fmt.Errorf("a burst is 1 to %d", MaxBurst)
	}
	interval := math.Ceil(float64(per) * tick / count)
	if interval*float64(burst) > float64(maxDepth) {
		return Terms{}, fmt.Errorf("it would take longer than %d days until all of the burst is back", int(MaxFill.Hours()/24))
	}
	return Terms{count, int64(per), burst, int64(interval), int64(interval) * burst}, nil
}

// Share is what one of n has of a limit when they cannot count together: an nth of the rate and of the burst, rounded down, but a burst of 1.
func (t Terms) Share(n int) Terms {
	if n <= 1 {
		return t
	}
	burst := max(1, t.burst/int64(n))
	t.count /= float64(n)
	t.interval = min(t.interval, maxDepth/int64(n)) * int64(n)
	t.burst = min(burst, max(1, maxDepth/t.interval))
	t.depth = t.interval * t.burst
	return t
}

// Burst is how much may be used at once.
func (t *Terms) Burst() int64 { return t.burst }

// Quota and Window are the limit in the words of the field RateLimit-Policy: so much in so many nanoseconds. Where the burst is more than
// what comes back in the time of the rate, they are the burst and the time it takes to come back; what is left is never more than Quota.
func (t *Terms) Quota() (quota, window int64) {
	whole := int64(math.Floor(t.count))
	if whole >= t.burst {
		return whole, t.per
	}
	return t.burst, (t.depth + tick - 1) / tick
}

// Verdict is what came of asking a limit.
type Verdict struct {
	OK bool
	// Left is how many tokens are left, whatever came of it.
	Left int64
	// Retry is in how many nanoseconds what was refused would be granted if nobody else asked; 0 with OK.
	Retry int64
	// Reset is in how many nanoseconds the bucket will be full again.
	Reset int64
	// Crowded says that the bucket is one that several share, see Crowd.
	Crowded bool
}

package retry

import (
	"math"
	"time"
)

// ParseRetryAfter reads the value of a Retry-After field (RFC 9110, 10.2.3), seconds or a date in any of the three forms
// of RFC 9110, 5.6.7, and returns it as nanoseconds from now on, now being the wall clock. A date that is past is 0; so
// many seconds that they overflow are the largest number.
func ParseRetryAfter(value string, now time.Time) (ns int64, ok bool) {
	if value == "" {
		return 0, false
	}
	if value[0] < '0' || value[0] > '9' {
		for _, form := range [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
			if at, err := time.Parse(form, value); err == nil {
				return max(int64(at.Sub(now)), 0), true
			}
		}
		return 0, false
	}
	var seconds int64
	for i := range len(value) {
		c := value[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = min(seconds*10+int64(c-'0'), math.MaxInt64/int64(time.Second))
	}
	return seconds * int64(time.Second), true
}

package keyset

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	usualLife    = time.Hour       // of an answer that does not say how long it is good
	minLife      = 5 * time.Minute // and the bounds for one that does
	maxLife      = 24 * time.Hour
	firstRetry   = time.Second
	maxRetry     = 5 * time.Minute
	maxRetryBare = 30 * time.Second // while there is no set at all
)

// lifetime is how long an answer is good: its max-age (RFC 9111 §5.2.2.1) less the time it spent in caches, within bounds.
func lifetime(cacheControl, age string) time.Duration {
	for part := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case strings.EqualFold(name, "no-store"), strings.EqualFold(name, "no-cache"):
			return minLife
		case strings.EqualFold(name, "max-age"):
			return min(max(seconds(strings.Trim(value, `"`))-seconds(age), minLife), maxLife)
		}
	}
	return usualLife
}

// seconds reads delta-seconds (RFC 9111 §1.2.2); what is none counts as 0.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil && n != math.MaxUint64 {
		return 0
	}
	return time.Duration(min(n, 1<<31)) * time.Second
}

// refresh is when to fetch again after a success: at 72 to 80 % of the answer's life. random is from 0 to below 1.
func refresh(life time.Duration, random float64) time.Duration {
	return time.Duration(float64(life) * (0.8 - 0.08*random))
}

// retry is when to try again after so many failures in a row: twice as late each time, and by chance up to half of that sooner.
func retry(failures int, bare bool, random float64) time.Duration {
	limit := maxRetry
	if bare {
		limit = maxRetryBare
	}
	wait := firstRetry
	for i := 1; i < failures && wait < limit; i++ {
		wait *= 2
	}
	return time.Duration(float64(min(wait, limit)) * (1 - 0.5*random))
}

const (
	maxUnknown = 1024 // names of keys remembered as unknown
	maxKid     = 256  // the longest name of a key that is worth a fetch, in bytes
	rest       = 6    // intervals that an unknown name causes no further fetch for
)

// gate decides whether the name of a key that is not in the set is worth a fetch. Anyone can invent names, so one fetch in an interval is
// all they get, however many; and a name that was looked for lately gets none.
type gate struct {
	interval time.Duration
	last     time.Time
	unknown  map[string]time.Time // until when
}

func (g *gate) admit(now time.Time, kid string) bool {
	if len(kid) > maxKid || !g.last.IsZero() && now.Sub(g.last) < g.interval || now.Before(g.unknown[kid]) {
		return false
	}
	g.last = now
	return true
}

// miss notes that a set that was just fetched does not have the name. When there are too many, further ones are not noted; the interval
// still holds.
func (g *gate) miss(now time.Time, kid string) {
	if len(g.unknown) >= maxUnknown {
		for k, until := range g.unknown {
			if !now.Before(until) {
				delete(g.unknown, k)
			}
		}
	}
	if len(g.unknown) < maxUnknown {
		if g.unknown == nil {
			g.unknown = map[string]time.Time{}
		}
		g.unknown[strings.Clone(kid)] = now.Add(rest * g.interval)
	}
}

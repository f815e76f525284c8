package staple

import "time"

const (
	// againFirst and againMost bound the wait after a failure, which doubles with each in a row.
	againFirst = time.Minute
	againMost  = time.Hour
	// againRevoked is how long after "revoked" we ask again: a suspension (certificateHold) may end.
	againRevoked = time.Hour
	// soonest is the least time between two questions.
	soonest = time.Minute
	// seldomest is the most: an answer that is good for years would hide a revocation for half of them.
	seldomest = 7 * 24 * time.Hour
	// marginMost is the longest before its end that an answer is taken back, for clients whose clocks are ahead.
	marginMost = 5 * time.Minute
)

// renewAt is when to ask anew about an answer received at now: at half of its validity, and a tenth of the validity later at most, so
// that certificates that were loaded together do not ask together; a minute from now at least and 7 days at most. An answer that was
// older than that gets half of what it has left. random is from [0, 1).
func renewAt(now, since, until time.Time, random float64) time.Time {
	life := until.Sub(since)
	at := since.Add(life/2 + time.Duration(random*float64(life/10)))
	if !at.After(now) {
		at = now.Add(until.Sub(now) / 2)
	}
	return now.Add(min(max(at.Sub(now), soonest), seldomest))
}

// retryAt is when to ask again after failures in a row, counting from 1: a minute, doubling up to an hour, each up to a quarter
// longer. random is from [0, 1).
func retryAt(now time.Time, failures int, random float64) time.Time {
	wait := againMost
	if n := failures - 1; n < 6 {
		wait = min(againFirst<<max(n, 0), againMost)
	}
	return now.Add(wait + time.Duration(random*float64(wait/4)))
}

// takeBackAt is when an answer is not to be shown any more: a twentieth of its validity before its end, at most 5 minutes.
func takeBackAt(since, until time.Time) time.Time {
	return until.Add(-min(until.Sub(since)/20, marginMost))
}

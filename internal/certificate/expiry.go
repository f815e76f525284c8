package certificate

import "time"

const (
	// soonMost is the longest before expiry that a warning makes sense; soonShare is the part of the lifetime after which automatic
	// renewal has had its chance: clients of ACME renew when a third is left.
	soonMost  = 30 * 24 * time.Hour
	soonShare = 3
	// tellEvery is how often the log repeats that a certificate ends soon.
	tellEvery = 24 * time.Hour
)

// Soon is how long before its end a warning about a certificate is due: a third of its lifetime, at most 30 days.
func Soon(notBefore, notAfter time.Time) time.Duration {
	return min(max(0, notAfter.Sub(notBefore)/soonShare), soonMost)
}

// Expiring says whether a warning is due at the time now, and how long the certificate is still good; less than nothing when it has
// ended.
func Expiring(notBefore, notAfter, now time.Time) (left time.Duration, due bool) {
	left = notAfter.Sub(now)
	return left, left <= Soon(notBefore, notAfter)
}

// tellAgain says whether to repeat a warning that was given at last, the zero time meaning never.
func tellAgain(last, now time.Time) bool { return last.IsZero() || now.Sub(last) >= tellEvery }

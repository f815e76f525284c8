package certificate

import "time"

const (
	// soonMost is the longest before expiry that a warning makes sense.
	soonMost = 30 * 24 * time.Hour
	// soonShare divides the lifetime: the last third is soon. Clients of ACME renew when a third is left, so one that is still shown
	// then has missed its renewal.
	soonShare = 3
	// tellEvery is how often the log repeats that a certificate ends soon.
	tellEvery = 24 * time.Hour
)

// soon is how long before its end a warning about a certificate is due: a third of its lifetime, at most 30 days.
func soon(notBefore, notAfter time.Time) time.Duration {
	return min(max(0, notAfter.Sub(notBefore)/soonShare), soonMost)
}

// expiring says whether a warning is due at the time now, and how long the certificate is still good; less than nothing when it has
// ended.
func expiring(notBefore, notAfter, now time.Time) (left time.Duration, due bool) {
	left = notAfter.Sub(now)
	return left, left <= soon(notBefore, notAfter)
}

// tellAgain says whether to repeat a warning that was given at last, the zero time meaning never.
func tellAgain(last, now time.Time) bool { return last.IsZero() || now.Sub(last) >= tellEvery }

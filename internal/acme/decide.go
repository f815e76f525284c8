package acme

import (
	"time"
)

// A reason is why a certificate is to be replaced, as an operator reads it.
type reason string

const (
	reasonWindow    reason = "its renewal window has come"
	reasonAuthority reason = "the authority asks for it"
	reasonRevoked   reason = "it was revoked"
)

// renewal says when a certificate that is valid from notBefore to notAfter is to be replaced, and why. share is the part of its
// life at the end that is our own window; window is the authority's, from which chosen was drawn (both may be zero). The
// authority's word may move renewal to any moment, but not past the last twentieth of the certificate's life: by then something
// is wrong with it.
func renewal(notBefore, notAfter time.Time, share float64, chosen time.Time, revoked bool) (time.Time, reason) {
	if revoked {
		return notBefore, reasonRevoked
	}
	life := notAfter.Sub(notBefore)
	ours := notAfter.Add(-time.Duration(float64(life) * share))
	if chosen.IsZero() {
		return ours, reasonWindow
	}
	if last := notAfter.Add(-life / 20); chosen.After(last) {
		return last, reasonWindow
	}
	return chosen, reasonAuthority
}

// soonest keeps an authority that hands out certificates which are due at once from being asked for one without end: after an
// issuance the next is at least an hour off, or a tenth of a life that is shorter than ten hours.
func soonest(issued, notBefore, notAfter time.Time) time.Time {
	if issued.IsZero() {
		return issued
	}
	return issued.Add(min(time.Hour, notAfter.Sub(notBefore)/10))
}

// backoff is the pause after that many failures in a row, at least 1. A certificate that is being served and has left to live
// for left (0: none is served) is tried for at least eight times before it ends, however long the failures have lasted. random is
// in [0, 1) and moves the pause by half of t.spread up or down.
func backoff(failures int, left time.Duration, t timing, random float64) time.Duration {
	pause := t.retryFirst
	for i := 1; i < failures && pause < t.retryMost; i++ {
		pause *= 2
	}
	pause = min(pause, t.retryMost)
	if left > 0 {
		pause = min(pause, max(t.retryFirst, left/8))
	}
	return pause + time.Duration(float64(pause)*t.spread*(random-0.5))
}

// pick draws the moment of renewal from an authority's window (RFC 9773 §4.2: uniform within it). random is in [0, 1).
func pick(start, end time.Time, random float64) time.Time {
	return start.Add(time.Duration(float64(end.Sub(start)) * random))
}

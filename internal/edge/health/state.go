package health

import (
	"fmt"
	"time"
)

// Outcome is what an attempt or a probe says about the endpoint.
type Outcome uint8

const (
	Success Outcome = iota
	Failure         // connect error, timeout, reset, garbage, a status that counts as failure
	Own             // Straum's own trouble, or the client's: says nothing about the endpoint
)

// Settings say how evidence turns into judgement.
type Settings struct {
	// Rise probes in a row must succeed for an unhealthy endpoint to be healthy, Fall must fail for the opposite. At least 1.
	Rise, Fall int
	// Failures of real attempts in a row eject. 0 = never.
	Failures int
	// EjectBase is the length of the first ejection. It doubles with each further one up to EjectMax; each EjectBase of
	// good time takes one doubling back.
	EjectBase, EjectMax time.Duration
	// MaxShare is how much of an upstream may be out of use before nothing more is ejected, in percent; see MayEject.
	MaxShare int
}

// Check returns the first setting out of its range.
func (s *Settings) Check() error {
	switch {
	case s.Rise < 1 || s.Fall < 1:
		return fmt.Errorf("health: rise is %d and fall %d, want 1 or more", s.Rise, s.Fall)
	case s.Failures < 0:
		return fmt.Errorf("health: failures is %d, want 0 (never eject) or more", s.Failures)
	case s.Failures > 0 && (s.EjectBase <= 0 || s.EjectMax < s.EjectBase):
		return fmt.Errorf("health: ejection of %v and at most %v, want more than 0 and no less than that", s.EjectBase, s.EjectMax)
	case s.MaxShare < 0 || s.MaxShare > 100:
		return fmt.Errorf("health: max share is %d %%, want 0 to 100", s.MaxShare)
	}
	return nil
}

// MayEject tells whether one more of total endpoints may be ejected when out of them are out of use already, for
// whatever reason: afterwards at most maxShare percent may be. One may always be, if it is not the only one and maxShare is
// not 0.
func MayEject(total, out, maxShare int) bool {
	if total < 2 || maxShare == 0 {
		return false
	}
	return out == 0 || (out+1)*100 <= maxShare*total
}

// Judgement is what active checks found.
type Judgement uint8

const (
	Unknown Judgement = iota // not probed yet, or no conclusion; usable
	Healthy
	Unhealthy
)

// String returns the word used in logs, metrics and pages.
func (j Judgement) String() string { return [...]string{"unknown", "healthy", "unhealthy"}[j] }

// Change is what a piece of evidence changed.
type Change uint8

const (
	None       Change = iota
	BecameOK          // unknown or unhealthy → healthy
	BecameSick        // → unhealthy
	Ejected
	Restored // an ejection ended before its time
)

// String returns the word used in logs and metrics, "" for None.
func (c Change) String() string {
	return [...]string{"", "healthy", "unhealthy", "ejected", "restored"}[c]
}

// State is all that is remembered about one endpoint. The zero State is unknown, and usable. It has no lock: one caller at a time.
type State struct {
	judgement Judgement
	streak    int // probes in a row that speak against the judgement

	failures  int   // attempts in a row that failed
	until     int64 // end of the last ejection
	ejectedAt int64
	ejections int // that still count; as of until
	successes int // since ejectedAt, while ejected: attempts or probes in a row
}

// Probe takes the result of an active check.
func (s *State) Probe(now int64, o Outcome, set *Settings) Change {
	switch o {
	case Own:
		return None
	case Failure:
		s.successes = 0
		if s.judgement == Unhealthy {
			s.streak = 0
			return None
		}
		if s.streak++; s.streak < set.Fall {
			return None
		}
		s.judgement, s.streak = Unhealthy, 0
		return BecameSick
	}
	restored := s.convince(now, set)
	switch s.judgement {
	case Unhealthy:
		if s.streak++; s.streak < set.Rise {
			break
		}
		fallthrough
	case Unknown:
		s.judgement, s.streak = Healthy, 0
		return BecameOK
	default:
		s.streak = 0
	}
	return restored
}

// Attempt takes the result of an attempt of an exchange, which began at the given time. mayEject is MayEject for the
// upstream as it is now; it is asked only if this failure would eject.
func (s *State) Attempt(now, began int64, o Outcome, set *Settings, mayEject func() bool) Change {
	switch {
	case o == Own:
		return None
	case o == Success:
		s.failures = 0
		if began <= s.ejectedAt {
			return None // was on its way when the others failed
		}
		return s.convince(now, set)
	}
	s.successes = 0
	if s.IsEjected(now) || began < s.until {
		return None // it is about the time that was judged already
	}
	s.failures++
	if set.Failures == 0 || s.failures < set.Failures || !mayEject() {
		return None
	}
	s.ejections = s.remembered(now, set) + 1
	s.until = now + set.ejection(s.ejections)
	s.ejectedAt = now
	s.failures = 0
	return Ejected
}

// convince counts a success while ejected and ends the ejection at the Rise-th.
func (s *State) convince(now int64, set *Settings) Change {
	if !s.IsEjected(now) {
		return None
	}
	if s.successes++; s.successes < set.Rise {
		return None
	}
	s.until, s.successes = now, 0
	return Restored
}

// remembered is how many ejections still count after the good time since the last one.
func (s *State) remembered(now int64, set *Settings) int {
	good := max(now-s.until, 0) / int64(set.EjectBase)
	return s.ejections - int(min(good, int64(s.ejections)))
}

// ejection is the length of the nth ejection in a row.
func (s *Settings) ejection(n int) int64 {
	d := int64(s.EjectBase)
	for ; n > 1 && d < int64(s.EjectMax); n-- {
		d *= 2
	}
	return min(d, int64(s.EjectMax))
}

// IsEjected tells whether an ejection is running.
func (s *State) IsEjected(now int64) bool { return now < s.until }

// Usable tells whether the endpoint is neither unhealthy nor ejected.
func (s *State) Usable(now int64) bool { return s.judgement != Unhealthy && !s.IsEjected(now) }

// Judgement returns what active checks found.
func (s *State) Judgement() Judgement { return s.judgement }

// Until returns the end of the last ejection, in ns.
func (s *State) Until() int64 { return s.until }

// ForgetProbes makes the endpoint unknown again; for when active checks are switched off.
func (s *State) ForgetProbes() { s.judgement, s.streak = Unknown, 0 }

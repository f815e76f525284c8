package staple

import (
	"fmt"
	"time"
)

// Status tells how it stands with one certificate. The zero value is a certificate that is not followed.
type Status struct {
	Followed  bool
	Must      bool      // the certificate demands stapling (RFC 7633)
	Stapled   bool      // an answer is shown
	Until     time.Time // its end
	Revoked   time.Time // when the certificate was revoked; zero when it is not known to be
	Responder string    // asked last
	Problem   string    // why there is no answer, or no newer one
	Next      time.Time // of the next question; zero when there will be none
	Failures  int       // in a row
	Asked     uint64    // since the certificate is followed
}

// Alarm says that somebody has to do something: the certificate is revoked, or clients refuse it because nothing is stapled.
func (s Status) Alarm() bool { return !s.Revoked.IsZero() || s.Must && !s.Stapled && s.Followed }

// String is a sentence for people.
func (s Status) String() string {
	var text string
	switch {
	case !s.Followed:
		return "stapling is not looked after"
	case !s.Revoked.IsZero():
		text = fmt.Sprintf("REVOKED at %s, says the responder %s; nothing is stapled: replace the certificate", stamp(s.Revoked), s.Responder)
	case s.Stapled && s.Problem != "":
		text = fmt.Sprintf("stapled, good until %s; responder %s failed: %s; next try %s", stamp(s.Until), s.Responder, s.Problem, stamp(s.Next))
	case s.Stapled:
		text = fmt.Sprintf("stapled, good until %s", stamp(s.Until))
	case s.Problem != "" && s.Next.IsZero():
		text = s.Problem
	case s.Problem != "":
		text = fmt.Sprintf("responder %s failed: %s; next try %s", s.Responder, s.Problem, stamp(s.Next))
	default:
		text = "the responder has not answered yet"
	}
	if s.Must && !s.Stapled {
		text += "; the certificate demands stapling (must-staple), so clients refuse it until there is an answer"
	}
	return text
}

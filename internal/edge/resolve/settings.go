package resolve

import (
	"cmp"
	"time"
)

// Settings are how a name is looked up. A zero field is, in those of a watch, the Resolver's; in those of the Resolver,
// the default. What lies outside the range becomes its nearer end.
type Settings struct {
	// Every is the time between look-ups, from 1 second to 24 hours, 30 seconds by default, give or take a tenth.
	Every time.Duration
	// Server is the DNS server to ask, as address:port. The system's by default.
	Server string
	// Timeout bounds one look-up, with all the tries that net.Resolver makes in it, from 100 milliseconds to 1 minute;
	// 3 seconds by default. Addresses are known when both families have answered, so a server that ignores
	// questions for IPv6 addresses delays the first ones by this time.
	Timeout time.Duration
}

const (
	firstRetry = time.Second // also the shortest Every, so that backing off never means to hurry

	maxEvery   = 24 * time.Hour
	minTimeout = 100 * time.Millisecond
	maxTimeout = time.Minute
)

var defaults = Settings{Every: 30 * time.Second, Timeout: 3 * time.Second}

// or fills what is zero from the other, and brings the rest into range.
func (s Settings) or(other Settings) Settings {
	return Settings{
		Every:   min(max(cmp.Or(s.Every, other.Every), firstRetry), maxEvery),
		Server:  cmp.Or(s.Server, other.Server),
		Timeout: min(max(cmp.Or(s.Timeout, other.Timeout), minTimeout), maxTimeout),
	}
}

// pause is the time from one look-up to the next: Every, or after failures in a row 1s, 2s, 4s and so on up to Every. random
// spreads it over 90 to 110 %, so that many names and many processes do not ask all at once.
func pause(every time.Duration, failures int, random uint64) time.Duration {
	if failures > 0 {
		every = min(firstRetry<<min(failures-1, 20), every)
	}
	return every*9/10 + time.Duration(float64(every)/5*float64(random>>11)/(1<<53))
}

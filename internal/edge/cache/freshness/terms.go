package freshness

import "math"

// Terms are what a stored response says of its use: all that is needed to judge it later. They have no pointers.
type Terms struct {
	RequestTime, ResponseTime int64 // when it was asked for and had come, Unix time in nanoseconds
	Date                      int64 // of the field, or when it came; Unix seconds
	LastModified              int64 // Unix seconds, 0 when not said
	InitialAge                int64 // corrected_initial_age of RFC 9111 §4.2.3, nanoseconds
	Lifetime                  int64 // nanoseconds; 0 or negative when it was never fresh
	WhileRevalidating         int64 // nanoseconds stale while it is renewed, or Unsaid
	IfError                   int64 // nanoseconds stale when it cannot be renewed, or Unsaid
	Flags                     Flags
}

// Flags are what a stored response says besides.
type Flags uint16

// The flags.
const (
	NoCache        Flags = 1 << iota // to be validated before each use
	MustRevalidate                   // never stale: must-revalidate, proxy-revalidate, s-maxage
	Immutable                        // RFC 8246
	Heuristic                        // the lifetime is a guess
	Overridden                       // the lifetime is the route's, not the answer's
	Weak                             // the entity tag is weak, or there is none
)

// Use says what may be done with a stored response.
type Use uint8

// The uses.
const (
	Serve    Use = iota // as it is
	Renew               // as it is, stale, while it is renewed in the background
	Validate            // not before the endpoint said that it is still right
)

// Use judges a stored response for a request, at the Unix time now in nanoseconds. why says why it is not Serve. What max-stale allows is Serve too,
// though Left is not above 0. The stored response must not be used at all for a request that Vary tells apart, or after it was invalidated: that is
// not asked here.
func (t *Terms) Use(req *Request, now int64, rules *Rules) (Use, Why) {
	if t.Flags&NoCache != 0 {
		return Validate, ResponseNoCache
	}
	if req.NoCache {
		return Validate, RequestNoCache
	}
	age := t.Age(now)
	left := t.Lifetime - age
	if req.MaxAge != Unsaid && (age > req.MaxAge*second || req.MaxAge == 0) && (t.Flags&Immutable == 0 || left <= 0) {
		return Validate, RequestMaxAge
	}
	if req.MinFresh != Unsaid && left < req.MinFresh*second {
		return Validate, RequestMinFresh
	}
	if left > 0 {
		return Serve, ""
	}
	if t.Flags&MustRevalidate != 0 {
		return Validate, MustBeFresh
	}
	if req.MaxStale != Unsaid {
		if -left <= req.MaxStale*second {
			return Serve, ""
		}
		return Validate, Stale
	}
	if req.MaxAge == Unsaid && -left < t.whileRevalidating(rules) { // who names a max-age takes nothing stale (RFC 9111 §5.2.1.1)
		return Renew, Stale
	}
	return Validate, Stale
}

// Age is current_age of RFC 9111 §4.2.3 in nanoseconds.
func (t *Terms) Age(now int64) int64 {
	resident := now - t.ResponseTime
	if resident < 0 && now < t.ResponseTime { // the clock was set back by at least so much, and nobody knows how long ago
		resident = -resident
	}
	if resident < 0 || resident > longest {
		resident = longest
	}
	return t.InitialAge + resident
}

// longest is how long anything stays, so that sums of two times are always times.
const longest = math.MaxInt64 / 4

// Left is for how long it is fresh, in nanoseconds; 0 or negative when it is stale.
func (t *Terms) Left(now int64) int64 { return t.Lifetime - t.Age(now) }

// OnError says whether a stale response may be used when the endpoint cannot be asked, or answers 500, 502, 503 or 504 (RFC 5861 §4, RFC 9111
// §4.2.4). It counts whatever the request says of ages; a request that wants it validated gets the error. What the request allows is the upper limit.
func (t *Terms) OnError(req *Request, now int64, rules *Rules) bool {
	if t.Flags&NoCache != 0 || req.NoCache {
		return false
	}
	left := t.Left(now)
	if left > 0 {
		return true
	}
	if t.Flags&MustRevalidate != 0 {
		return false
	}
	within := t.ifError(rules)
	if req.StaleIfError != Unsaid {
		if asked := req.StaleIfError * second; within < 0 || asked < within {
			within = asked
		}
	}
	return within > 0 && -left <= within
}

// whileRevalidating and ifError are the windows in nanoseconds; that for errors is Unsaid when neither the response nor the route names one.
func (t *Terms) whileRevalidating(rules *Rules) int64 {
	if t.WhileRevalidating != Unsaid {
		return t.WhileRevalidating
	}
	return nanosecondsOf(rules.StaleWhileRevalidate)
}

func (t *Terms) ifError(rules *Rules) int64 {
	if t.IfError != Unsaid {
		return t.IfError
	}
	if rules.StaleIfError > 0 {
		return nanosecondsOf(rules.StaleIfError)
	}
	return Unsaid
}

// DeadAt is the Unix time in nanoseconds from which on it is of no use, not even to be validated or in an error, as seen from its terms and rules.
// What has a validator is of use for a day more, or for as long again as it was fresh if that is longer. max-stale and stale-if-error of requests are
// not foreseen.
func (t *Terms) DeadAt(validator bool, rules *Rules) int64 {
	fresh := max(t.Lifetime-t.InitialAge, 0)
	window := int64(0)
	if t.Flags&(NoCache|MustRevalidate) == 0 {
		window = max(t.whileRevalidating(rules), t.ifError(rules), 0)
	}
	if validator {
		window = max(window, fresh, 24*3600*second)
	}
	at := t.ResponseTime
	for _, d := range [...]int64{fresh, window} {
		if at > math.MaxInt64-d {
			return math.MaxInt64
		}
		at += d
	}
	return at
}

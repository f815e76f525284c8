// Package freshness is the rules of HTTP caching for a shared cache (steps 5 and 8): what may be stored, for how long it is fresh, when it may be
// used stale, and what a request asks of it. RFC 9111 throughout; RFC 5861 (stale-while-revalidate, stale-if-error), RFC 8246 (immutable), RFC 9213
// (targeted fields), and of RFC 9110 what a cache answers by itself: §13 (conditions) and §14 (ranges).
//
// In reading order: request.go (what a request says to caches), control.go (Cache-Control), dictionary.go (targeted fields), date.go (dates and
// numbers), judge.go (what may be stored, and its terms), terms.go (what may be done with it later), store.go (which fields are stored, and what a
// 304 changes), vary.go (what tells variants apart), conditional.go (304), ranges.go (206), invalidate.go (methods that change things), why.go
// (decisions in words).
//
// Where a message is wrong, the reading is taken that keeps less for less long: a response is asked for once more rather than used once too often.
//
// It refuses to store, to look at a clock and to know who asks: it is given fields and times and returns decisions.
package freshness

import "time"

// Rules are what a route's configuration says of caching. The zero Rules follow the standards.
type Rules struct {
	// TTL is for how long answers are fresh after they came, whatever they say of it themselves; 0 leaves it to them. It breaks RFC 9111 §4.2.1 on
	// purpose. It is for statuses below 400 that a heuristic would be allowed for, that Statuses lists, or that say for how long they are fresh. What
	// must not be stored is not stored with it either, and what must be validated each time is.
	TTL time.Duration
	// TTLs is TTL by status, e.g. 404; it comes before TTL. It is for any status that may be stored at all.
	TTLs map[int]time.Duration
	// DefaultTTL is for how long answers are fresh that say nothing of it, 0 for the heuristic. Only what RFC 9111 §4.2.2 allows a heuristic for.
	DefaultTTL time.Duration
	// Heuristic is the share of the time since Last-Modified for which an answer that says nothing is fresh (RFC 9111 §4.2.2), 0 for none, at most
	// HeuristicMax; 0 there is a day.
	Heuristic    float64
	HeuristicMax time.Duration
	// StaleWhileRevalidate and StaleIfError are for answers that do not say themselves.
	StaleWhileRevalidate, StaleIfError time.Duration
	// Targets are the targeted fields that come before Cache-Control, the first that is there and valid counts (RFC 9213), in lower case.
	Targets []string
	// IgnoreRequest has no-cache, max-age, min-fresh and Pragma of clients ignored. RFC 9111 §5.2.1 calls them advice.
	IgnoreRequest bool
	// StripCookies lets answers with Set-Cookie be stored, without the field.
	StripCookies bool
	// StoreCookies lets answers with Set-Cookie be stored with the field, for everybody: what RFC 9111 §7.3 allows, and a session of one may become
	// that of all.
	StoreCookies bool
	// Statuses that may be stored, nil for all that the standards allow.
	Statuses map[int]bool
	// Partitioned says that what is stored is for one consumer alone: Authorization does not keep it from being stored, nor does private.
	Partitioned bool
}

// Unsaid is a number of seconds that was not said.
const Unsaid = -1

// MaxSeconds is the longest time there is, 68 years: what is longer counts as it (RFC 9111 §1.2.2).
const MaxSeconds = 1 << 31

const second = int64(time.Second)

package freshness

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// Request is what a request says to caches.
type Request struct {
	NoStore, NoCache, OnlyIfCached bool
	MaxAge, MinFresh, MaxStale     int64 // seconds, or Unsaid; MaxStale without a value is the longest there is
	StaleIfError                   int64 // seconds, or Unsaid (RFC 5861 §4)
	Authorization                  bool
	Range                          bool
	Conditional                    bool // it has an If-* field
}

// ReadRequest reads what a request says to caches (RFC 9111 §5.2.1). Of several values the strictest counts, and one that is no number counts as 0;
// Pragma counts only without Cache-Control (§5.4).
func ReadRequest(h *exchange.Fields, rules *Rules) Request {
	r := Request{MaxAge: Unsaid, MinFresh: Unsaid, MaxStale: Unsaid, StaleIfError: Unsaid}
	controlled, pragma := false, false
	for i := range h.All() {
		f := &h.All()[i]
		switch f.Known {
		case exchange.CacheControl:
			controlled = true
			r.read(f.Value)
		case exchange.Pragma:
			pragma = pragma || hasDirective(f.Value, "no-cache")
		case exchange.Authorization:
			r.Authorization = true
		case exchange.Range:
			r.Range = true
		case exchange.IfMatch, exchange.IfNoneMatch, exchange.IfModifiedSince, exchange.IfUnmodifiedSince, exchange.IfRange:
			r.Conditional = true
		}
	}
	if pragma && !controlled {
		r.NoCache = true
	}
	if rules.IgnoreRequest {
		r.NoCache, r.MaxAge, r.MinFresh = false, Unsaid, Unsaid
	}
	return r
}

func (r *Request) read(value string) {
	for {
		d, rest, ok := nextDirective(value)
		if !ok {
			return
		}
		value = rest
		switch {
		case d.is("no-store"):
			r.NoStore = true
		case d.is("no-cache"):
			r.NoCache = true
		case d.is("only-if-cached"):
			r.OnlyIfCached = true
		case d.is("max-age"):
			r.MaxAge = shorter(r.MaxAge, d.seconds())
		case d.is("min-fresh"):
			n := d.seconds()
			if !d.number() {
				n = MaxSeconds
			}
			r.MinFresh = max(r.MinFresh, n)
		case d.is("max-stale"):
			n := int64(MaxSeconds)
			if d.has {
				n = d.seconds()
			}
			r.MaxStale = shorter(r.MaxStale, n)
		case d.is("stale-if-error"):
			r.StaleIfError = shorter(r.StaleIfError, d.seconds())
		}
	}
}

func hasDirective(value, name string) bool {
	for {
		d, rest, ok := nextDirective(value)
		if !ok {
			return false
		}
		if d.is(name) {
			return true
		}
		value = rest
	}
}

// shorter is the shorter of a time so far, which may be unsaid, and another.
func shorter(have, n int64) int64 {
	if have == Unsaid {
		return n
	}
	return min(have, n)
}

// fold says whether two names are the same in any case.
func fold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

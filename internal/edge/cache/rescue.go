package cache

import (
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Rescue answers x with something stale, if that is allowed after this fault of steps 6 and 7, or of a body that failed before anything was sent, and
// says whether it did. Then the fault is not told to the client; whether x keeps it is the caller's decision. Whoever waits for the same gets the
// fault, or something stale.
func (v *Visit) Rescue(x *exchange.Exchange, f *fault.Fault) bool {
	if v.stage != asking && v.stage != done {
		return false
	}
	v.refuse(f)
	r := v.route
	now := r.cache.now()
	if v.found == nil || f.Kind.Side == fault.Client || f.Kind == fault.Internal || !v.terms.OnError(&v.request, now, &r.terms.Rules) {
		return false
	}
	v.serveStale(x, 0, freshness.Why(f.Kind.Word), now)
	return true
}

// serveStale answers x with what was found, since the endpoint cannot say anything better. status is what it said, 0 for nothing.
func (v *Visit) serveStale(x *exchange.Exchange, status int, why freshness.Why, now int64) {
	v.serve(x, v.found, &v.terms, now, exchange.CacheStale, why)
	if v.asked != 0 {
		v.tellForwarded(x, status, false, 0, false, why)
	}
}

package cache

import (
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// rounds is how often one looks again after another's answer proved not to be for it, before it asks for itself.
const rounds = 4

// Look is step 5. It answers x from what is stored, or from what is under way, or fails it, or leaves it to the endpoint, which may then be asked under
// conditions. It may wait for another exchange. gone says whether the client has left; b is nil when nothing can be renewed.
func (r *Route) Look(x *exchange.Exchange, v *Visit, b Background, gone func() bool) {
	v.visit = visit{route: r, stage: passing}
	c := r.cache
	if v.fwd, v.unkept = r.admits(x, v); v.fwd != notForwarded {
		v.gone, v.asked = gone, c.tick()
		x.Cached.Outcome, x.Cached.Why = exchange.CacheBypass, string(v.unkept)
		return
	}
	v.stage, v.gone = asking, gone
	v.request = r.reads(x)
	until := int64(0)
	for round := 0; ; round++ {
		now := c.now()
		if v.find(x, now) {
			use, why := v.terms.Use(&v.request, now, &r.terms.Rules)
			switch use {
			case freshness.Serve:
				if v.terms.Left(now) > 0 {
					v.serve(x, v.found, &v.terms, now, exchange.CacheHit, "")
					v.renewEarly(x, b, now)
				} else {
					v.serve(x, v.found, &v.terms, now, exchange.CacheStale, askedStale)
				}
				return
			case freshness.Renew:
				v.serve(x, v.found, &v.terms, now, exchange.CacheStale, why)
				v.renew(x, b)
				return
			}
			v.stale = why
		}
		if v.request.OnlyIfCached {
			v.release()
			v.stage = answered
			x.Cached.Outcome, x.Cached.Why = exchange.CacheOnly, string(v.stale)
			x.Fail(onlyIfCached)
			return
		}
		v.alone, v.unkept = r.shares(x, v, now)
		if v.alone != "" || round == rounds {
			v.ask(x)
			return
		}
		f, leads := c.flights.Join(v.flightKey(x))
		if leads {
			v.lead(x, f)
			if v.meanwhile(gone) {
				v.refuse(nil)
				v.release()
				continue
			}
			v.ask(x)
			return
		}
		if until == 0 {
			until = clock.Now() + int64(r.terms.Wait)
		}
		v.waited = true
		switch f.Wait(until, gone) {
		case flight.Landed:
			if v.follow(x, f, gone) {
				return
			}
		case flight.Failed:
			v.share(x, f.Fault())
			return
		case flight.TooLong:
			v.alone = tooLong
			v.ask(x)
			return
		case flight.Gone:
			v.stage = answered
			x.Fail(clientGone)
			return
		}
		v.release() // and look again
		if v.alone != "" {
			v.find(x, c.now())
			v.ask(x)
			return
		}
	}
}

// The faults of step 5.
var (
	onlyIfCached = &fault.Fault{Kind: fault.OnlyIfCached}
	clientGone   = &fault.Fault{Kind: fault.ClientGone}
)

// reads is what the client says to caches.
func (r *Route) reads(x *exchange.Exchange) freshness.Request {
	q := freshness.ReadRequest(x.Request.Said(), &r.terms.Rules)
	// Endpoints may be told who calls otherwise than by Authorization, which may not even reach them.
	q.Authorization = q.Authorization || x.Caller.Method != ""
	return q
}

// admits says whether a request is one for caches: why the endpoint is to be asked at once, notForwarded when it is not. It makes the key.
func (r *Route) admits(x *exchange.Exchange, v *Visit) (forward, freshness.Why) {
	q := &x.Request
	switch {
	case q.Method != "GET" && q.Method != "HEAD":
		return forMethod, freshness.NotGet
	case x.Onward.Method != "" && x.Onward.Method != q.Method:
		return bypassing, methodChanged
	case q.Body != nil || q.Length != 0:
		return bypassing, hasContent // what it asks for may be in there, which is in no key
	case q.Upgrade != "":
		return bypassing, upgrades
	case x.Route == nil || r.cache.stores.Load().none():
		return bypassing, noStore
	}
	var ok bool
	if v.key, v.scratch, ok = keyOf(x, x.Route.Name, &r.terms.Parts, v.scratch); !ok {
		return bypassing, noConsumer
	}
	var steered steering
	if v.key, v.scratch, steered = steer(v.key, &x.Request, v.scratch); steered == overridden {
		return bypassing, methodOverridden
	}
	return notForwarded, ""
}

// shares says why nobody else may get the answer of the endpoint, and why it must not be stored; empty when it may.
func (r *Route) shares(x *exchange.Exchange, v *Visit, now int64) (alone, unkept freshness.Why) {
	said := x.Request.Said()
	if _, ok := said.Get(exchange.IfMatch); ok {
		return precondition, precondition
	}
	if _, ok := said.Get(exchange.IfUnmodifiedSince); ok {
		return precondition, precondition
	}
	switch {
	case v.request.NoStore:
		return freshness.RequestNoStore, freshness.RequestNoStore
	case x.Request.Method == "HEAD":
		return isHead, isHead
	case v.found == nil && v.request.Range:
		return isRange, ""
	case v.found == nil && v.request.NoCache:
		return freshness.RequestNoCache, "" // what another has asked for before is not new enough
	case v.found == nil && v.request.MaxAge == 0:
		return freshness.RequestMaxAge, ""
	case v.found != nil && v.waited:
		// Another asked meanwhile, and what came of it is not fresh either.
		return notFresh, ""
	case v.found != nil:
		if use, _ := v.terms.Use(&plain, now, &r.terms.Rules); use != freshness.Validate {
			return v.stale, "" // it is this request that is not content with what is stored
		}
	}
	if why := r.cache.apart.why(v.apartKey(), now); why != "" {
		return why, ""
	}
	return "", ""
}

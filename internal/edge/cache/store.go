package cache

import (
	"straum.dev/straum/internal/edge/cache/disk"
	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Store is the end of step 8: it may store the answer of the endpoint, or put what is stored in its place. It does nothing without Look.
func (v *Visit) Store(x *exchange.Exchange) {
	switch v.stage {
	case passing:
		v.stage = done
		v.pass(x)
		return
	case asking:
		v.stage = done
	default:
		return
	}
	r := v.route
	now := r.cache.now()
	switch status := x.Response.Status; {
	case v.found != nil && freshness.Fails(status) && v.terms.OnError(&v.request, now, &r.terms.Rules):
		v.refuse(errorAnswer)
		v.serveStale(x, status, serverError, now)
	case v.asks && status == 304:
		v.revalidate(x, now)
	default:
		v.take(x, now)
	}
}

// errorAnswer is what those get who waited for an answer that turned out to be 500, 502, 503 or 504, and have nothing stale to use.
var errorAnswer = &fault.Fault{Kind: fault.UpstreamRefused}

// pass deals with the answer to a request that was not one for caches.
func (v *Visit) pass(x *exchange.Exchange) {
	status := x.Response.Status
	now := v.route.cache.now()
	k := v.keepsPost(x, now)
	v.hide(x)
	if freshness.Invalidates(x.Request.Method, status) || freshness.Invalidates(x.SentMethod(), status) {
		v.invalidate(x)
	}
	if k != nil {
		k.head.Terms.RequestTime = v.route.cache.tick() // it is newer than what the POST itself makes useless
		v.land(x, k)
		v.tellForwarded(x, 0, true, k.head.Terms.Left(now), false, "")
		return
	}
	why := v.unkept
	if v.fwd == forMethod {
		why = ""
	}
	v.tellForwarded(x, 0, false, 0, false, why)
}

// hide takes what endpoints say to caches alone off the answer.
func (v *Visit) hide(x *exchange.Exchange) {
	x.Response.Header.DelHeader(surrogateKey)
	x.Response.Header.DelHeader(surrogateControl)
}

// take deals with an answer that is not about what is stored.
func (v *Visit) take(x *exchange.Exchange, now int64) {
	r, c := v.route, v.route.cache
	x.Cached.Outcome = exchange.CacheMiss
	if v.found != nil {
		x.Cached.Outcome = exchange.CacheExpired
	}
	if x.Request.Method == "HEAD" {
		v.takeHead(x, now)
		return
	}
	s := c.stores.Load()
	k, why := v.keeps(x, s, now)
	if why != "" {
		v.notStored(x, why, now)
		return
	}
	v.hide(x)
	if use, _ := k.head.Terms.Use(&plain, now, &r.terms.Rules); use == freshness.Validate {
		// It may be stored, and nobody may have it without asking. So nobody waits for it.
		c.apart.note(v.apartKey(), notFresh, false, now)
		v.refuse(nil)
	} else {
		c.apart.forget(v.apartKey())
	}
	v.land(x, k)
	left := k.head.Terms.Left(now)
	switch whole := k.stored.Load(); {
	case v.ours && v.request.Conditional && v.notModified(x, k.head, &k.head.Terms):
		v.sendNotModified(x)
	case v.ours && v.request.Range && whole != nil && x.Response.Status == 200:
		// The part was asked for under a condition of ours, without its range.
		v.serveHead(x, whole, &k.head.Terms, now)
		v.serveBody(x, whole, &k.head.Terms)
	}
	v.tellForwarded(x, 0, true, left, false, "")
}

// land has an answer stored as it comes, and read by those who wait for it.
func (v *Visit) land(x *exchange.Exchange, k *kept) {
	if !v.leads {
		v.flight, v.leads = v.route.cache.flights.Join(v.route.cache.nobodys())
	}
	v.landed = true
	how := flight.Keep{Max: k.inMemory, Stored: k.whole, Sink: k.spill, Gone: v.gone}
	x.Response.Body = v.flight.Land(k.shown(), x.Response.Body, x.Response.Length, how)
	x.Cached.Stored = true
}

// notStored passes an answer on that is not stored.
func (v *Visit) notStored(x *exchange.Exchange, why freshness.Why, now int64) {
	c := v.route.cache
	v.hide(x)
	x.Cached.Why = string(why)
	c.figures.unstored.count(why)
	// What is said of one request counts for no other. Those who wait are told last, so that none of them waits for another.
	if v.unkept == "" && why != conditional && why != freshness.StatusNever && why != purgedMeanwhile {
		c.apart.note(v.apartKey(), why, freshness.Fails(x.Response.Status), now)
	}
	v.refuse(nil)
	v.tellForwarded(x, 0, false, 0, false, why)
}

// atOnce is how long a stored body may be, in bytes, for it to be handed to those who wait; it is copied once for all of them.
const atOnce = 1 << 20

// refuse ends a flight of ours that has not landed: those who wait get the fault, or ask for themselves when it is nil.
func (v *Visit) refuse(f *fault.Fault) {
	if !v.leads || v.landed {
		return
	}
	v.fill.end() // gateways that wait for what is stored wait in vain
	if f != nil {
		v.flight.Fail(f)
	} else {
		v.flight.Part()
	}
	v.flight.Finish()
	v.flight, v.leads = nil, false
}

// revalidate puts what is stored in the place of a 304 to our own condition (RFC 9111 §4.3.3), with the fields that the 304 renews.
func (v *Visit) revalidate(x *exchange.Exchange, now int64) {
	r, c := v.route, v.route.cache
	o, why := v.freshen(x, now)
	s := c.stores.Load()
	switch {
	case why == "" && !v.overtaken(o):
		c.put(s, v.at, o)
		x.Cached.Stored = true
		if use, _ := o.Terms.Use(&plain, now, &r.terms.Rules); use != freshness.Validate {
			c.apart.forget(v.apartKey())
		}
	case why == freshness.NoStore || why == freshness.Private || why == freshness.VariesByAll:
		c.remove(s, v.at)
	}
	if v.leads && !v.landed {
		if why == "" && o.File == nil && v.flight.Awaited() && o.Length <= atOnce {
			v.landed = true
			body := &disk.Body{}
			body.Begin(o, 0, o.Length)
			v.flight.Land(o, body, o.Length, flight.Keep{Max: o.Length, Stored: func([]byte) {}})
		} else {
			v.refuse(nil) // those who wait look into the stores
		}
	}
	if !v.errand {
		status := 304
		v.serve(x, o, &o.Terms, now, exchange.CacheRevalidated, "")
		if x.Response.Status == 304 {
			status = 0
		}
		v.tellForwarded(x, status, why == "", o.Terms.Left(now), false, why)
	}
}

package cache

import (
	"fmt"
	"runtime/debug"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// maxRenewals is how many renewals in the background may be under way.
const maxRenewals = 64

// renewEarly renews what was just served and is fresh, when it is asked for often and near its end: so that nobody ever waits for it.
func (v *Visit) renewEarly(x *exchange.Exchange, b Background, now int64) {
	early := v.route.terms.Early
	if early == 0 || b == nil {
		return
	}
	left := v.terms.Left(now)
	if lifetime := v.terms.Lifetime - v.terms.InitialAge; left > int64(float64(lifetime)*early) || left <= 0 || !v.route.cache.popular.counts(v.at) {
		return
	}
	v.renew(x, b)
}

// renew has the endpoint asked in the background for what was just served: once at a time, and not right after it failed.
func (v *Visit) renew(x *exchange.Exchange, b Background) {
	c := v.route.cache
	if b == nil || v.request.NoStore || c.stop.Load() || c.apart.rests(v.at, c.now()) {
		return
	}
	if c.renewing.Add(1) > maxRenewals {
		c.renewing.Add(-1)
		c.figures.skipped.Add(1)
		return
	}
	f, leads := c.flights.Join(v.flightKey(x))
	if !leads {
		c.renewing.Add(-1)
		return
	}
	e := b.Errand(x)
	if e == nil || !c.begins() {
		if e != nil {
			e.Drop()
		}
		f.Finish()
		c.renewing.Add(-1)
		return
	}
	w := &renewal{}
	w.visit.visit = visit{
		route: v.route, stage: asking, errand: true, url: v.found.URL, request: plain, key: v.key, at: v.at, flight: f, leads: true, fwd: forStale,
	}
	w.visit.request.Authorization = v.request.Authorization
	c.figures.renewals.Add(1)
	go w.runRenewal(e)
}

// renewal is one visit without a client.
type renewal struct {
	visit Visit
	taken bool
}

func (w *renewal) runRenewal(e Errand) {
	v := &w.visit
	c := v.route.cache
	defer c.over.Done()
	defer c.renewing.Add(-1)
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("BUG: panic while renewing what is stored", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		v.refuse(nil)
	}()
	// What was served may be the exchange's to give back. It is got again.
	if o, from := c.get(c.stores.Load(), v.at); o != nil && o.Variants == nil {
		v.found, v.from, v.terms = o, from, o.Terms
		c.soften(o, &v.terms)
	} else if o != nil {
		drop(o, from)
	}
	if q := e.Request(); v.found != nil {
		v.condition(q)
	} else {
		for _, known := range wishes {
			q.Header.Del(known)
		}
	}
	v.asked = c.tick()
	e.Send(v.route.terms.Renew, &c.stop, w.take)
	if !w.taken {
		w.fails(nil)
		v.release()
	}
}

// take deals with what came of it.
func (w *renewal) take(x *exchange.Exchange) {
	v := &w.visit
	c := v.route.cache
	w.taken = true
	defer v.End(x)
	if x.Fault != nil || freshness.Fails(x.Response.Status) {
		w.fails(x)
		return
	}
	at := v.at
	v.Store(x)
	for body := x.Response.Body; body != nil; {
		if _, err := body.Next(); err != nil {
			break
		}
	}
	if !x.Cached.Stored {
		c.figures.renewalsFailed.Add(1)
		c.apart.failed(at, c.now())
		switch why := freshness.Why(x.Cached.Why); {
		case v.unkept != "", why == freshness.Authorized, why == freshness.StatusNever: // which says nothing of what is stored, as 429
		default:
			c.remove(c.stores.Load(), at) // the endpoint has something else there now, which is not for all
		}
	}
}

// fails notes that nothing could be renewed, and that it is not to be tried again at once.
func (w *renewal) fails(x *exchange.Exchange) {
	v := &w.visit
	c := v.route.cache
	c.figures.renewalsFailed.Add(1)
	c.apart.failed(v.at, c.now())
	var f *fault.Fault
	if x != nil {
		if f = x.Fault; f == nil {
			f = errorAnswer
		}
	}
	v.refuse(f)
}

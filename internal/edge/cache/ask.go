package cache

import (
	"encoding/binary"

	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// flightKey is what those have in common who may get the same answer, as far as is known before it comes.
func (v *Visit) flightKey(x *exchange.Exchange) (k object.Key) {
	switch {
	case v.found != nil:
		k = v.at
	case len(v.names) > 0:
		k, v.scratch = variantKey(v.key, 0, v.names, &x.Request.Header, "", v.scratch)
	case v.list != nil && len(v.list.Variants.Sets) > 0:
		k, v.scratch = variantKey(v.key, 0, v.list.Variants.Sets[0].Names, &x.Request.Header, "", v.scratch)
	default:
		k = v.key
	}
	return v.whose(k)
}

// apartKey is what those have in common whose answers tell something of each other's.
func (v *Visit) apartKey() object.Key { return v.whose(v.key) }

// whose tells callers from anybody: what may be shared with the latter often may not with the former, who are not to wait for it.
func (v *Visit) whose(k object.Key) object.Key {
	if v.request.Authorization {
		k[len(k)-1] ^= 1
	}
	return k
}

// meanwhile says whether what nobody had when x looked has been stored since: by the one that flew before, or by another gateway, which is waited
// for. That is asked once.
func (v *Visit) meanwhile(gone func() bool) bool {
	if v.checked {
		return false
	}
	v.checked = true
	s := v.route.cache.stores.Load()
	if s.memory != nil {
		switch {
		case v.found == nil:
			if o := s.memory.Peek(v.key); o != nil && o != v.list {
				return true
			}
		case v.found != nil && v.from == inMemory:
			if o := s.memory.Peek(v.at); o != nil && o != v.found {
				return true
			}
		}
	}
	return v.elsewhere(s, gone)
}

// lead makes x the one that asks for all who want the same now.
func (v *Visit) lead(x *exchange.Exchange, f *flight.Flight) {
	v.flight, v.leads = f, true
	x.Awaited = f
}

// ask prepares the request to the endpoint.
func (v *Visit) ask(x *exchange.Exchange) {
	c := v.route.cache
	switch {
	case v.found != nil && v.fits(x):
		v.fwd = forAsked
	case v.found != nil:
		v.fwd = forStale
	case v.list != nil:
		v.fwd = forVary
	default:
		v.fwd = forURI
	}
	switch q := &x.Request; {
	case v.unkept != "": // as it is
	case v.found != nil:
		v.condition(q)
	case v.leads:
		// What comes is to be stored, and then there has to be something. The client's condition is answered by us.
		_, tag := q.Header.Get(exchange.IfNoneMatch)
		_, since := q.Header.Get(exchange.IfModifiedSince)
		if v.ours = tag || since; v.ours {
			q.Change()
			q.Header.Del(exchange.IfNoneMatch)
			q.Header.Del(exchange.IfModifiedSince)
		}
	}
	v.asked = c.tick()
}

// fits says whether what was found is fresh, and it is this request that wants it otherwise.
func (v *Visit) fits(x *exchange.Exchange) bool {
	use, _ := v.terms.Use(&plain, v.route.cache.now(), &v.route.terms.Rules)
	return use == freshness.Serve
}

// wishes are the fields by which a client asks for an answer under a condition, or for a part of it.
var wishes = [...]exchange.Known{exchange.IfNoneMatch, exchange.IfModifiedSince, exchange.IfMatch, exchange.IfUnmodifiedSince, exchange.IfRange, exchange.Range}

// condition has the endpoint asked whether what was found is still right, instead of what the client wants to know or have of it: that is answered by
// us.
func (v *Visit) condition(q *exchange.Request) {
	v.ours = true
	q.Change()
	h := &q.Header
	for _, known := range wishes {
		h.Del(known)
	}
	if v.found.ETag != "" {
		h.Append(exchange.IfNoneMatch, exchange.IfNoneMatch.String(), v.found.ETag)
		v.asks = true
	}
	v.stored.Reset()
	v.found.AppendFields(&v.stored)
	if since, ok := v.stored.Get(exchange.LastModified); ok && v.terms.LastModified != 0 {
		h.Append(exchange.IfModifiedSince, exchange.IfModifiedSince.String(), since)
		v.asks = true
	}
}

// follow answers x with what another is answered, and says whether it did. Otherwise alone may say that x is to ask for itself.
func (v *Visit) follow(x *exchange.Exchange, f *flight.Flight, gone func() bool) bool {
	c := v.route.cache
	head, now := f.Head(), c.now()
	if head.Variants != nil {
		set := &head.Variants.Sets[0]
		var own object.Key
		own, v.scratch = variantKey(v.key, 0, set.Names, &x.Request.Header, set.Language, v.scratch)
		if own != set.Keys[0] {
			f.Leave(nil)
			v.names = set.Names // so that those with the same variant find each other
			return false
		}
	}
	terms := head.Terms
	if use, _ := terms.Use(&v.request, now, &v.route.terms.Rules); use != freshness.Serve || c.gone(head) {
		f.Leave(nil)
		v.alone = notShared
		return false
	}
	if v.request.Conditional && v.notModified(x, head, &terms) {
		f.Leave(nil)
		v.release()
		v.serveHead(x, head, &terms, now)
		v.collapsed(x, &terms, now)
		v.sendNotModified(x)
		return true
	}
	body, length := f.Follow(gone)
	if body == nil {
		f.Leave(nil)
		v.alone = notShared
		return false
	}
	v.release()
	v.flight, v.follows = f, body
	v.serveHead(x, head, &terms, now)
	x.Response.Body, x.Response.Length = body, length
	v.collapsed(x, &terms, now)
	return true
}

// collapsed notes that x got what another had asked for.
func (v *Visit) collapsed(x *exchange.Exchange, t *freshness.Terms, now int64) {
	c := v.route.cache
	c.figures.collapsed.Add(1)
	x.Cached.Outcome, x.Cached.Collapsed = exchange.CacheMiss, true
	if v.fwd == notForwarded {
		v.fwd = forURI
	}
	v.tellForwarded(x, 0, false, t.Left(now), true, "")
}

// share has x end as the one ended that it waited for: with something stale, if that may be, or with the same fault.
func (v *Visit) share(x *exchange.Exchange, f *fault.Fault) {
	x.Cached.Collapsed = true
	v.route.cache.figures.collapsed.Add(1)
	if v.Rescue(x, f) {
		return
	}
	v.stage = answered
	v.release()
	x.Cached.Outcome = exchange.CacheMiss
	x.Fail(f)
}

// nobodys is the key of a flight that nobody else can join: what is stored and not shared is read by one too.
func (c *Cache) nobodys() (k object.Key) {
	binary.LittleEndian.PutUint64(k[8:], c.loners.Add(1)) // no hash has that many zeros
	k[0] = byte(k[8])                                     // the shard
	return k
}

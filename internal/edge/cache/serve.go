package cache

import (
	"strconv"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// serve answers x with a stored response: as a whole, a part of it, or 304.
func (v *Visit) serve(x *exchange.Exchange, o *object.Object, t *freshness.Terms, now int64, outcome exchange.CacheOutcome, why freshness.Why) {
	v.serveHead(x, o, t, now)
	x.Cached.Outcome, x.Cached.Why = outcome, string(why)
	x.Cached.Collapsed = v.waited && !v.leads
	v.serveBody(x, o, t)
	if outcome == exchange.CacheHit || outcome == exchange.CacheStale && v.asked == 0 {
		v.tellHit(x, t.Left(now))
	}
}

// serveHead puts the status and the fields of a stored response into that of x. They are views of the object, which the garbage collector keeps as
// long as they are there.
func (v *Visit) serveHead(x *exchange.Exchange, o *object.Object, t *freshness.Terms, now int64) {
	v.stage = answered
	x.DropResponse()
	p := &x.Response
	p.Status, p.Length = o.Status, o.Length
	o.AppendFields(&p.Header)
	x.Cached.Age = max(t.Age(now), 0) / int64(time.Second)
	p.Header.Append(exchange.Age, "Age", x.KeepScratch(strconv.AppendInt(x.Scratch(), x.Cached.Age, 10))) // RFC 9111 §5.1
}

// serveBody has x get the content of a stored response whose head it has, as far as it asks for it.
func (v *Visit) serveBody(x *exchange.Exchange, o *object.Object, t *freshness.Terms) {
	p := &x.Response
	from, to := int64(0), o.Length
	if o.Status == 200 {
		if v.request.Conditional && v.notModified(x, o, t) {
			v.sendNotModified(x)
			return
		}
		if v.request.Range && x.Request.Method == "GET" {
			first, end, what := freshness.Range(x.Request.Said(), o.ETag, t, o.Length)
			switch what {
			case freshness.Partial:
				from, to = first, end
				p.Status = 206
				p.Header.Del(exchange.ContentRange)
				v.sendRange(x, from, to, o.Length)
			case freshness.Unsatisfied:
				v.sendUnsatisfied(x, o.Length)
				return
			}
		}
	}
	p.Length = to - from
	if x.Request.Method == "HEAD" {
		if p.Header.Count(exchange.ContentLength) == 0 && o.Status != 204 {
			p.Header.Append(exchange.ContentLength, exchange.ContentLength.String(), x.KeepScratch(strconv.AppendInt(x.Scratch(), p.Length, 10)))
		}
		return
	}
	if from < to {
		v.body.Begin(o, from, to)
		p.Body = &v.body
	}
}

// notModified says whether the client has what is stored already.
func (v *Visit) notModified(x *exchange.Exchange, o *object.Object, t *freshness.Terms) bool {
	return o.Status == 200 && freshness.NotModified(x.Request.Said(), o.ETag, t)
}

// sendNotModified makes the response 304, without the fields that describe content which is not sent (RFC 9110 §15.4.5).
func (v *Visit) sendNotModified(x *exchange.Exchange) {
	p := &x.Response
	p.Status, p.Body, p.Length = 304, nil, exchange.Unknown
	for _, known := range [...]exchange.Known{exchange.ContentLength, exchange.ContentType, exchange.ContentEncoding, exchange.ContentRange} {
		p.Header.Del(known)
	}
}

// sendRange says which part of a representation is sent.
func (v *Visit) sendRange(x *exchange.Exchange, from, to, size int64) {
	b := append(x.Scratch(), "bytes "...)
	b = strconv.AppendInt(b, from, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, to-1, 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, size, 10)
	x.Response.Header.Append(exchange.ContentRange, exchange.ContentRange.String(), x.KeepScratch(b))
}

// sendUnsatisfied makes the response 416 (RFC 9110 §15.5.17).
func (v *Visit) sendUnsatisfied(x *exchange.Exchange, size int64) {
	x.DropResponse()
	p := &x.Response
	p.Status = 416
	b := append(x.Scratch(), "bytes */"...)
	p.Header.Append(exchange.ContentRange, exchange.ContentRange.String(), x.KeepScratch(strconv.AppendInt(b, size, 10)))
}

package cache

import (
	"strconv"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// forward is why the endpoint was asked: the parameter fwd of Cache-Status (RFC 9211 §2.2).
type forward string

const (
	notForwarded forward = ""
	bypassing    forward = "bypass"
	forMethod    forward = "method"
	forURI       forward = "uri-miss"
	forVary      forward = "vary-miss"
	forAsked     forward = "request"
	forStale     forward = "stale"
)

const cacheStatus = "Cache-Status"

// tellHit tells the client that it got what was stored, and for how long that is fresh yet (RFC 9211 §2.1, §2.4).
func (v *Visit) tellHit(x *exchange.Exchange, left int64) {
	if !v.route.terms.Status {
		return
	}
	b := append(x.Scratch(), "Straum; hit; ttl="...)
	b = strconv.AppendInt(b, left/int64(time.Second), 10)
	// Behind what caches nearer to the endpoint say (RFC 9211 §2).
	x.Response.Header.Append(exchange.Other, cacheStatus, x.KeepScratch(b))
}

// tellForwarded tells the client why the endpoint was asked and what became of its answer. status is the endpoint's, 0 when it is that of the
// response or there is none.
func (v *Visit) tellForwarded(x *exchange.Exchange, status int, stored bool, left int64, collapsed bool, why freshness.Why) {
	if !v.route.terms.Status {
		return
	}
	b := append(x.Scratch(), "Straum; fwd="...)
	b = append(b, v.fwd...)
	if status != 0 {
		b = append(b, "; fwd-status="...)
		b = strconv.AppendInt(b, int64(status), 10)
	}
	if stored {
		b = append(b, "; stored"...)
	}
	if stored || collapsed {
		b = append(b, "; ttl="...)
		b = strconv.AppendInt(b, left/int64(time.Second), 10)
	}
	if collapsed {
		b = append(b, "; collapsed"...)
	}
	if why != "" {
		b = append(b, "; detail="...)
		b = append(b, why...)
	}
	x.Response.Header.Append(exchange.Other, cacheStatus, x.KeepScratch(b))
}

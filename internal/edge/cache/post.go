package cache

import (
	"strings"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// keepsPost makes of the answer to POST what is to be stored for GET, where the endpoint says that it is what GET would be answered: 200 with its own
// target in Content-Location and an explicit lifetime (RFC 9110 §9.3.3). nil for all others.
func (v *Visit) keepsPost(x *exchange.Exchange, now int64) *kept {
	r, c := v.route, v.route.cache
	if v.fwd != forMethod || x.Request.Method != "POST" || x.Onward.Method != "" || x.Response.Status != 200 || x.Route == nil || c.stores.Load().none() {
		return nil
	}
	at := ""
	for _, f := range x.Response.Header.All() {
		if f.Known == exchange.Other && strings.EqualFold(f.Name, contentLocation) {
			if at != "" {
				return nil
			}
			at = f.Value
		}
	}
	if at == "" {
		return nil
	}
	v.scratch = appendURL(v.scratch[:0], x, &r.terms.Parts)
	target := string(v.scratch)
	if to, ok := c.sameOrigin(target, at); !ok || to != target {
		return nil
	}
	var ok bool
	if v.key, v.scratch, ok = keyOf(x, x.Route.Name, &r.terms.Parts, v.scratch); !ok {
		return nil
	}
	var steered steering
	if v.key, v.scratch, steered = steer(v.key, &x.Request, v.scratch); steered == overridden {
		return nil
	}
	v.request, v.unkept = r.reads(x), ""
	k, why := v.keeps(x, c.stores.Load(), now)
	if why != "" || k.head.Terms.Flags&(freshness.Heuristic|freshness.Overridden) != 0 {
		return nil
	}
	return k
}

const contentLocation = "Content-Location"

package cache

import (
	"slices"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// freshen makes of what was found, and of what the endpoint says of it now, what is stored from now on (RFC 9111 §3.2, §4.3.4). why says why it is
// not to be stored; it is of use for this client then.
func (v *Visit) freshen(x *exchange.Exchange, now int64) (*object.Object, freshness.Why) {
	found, rules, said := v.found, &v.route.terms.Rules, &x.Response.Header
	v.stored.Reset()
	v.fields.Reset()
	found.AppendFields(&v.stored)
	freshness.Update(&v.stored, said, rules, v.keepField)
	terms, why := freshness.Freshen(&v.request, found.Status, &v.fields, said, v.asked, now, rules)
	before, _ := freshness.Vary(&v.stored, nil)
	after, all := freshness.Vary(&v.fields, nil)
	if why == "" && (all || !slices.Equal(before, after)) {
		why = varyChanged
	}
	if why != "" {
		terms = freshness.Terms{RequestTime: v.asked, ResponseTime: now, Date: now / 1e9, LastModified: found.Terms.LastModified}
	}
	v.dated(&terms)
	tags, ok := tagsOf(said)
	switch {
	case !ok:
		why = tooManyTags
	case len(tags) > 0:
		o := object.New(found.Status, terms, &v.fields, found.URL, tags, found.Body)
		o.Length, o.File = found.Length, found.File
		return o, why
	}
	return found.With(terms, &v.fields), why
}

// takeHead compares what is stored with the answer to HEAD: it renews it, or shows that it is of no use any more (RFC 9111 §4.3.5).
func (v *Visit) takeHead(x *exchange.Exchange, now int64) {
	c, p := v.route.cache, &x.Response
	x.Cached.Why = string(isHead)
	v.hide(x)
	if v.found != nil && p.Status == 200 && v.found.Status == 200 && !v.request.Authorization {
		s := c.stores.Load()
		if v.same(x) {
			if o, why := v.freshen(x, now); why == "" && !v.overtaken(o) {
				c.put(s, v.at, o)
			}
		} else {
			c.remove(s, v.at)
		}
	}
	v.tellForwarded(x, 0, false, 0, false, isHead)
}

// same says whether the answer to HEAD is about what is stored.
func (v *Visit) same(x *exchange.Exchange) bool {
	v.stored.Reset()
	v.found.AppendFields(&v.stored)
	return freshness.Agrees(&v.stored, v.found.Length, &x.Response.Header)
}

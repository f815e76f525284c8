package freshness

import "straum.dev/straum/internal/edge/exchange"

// Stores calls keep for each field of a response that is to be stored: without those of the connection, those that Cache-Control says to leave out,
// Age, and Set-Cookie where rules do not store it (RFC 9111 §3.1). A response that came without Date needs one before it is stored (RFC 9110 §6.6.1):
// see AppendDate and Terms.Date.
func Stores(h *exchange.Fields, rules *Rules, keep func(f *exchange.Field)) {
	e := exclusionsOf(h, h)
	for i := range h.All() {
		if f := &h.All()[i]; !e.leavesOut(f, rules) {
			keep(f)
		}
	}
}

// Update makes the fields of a stored response from what was stored and what a 304, or the answer to a HEAD, says of it (RFC 9111 §3.2). What
// describes the stored bytes stays as it is: lengths, codings, ranges, digests and the entity tag. Date goes when the new one has none. Set-Cookie of
// the answer is for this client alone, unless rules store it.
func Update(stored, said *exchange.Fields, rules *Rules, keep func(f *exchange.Field)) {
	control := stored
	if said.Count(exchange.CacheControl) > 0 {
		control = said
	}
	old, e := exclusionsOf(stored, control), exclusionsOf(said, control)
	for i := range stored.All() {
		f := &stored.All()[i]
		if old.leavesOut(f, rules) || !ofBytes(f) && (f.Known == exchange.Date || e.replaces(f, rules)) {
			continue
		}
		keep(f)
	}
	for i := range said.All() {
		if f := &said.All()[i]; !ofBytes(f) && !e.leavesOut(f, rules) {
			keep(f)
		}
	}
}

// Agrees says whether a 200 to a HEAD is about a stored response with these fields and this length (RFC 9111 §4.3.5). If not, what is stored is stale.
func Agrees(stored *exchange.Fields, length int64, said *exchange.Fields) bool {
	for _, known := range [...]exchange.Known{exchange.ETag, exchange.LastModified} {
		if v, ok := said.Get(known); ok {
			if have, _ := stored.Get(known); have != v {
				return false
			}
		}
	}
	v, ok := said.Get(exchange.ContentLength)
	if !ok {
		return true
	}
	n, ok := parseLength(v)
	return ok && n == length
}

// exclusions are the fields that a message says are not to be stored.
type exclusions struct {
	h, control       *exchange.Fields // whose Connection and whose Cache-Control counts
	connected, named bool             // that there are any
}

func exclusionsOf(h, control *exchange.Fields) exclusions {
	e := exclusions{h: h, control: control, connected: h.Count(exchange.Connection) > 0}
	for i := range control.All() {
		if f := &control.All()[i]; f.Known == exchange.CacheControl {
			for d, rest, ok := nextDirective(f.Value); ok; d, rest, ok = nextDirective(rest) {
				e.named = e.named || d.has && (d.is("no-cache") || d.is("private"))
			}
		}
	}
	return e
}

func (e *exclusions) leavesOut(f *exchange.Field, rules *Rules) bool {
	switch f.Known {
	case exchange.TE, exchange.Trailer, exchange.Age, exchange.ProxyAuthenticate, exchange.ProxyAuthorization:
		return true
	case exchange.SetCookie:
		if !rules.StoreCookies {
			return true
		}
	case exchange.Other:
		if fold(f.Name, "Proxy-Authentication-Info") {
			return true
		}
	default:
		if f.Known.HopByHop() {
			return true
		}
	}
	if e.connected {
		for i := range e.h.All() {
			if c := &e.h.All()[i]; c.Known == exchange.Connection && inList(c.Value, f.Name) {
				return true
			}
		}
	}
	return e.named && names(e.control, f.Name, rules)
}

// replaces says whether this message has fields of the same name that are to be stored.
func (e *exclusions) replaces(f *exchange.Field, rules *Rules) bool {
	for i := range e.h.All() {
		g := &e.h.All()[i]
		if g.Known == f.Known && (f.Known != exchange.Other || fold(g.Name, f.Name)) && !e.leavesOut(g, rules) {
			return true
		}
	}
	return false
}

// ofBytes says whether a field describes the bytes of a body, which a 304 leaves as they are.
func ofBytes(f *exchange.Field) bool {
	switch f.Known {
	case exchange.ContentLength, exchange.ContentEncoding, exchange.ContentRange, exchange.ETag:
		return true
	case exchange.Other:
		for _, name := range [...]string{"Content-MD5", "Content-Digest", "Repr-Digest", "Digest"} {
			if fold(f.Name, name) {
				return true
			}
		}
	}
	return false
}

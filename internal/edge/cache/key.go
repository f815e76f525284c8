package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// Keys are hashes of parts that have their length before them, and lists their number, so that two requests have one key only if all their parts are
// alike. The first byte says what the key is of.
const (
	keyOfResource = 'r'
	keyOfVariant  = 'v'
)

// Marks of who a part of the cache belongs to.
const (
	markAnyone   = 'a'
	markConsumer = 'c'
)

// keyOf is the key of what x asks for: the same for GET and HEAD. It goes by the fields that endpoints are sent, and by what policies ask of the
// endpoint instead of what the client asked for, as all of that may change the answer. ok is false when each consumer is to have a part of its own
// and nobody knows whose this is. scratch is room for the parts; it is given back, perhaps grown.
func keyOf(x *exchange.Exchange, route string, p *Parts, scratch []byte) (k object.Key, _ []byte, ok bool) {
	r := &x.Request
	b := append(scratch[:0], keyOfResource)
	b = appendPart(b, route)
	b = appendPart(b, r.Scheme)
	b = appendPart(b, r.Host)
	b = appendPart(b, portOf(r))
	b = appendPart(b, r.Path)
	b = appendRules(b, p)
	b, at := startCount(b)
	b = closePart(appendQuery(b, r.Query, p), at)
	b = appendOnward(b, &x.Onward)
	b = appendCount(b, len(p.Headers))
	for _, name := range p.Headers {
		b = appendPart(b, name)
		b = appendHeader(b, name, &r.Header)
	}
	b = appendCount(b, len(p.Cookies))
	for _, name := range p.Cookies {
		b = appendPart(b, name)
		b = appendCookie(b, name, &r.Header)
	}
	if b, ok = appendConsumer(b, &x.Caller, p); !ok {
		return k, b, false
	}
	return sha256.Sum256(b), b, true
}

// variantKey is the key of the response under a resource's key that fits this request. names are those of a set of variants, language is the set's, and
// nonce the list's. Other parameters are as of keyOf.
func variantKey(primary object.Key, nonce uint64, names []string, h *exchange.Fields, language string, scratch []byte) (object.Key, []byte) {
	b := append(scratch[:0], keyOfVariant)
	b = append(b, primary[:]...)
	b = binary.LittleEndian.AppendUint64(b, nonce)
	b = appendCount(b, len(names))
	for _, name := range names {
		b = appendPart(b, name)
	}
	b = appendPart(b, language)
	b, at := startCount(b)
	b = closePart(freshness.AppendVariant(b, names, h, language), at)
	return sha256.Sum256(b), b
}

// appendURL appends the canonical URL of what x asks for, by which purges find it: with the parts of the query that count for its key, in the order
// they count.
func appendURL(b []byte, x *exchange.Exchange, p *Parts) []byte {
	r := &x.Request
	b = append(append(append(b, r.Scheme...), "://"...), r.Host...)
	if port := portOf(r); port != "" {
		b = append(append(b, ':'), port...)
	}
	b = append(b, r.Path...)
	from := len(b)
	if b = appendQuery(append(b, '?'), r.Query, p); len(b) == from+1 {
		return b[:from]
	}
	return b
}

// portOf is the port without zeros before it, empty for the scheme's own.
func portOf(r *exchange.Request) string {
	port := r.Port
	for len(port) > 1 && port[0] == '0' {
		port = port[1:]
	}
	if r.Scheme == "http" && port == "80" || r.Scheme == "https" && port == "443" {
		return ""
	}
	return port
}

// appendRules appends how the query counts: the same query means something else once the rules are others.
func appendRules(b []byte, p *Parts) []byte {
	var how byte
	if p.NoQuery {
		how |= 1
	}
	if p.SortQuery {
		how |= 2
	}
	if p.Only != nil {
		how |= 4
	}
	b = append(b, how)
	b = appendCount(b, len(p.Only))
	for _, name := range p.Only {
		b = appendPart(b, name)
	}
	b = appendCount(b, len(p.Without))
	for _, name := range p.Without {
		b = appendPart(b, name)
	}
	return b
}

// sortedHere is how many parameters are sorted without asking for memory.
const sortedHere = 32

// appendQuery appends the query as far as it counts, joined with & as it was. It is compared as bytes: %7E and ~ are not the same, as some endpoints
// tell them apart.
func appendQuery(b []byte, query string, p *Parts) []byte {
	if p.NoQuery || query == "" {
		return b
	}
	if p.Only == nil && len(p.Without) == 0 && !p.SortQuery {
		return append(b, query...)
	}
	if !p.SortQuery {
		from := len(b)
		for more := true; more; {
			var pair string
			if pair, query, more = strings.Cut(query, "&"); counts(pair, p) {
				b = append(joined(b, from), pair...)
			}
		}
		return b
	}
	var room [sortedHere]string
	pairs := room[:0]
	for more := true; more; {
		var pair string
		if pair, query, more = strings.Cut(query, "&"); counts(pair, p) {
			pairs = append(pairs, pair)
		}
	}
	slices.SortStableFunc(pairs, byName)
	from := len(b)
	for _, pair := range pairs {
		b = append(joined(b, from), pair...)
	}
	return b
}

func byName(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) }

func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}

// joined appends what stands between two parameters, unless there is none yet.
func joined(b []byte, from int) []byte {
	if len(b) > from {
		return append(b, '&')
	}
	return b
}

// counts says whether a parameter belongs to the key. One that might be read as another by some endpoint always does, or its sender could change what
// others are answered: with a semicolon in it, which some take for the end of a parameter, and beside Only with a name that might turn into another.
func counts(pair string, p *Parts) bool {
	if pair == "" {
		return false
	}
	if strings.IndexByte(pair, ';') >= 0 {
		return true
	}
	name := nameOf(pair)
	if slices.Contains(p.Without, name) {
		return false
	}
	if p.Only == nil || !isPlain(name) {
		return true
	}
	for _, only := range p.Only {
		if strings.EqualFold(only, name) {
			return true
		}
	}
	return false
}

// isPlain says whether a name is the same to all who read it, but for the case of letters: nothing is encoded in it, and it is not one of PHP's, which
// takes a[b] for a and a.b for a_b.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != ""
}

// appendOnward appends what is asked of the endpoint instead, which policies may have drawn from anything in the request.
func appendOnward(b []byte, o *exchange.Onward) []byte {
	if *o == (exchange.Onward{}) {
		return append(b, 0)
	}
	b = append(b, 1)
	b = appendPart(b, o.Method)
	b = appendPart(b, o.Path)
	if o.NewQuery {
		b = append(b, 1)
		b = appendPart(b, o.Query)
	} else {
		b = append(b, 0)
	}
	return appendPart(b, o.Upstream)
}

// appendHeader appends the lines of a field, in their order.
func appendHeader(b []byte, name string, h *exchange.Fields) []byte {
	known := exchange.Lookup(name)
	b, at := startCount(b)
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known == known && (known != exchange.Other || strings.EqualFold(f.Name, name)) {
			b = countedPart(b, at, f.Value)
		}
	}
	return b
}

// appendCookie appends each cookie of a name, as it stands, in their order: which of several an endpoint takes is not known here.
func appendCookie(b []byte, name string, h *exchange.Fields) []byte {
	b, at := startCount(b)
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Cookie {
			continue
		}
		rest := f.Value
		for more := true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			if isCookie(pair, name) {
				b = countedPart(b, at, grammar.TrimSpace(pair))
			}
		}
	}
	return b
}

func isCookie(pair, name string) bool { return grammar.TrimSpace(nameOf(pair)) == name }

// appendConsumer appends whose part of the cache it is: a consumer's, and where an issuer says who it is, that subject's alone, as one consumer's
// credentials may be for many people. Who is anonymous has none.
func appendConsumer(b []byte, c *exchange.Caller, p *Parts) (_ []byte, ok bool) {
	if !p.Consumer {
		return append(b, markAnyone), true
	}
	if c.Method == "" || c.Consumer == nil && c.Subject == "" {
		return b, false
	}
	b = append(b, markConsumer)
	if c.Consumer != nil {
		b = appendPart(append(b, 1), c.Consumer.ID)
	} else {
		b = append(b, 0)
	}
	return appendPart(appendPart(b, c.Issuer), c.Subject), true
}

// appendPart appends a part with its length before it.
func appendPart(b []byte, part string) []byte {
	return append(appendCount(b, len(part)), part...)
}

func appendCount(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

// startCount leaves room for a number that is not known yet: of the parts that countedPart will append, or of bytes until closePart.
func startCount(b []byte) (_ []byte, at int) { return appendCount(b, 0), len(b) }

func closePart(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func countedPart(b []byte, at int, part string) []byte {
	binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+1)
	return appendPart(b, part)
}

// explainKey tells the parts of the key of keyOf. What of fields, cookies and callers is in it is told as the beginning of a hash, by which it can be
// compared, and never as it is.
func explainKey(x *exchange.Exchange, route string, p *Parts) []KeyPart {
	r := &x.Request
	parts := []KeyPart{{"route", route}, {"scheme", r.Scheme}, {"host", r.Host}, {"port", portOf(r)}, {"path", r.Path}}
	if !p.NoQuery {
		parts = append(parts, KeyPart{"query", string(appendQuery(nil, r.Query, p))})
	}
	if o := &x.Onward; *o != (exchange.Onward{}) {
		parts = append(parts, KeyPart{"asked instead", short(appendOnward(nil, o))})
	}
	for _, name := range p.Headers {
		parts = append(parts, shown("header:"+name, appendHeader(nil, name, &r.Header)))
	}
	for _, name := range p.Cookies {
		parts = append(parts, shown("cookie:"+name, appendCookie(nil, name, &r.Header)))
	}
	if p.Consumer {
		value := "unknown: nobody's part of the cache"
		if b, ok := appendConsumer(nil, &x.Caller, p); ok {
			value = short(b)
		}
		parts = append(parts, KeyPart{"consumer", value})
	}
	return parts
}

// shown is a part of which there may be several, or none.
func shown(name string, counted []byte) KeyPart {
	switch n := binary.LittleEndian.Uint32(counted); n {
	case 0:
		return KeyPart{name, ""}
	case 1:
		return KeyPart{name, short(counted)}
	default:
		return KeyPart{name, short(counted) + " (" + strconv.Itoa(int(n)) + " of them)"}
	}
}

// short is the beginning of a hash: enough to see that two are not the same.
func short(b []byte) string {
	sum := sha256.Sum256(b)
	return "#" + hex.EncodeToString(sum[:4])
}

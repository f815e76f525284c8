package certificate

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync/atomic"
)

// Settings say what one listener shows.
type Settings struct {
	// Pairs to choose from. The first is the default; among pairs of the same kind of key for the same name the first is shown.
	Pairs []Pair
	// Strict refuses handshakes for names that no certificate has with the alert unrecognized_name (RFC 6066 §3), instead of showing
	// the default. A client that names nobody gets the default all the same.
	Strict bool
	// Fallback, when not nil, is asked for names that no pair has, and for every handshake that speaks acme-tls/1 alone (RFC 8737). It
	// answers nil without an error for names that are none of its own.
	Fallback func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Choice picks the certificate of a handshake for one listener. What it may pick from is fixed; its methods may be called from any
// goroutine.
type Choice struct {
	entries  []*entry // in the order of the settings
	strict   bool
	fallback func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	table    atomic.Pointer[table]
}

// table is what a Choice knows at one instant. It is immutable and made anew when a pair of it changes.
type table struct {
	exact    map[string]offers // by lower-case name
	wild     map[string]offers // by what follows "*."
	standard offers            // for no name, and for names nobody has; empty when there are no pairs
}

// offers are certificates for the same name, one of each kind at most, the preferred first.
type offers []offer

type offer struct {
	certificate *tls.Certificate
	demand      demand
}

// offered is offers in the making: a place for each kind.
type offered [kinds]offer

func (o *offered) add(e *entry) {
	if o[e.live.kind].certificate == nil {
		o[e.live.kind] = offer{e.shown, e.live.demand}
	}
}

func (o *offered) offers() (all offers) {
	for _, each := range o {
		if each.certificate != nil {
			all = append(all, each)
		}
	}
	return all
}

// build makes the table of what the entries show now. It needs the store's lock.
func (c *Choice) build() *table {
	exact, wild := map[string]*offered{}, map[string]*offered{}
	put := func(m map[string]*offered, name string, e *entry) {
		o := m[name]
		if o == nil {
			o = new(offered)
			m[name] = o
		}
		o.add(e)
	}
	for _, e := range c.entries {
		for _, name := range e.live.names {
			if rest, ok := strings.CutPrefix(name, "*."); ok {
				put(wild, rest, e)
			} else {
				put(exact, name, e)
			}
		}
	}
	t := &table{exact: make(map[string]offers, len(exact)), wild: make(map[string]offers, len(wild))}
	for name, o := range exact {
		t.exact[name] = o.offers()
	}
	for name, o := range wild {
		t.wild[name] = o.offers()
	}
	if len(c.entries) > 0 {
		t.standard = c.standard()
	}
	return t
}

// standard is the first pair, together with those that have all its names and another kind of key.
func (c *Choice) standard() offers {
	var o offered
	first := c.entries[0]
	for _, e := range c.entries {
		if e == first || len(first.live.names) > 0 && !slices.ContainsFunc(first.live.names, func(name string) bool { return !slices.Contains(e.live.names, name) }) {
			o.add(e)
		}
	}
	return o.offers()
}

// Default is the first pair's certificate as it is now, or nil without pairs. Upstreams show it as their client certificate.
func (c *Choice) Default() *tls.Certificate {
	if t := c.table.Load(); len(t.standard) > 0 {
		return t.standard[0].certificate
	}
	return nil
}

// acmeTLS is the protocol of challenges that are answered in the handshake (RFC 8737 §6.2).
const acmeTLS = "acme-tls/1"

// GetCertificate is for tls.Config.GetCertificate. It looks for the client's name first as it is, then as a wildcard's (RFC 9525
// §6.3: one label, the leftmost), then asks the fallback, then takes the default. Without any it answers nil, which crypto/tls
// turns into unrecognized_name as long as Config.Certificates is empty.
func (c *Choice) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.fallback != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeTLS {
		return c.fallback(hello)
	}
	t := c.table.Load()
	if hello.ServerName == "" && len(t.standard) > 0 {
		return t.standard.pick(hello), nil
	}
	if o, ok := t.find(hello.ServerName); ok {
		return o.pick(hello), nil
	}
	if c.fallback != nil {
		found, err := c.fallback(hello)
		if found != nil || err != nil && (c.strict || len(t.standard) == 0) {
			return found, err
		}
	}
	if c.strict || len(t.standard) == 0 {
		return nil, nil
	}
	return t.standard.pick(hello), nil
}

// find looks a name up, whatever its case.
func (t *table) find(name string) (offers, bool) {
	var space [255]byte // no name in DNS is longer
	if len(name) > len(space) {
		return nil, false
	}
	lower := space[:len(name)]
	dot := -1
	for i := range len(name) {
		b := name[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b == '.' && dot < 0 {
			dot = i
		}
		lower[i] = b
	}
	if o, ok := t.exact[string(lower)]; ok {
		return o, true
	}
	if dot > 0 {
		o, ok := t.wild[string(lower[dot+1:])]
		return o, ok
	}
	return nil, false
}

// pick takes the first certificate the client can verify, and the last when it can verify none: the handshake then fails with the
// alert that says so.
func (o offers) pick(hello *tls.ClientHelloInfo) *tls.Certificate {
	last := len(o) - 1
	for _, each := range o[:last] {
		if each.demand.met(hello) {
			return each.certificate
		}
	}
	return o[last].certificate
}

package jwt

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/token"
)

// fieldName is a claim and the field that endpoints find it in.
type fieldName struct{ claim, field string }

// field is a field with its value.
type field struct{ name, value string }

// tell works out the fields of a token. Claims that are missing or null have none. It reports false when a claim cannot be written as
// the value of a field: an endpoint that does not see it could take the caller for somebody else.
func (u *terms) tell(t *token.Token) ([]field, bool) {
	var out []field
	for _, f := range u.fields {
		claim, there := token.Lookup(t.Claims, f.claim)
		if !there || claim == nil {
			continue
		}
		value, ok := token.Text(claim)
		if !ok || !exchange.FitsField(value) {
			return nil, false
		}
		out = append(out, field{f.field, value})
	}
	return out, true
}

// strip removes what a client sent under the names of our fields, also with underscores in the place of hyphens, since many endpoints take
// both for one.
func (u *terms) strip(h *exchange.Fields) {
	if len(u.fields) == 0 {
		return
	}
	for i := 0; i < h.Len(); {
		if f := &h.All()[i]; f.Known == exchange.Other && u.ours(f.Name) {
			h.DelHeader(f.Name)
		} else {
			i++
		}
	}
}

func (u *terms) ours(name string) bool {
	for i := range u.fields {
		if len(u.fields[i].field) == len(name) && sameField(u.fields[i].field, name) {
			return true
		}
	}
	return false
}

// sameField compares two names of one length as endpoints may.
func sameField(a, b string) bool {
	for i := range len(a) {
		if plain(a[i]) != plain(b[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case c == '_':
		return '-'
	}
	return c
}

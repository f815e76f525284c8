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

// Reserves implements policy.Reserver.
func (u *terms) Reserves() (names []string) {
	for _, f := range u.fields {
		names = append(names, f.field)
	}
	return names
}

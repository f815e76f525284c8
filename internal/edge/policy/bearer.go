package policy

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// Bearer challenges callers who show bearer tokens (RFC 6750 §3). Embedded it is an authenticator's Challenge.
type Bearer struct{ bare, invalid, insufficient string }

// NewBearer makes the challenges of a realm, which is text that can be quoted as it is, for tokens that have to have all of these scopes.
func NewBearer(realm string, scopes []string) Bearer {
	bare := `Bearer realm="` + realm + `"`
	return Bearer{bare, bare + `, error="invalid_token"`, bare + `, error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`}
}

// Challenge implements Authenticator.
func (b *Bearer) Challenge(x *exchange.Exchange, finding Finding) {
	text := b.bare
	switch finding {
	case Short:
		text = b.insufficient
	case Refused:
		text = b.invalid
	}
	x.Challenges = append(x.Challenges, text)
}

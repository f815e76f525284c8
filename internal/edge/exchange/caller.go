package exchange

import "straum.dev/straum/internal/consumer"

// Caller is who asks, as authentication found out. The zero value is somebody nobody asked for. What it points to is shared with other
// exchanges and must not be changed.
type Caller struct {
	// Consumer is nil when the credential is good and belongs to no consumer of the configuration.
	Consumer *consumer.Consumer
	// Method is the policy that accepted the credential; empty without one, also for the anonymous consumer.
	Method string
	// Credential names what was shown, for people: never the secret itself, nor a part or a plain hash of it.
	Credential string
	// Subject is who an issuer says it is, or the user name, or the subject of a certificate. It may identify a person. Like Issuer,
	// Client and each of Scopes it is fit to stand in a header field.
	Subject string
	Issuer  string
	Client  string   // the OAuth client a token was issued to
	Scopes  []string // in the order given; ScopeList is the same, joined by spaces
	// ScopeList is Scopes joined by spaces, as endpoints are told.
	ScopeList string
	// Claims is what an issuer says besides: the values of a JSON object, nil for none. Numbers are json.Number.
	Claims map[string]any
}

// Has says whether the caller has a scope.
func (c *Caller) Has(scope string) bool {
	for _, s := range c.Scopes {
		if s == scope {
			return true
		}
	}
	return false
}

// Signal is something about an exchange that limits and bans count. Several may be set.
type Signal uint8

// The signals.
const (
	// AuthFailed is a credential that was shown and is not good. A missing one is none.
	AuthFailed Signal = 1 << iota
	// Forbidden is a caller who is known and may not.
	Forbidden
	// Limited is a request beyond a limit that its sender has used up. A limit that all share is none of these.
	Limited
	// Suspect is a request that a policy took for an attack.
	Suspect
)

// FitsField says whether text may stand in the value of a header field as it is (RFC 9110 §5.5): no control characters, no white space
// at its ends.
func FitsField(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return text == "" || text[0] > ' ' && text[len(text)-1] > ' '
}

package token

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// Reason says why a token is not good, in one word for the operator's log and metrics. The client is not told.
type Reason string

// The reasons.
const (
	Good        Reason = ""
	TooLong     Reason = "too_long"         // over MaxBytes of the rules
	Malformed   Reason = "malformed"        // not three parts of base64url with JSON in them, or JSON that can be read in two ways
	Critical    Reason = "critical"         // asks for an extension
	EmbeddedKey Reason = "embedded_key"     // brings its own key, or the address of one
	BadType     Reason = "type"             // typ says it is something else
	BadMethod   Reason = "algorithm"        // alg is not allowed, or not that of the key it names
	UnknownKey  Reason = "unknown_key"      // no key of the set could have signed it
	BadSeal     Reason = "signature"        // not the signature of the key
	BadIssuer   Reason = "issuer"           // iss is missing or another
	BadAudience Reason = "audience"         // aud is missing or others
	NoExpiry    Reason = "no_expiry"        // exp is missing
	Expired     Reason = "expired"          // exp is over
	NotYet      Reason = "not_yet"          // nbf is to come
	FromFuture  Reason = "issued_in_future" // iat is to come
	TooLasting  Reason = "lifetime"         // good for longer than the rules allow
	NotBound    Reason = "not_bound"        // good, and bound to a key that who shows it has not proven to hold, see Holder
	BadClaim    Reason = "claim"            // a claim is missing, has another value than asked for, or is of the wrong kind
)

// Rules say which tokens are good. The zero value of a field asks for nothing unless it says otherwise. Rules must not be changed while
// they are used.
type Rules struct {
	// Algorithms allowed; all that the keys can do when empty.
	Algorithms []Algorithm
	// Issuers, one of which iss must be, byte by byte.
	Issuers []string
	// Audiences, one of which must be in aud.
	Audiences []string
	// Types, one of which typ must be ("at+jwt"); without any it may be missing, JWT or at+jwt, so that tokens made for other ends,
	// such as a logout, are no tokens here (RFC 8725 §3.11).
	Types []string
	// Skew is how far the issuer's clock may be off, for exp, nbf and iat.
	Skew time.Duration
	// Lasting accepts tokens without exp.
	Lasting bool
	// MaxLifetime is how long a token may be good for, from iat, and from now; 0 is no limit.
	MaxLifetime time.Duration
	// Claims that must be there.
	Claims []Claim
	// MaxBytes is the longest token read; MaxBytes of the package when 0.
	MaxBytes int
}

// Claim is a claim that must be there, see Lookup, with one of the values, see Matches; with any when there are none.
type Claim struct {
	Path   string
	Values []string
}

// Token is what a good token says. It is shared and must not be changed.
type Token struct {
	Key       *Key // that verified it
	Algorithm Algorithm
	Issuer    string
	Subject   string
	Client    string // client_id (RFC 9068 §2.2), or azp
	ID        string // jti
	Audience  []string
	Scopes    []string // of scope, scp or scopes; see ScopesOf
	ScopeList string   // the same, joined by spaces
	// Expires, NotBefore and IssuedAt are zero when the token does not say. They are as in the token, without skew.
	Expires, NotBefore, IssuedAt time.Time
	Claims                       map[string]any // all of them, as Object reads them
}

// GoodAt says whether a token that was good once is good at another time: what Verify checks of exp and nbf under the same skew.
func (t *Token) GoodAt(now time.Time, skew time.Duration) bool {
	return (t.Expires.IsZero() || now.Add(-skew).Before(t.Expires)) && (t.NotBefore.IsZero() || !now.Add(skew).Before(t.NotBefore))
}

// Verify judges a token in its compact form. With anything but Good the token is nil.
func Verify(set *Set, rules *Rules, compact string, now time.Time) (*Token, Reason) {
	most := rules.MaxBytes
	if most == 0 {
		most = MaxBytes
	}
	if len(compact) > most {
		return nil, TooLong
	}
	head, claims, signature, ok := split(compact)
	if !ok {
		return nil, Malformed
	}
	h, reason := readHeader(head)
	if reason != Good {
		return nil, reason
	}
	if !rules.typed(&h) {
		return nil, BadType
	}
	seal, ok := decode(signature)
	if !ok {
		return nil, Malformed
	}
	key, reason := signer(set, rules, &h, compact[:len(head)+1+len(claims)], seal)
	if reason != Good {
		return nil, reason
	}
	// From here on the token is the issuer's.
	text, ok := decode(claims)
	if !ok {
		return nil, Malformed
	}
	all, err := Object(text)
	if err != nil {
		return nil, Malformed
	}
	t := &Token{Key: key, Algorithm: h.algorithm, Claims: all}
	if reason := t.read(); reason != Good {
		return nil, reason
	}
	if reason := rules.judge(t, now); reason != Good {
		return nil, reason
	}
	return t, Good
}

// typed says whether the token is of a type that is wanted.
func (r *Rules) typed(h *header) bool {
	if len(r.Types) == 0 {
		switch {
		case !h.hasType:
			return true
		default:
			typ := mediaType(h.typ)
			return typ == "jwt" || typ == "at+jwt"
		}
	}
	return h.hasType && slices.ContainsFunc(r.Types, func(want string) bool { return mediaType(want) == mediaType(h.typ) })
}

// signer finds the key whose signature this is.
func signer(set *Set, rules *Rules, h *header, text string, seal []byte) (*Key, Reason) {
	if !h.algorithm.known() || len(rules.Algorithms) > 0 && !slices.Contains(rules.Algorithms, h.algorithm) {
		return nil, BadMethod
	}
	keys, named := set.candidates(h.algorithm, h.kid, h.hasID)
	for _, k := range keys {
		if k.verify(h.algorithm, text, seal) {
			return k, Good
		}
	}
	switch {
	case named && len(keys) == 0:
		return nil, BadMethod // there is a key of this name, and it is for something else
	case named:
		return nil, BadSeal
	case h.hasID && h.kid != "", len(keys) == 0:
		return nil, UnknownKey
	}
	return nil, BadSeal
}

// read takes the registered claims out (RFC 7519 §4.1) and checks their kinds.
func (t *Token) read() Reason {
	client := "client_id"
	if _, there := t.Claims[client]; !there {
		client = "azp"
	}
	for name, into := range map[string]*string{"iss": &t.Issuer, "sub": &t.Subject, "jti": &t.ID, client: &t.Client} {
		if v, there := t.Claims[name]; there {
			text, ok := v.(string)
			if !ok {
				return BadClaim
			}
			*into = text
		}
	}
	for name, into := range map[string]*time.Time{"exp": &t.Expires, "nbf": &t.NotBefore, "iat": &t.IssuedAt} {
		if v, there := t.Claims[name]; there {
			date, ok := dateOf(v)
			if !ok {
				return BadClaim
			}
			*into = date
		}
	}
	switch aud := t.Claims["aud"].(type) {
	case nil:
		if _, there := t.Claims["aud"]; there {
			return BadClaim
		}
	case string:
		t.Audience = []string{aud}
	case []any:
		for _, v := range aud {
			text, ok := v.(string)
			if !ok {
				return BadClaim
			}
			t.Audience = append(t.Audience, text)
		}
	default:
		return BadClaim
	}
	var ok bool
	if t.Scopes, t.ScopeList, ok = ScopesOf(t.Claims); !ok {
		return BadClaim
	}
	return Good
}

// dateOf reads a NumericDate (RFC 7519 §2): seconds since 1970, with or without a fraction, up to the year 9999.
func dateOf(v any) (time.Time, bool) {
	number, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(number), 64)
	const latest = 253402300799
	if err != nil || !(seconds >= 0 && seconds <= latest) {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*float64(time.Second))), true
}

// judge holds the token against the rules.
func (r *Rules) judge(t *Token, now time.Time) Reason {
	if len(r.Issuers) > 0 && !slices.Contains(r.Issuers, t.Issuer) {
		return BadIssuer
	}
	if len(r.Audiences) > 0 && !slices.ContainsFunc(t.Audience, func(aud string) bool { return slices.Contains(r.Audiences, aud) }) {
		return BadAudience
	}
	if t.Expires.IsZero() && !r.Lasting {
		return NoExpiry
	}
	if !t.Expires.IsZero() && !now.Add(-r.Skew).Before(t.Expires) {
		return Expired
	}
	if !t.NotBefore.IsZero() && now.Add(r.Skew).Before(t.NotBefore) {
		return NotYet
	}
	if !t.IssuedAt.IsZero() && now.Add(r.Skew).Before(t.IssuedAt) {
		return FromFuture
	}
	if r.MaxLifetime > 0 && !t.Expires.IsZero() {
		if t.Expires.Sub(now) > r.MaxLifetime+r.Skew || !t.IssuedAt.IsZero() && t.Expires.Sub(t.IssuedAt) > r.MaxLifetime {
			return TooLasting
		}
	}
	for i := range r.Claims {
		v, there := Lookup(t.Claims, r.Claims[i].Path)
		if !there || v == nil || len(r.Claims[i].Values) > 0 && !Matches(v, r.Claims[i].Values) {
			return BadClaim
		}
	}
	return Good
}

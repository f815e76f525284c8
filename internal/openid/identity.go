package openid

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"straum.dev/straum/internal/token"
)

// The reasons that only ID tokens have, besides those of package token.
const (
	NoKeys        token.Reason = "no_keys"          // the provider's keys could never be fetched: it cannot be judged
	BadNonce      token.Reason = "nonce"            // made for another attempt to log in
	BadParty      token.Reason = "authorized_party" // made for another client
	BadAccessHash token.Reason = "at_hash"          // made for another access token
	BadSubject    token.Reason = "subject"          // nobody, or another than before
	NotRecent     token.Reason = "auth_time"        // the password was shown too long ago
)

// Expectation is what an ID token has to hold.
type Expectation struct {
	Nonce   string        // of the attempt; empty for one that a refresh brought
	Subject string        // who it was before; empty at the login
	Access  string        // the access token it came with
	MaxAge  time.Duration // since the password was shown; negative for any
}

// Identify judges an ID token that came from the token endpoint (OpenID Connect Core §3.1.3.7, §12.2). Its algorithm must be asymmetric: keys
// are the provider's published ones alone. When its key is not known it waits until ctx ends for the provider to say more.
func (p *Provider) Identify(ctx context.Context, id string, want *Expectation, now time.Time) (*token.Token, token.Reason) {
	rules := &token.Rules{Issuers: []string{p.settings.Issuer}, Audiences: []string{p.settings.Client}, Skew: p.settings.Skew}
	set := p.settings.Keys.Set()
	if set == nil {
		if set = p.settings.Keys.Wait(ctx, token.KeyID(id)); set == nil {
			return nil, NoKeys
		}
	}
	t, reason := token.Verify(set, rules, id, now)
	if reason == token.UnknownKey {
		if set = p.settings.Keys.Wait(ctx, token.KeyID(id)); set == nil {
			return nil, NoKeys
		}
		t, reason = token.Verify(set, rules, id, now)
	}
	if reason != token.Good {
		return nil, reason
	}
	if reason = want.judge(t, p.settings.Client, p.settings.Skew, now); reason != token.Good {
		return nil, reason
	}
	return t, token.Good
}

func (want *Expectation) judge(t *token.Token, client string, skew time.Duration, now time.Time) token.Reason {
	nonce, _ := t.Claims["nonce"].(string)
	azp, hasParty := t.Claims["azp"]
	hash, hasHash := t.Claims["at_hash"]
	switch {
	case want.Nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(want.Nonce)) != 1:
		return BadNonce
	case hasParty && azp != client, len(t.Audience) > 1 && !hasParty:
		return BadParty
	case t.Subject == "" || len(t.Subject) > 255, want.Subject != "" && t.Subject != want.Subject:
		return BadSubject
	case hasHash && hash != accessHash(t.Algorithm, want.Access):
		return BadAccessHash
	case want.MaxAge >= 0 && !recent(t.Claims["auth_time"], want.MaxAge+skew, now):
		return NotRecent
	}
	return token.Good
}

// accessHash is the left half of the hash that belongs to the algorithm (OpenID Connect Core §3.1.3.6).
func accessHash(a token.Algorithm, access string) string {
	var sum []byte
	switch a {
	case token.RS384, token.PS384, token.ES384:
		h := sha512.Sum384([]byte(access))
		sum = h[:]
	case token.RS512, token.PS512, token.ES512, token.EdDSA:
		h := sha512.Sum512([]byte(access))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(access))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func recent(claim any, most time.Duration, now time.Time) bool {
	number, _ := claim.(json.Number)
	seconds, err := strconv.ParseFloat(string(number), 64)
	return err == nil && seconds > 0 && seconds < 1<<40 && now.Sub(time.Unix(int64(seconds), 0)) <= most
}

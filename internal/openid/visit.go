package openid

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Visit is what a browser tells the authorization endpoint.
type Visit struct {
	Redirect     string // where it comes back to
	Scopes       []string
	State, Nonce string
	Verifier     string        // of which the provider learns the hash now and the text later (RFC 7636)
	MaxAge       time.Duration // how long ago somebody may have shown a password at most; negative for any
	More         map[string]string
}

// Reserved are the parameters that More may not set.
func Reserved(name string) bool {
	switch name {
	case "response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "code_challenge",
		"code_challenge_method", "max_age", "request", "request_uri":
		return true
	}
	return false
}

// LoginURL is where a browser is sent to log in.
func (p *Provider) LoginURL(e *Endpoints, v *Visit) string {
	challenge := sha256.Sum256([]byte(v.Verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {p.settings.Client}, "redirect_uri": {v.Redirect},
		"scope": {strings.Join(v.Scopes, " ")}, "state": {v.State}, "nonce": {v.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}}
	if v.MaxAge >= 0 {
		q.Set("max_age", strconv.FormatInt(int64(v.MaxAge/time.Second), 10))
	}
	for name, value := range v.More {
		q.Set(name, value)
	}
	return with(e.Authorization, q)
}

// LogoutURL is where a browser is sent to log out. hint is the ID token of its session, and after where it goes then; both may be empty.
func (p *Provider) LogoutURL(e *Endpoints, hint, after string) string {
	q := url.Values{"client_id": {p.settings.Client}}
	if hint != "" {
		q.Set("id_token_hint", hint)
	}
	if after != "" {
		q.Set("post_logout_redirect_uri", after)
	}
	return with(e.EndSession, q)
}

// with adds parameters to those an endpoint has of its own (RFC 6749 §3.1).
func with(u *url.URL, q url.Values) string {
	at := *u
	if at.RawQuery != "" {
		at.RawQuery += "&"
	}
	at.RawQuery += q.Encode()
	return at.String()
}

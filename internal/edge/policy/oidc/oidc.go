// Package oidc is the policy oidc (steps 4 and 9): people log in with a browser at an OpenID provider, by the code flow with PKCE, and come
// back with a session that lies sealed in a cookie. Nothing is kept here that a restart would lose.
//
// In reading order: oidc.go (options), bind.go (the policy that runs), authenticate.go (a request with or without a session), begin.go (off
// to the provider), callback.go (back again), renew.go (tokens that run out), logout.go, site.go (what the browser sees of us: address,
// cookies), page.go (what a person is told of a fault), recent.go (sessions opened lately), places.go (how many ask the provider at a time),
// desk.go (what outlives a revision).
//
// It refuses to send anybody but a browser that goes to a page off to log in, to send a browser anywhere but to the provider and back to
// where it was, and to show an endpoint the session.
package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
	"straum.dev/straum/internal/openid"
)

// Options are those of the policy.
type Options struct {
	Issuer           string            `yaml:"issuer" required:"true" doc:"The provider: a URL, exactly as its ID tokens have it. Its discovery document is below /.well-known/openid-configuration."`
	ClientID         string            `yaml:"client_id" required:"true" length:"1..256" doc:"What the provider knows this gateway by."`
	ClientSecret     document.Secret   `yaml:"client_secret" doc:"The secret of the client; without one it is a public client."`
	ClientAuth       string            `yaml:"client_auth" default:"auto" enum:"auto,basic,post" doc:"How the secret is shown: in an Authorization field (basic) or in the body (post). auto is basic unless the provider takes post alone."`
	Scopes           []string          `yaml:"scopes" default:"openid" length:"1..32" doc:"Scopes to ask for; openid is one of them. Most providers give a refresh token for offline_access only."`
	Parameters       map[string]string `yaml:"parameters" length:"0..16" doc:"More parameters for the login page, such as prompt or acr_values."`
	MaxAge           document.Duration `yaml:"max_age" default:"0" range:"0|1s..8760h" doc:"How long ago somebody may have shown a password to the provider when a session begins; 0 is any time."`
	RedirectPath     string            `yaml:"redirect_path" default:"/.straum/oidc/callback" doc:"Where the provider sends browsers back to; the route must match it. The URL has to be registered with the provider."`
	LoginPath        string            `yaml:"login_path" default:"/.straum/oidc/login" doc:"Where a browser may be sent to log in; ?to=/path says where it goes then."`
	LogoutPath       string            `yaml:"logout_path" default:"/.straum/oidc/logout" doc:"Where a browser ends its session, by GET or POST from a page of the same origin."`
	PostLogout       string            `yaml:"post_logout" doc:"Where a browser goes once it has logged out: a path, or a URL. It has to be registered with the provider. Left out, the provider's page is the last."`
	Origin           string            `yaml:"origin" doc:"Scheme and host that browsers see, such as https://app.example.com, when a proxy in front changes them. Left out, they are those of the request."`
	Cookie           string            `yaml:"cookie" doc:"Name of the cookie; without the option it is __Host-straum- and a word made of the issuer, the client and what the session holds."`
	Lifetime         document.Duration `yaml:"lifetime" default:"8h" range:"1m..8760h" doc:"How long a session lasts at most."`
	Idle             document.Duration `yaml:"idle" default:"1h" range:"0|1m..8760h" doc:"How long a session lasts without a request; 0 is no limit."`
	Refresh          bool              `yaml:"refresh" default:"true" doc:"Use a refresh token, if the provider gives one, to renew tokens before they run out. A session ends when the provider refuses that."`
	Forward          string            `yaml:"forward" default:"none" enum:"none,access_token,id_token" doc:"Which token endpoints get, as Authorization: Bearer. A session that cannot renew it ends with it."`
	ClaimsToHeaders  map[string]string `yaml:"claims_to_headers" length:"0..32" doc:"Header fields that endpoints get, by the claim of the ID token they hold. A client's fields of these names are dropped."`
	ConsumerClaim    string            `yaml:"consumer_claim" length:"0..256" doc:"Claim of the ID token that is the id of a consumer."`
	ConsumerRequired bool              `yaml:"consumer_required" default:"true" doc:"With consumer_claim: refuse people whose claim names no consumer."`
	Skew             document.Duration `yaml:"skew" default:"1m" range:"0..10m" doc:"How far the provider's clock may be off."`
	Timeout          document.Duration `yaml:"timeout" default:"5s" range:"100ms..1m" doc:"How long a request waits for the provider, all in all."`
	CA               string            `yaml:"ca" doc:"PEM file with the roots that the provider's certificate is verified with; the system's when left out."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build, Authenticates: true, Keys: true}

const name = "oidc"

// settings are the options once they are checked. They are immutable.
type settings struct {
	Options
	headers   []header
	challenge string // for who is no browser that goes to a page
	// identity stands for everything a session depends on: one of other settings is none here.
	identity string
	origin   *site // nil for that of the request
	cookie   string
	maxAge   time.Duration // negative for any
	host     string        // of the issuer
	log      string        // for people: issuer and client
}

// header is one of ClaimsToHeaders.
type header struct{ claim, field string }

func build(o policy.Options) (any, error) {
	s := &settings{}
	if err := o.Decode(&s.Options); err != nil {
		return nil, err
	}
	for _, check := range []func(policy.Options) error{s.checkProvider, s.checkPaths, s.checkCookie, s.checkHeaders} {
		if err := check(o); err != nil {
			return nil, err
		}
	}
	if s.CA != "" {
		s.CA = o.Beside(s.CA)
	}
	return &unbound{s, o}, nil
}

func (s *settings) checkProvider(o policy.Options) error {
	discovery, err := keyset.DiscoveryURL(s.Issuer)
	if err != nil {
		return o.Errorf("issuer", "%s", err)
	}
	s.host = discovery.Host
	if !visible(s.ClientID) {
		return o.Errorf("client_id", "holds a character that is no visible ASCII one")
	}
	if !s.ClientSecret.IsZero() && s.ClientSecret.Reveal() == "" {
		return o.Errorf("client_secret", "is empty; leave it out for a public client")
	}
	if !slices.Contains(s.Scopes, "openid") {
		return o.Errorf("scopes", "openid is not among the scopes; without it a provider gives no ID token")
	}
	for _, scope := range s.Scopes {
		if scope == "" || !visible(scope) || strings.ContainsAny(scope, ` "\`) {
			return o.Errorf("scopes", "%q is no scope: visible ASCII characters but quotation mark and backslash are allowed", scope)
		}
	}
	for parameter, value := range s.Parameters {
		if openid.Reserved(parameter) || parameter == "" || len(parameter)+len(value) > 512 {
			return o.Errorf("parameters", "%q is a parameter that the policy sets itself, or is longer than 512 bytes with its value", parameter)
		}
	}
	if s.maxAge = time.Duration(s.MaxAge); s.MaxAge == 0 {
		s.maxAge = -1
	}
	s.log = s.Issuer + " " + s.ClientID
	return nil
}

func (s *settings) checkPaths(o policy.Options) error {
	paths := map[string]string{}
	for key, path := range map[string]string{"redirect_path": s.RedirectPath, "login_path": s.LoginPath, "logout_path": s.LogoutPath} {
		if !isLocal(path) || strings.ContainsAny(path, "?#%\"") {
			return o.Errorf(key, "%q is no path of this route; write it as %s, without a query", path, "/.straum/oidc/callback")
		}
		if other := paths[path]; other != "" {
			return o.Errorf(key, "is the same path as another of redirect_path, login_path and logout_path")
		}
		paths[path] = key
	}
	if s.PostLogout != "" && !isLocal(s.PostLogout) {
		if _, err := fetch.CheckURL(s.PostLogout); err != nil {
			return o.Errorf("post_logout", "is neither a path nor a URL to go to: %s", err)
		}
	}
	if s.Origin != "" {
		u, err := url.Parse(s.Origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return o.Errorf("origin", "is no origin; write scheme and host alone, as in https://app.example.com")
		}
		at := newSite(u.Scheme, strings.ToLower(u.Hostname()), u.Scheme+"://"+strings.ToLower(u.Host))
		if !at.fit {
			return o.Errorf("origin", "is http:// and not of this box; browsers keep no session that could be read on the way; use https://")
		}
		s.origin = &at
	}
	s.challenge = `Cookie realm="oidc", login="` + s.LoginPath + `"`
	return nil
}

func (s *settings) checkCookie(o policy.Options) error {
	h := sha256.New()
	for _, part := range append([]string{s.Issuer, s.ClientID, s.Forward, map[bool]string{true: "refresh"}[s.Refresh], s.MaxAge.String()}, s.Scopes...) {
		h.Write(append([]byte(part), 0))
	}
	for _, k := range slices.Sorted(maps.Keys(s.Parameters)) {
		h.Write([]byte(k + "\x00" + s.Parameters[k] + "\x00"))
	}
	sum := h.Sum(nil)
	s.identity = hex.EncodeToString(sum)
	switch s.cookie = s.Cookie; {
	case s.cookie == "":
		s.cookie = hostPrefix + "straum-" + base64.RawURLEncoding.EncodeToString(sum[:6])
	case len(s.cookie) > 64 || strings.Trim(s.cookie, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || s.cookie == hostPrefix:
		return o.Errorf("cookie", "is no name of a cookie here: 1 to 64 letters, digits, - and _ are allowed")
	case strings.HasPrefix(strings.ToLower(s.cookie), "__") && !strings.HasPrefix(s.cookie, hostPrefix):
		return o.Errorf("cookie", "begins with __, which browsers give a meaning; __Host- is the one that fits")
	}
	return nil
}

func (s *settings) checkHeaders(o policy.Options) error {
	for _, claim := range slices.Sorted(maps.Keys(s.ClaimsToHeaders)) {
		field := s.ClaimsToHeaders[claim]
		if claim == "" || field == "" || len(field) > 64 || strings.Trim(field, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return o.Errorf("claims_to_headers", "%q is no field name: 1 to 64 letters, digits and hyphens are allowed", field)
		}
		if known := exchange.Lookup(field); known != exchange.Other {
			return o.Errorf("claims_to_headers", "%s has a meaning of its own in HTTP or to this gateway; choose another name, such as X-Auth-Email", known)
		}
		if slices.ContainsFunc(s.headers, func(h header) bool { return strings.EqualFold(h.field, field) }) {
			return o.Errorf("claims_to_headers", "two claims go to %s", field)
		}
		s.headers = append(s.headers, header{claim, field})
	}
	if s.ConsumerClaim == "" {
		s.ConsumerRequired = false
	}
	return nil
}

// visible says whether a text has visible ASCII characters and spaces only.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

package introspection

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/introspect"
)

// checked is the options of the policy, checked.
type checked struct {
	options Options
	place   policy.Options
	url     *url.URL
	ca      string // the file; empty for the system's
	places  policy.Shown
	told    []told // by claim
}

// told is a claim that endpoints are told, and the field they find it in.
type told struct{ claim, field string }

func build(o policy.Options) (any, error) {
	u := &checked{place: o}
	if err := o.Decode(&u.options); err != nil {
		return nil, err
	}
	u.places = policy.Shown{
		Header: u.options.Header, Scheme: "Bearer", Bare: true, Query: u.options.Query, Cookie: u.options.Cookie, Forward: !u.options.Hide,
	}
	if err := u.places.Check(o); err != nil {
		return nil, err
	}
	if u.options.CA != "" {
		u.ca = o.Beside(u.options.CA) // asked for here, or a reload would not see it change
	}
	for _, check := range []func() error{u.checkEndpoint, u.checkWords, u.checkTold} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return unbound{u}, nil
}

func (u *checked) checkEndpoint() error {
	c := &u.options
	var err error
	if u.url, err = fetch.CheckURL(c.Endpoint); err != nil {
		return u.place.Errorf("endpoint", "%s", err)
	}
	pair := c.ClientID != "" || !c.ClientSecret.IsZero()
	switch introspect.Auth(c.Auth) {
	case introspect.Basic, introspect.Post:
		if c.ClientID == "" || c.ClientSecret.Reveal() == "" {
			return u.place.Errorf("auth", "with %s there must be client_id and client_secret; with auth: none the endpoint is asked without", c.Auth)
		}
		if !c.Token.IsZero() {
			return u.place.Errorf("token", "a token goes with auth: bearer; auth is %s", c.Auth)
		}
	case introspect.Bearer:
		if !introspect.Fit(c.Token.Reveal()) {
			return u.place.Errorf("auth", "with bearer there must be a token, of letters, digits and - . _ ~ + / with = at its end")
		}
		fallthrough
	default:
		if pair {
			return u.place.Errorf("client_id", "client_id and client_secret go with auth: basic or post; auth is %s", c.Auth)
		}
		if c.Auth == string(introspect.None) && !c.Token.IsZero() {
			return u.place.Errorf("token", "a token goes with auth: bearer; auth is none")
		}
	}
	return nil
}

// checkWords checks what has to be in an answer, and what stands in challenges.
func (u *checked) checkWords() error {
	c := &u.options
	for _, list := range []struct {
		key   string
		words []string
	}{{"issuer", c.Issuers}, {"audience", c.Audiences}, {"client_ids", c.ClientIDs}} {
		if slices.Contains(list.words, "") {
			return u.place.Errorf(list.key, "an empty word; leave it out")
		}
	}
	for _, scope := range c.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\"\\") || !exchange.FitsField(scope) {
			return u.place.Errorf("scopes", "%q is no scope: it must not be empty or hold spaces, quotation marks and backslashes", scope)
		}
	}
	if !grammar.IsQuotable(c.Realm) {
		return u.place.Errorf("realm", "%q cannot stand in a header field: printable ASCII without quotation marks and backslashes is allowed", c.Realm)
	}
	return nil
}

// checkTold checks the fields that claims go into.
func (u *checked) checkTold() error {
	const key = "claims_to_headers"
	taken := map[string]bool{strings.ToLower(u.options.Header): true}
	for _, claim := range slices.Sorted(maps.Keys(u.options.ClaimsToHeaders)) {
		field := u.options.ClaimsToHeaders[claim]
		if !isName(field) || len(field) > 64 {
			return u.place.Errorf(key, "%q is not a field name: 1 to 64 letters, digits and hyphens are allowed", field)
		}
		if known := exchange.Lookup(field); known != exchange.Other {
			return u.place.Errorf(key, "%s has a meaning of its own in HTTP or to this gateway; choose another name, such as X-Claim-%s", known, field)
		}
		if low := strings.ToLower(field); taken[low] {
			return u.place.Errorf(key, "the field %s is used twice; give each claim, and the token, its own", field)
		} else {
			taken[low] = true
		}
		u.told = append(u.told, told{claim, field})
	}
	return nil
}

// isName says whether a name has letters, digits and hyphens alone.
func isName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

package jwt

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
	"straum.dev/straum/internal/token"
)

// terms are the options of the policy, checked, with what is made of them.
type terms struct {
	options Options
	place   policy.Options
	rules   token.Rules
	jwks    *url.URL   // with jwks
	file    string     // with keys_file
	ca      string     // the file; empty for the system's
	keys    *token.Set // with keys or secret
	places  policy.Shown
	fields  []fieldName // of claims_to_headers, sorted by claim

	warnings []string // about keys
}

// anybody is the word for no check of issuer or audience.
const anybody = "*"

func build(o policy.Options) (any, error) {
	u := &terms{place: o}
	if err := o.Decode(&u.options); err != nil {
		return nil, err
	}
	// Files are asked for here, or a reload would not see them change.
	if u.options.KeysFile != "" {
		u.file = o.Beside(u.options.KeysFile)
	}
	if u.options.CA != "" {
		u.ca = o.Beside(u.options.CA)
	}
	u.places = policy.Shown{
		Header: u.options.Header, Scheme: "Bearer", Bare: true, Query: u.options.Query, Cookie: u.options.Cookie, Forward: u.options.Forward,
	}
	for _, check := range []func(policy.Options) error{u.checkRules, u.checkKeys, u.places.Check, u.checkFields} {
		if err := check(o); err != nil {
			return nil, err
		}
	}
	return unbound{u}, nil
}

// checkRules makes the rules that tokens are judged by.
func (u *terms) checkRules(o policy.Options) error {
	c := &u.options
	u.rules = token.Rules{
		Skew: c.Skew.Std(), Lasting: !c.Expiry, MaxLifetime: c.MaxLifetime.Std(), Types: c.Types, MaxBytes: int(c.MaxSize),
	}
	for _, list := range []struct {
		key, says string
		from      []string
		into      *[]string
	}{{"issuer", "who may have issued a token", c.Issuers, &u.rules.Issuers}, {"audience", "for whom a token has to be", c.Audiences, &u.rules.Audiences}} {
		if len(list.from) == 0 {
			return o.Errorf("", "the key %s is missing; it says %s, and %q is any", list.key, list.says, anybody)
		}
		if slices.Contains(list.from, "") {
			return o.Errorf(list.key, "an empty name; leave it out, or write %q for any", anybody)
		}
		if slices.Contains(list.from, anybody) {
			if len(list.from) > 1 {
				return o.Errorf(list.key, "%q stands for any; it cannot stand beside others", anybody)
			}
			continue
		}
		*list.into = list.from
	}
	for _, word := range c.Algorithms {
		u.rules.Algorithms = append(u.rules.Algorithms, token.Algorithm(word))
	}
	for _, path := range c.Require {
		u.rules.Claims = append(u.rules.Claims, token.Claim{Path: path})
	}
	for path, values := range c.Claims {
		if len(values) == 0 {
			return o.Errorf("claims", "no value for %q; use require for claims that may have any", path)
		}
		u.rules.Claims = append(u.rules.Claims, token.Claim{Path: path, Values: values})
	}
	for _, scope := range c.Scopes {
		if scope == "" || strings.Contains(scope, " ") || !grammar.IsQuotable(scope) {
			return o.Errorf("scopes", "%q is no scope: printable ASCII without spaces, quotation marks and backslashes is allowed", scope)
		}
	}
	if !grammar.IsQuotable(c.Realm) {
		return o.Errorf("realm", "%q cannot be quoted: printable ASCII without quotation marks and backslashes is allowed", c.Realm)
	}
	return nil
}

// checkKeys finds where the keys come from, and that the algorithms go with them.
func (u *terms) checkKeys(o policy.Options) error {
	c := &u.options
	remote := c.JWKS != "" || c.Discovery
	if c.CA != "" && !remote {
		return o.Errorf("ca", "there is nothing to connect to; ca goes with jwks or discovery")
	}
	for _, a := range u.rules.Algorithms {
		switch {
		case a.Symmetric() && remote:
			return o.Errorf("algorithms", "%s needs a secret, and keys that everybody can fetch are none; use secret or keys_file", a)
		case !a.Symmetric() && !c.Secret.IsZero():
			return o.Errorf("algorithms", "%s needs a public key; with secret there are HS256, HS384 and HS512", a)
		}
	}
	var err error
	switch {
	case c.JWKS != "":
		if u.jwks, err = fetch.CheckURL(c.JWKS); err != nil {
			return o.Errorf("jwks", "%s", err)
		}
	case !c.Secret.IsZero():
		return u.makeSecrets(o)
	case c.Keys != "":
		if u.keys, u.warnings, err = parseKeys([]byte(c.Keys)); err != nil {
			return o.Errorf("keys", "%s", err)
		}
		if err := u.fits(u.keys); err != nil {
			return o.Errorf("algorithms", "%s", err)
		}
	case c.KeysFile != "": // read in Bind
	case !c.Discovery:
		return o.Errorf("discovery", "no keys: discovery must be true, or one of jwks, keys_file, keys and secret must be there instead")
	case len(u.rules.Issuers) != 1:
		return o.Errorf("issuer", "discovery asks for exactly one issuer, the URL of its document")
	default:
		if _, err := keyset.DiscoveryURL(u.rules.Issuers[0]); err != nil {
			return o.Errorf("issuer", "%s", err)
		}
	}
	return nil
}

// fits says that no token could ever be good: none of the keys can do one of the algorithms allowed.
func (u *terms) fits(keys *token.Set) error {
	if len(u.rules.Algorithms) == 0 || slices.ContainsFunc(u.rules.Algorithms, keys.Can) {
		return nil
	}
	return fmt.Errorf("no key can do %s; found %s", strings.Join(u.options.Algorithms, " or "), strings.Join(keys.Types(), ", "))
}

// makeSecrets makes a key of the secret for each algorithm, since a secret is for one alone.
func (u *terms) makeSecrets(o policy.Options) error {
	if len(u.rules.Algorithms) == 0 {
		u.rules.Algorithms = []token.Algorithm{token.HS256}
	}
	var keys []*token.Key
	for _, a := range u.rules.Algorithms {
		key, err := token.NewSecretKey("", a, []byte(u.options.Secret.Reveal()))
		if err != nil {
			return o.Errorf("secret", "%s", err)
		}
		keys = append(keys, key)
	}
	u.keys = token.NewSet(keys...)
	return nil
}

// parseKeys reads keys in either form. warnings name those that are left out of a JWK set, and private ones.
func parseKeys(text []byte) (keys *token.Set, warnings []string, err error) {
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return token.ParseLocalSet(text)
	}
	keys, err = token.ParsePEM(text)
	return keys, nil, err
}

// isToken says whether a name has letters, digits and hyphens alone.
func isToken(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// checkFields checks the fields that claims go into.
func (u *terms) checkFields(o policy.Options) error {
	for claim, field := range u.options.ClaimsToHeaders {
		if !isToken(field) || len(field) > 64 {
			return o.Errorf("claims_to_headers", "%q is not a field name: 1 to 64 letters, digits and hyphens are allowed", field)
		}
		if known := exchange.Lookup(field); known != exchange.Other {
			return o.Errorf("claims_to_headers", "%s has a meaning of its own in HTTP or to this gateway; choose another name, such as X-Claim-%s", known, field)
		}
		if strings.EqualFold(field, u.options.Header) {
			return o.Errorf("claims_to_headers", "%s is where the token is; choose another name", field)
		}
		if slices.ContainsFunc(u.fields, func(f fieldName) bool { return strings.EqualFold(f.field, field) }) {
			return o.Errorf("claims_to_headers", "two claims go into the field %s; give each its own", field)
		}
		u.fields = append(u.fields, fieldName{claim, field})
	}
	slices.SortFunc(u.fields, func(a, b fieldName) int { return strings.Compare(a.claim, b.claim) })
	return nil
}

// Package jwt is the policy jwt (step 4): callers show a token that an issuer has signed (RFC 7519), as a bearer token (RFC 6750).
//
// In reading order: jwt.go (options), build.go (their checks), bind.go (where the keys come from), authenticate.go (the
// judgement), memory.go (tokens that were good a moment ago), fields.go (what endpoints are told).
//
// It refuses to judge tokens itself, which internal/token does, to remember a token beyond its time or its key, and to let clients write
// the fields that endpoints take claims from.
package jwt

import (
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Issuers   []string `yaml:"issuer,one" length:"1..16" doc:"required: who may have issued the token: its iss must be one of these, character by character; * is anybody whose key it is"`
	Audiences []string `yaml:"audience,one" length:"1..64" doc:"required: for whom the token must be: one of these must be in its aud; * is for anybody, and for no one in particular"`

	JWKS      string          `yaml:"jwks" length:"1..2048" doc:"URL of the issuer's key set (RFC 7517)"`
	Discovery bool            `yaml:"discovery" default:"false" doc:"find the key set by the issuer's discovery document, below its /.well-known/openid-configuration"`
	KeysFile  string          `yaml:"keys_file" length:"1..4096" doc:"file with the keys: a JWK set, or public keys and certificates in PEM; relative to this file, read at each reload"`
	Keys      string          `yaml:"keys,multiline" length:"1..1048576" doc:"the keys themselves: a JWK set, or public keys and certificates in PEM"`
	Secret    document.Secret `yaml:"secret" doc:"the secret that HS256, HS384 or HS512 sign with, at least 32, 48 or 64 bytes"`
	_         struct{}        `oneof:"jwks,discovery,keys_file,keys,secret"`

	Algorithms []string          `yaml:"algorithms,one" length:"1..14" enum:"RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519,HS256,HS384,HS512" doc:"signatures accepted; when left out, all that the keys can do, and HS256 with secret"`
	CA         string            `yaml:"ca" length:"1..4096" doc:"PEM file of the authorities that the certificate of jwks or discovery must lead to; those of the system when left out; relative to this file"`
	Refetch    document.Duration `yaml:"refetch" default:"10s" range:"1s..1h" doc:"shortest time between two fetches of the key set because of unknown keys"`
	MaxStale   document.Duration `yaml:"max_stale" default:"24h" range:"1m..720h" doc:"how long keys are trusted that cannot be fetched again"`

	Skew        document.Duration `yaml:"skew" default:"1m" range:"0s..10m" doc:"how far the issuer's clock may be off"`
	Expiry      bool              `yaml:"require_expiry" default:"true" doc:"refuse tokens without exp"`
	MaxLifetime document.Duration `yaml:"max_lifetime" default:"8784h" range:"0|1s..87840h" doc:"how long a token may be good for, from iat and from now; 0 is no limit"`
	Types       []string          `yaml:"types,one" length:"1..16" doc:"values of typ accepted, such as at+jwt; when left out it may be missing, JWT or at+jwt"`
	MaxSize     document.Size     `yaml:"max_size" default:"8KiB" range:"256..64KiB" doc:"longest token accepted"`

	Require []string            `yaml:"require,one" length:"1..32" doc:"claims that must be there; realm_access.roles is a claim in a claim"`
	Claims  map[string][]string `yaml:"claims,one" length:"1..32" doc:"claims with the values one of which each must have, or hold when it is a list"`
	Scopes  []string            `yaml:"scopes,one" length:"1..64" doc:"scopes that the token must all have; without them the answer is 403, unless another method accepts"`

	Header  string `yaml:"header" default:"Authorization" doc:"field the token is in: behind Bearer in Authorization, with or without it in others"`
	Cookie  string `yaml:"cookie" length:"1..128" doc:"cookie the token may be in; none when left out"`
	Query   string `yaml:"query" length:"1..128" doc:"query parameter the token may be in; none when left out, which is better: URLs are kept in logs and histories"`
	Forward bool   `yaml:"forward" default:"true" doc:"let endpoints see the token; one in the query is taken out all the same"`
	Realm   string `yaml:"realm" default:"api" length:"1..128" doc:"realm in WWW-Authenticate"`

	ConsumerClaim    string            `yaml:"consumer_claim" length:"1..256" doc:"claim that holds the id of a consumer of the configuration"`
	ConsumerRequired bool              `yaml:"consumer_required" default:"true" doc:"with consumer_claim: refuse tokens that name no consumer of the configuration"`
	ClaimsToHeaders  map[string]string `yaml:"claims_to_headers" length:"1..32" doc:"claims that endpoints are told, each with the name of a field; clients' own fields of that name are removed"`

	Cache document.Size `yaml:"cache" default:"64MiB" range:"0|1MiB..4GiB" doc:"memory for tokens that were found good, shared by all policies jwt with the same size; 0 remembers none"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build, Authenticates: true}

const name = "jwt"

// Package introspection is the policy introspection (step 4): callers show a bearer token (RFC 6750), and the authorization server that
// issued it is asked what it is worth (RFC 7662). It is for opaque tokens, and for those that must stop soon after they were revoked.
//
// In reading order: introspection.go (options), build.go (their checks), bind.go (what is asked and remembered),
// authenticate.go (the judgement), report.go (what the operator is told).
//
// It refuses to ask and to remember itself, which internal/introspect does, to let a request through that it cannot judge, and to let
// clients write the fields that endpoints take claims from.
package introspection

import (
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Endpoint      string          `yaml:"endpoint" required:"true" length:"1..2048" doc:"URL of the introspection endpoint: https://, or http:// on this box"`
	Auth          string          `yaml:"auth" default:"basic" enum:"basic,post,bearer,none" doc:"how the gateway shows the endpoint who it is: client_id and client_secret in the Authorization field or in the form, a token of its own, or not at all"`
	ClientID      string          `yaml:"client_id" length:"1..255" doc:"with basic and post: who the gateway is to the authorization server"`
	ClientSecret  document.Secret `yaml:"client_secret" doc:"with basic and post: its secret, best written as ${VARIABLE} or file:/path"`
	Token         document.Secret `yaml:"token" doc:"with bearer: the gateway's own token"`
	TokenTypeHint string          `yaml:"token_type_hint" default:"access_token" length:"0..64" pattern:"^[A-Za-z0-9._:/-]*$" form:"letters, digits and . _ : / -" doc:"what the endpoint is told of the token's kind; empty tells it nothing"`
	CA            string          `yaml:"ca" length:"1..4096" doc:"PEM file of the authorities that the endpoint's certificate must lead to; those of the system when left out; relative to this file"`

	Issuers   []string `yaml:"issuer,one" length:"1..16" doc:"iss must be one of these, character by character; when left out it may be missing or any"`
	Audiences []string `yaml:"audience,one" length:"1..64" doc:"one of these must be in aud; when left out it may be missing or any"`
	ClientIDs []string `yaml:"client_ids,one" length:"1..256" doc:"client_id of the answer must be one of these; when left out it may be missing or any"`
	Scopes    []string `yaml:"scopes,one" length:"1..64" doc:"scopes that the token must all have; without them the answer is 403, unless another method accepts"`

	TTL         document.Duration `yaml:"ttl" default:"60s" range:"1s..1h" doc:"how long a good answer is remembered, at most until the token's exp; a token that is revoked may be accepted for that long"`
	InactiveTTL document.Duration `yaml:"inactive_ttl" default:"5s" range:"100ms..5m" doc:"how long it is remembered that a token is not good"`
	Timeout     document.Duration `yaml:"timeout" default:"2s" range:"10ms..30s" doc:"how long one question may take, connection and all"`
	ServeStale  document.Duration `yaml:"serve_stale" default:"0" range:"0|1s..10m" doc:"how long after ttl a token that was good may still be accepted while the endpoint cannot be asked; never after its exp"`
	Redis       bool              `yaml:"redis" default:"true" doc:"share good answers with the other gateways through Redis, when the configuration has redis"`
	Cache       document.Size     `yaml:"cache" default:"32MiB" range:"1MiB..4GiB" doc:"memory for good answers"`
	Questions   int               `yaml:"questions" default:"256" range:"1..10000" doc:"questions under way at a time; requests beyond that get 503"`
	FloodBurst  int               `yaml:"flood_burst" default:"20" range:"0..10000" doc:"bad tokens that one address (IPv6: one /64) may show at once before its further tokens are refused unasked; 0 is no limit"`
	FloodRate   float64           `yaml:"flood_rate" default:"5" range:"0.01..10000" doc:"bad tokens a second that are forgiven"`

	Header string `yaml:"header" default:"Authorization" doc:"field the token is in: behind Bearer in Authorization, with or without it in others"`
	Cookie string `yaml:"cookie" length:"1..128" doc:"cookie the token may be in; none when left out"`
	Query  string `yaml:"query" length:"1..128" doc:"query parameter the token may be in; none when left out, which is better: URLs are kept in logs and histories"`
	Hide   bool   `yaml:"hide" default:"false" doc:"take the token out of the request that endpoints see"`
	Realm  string `yaml:"realm" default:"api" length:"1..128" doc:"realm in WWW-Authenticate"`

	ConsumerClaim    string            `yaml:"consumer_claim" length:"1..256" doc:"member of the answer that holds the id of a consumer of the configuration, such as client_id"`
	ConsumerRequired bool              `yaml:"consumer_required" default:"true" doc:"with consumer_claim: refuse tokens that name no consumer of the configuration"`
	ClaimsToHeaders  map[string]string `yaml:"claims_to_headers" length:"1..32" doc:"members of the answer that endpoints are told, each with the name of a field; clients' own fields of that name are removed"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build, Authenticates: true, Keys: true}

const name = "introspection"

// Package apikey is the policy api_key (step 4): callers show a key, and its hash says who they are.
//
// It refuses keys that stand in more than one place, and to tell whether a key is unknown, mistyped or expired. It never compares a key
// itself: what is looked up is a hash, so how long it takes says nothing about how much of a key was right.
package apikey

import (
	"strings"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Header  string `yaml:"header" default:"X-Api-Key" length:"0..64" doc:"Name of the field that carries the key; empty to take none from the header."`
	Scheme  string `yaml:"scheme" length:"0..32" doc:"The word in front of the key, such as ApiKey or Bearer; needed when header is Authorization."`
	Query   string `yaml:"query" length:"0..64" doc:"Name of a query parameter that may carry the key. None when left out: addresses end up in logs, histories and Referer."`
	Cookie  string `yaml:"cookie" length:"0..64" doc:"Name of a cookie that may carry the key. None when left out."`
	Forward bool   `yaml:"forward" default:"false" doc:"Leave the key in the header or cookie for the endpoint. A key in the query is taken out all the same."`
	Realm   string `yaml:"realm" default:"api" length:"1..128" doc:"What WWW-Authenticate calls the place the key is for."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "api_key", Options: Options{}, Build: build, Authenticates: true}

// maxKey is the longest key that is looked at, in bytes.
const maxKey = 512

// unbound is the policy before it knows any consumers.
type unbound struct{ settings }

type settings struct {
	places         policy.Shown
	missing, wrong string // challenges
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	k := settings{places: policy.Shown{
		Header: options.Header, Scheme: options.Scheme, Query: options.Query, Cookie: options.Cookie, Forward: options.Forward,
	}}
	if err := k.places.Check(o); err != nil {
		return nil, err
	}
	if !grammar.IsQuotable(options.Realm) {
		return nil, o.Errorf("realm", "%q cannot be quoted: printable ASCII without quotes and backslashes is allowed", options.Realm)
	}
	scheme := "ApiKey"
	if options.Scheme != "" {
		scheme = options.Scheme
	}
	k.missing = scheme + ` realm="` + options.Realm + `"`
	k.wrong = k.missing
	if strings.EqualFold(scheme, "Bearer") { // RFC 6750 §3.1 asks for the reason
		k.wrong += `, error="invalid_token"`
	}
	return &unbound{k}, nil
}

// Bind implements policy.Binder.
func (u *unbound) Bind(w *policy.World) (any, error) {
	return &running{u.settings, w.Consumers}, nil
}

// running is the policy with the consumers of its revision.
type running struct {
	settings
	consumers *consumer.Directory
}

// Authenticate implements policy.Authenticator.
func (k *running) Authenticate(x *exchange.Exchange) policy.Finding {
	key, times := k.places.Find(x)
	switch {
	case times == 0:
		return policy.Nothing
	case times > 1:
		x.Judge(Kind.Name, "twice")
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	case !wellFormed(key):
		return k.refuse(x, "malformed")
	}
	c, ok := k.consumers.Key(consumer.Hash(key))
	if !ok {
		return k.refuse(x, "unknown")
	}
	now := time.Now().Unix()
	if c.Expired(now) {
		return k.refuse(x, "expired")
	}
	c.Use(now)
	x.Caller.Consumer, x.Caller.Credential = c.Consumer, c.ID
	x.Caller.Scopes, x.Caller.ScopeList = c.Scopes, c.ScopeList
	if k.places.Forward {
		x.Vouched = key
	}
	return policy.Accepted
}

func (k *running) refuse(x *exchange.Exchange, word string) policy.Finding {
	x.Judge(Kind.Name, word)
	return policy.Refused
}

// Challenge implements policy.Authenticator.
func (k *running) Challenge(x *exchange.Exchange, finding policy.Finding) {
	if finding == policy.Refused {
		x.Challenges = append(x.Challenges, k.wrong)
		return
	}
	x.Challenges = append(x.Challenges, k.missing)
}

// Conceal implements policy.Concealer.
func (k *running) Conceal(x *exchange.Exchange) { k.places.Conceal(x) }

// Hide implements policy.Authenticator.
func (k *running) Hide(x *exchange.Exchange, finding policy.Finding) { k.places.Take(x, finding) }

// wellFormed says whether something may be a key at all: visible ASCII, and when it begins like one of ours, with the right checksum. That can
// be computed by anyone, so refusing early tells nothing.
func wellFormed(key string) bool {
	return key != "" && len(key) <= maxKey && grammar.IsVisible(key) && consumer.FormOf(key) != consumer.Damaged
}

// Package basic is the policy basic (step 4): callers show a user name and a password (RFC 7617).
//
// In reading order: basic.go (options, and the life of a request), header.go (what stands in the field), verifier.go (who works on passwords,
// and how much of the box that may take), memory.go (what was worked out is remembered).
//
// It refuses to tell a user name that is not there from a password that is wrong, in its answer and in the time it takes, and to let a flood
// of passwords have more than half of the processors.
package basic

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
	Realm   string `yaml:"realm" default:"api" length:"1..128" doc:"What WWW-Authenticate calls the place the password is for; browsers show it."`
	Forward bool   `yaml:"forward" default:"false" doc:"Leave the user name and the password in the request for the endpoint."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "basic", Options: Options{}, Build: build, Authenticates: true}

// unbound is the policy before it knows any consumers.
type unbound struct{ settings }

type settings struct {
	challenge string
	forward   bool
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if !grammar.IsQuotable(options.Realm) {
		return nil, o.Errorf("realm", "%q cannot be quoted: printable ASCII without quotes and backslashes is allowed", options.Realm)
	}
	return &unbound{settings{`Basic realm="` + options.Realm + `", charset="UTF-8"`, options.Forward}}, nil
}

// Bind implements policy.Binder. What was worked out is remembered for the whole gateway, and outlives revisions: it depends on hashes and
// passwords alone.
func (u *unbound) Bind(w *policy.World) (any, error) {
	return &running{u.settings, w.Consumers, policy.Hold(w.State, Kind.Name, "", newVerifier)}, nil
}

// running is the policy with the consumers of its revision.
type running struct {
	settings
	consumers *consumer.Directory
	verifier  *verifier
}

// Authenticate implements policy.Authenticator.
func (r *running) Authenticate(x *exchange.Exchange) policy.Finding {
	value, found := find(&x.Request.Header)
	if !found {
		return policy.Nothing
	}
	if x.Request.Header.Count(exchange.Authorization) > 1 {
		x.Judge(Kind.Name, "twice")
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	}
	var room pair
	if !room.parse(value) {
		x.Judge(Kind.Name, "malformed")
		return policy.Refused
	}
	username, password := room.username(), room.password()
	c, hash, known := r.consumers.Basic(username)
	right, done := r.verifier.verify(hash, username, password)
	now := time.Now().Unix()
	switch {
	case !done:
		x.Judge(Kind.Name, "busy")
		x.Fail(&fault.Fault{Kind: fault.AuthUnavailable, RetryAfter: 1, Cause: errBusy})
		return policy.Refused
	case !known: // after the work on somebody else's hash, see consumer.Directory.Basic
		x.Judge(Kind.Name, "unknown")
		return policy.Refused
	case !right:
		x.Judge(Kind.Name, "wrong")
		return policy.Refused
	case c.Expired(now):
		x.Judge(Kind.Name, "expired")
		return policy.Refused
	}
	c.Use(now)
	x.Caller.Consumer, x.Caller.Credential = c.Consumer, c.ID
	x.Caller.Scopes, x.Caller.ScopeList = c.Scopes, c.ScopeList
	x.Caller.Subject = c.Name
	if r.forward {
		x.Vouched = value
	}
	return policy.Accepted
}

// Challenge implements policy.Authenticator.
func (r *running) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, r.challenge)
}

// Hide implements policy.Authenticator.
func (r *running) Hide(x *exchange.Exchange, finding policy.Finding) {
	h := &x.Request.Header
	if _, found := find(h); !found || r.forward && finding == policy.Accepted {
		return
	}
	if value, _ := h.Get(exchange.Authorization); h.Count(exchange.Authorization) == 1 && policy.Vouched(x, value) {
		return
	}
	h.Del(exchange.Authorization)
}

// find gives what stands behind the word Basic, which ends at a space or, as lenient endpoints read it too, at a tab.
func find(h *exchange.Fields) (value string, found bool) {
	fields := h.All()
	for i := range fields {
		if fields[i].Known != exchange.Authorization {
			continue
		}
		scheme, rest := fields[i].Value, ""
		if end := strings.IndexAny(scheme, " \t"); end >= 0 {
			scheme, rest = scheme[:end], scheme[end:]
		}
		if strings.EqualFold(scheme, "Basic") {
			return strings.TrimLeft(rest, " \t"), true
		}
	}
	return "", false
}

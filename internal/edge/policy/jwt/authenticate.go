package jwt

import (
	"context"
	"crypto/sha256"
	"time"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/token"
)

// maxWait is how long a request waits for keys that are on their way.
const maxWait = 2 * time.Second

// retryAfter is what one who cannot be judged is told to wait, in seconds: keys are asked for again about as soon.
const retryAfter = 5

// Authenticate implements policy.Authenticator.
func (p *jwt) Authenticate(x *exchange.Exchange) policy.Finding {
	text, times := p.places.Find(x)
	switch {
	case times == 0:
		return policy.Nothing
	case times > 1:
		x.Judge(name, "twice")
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	case text == "":
		return refuse(x, token.Malformed)
	case len(text) > p.rules.MaxBytes:
		return refuse(x, token.TooLong)
	}
	set := p.source.Set()
	if set == nil {
		if set = p.wait(text); set == nil {
			x.Judge(name, "no_keys")
			x.Fail(&fault.Fault{Kind: fault.AuthUnavailable, RetryAfter: retryAfter})
			return policy.Refused
		}
	}
	id := tokenName{p.owner, sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))}
	now := time.Now()
	if p.memory != nil {
		if r, there := p.memory.cache.GetIfPresent(id); there {
			if r.goodAt(now) && set.Holds(r.key) {
				if !r.holder.Proven(x.Conn.Certificate()) {
					return refuse(x, token.NotBound)
				}
				return p.accept(x, r, text)
			}
			p.memory.cache.Invalidate(id)
		}
	}
	r, reason := p.judge(set, text, now)
	if reason != token.Good {
		return refuse(x, reason)
	}
	if !r.holder.Proven(x.Conn.Certificate()) {
		return refuse(x, token.NotBound) // and not remembered for one who may have stolen it
	}
	if p.memory != nil {
		p.memory.cache.Set(id, r)
	}
	return p.accept(x, r, text)
}

// wait asks for fresh keys for the key that a token names.
func (p *jwt) wait(text string) *token.Set {
	ctx, cancel := context.WithTimeout(context.Background(), maxWait)
	defer cancel()
	return p.source.Wait(ctx, token.KeyID(text))
}

// judge looks at a token that is not remembered. When its key is unknown, or it does not name one
// and none fits, the issuer may have begun to use a new one: then the request
// waits for the keys to be fetched, if they may be.
func (p *jwt) judge(set *token.Set, text string, now time.Time) (*remembered, token.Reason) {
	t, reason := token.Verify(set, &p.rules, text, now)
	if reason == token.UnknownKey || reason == token.BadSeal && token.KeyID(text) == "" {
		if fresh := p.wait(text); fresh != nil && fresh != set {
			t, reason = token.Verify(fresh, &p.rules, text, now)
		}
	}
	if reason != token.Good {
		return nil, reason
	}
	return p.remember(t, len(text))
}

// remember makes of a token what an exchange needs. What cannot stand in a field is refused here, once and for all.
func (u *terms) remember(t *token.Token, length int) (*remembered, token.Reason) {
	for _, text := range []string{t.Subject, t.Issuer, t.Client} {
		if !exchange.FitsField(text) {
			return nil, token.BadClaim
		}
	}
	fields, ok := u.tell(t)
	if !ok {
		return nil, token.BadClaim
	}
	r := &remembered{
		key: t.Key.Identity(), holder: token.HolderOf(t.Claims), fields: fields, scoped: true,
		caller: exchange.Caller{
			Subject: t.Subject, Issuer: t.Issuer, Client: t.Client, Scopes: t.Scopes, ScopeList: t.ScopeList, Claims: t.Claims,
		},
	}
	if kid := t.Key.ID(); exchange.FitsField(kid) {
		r.caller.Credential = kid
	}
	for _, from := range []time.Time{t.NotBefore, t.IssuedAt} {
		if !from.IsZero() && from.Add(-u.rules.Skew).After(r.from) {
			r.from = from.Add(-u.rules.Skew)
		}
	}
	if !t.Expires.IsZero() {
		r.until = t.Expires.Add(u.rules.Skew)
	}
	for _, scope := range u.options.Scopes {
		r.scoped = r.scoped && r.caller.Has(scope)
	}
	if u.options.ConsumerClaim != "" {
		if claim, there := token.Lookup(t.Claims, u.options.ConsumerClaim); there {
			r.consumer, _ = claim.(string)
		}
	}
	// Measured: maps, lists and strings of the claims take up to five times the length of the token.
	r.weight = uint32(baseWeight + 5*length)
	return r, token.Good
}

// baseWeight is what a remembered token takes besides its claims, in bytes.
const baseWeight = 512

// accept says who calls, allocating nothing.
func (p *jwt) accept(x *exchange.Exchange, r *remembered, text string) policy.Finding {
	caller := r.caller
	if r.consumer != "" {
		caller.Consumer = p.consumers.Consumer(r.consumer)
	}
	if caller.Consumer == nil && p.options.ConsumerClaim != "" && p.options.ConsumerRequired {
		x.Judge(name, "no_consumer")
		return policy.Refused
	}
	if !r.scoped {
		x.Judge(name, "insufficient_scope")
		return policy.Short
	}
	x.Caller = caller
	if p.places.Forward {
		x.Vouched = text
	}
	for _, f := range r.fields {
		x.Request.Header.Append(exchange.Other, f.name, f.value)
	}
	return policy.Accepted
}

func refuse(x *exchange.Exchange, reason token.Reason) policy.Finding {
	x.Judge(name, string(reason))
	return policy.Refused
}

// Conceal implements policy.Concealer.
func (p *jwt) Conceal(x *exchange.Exchange) { p.places.Conceal(x) }

// Hide implements policy.Authenticator.
func (p *jwt) Hide(x *exchange.Exchange, finding policy.Finding) { p.places.Take(x, finding) }

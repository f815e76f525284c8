package introspection

import (
	"errors"
	"slices"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/introspect"
	"straum.dev/straum/internal/token"
)

// Authenticate implements policy.Authenticator. With a token that is remembered it allocates nothing.
func (p *introspection) Authenticate(x *exchange.Exchange) policy.Finding {
	text, times := p.places.Find(x)
	switch {
	case times == 0:
		return policy.Nothing
	case times > 1:
		x.Judge(name, "twice")
		x.Fail(fault.New(fault.BadCredential, nil))
		return policy.Refused
	case !introspect.Fit(text):
		return refuse(x, "malformed")
	}
	a, err := p.source.Look(text, x.Client)
	if err != nil {
		return unjudged(x, err)
	}
	if word := p.judge(a, x.Conn); word != "" {
		return refuse(x, word)
	}
	return p.accept(x, a, text)
}

// unjudged is for a token nobody could be asked about, or nobody was because of its address: it may be a good one, so it is not called bad.
func unjudged(x *exchange.Exchange, err error) policy.Finding {
	word, after := "unavailable", 1
	switch {
	case errors.Is(err, introspect.ErrFlood):
		word = "flood"
	case errors.Is(err, introspect.ErrMisconfigured):
		word, after = "misconfigured", 10 // somebody has to look at it
	case errors.Is(err, introspect.ErrBusy):
		word = "busy"
	}
	x.Judge(name, word)
	x.Fail(&fault.Fault{Kind: fault.AuthUnavailable, RetryAfter: after, Cause: err})
	return policy.Refused
}

func refuse(x *exchange.Exchange, word string) policy.Finding {
	x.Judge(name, word)
	return policy.Refused
}

// judge is why a token is not good here; empty when it is.
func (p *introspection) judge(a *introspect.Answer, conn *exchange.Conn) string {
	c := &p.options
	switch {
	case !a.Active:
		return a.Why
	case !a.Holder.Proven(conn.Certificate()):
		return "not_bound"
	case !oneOf(c.Issuers, a.Issuer):
		return "issuer"
	case !oneOf(c.ClientIDs, a.Client):
		return "client"
	case c.Audiences != nil && !slices.ContainsFunc(a.Audience, func(to string) bool { return slices.Contains(c.Audiences, to) }):
		return "audience"
	}
	return ""
}

// oneOf says whether a word is one of those that must be there.
func oneOf(words []string, word string) bool { return words == nil || slices.Contains(words, word) }

// accept says who calls.
func (p *introspection) accept(x *exchange.Exchange, a *introspect.Answer, text string) policy.Finding {
	caller := exchange.Caller{
		Credential: a.Client, Subject: a.Subject, Issuer: a.Issuer, Client: a.Client, Scopes: a.Scopes, ScopeList: a.ScopeList, Claims: a.Claims,
	}
	if path := p.options.ConsumerClaim; path != "" {
		claim, _ := token.Lookup(a.Claims, path)
		if id, is := claim.(string); is {
			caller.Consumer = p.consumers.Consumer(id)
		}
		if caller.Consumer == nil && p.options.ConsumerRequired {
			return refuse(x, "no_consumer")
		}
	}
	for _, scope := range p.options.Scopes {
		if !caller.Has(scope) {
			x.Judge(name, "insufficient_scope")
			return policy.Short
		}
	}
	if !p.tell(&x.Request.Header, a) {
		return refuse(x, "unfit")
	}
	x.Caller = caller
	if p.places.Forward {
		x.Vouched = text
	}
	return policy.Accepted
}

// tell writes claims into their fields. A claim that cannot be written refuses the token: an endpoint that does not see it could take the
// caller for somebody else. Nothing is written then, for another method may accept the caller.
func (p *introspection) tell(h *exchange.Fields, a *introspect.Answer) bool {
	for i := range p.told {
		if claim, there := token.Lookup(a.Claims, p.told[i].claim); there && claim != nil {
			if value, ok := token.Text(claim); !ok || !exchange.FitsField(value) {
				return false
			}
		}
	}
	for i := range p.told {
		if claim, there := token.Lookup(a.Claims, p.told[i].claim); there && claim != nil {
			value, _ := token.Text(claim)
			h.Append(exchange.Other, p.told[i].field, value)
		}
	}
	return true
}

// Conceal implements policy.Concealer.
func (p *introspection) Conceal(x *exchange.Exchange) { p.places.Conceal(x) }

// Hide implements policy.Authenticator.
func (p *introspection) Hide(x *exchange.Exchange, finding policy.Finding) { p.places.Take(x, finding) }

// Reserves implements policy.Reserver.
func (p *introspection) Reserves() []string {
	var names []string
	for _, t := range p.told {
		names = append(names, t.field)
	}
	return names
}

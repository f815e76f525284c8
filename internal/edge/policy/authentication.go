package policy

import (
	"slices"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Finding is what a policy that authenticates made of a request.
type Finding uint8

// The findings.
const (
	// Unasked: it was decided before the method was asked.
	Unasked Finding = iota
	// Nothing: the request shows no credential of this kind.
	Nothing
	// Accepted: it shows a good one, and x.Caller says whose.
	Accepted
	// Refused: it shows one that is not good. Why is a word in x.Judge for the log; the client is not told.
	Refused
	// Short: it shows a good one that is not enough, such as a token without a scope. It counts like Refused, so that another method may
	// accept the caller; when none does, the answer is 403 with what Challenge appends, and not 401.
	Short
)

// Authenticator is a policy of step 4 that finds out who calls. All of a route are asked as one, see Terms, so that a route may take
// several kinds of credentials.
type Authenticator interface {
	// Authenticate looks for a credential of the policy's kind and judges it. With Accepted it has filled in x.Caller, which was
	// empty before; with anything else it leaves it alone. It may end the exchange instead, with x.Respond or x.Fail, as when it cannot
	// judge at the moment; the finding is not looked at then.
	Authenticate(x *exchange.Exchange) Finding
	// Challenge is called when nobody was accepted, and says how to do better: it appends to x.Challenges, or answers with x.Respond,
	// as a login page does. finding is what Authenticate found, or Unasked. With All a method may have accepted and be called all the
	// same; sending such a caller to log in once more would lead nowhere.
	Challenge(x *exchange.Exchange, finding Finding)
	// Hide takes the credential out of the request when endpoints are not to see it. It is called once somebody was accepted, by
	// whichever method, and also when the request goes on as anonymous. Unless finding is Accepted nobody has vouched for what is shown,
	// and endpoints must not see it, whatever the options say: they would take it for checked.
	Hide(x *exchange.Exchange, finding Finding)
}

// Owner is an Authenticator with addresses of its own on a route, such as those a login goes through. Serve answers when the request is for
// one of them; it is called before any method is asked, since the request is not for an endpoint then.
type Owner interface{ Serve(x *exchange.Exchange) }

// Reserver is an Authenticator that tells endpoints something under names of the operator's choice. Nobody but the gateway may send them:
// the names of all methods of a route are taken away from the client before any method is asked, see exchange.Request.Reserve.
type Reserver interface {
	// Reserves gives the names. They are asked for once.
	Reserves() []string
}

// Concealer is an Authenticator whose credentials may stand in the address. They are taken out of Request.Query, which logs, endpoints and
// other services get, before any method is asked, so that none is told of whatever becomes of the request. Methods find them in
// Request.Target.
type Concealer interface {
	Conceal(x *exchange.Exchange)
}

// Terms say how the authenticators of a route are asked. A chain has one at most; without one, one method alone may be there.
type Terms struct {
	// All asks that every method accepts; otherwise one that does is enough, and the first counts.
	All bool
	// Anonymous stands for callers who show no credential at all; nil refuses them. One who shows a bad credential is always refused.
	Anonymous *consumer.Consumer
	// Silent keeps from endpoints who calls: none of the fields of exchange.Known.Ours is sent.
	Silent bool
}

// Method is one authenticator under the name of its policy.
type Method struct {
	Name string
	Authenticator
}

// authentication asks the authenticators of a route as one.
type authentication struct {
	methods []Method
	terms   Terms
	conceal []Concealer
	owners  []Owner
	names   []string
	ours    *exchange.Names // of names
}

func (a *authentication) add(m Method) {
	a.methods = append(a.methods, m)
	if c, ok := m.Authenticator.(Concealer); ok {
		a.conceal = append(a.conceal, c)
	}
	if o, ok := m.Authenticator.(Owner); ok {
		a.owners = append(a.owners, o)
	}
	if r, ok := m.Authenticator.(Reserver); ok {
		a.names = append(a.names, r.Reserves()...)
		a.ours = exchange.NewNames(a.names...)
	}
}

// maxMethods is how many authenticators one route may have: there are fewer kinds.
const maxMethods = 16

// Request implements Request.
func (a *authentication) Request(x *exchange.Exchange) {
	if len(a.methods) == 0 {
		return // terms for every route, on one without a method
	}
	x.Request.Reserve(a.ours)
	for _, c := range a.conceal {
		c.Conceal(x)
	}
	for _, o := range a.owners {
		if o.Serve(x); x.Answered() || x.Fault != nil {
			return
		}
	}
	var found [maxMethods]Finding
	var caller exchange.Caller
	accepted, shown := 0, false
	for i := range a.methods {
		x.Caller = exchange.Caller{}
		found[i] = a.methods[i].Authenticate(x)
		if x.Answered() || x.Fault != nil {
			x.Caller = exchange.Caller{}
			return
		}
		switch found[i] {
		case Accepted:
			x.Caller.Method = a.methods[i].Name
			x.Judge(a.methods[i].Name, "accepted")
			if accepted++; !a.terms.All {
				a.accept(x, &found)
				return
			}
			if !join(&caller, &x.Caller) {
				x.Judge("authenticate", "different_consumers")
				found[i] = Refused
				accepted--
			}
			shown = true
		case Refused, Short:
			shown = true
		}
		if a.terms.All && found[i] != Accepted && shown {
			break // it can only fail now
		}
	}
	x.Caller = caller
	switch {
	case a.terms.All && accepted == len(a.methods) && accepted > 0:
		a.accept(x, &found)
	case !shown && a.terms.Anonymous != nil:
		x.Caller = exchange.Caller{Consumer: a.terms.Anonymous}
		x.Judge("authenticate", "anonymous")
		a.accept(x, &found)
	default:
		a.refuse(x, found[:len(a.methods)])
	}
}

// join adds what one more method found. It reports false when the two name different consumers.
func join(all, one *exchange.Caller) bool {
	if all.Consumer != nil && one.Consumer != nil && all.Consumer.ID != one.Consumer.ID {
		return false
	}
	if all.Method == "" {
		*all = *one
		return true
	}
	if all.Consumer == nil {
		all.Consumer = one.Consumer
	}
	if all.Subject == "" {
		all.Subject, all.Issuer, all.Client = one.Subject, one.Issuer, one.Client
	}
	if all.Claims == nil {
		all.Claims = one.Claims
	}
	if all.Scopes == nil {
		all.Scopes, all.ScopeList = one.Scopes, one.ScopeList
	}
	return true
}

// accept sends the request on, with what endpoints are to know of the caller.
func (a *authentication) accept(x *exchange.Exchange, found *[maxMethods]Finding) {
	for i := range a.methods {
		a.methods[i].Hide(x, found[i])
	}
	if a.terms.Silent {
		return
	}
	h, c := &x.Request.Header, &x.Caller
	if c.Consumer != nil {
		h.Append(exchange.XConsumerID, exchange.XConsumerID.String(), c.Consumer.ID)
		h.Append(exchange.XConsumerName, exchange.XConsumerName.String(), c.Consumer.Name)
		if c.Consumer.GroupList != "" {
			h.Append(exchange.XConsumerGroups, exchange.XConsumerGroups.String(), c.Consumer.GroupList)
		}
		if c.Consumer.Plan != nil {
			h.Append(exchange.XConsumerPlan, exchange.XConsumerPlan.String(), c.Consumer.Plan.Name)
		}
	}
	if c.Method == "" {
		h.Append(exchange.XAnonymousConsumer, exchange.XAnonymousConsumer.String(), "true")
		return
	}
	h.Append(exchange.XAuthMethod, exchange.XAuthMethod.String(), c.Method)
	if c.Subject != "" {
		h.Append(exchange.XAuthSubject, exchange.XAuthSubject.String(), c.Subject)
	}
	if c.ScopeList != "" {
		h.Append(exchange.XAuthScope, exchange.XAuthScope.String(), c.ScopeList)
	}
}

// refuse answers one who was not accepted. A policy may take the answer over, as one that sends browsers to a login page does.
func (a *authentication) refuse(x *exchange.Exchange, found []Finding) {
	x.Caller = exchange.Caller{}
	if slices.Contains(found, Short) {
		a.forbid(x, found)
		return
	}
	if slices.Contains(found, Refused) {
		x.Signals |= exchange.AuthFailed
	} else { // also when all are asked for and some were shown
		x.Judge("authenticate", "missing")
	}
	for i := range a.methods {
		a.methods[i].Challenge(x, found[i])
		if x.Answered() || x.Fault != nil {
			return
		}
	}
	x.Fail(fault.New(fault.NotAuthenticated, nil))
}

// forbid answers one who showed a good credential that is not enough. What other methods found is no news to the client then; a bad
// credential shown besides still counts as a failed attempt.
func (a *authentication) forbid(x *exchange.Exchange, found []Finding) {
	x.Signals |= exchange.Forbidden
	if slices.Contains(found, Refused) {
		x.Signals |= exchange.AuthFailed
	}
	for i := range a.methods {
		if found[i] == Short {
			a.methods[i].Challenge(x, Short)
		}
	}
	x.Fail(fault.New(fault.Forbidden, nil))
}

// Package policy is the contract of policies (steps 4, 8 and 9): what one may do to an exchange, when, how it is built from its
// options, and what it may hold on to. A policy may look, change or answer. What alters the path itself (cache, balance, breaker,
// retry) is no policy but a step with a folder of its own.
//
// In reading order: policy.go (the contract and a route's chain), authentication.go (policies that find out who calls, asked as one), shown.go
// (where a request shows its credential), whom.go (whom something is counted for), bearer.go (how callers with tokens are challenged), once.go
// (what may be used once), template.go (texts with facts of an exchange in them), fieldname.go (fields that operators may change), allowance.go
// (how limits tell what they leave), world.go (what policies reach beyond the exchange), shadow.go (copies of requests), state.go (what
// outlives a revision), figure.go (what that counts, for the metrics page).
//
// It refuses to know any policy. Their list and their order stand in edge/chain.
package policy

import (
	"slices"

	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
)

// Request is a policy of step 4. It runs after a route was found and before the cache and the upstream are asked. A policy that
// answers calls Exchange.Respond or Exchange.Fail; the policies after it in step 4 do not run then, those of step 9 do.
type Request interface {
	Request(x *exchange.Exchange)
}

// UpstreamResponse is a policy of step 8. It runs on what an endpoint answered, before a cache stores it: what it does is shared
// by every client the stored response is given to, so it must not depend on who asks.
type UpstreamResponse interface {
	UpstreamResponse(x *exchange.Exchange)
}

// Response is a policy of step 9. It runs on every response, whether from an endpoint, a cache, a policy or a fault, once for
// the client that gets it.
type Response interface {
	Response(x *exchange.Exchange)
}

// Options is where a policy's options stand in the configuration. Decode fills the struct into points at, strictly: unknown keys,
// wrong units and values out of range are errors that carry file, line and column. Errorf makes such an error for a check of
// the policy's own; key names the option, or is empty for all of them.
type Options interface {
	Decode(into any) error
	Errorf(key, format string, args ...any) error
	// Upstream says that the policy sends requests to an upstream of this name, by exchange.Onward or by World.Shadow. The error is for a
	// name that no upstream has; key names the option it stands in.
	Upstream(key, name string) error
	// Scope is where the policy stands: the name of its route, or EveryRoute. What it counts is counted there: a policy on every route
	// counts for all of them together.
	Scope() string
	// Beside is a path as the configuration means it: relative to the file the options stand in. A file asked for is read again by
	// a reload when it has changed.
	Beside(path string) string
}

// EveryRoute is the Scope of a policy at the top of the configuration. No route has this name.
const EveryRoute = "*"

// Forerunner is a policy of which a part runs before the caller is asked who it is, such as a limit by address: authentication costs, and
// who fails at it is to be limited too. The rest of it runs in its own place.
type Forerunner interface {
	// Before is that part, nil for none.
	Before() Request
}

// Preflighter is a policy that answers the preflights of browsers (Fetch standard §4.8): requests by OPTIONS that ask whether another
// method may be used. They find the route of that method, and its chain alone runs on them.
type Preflighter interface {
	// Preflights says whether x asks so.
	Preflights(x *exchange.Exchange) bool
}

// Kind is one sort of policy.
type Kind struct {
	// Name is the keyword in the configuration, the word in logs and metrics and the name of the policy's folder.
	Name string
	// Options is a zero value of the struct its options decode into; the schema for editors is made from it.
	Options any
	// Build makes a policy from its options and touches nothing: no file, no network, no goroutine. What it returns implements at
	// least one of Request, UpstreamResponse, Response, Authenticator and Binder, or is a *cache.Route, and is used by many exchanges at once.
	Build func(Options) (any, error)
	// Authenticates says that what Build returns is an Authenticator, or binds to one.
	Authenticates bool
	// Settles says that where the policy stands every request that gets to it is answered, or its upstream chosen, so that the route needs
	// none of its own.
	Settles bool
	// Keys says that the policy asks World.Keys for keys. World.Keys may be nil for others.
	Keys bool
}

// Binder is a policy that needs more than its options: files, the network, or what outlives a revision. Bind is called once each time a
// revision with it is to be put in force, however many routes have it, and returns the policy that runs, which implements the other
// interfaces. It may read files; it does not wait for the network, so that a gateway starts while everybody else is down. What it gets from
// w.State lives on from one revision to the next. An error refuses the revision. A Binder is told from others by ==, so it has to be
// comparable, as a pointer is.
type Binder interface {
	Bind(w *World) (any, error)
}

// Chain is the policies of one route by step, in running order. It is immutable once built.
type Chain struct {
	Requests          []Request
	UpstreamResponses []UpstreamResponse
	Responses         []Response
	// Preflights answers the preflights of browsers, nil for nobody.
	Preflights Preflighter
	// Cache is what steps 5 and 8 ask, nil for none.
	Cache *cache.Route

	built []named // all, as Build made them
	runs  bool    // it was bound
}

type named struct {
	name  string
	built any
}

// Add puts a built policy into every step it takes part in. It reports false when that is none, which is a mistake in the policy.
// Policies that authenticate are gathered where the first of them stands.
func (c *Chain) Add(name string, built any) bool {
	c.built = append(c.built, named{name, built})
	return c.place(name, built)
}

// Has says whether a policy of this name was added.
func (c *Chain) Has(name string) bool {
	for _, p := range c.built {
		if p.name == name {
			return true
		}
	}
	return false
}

func (c *Chain) place(name string, built any) bool {
	if _, is := built.(Binder); is {
		return true // takes its places once it is bound
	}
	method, isMethod := built.(Authenticator)
	if isMethod {
		c.authentication().add(Method{name, method})
	}
	terms, isTerms := built.(*Terms)
	if isTerms {
		c.authentication().terms = *terms
	}
	f, runsAhead := built.(Forerunner)
	if runsAhead {
		if before := f.Before(); before != nil {
			at := slices.IndexFunc(c.Requests, func(r Request) bool { _, is := r.(*authentication); return is })
			if at < 0 {
				at = len(c.Requests)
			}
			c.Requests = slices.Insert(c.Requests, at, before)
		}
	}
	if p, is := built.(Preflighter); is {
		c.Preflights = p
	}
	stored, isCache := built.(*cache.Route)
	if isCache {
		c.Cache = stored
	}
	request, isRequest := built.(Request)
	if isRequest {
		c.Requests = append(c.Requests, request)
	}
	upstream, isUpstream := built.(UpstreamResponse)
	if isUpstream {
		c.UpstreamResponses = append(c.UpstreamResponses, upstream)
	}
	response, isResponse := built.(Response)
	if isResponse {
		c.Responses = append(c.Responses, response)
	}
	return isMethod || isTerms || runsAhead || isCache || isRequest || isUpstream || isResponse
}

// authentication is the place of all policies of this chain that authenticate.
func (c *Chain) authentication() *authentication {
	for _, r := range c.Requests {
		if a, ok := r.(*authentication); ok {
			return a
		}
	}
	a := &authentication{}
	c.Requests = append(c.Requests, a)
	return a
}

// Bind makes the chain that runs: each Binder is replaced by what it binds to. A bound chain binds to itself.
func (c *Chain) Bind(w *World) (*Chain, error) {
	if c.runs {
		return c, nil
	}
	out := &Chain{runs: true}
	for _, p := range c.built {
		built := p.built
		if binder, is := built.(Binder); is {
			var err error
			if built, err = w.bind(binder); err != nil {
				return nil, err
			}
			if _, still := built.(Binder); still {
				panic("BUG: policy " + p.name + " is to be bound once more; does what runs embed what binds?")
			}
		}
		if !out.Add(p.name, built) {
			panic("BUG: policy " + p.name + " takes part in no step once bound")
		}
	}
	return out, nil
}

// Request runs step 4.
func (c *Chain) Request(x *exchange.Exchange) {
	for _, p := range c.Requests {
		p.Request(x)
		if x.Answered() || x.Fault != nil {
			return
		}
	}
}

// UpstreamResponse runs step 8.
func (c *Chain) UpstreamResponse(x *exchange.Exchange) {
	for _, p := range c.UpstreamResponses {
		p.UpstreamResponse(x)
	}
}

// Response runs step 9.
func (c *Chain) Response(x *exchange.Exchange) {
	for _, p := range c.Responses {
		p.Response(x)
	}
}

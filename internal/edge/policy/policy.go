// Package policy is the contract of policies (steps 4, 8 and 9): what one may do to an exchange, when, and how it is built from
// its options. A policy may look, change or answer. What alters the path itself (cache, balance, breaker, retry) is no policy
// but a step with a folder of its own.
//
// It refuses to know any policy. Their list and their order stand in edge/chain.
package policy

import (
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
}

// Kind is one sort of policy.
type Kind struct {
	// Name is the keyword in the configuration, the word in logs and metrics and the name of the policy's folder.
	Name string
	// Options is a zero value of the struct its options decode into; the schema for editors is made from it.
	Options any
	// Build makes a policy from its options. What it returns implements at least one of Request, UpstreamResponse and Response
	// and is used by many exchanges at once. Build does no I/O that can wait.
	Build func(Options) (any, error)
}

// Chain is the policies of one route by step, in running order. It is immutable.
type Chain struct {
	Requests          []Request
	UpstreamResponses []UpstreamResponse
	Responses         []Response
}

// Add puts a built policy into every step it takes part in. It reports false when that is none, which is a mistake in the policy.
func (c *Chain) Add(built any) bool {
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
	return isRequest || isUpstream || isResponse
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

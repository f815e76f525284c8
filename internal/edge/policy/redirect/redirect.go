// Package redirect is the policy redirect (step 4): it sends clients to another address instead of asking an endpoint.
//
// In reading order: redirect.go (options and the answer), target.go (the address, which is put together so that nobody but the operator says where it
// leads).
//
// It refuses addresses of which a client could choose the host, schemes other than http and https, and everything that would not be one address.
package redirect

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	To     string `yaml:"to" required:"true" length:"1..1024" doc:"where to: an address with http:// or https://, or a path that begins with a slash; a template"`
	Status int    `yaml:"status" default:"307" doc:"301, 302, 303, 307 or 308"`
	Query  string `yaml:"query" default:"keep" enum:"keep,drop" doc:"whether the query of the request goes along"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "redirect", Options: Options{}, Build: build, Settles: true}

// redirect is the policy. It does not change.
type redirect struct {
	to     *target
	status int
	keep   bool
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	switch options.Status {
	case 301, 302, 303, 307, 308:
	default:
		return nil, o.Errorf("status", "found %d; allowed: 307 (for now) and 308 (for good), which keep the method; 302 and 301, which clients take as they like; 303 (go there with GET)", options.Status)
	}
	to, err := newTarget(options.To)
	if err != nil {
		return nil, o.Errorf("to", "%s", err)
	}
	keep := options.Query == "keep"
	if keep && strings.Contains(options.To, "{request.query}") {
		return nil, o.Errorf("query", "the query would go along twice, as {request.query} is in the address; write query: drop")
	}
	return &redirect{to, options.Status, keep}, nil
}

// noAddress is the fault of a request that no address comes of, such as one without a host for an address with {request.host}.
var noAddress = &fault.Fault{Kind: fault.BadPath, Detail: "This path is moved, and the request lacks what its new address is made of, or has it in a form that no address may have."}

// Request implements policy.Request.
func (r *redirect) Request(x *exchange.Exchange) {
	query := ""
	if r.keep {
		query = x.Request.Query
	}
	address, ok := r.to.append(x.Scratch(), x, query)
	if !ok {
		x.Judge(Kind.Name, "unfit")
		x.Fail(noAddress)
		return
	}
	x.Judge(Kind.Name, "redirected")
	x.Respond(r.status, "", nil)
	x.Response.Header.Append(exchange.Location, location, x.KeepScratch(address))
}

var location = exchange.Location.String()

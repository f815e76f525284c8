// Package headers is the policy headers (steps 4 and 9): it removes, renames, sets and adds header fields of requests before endpoints get them,
// and of responses before clients do. Values may be templates.
//
// In reading order: headers.go (options), build.go (what they are compiled to), change.go (what is done to a message).
//
// It refuses fields that say how a message is framed or coded, those by which the gateway tells endpoints what it found out, and every value
// that could begin a field or a message of its own, whoever it came from.
package headers

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Request  Changes `yaml:"request" doc:"what is changed of the request before an endpoint gets it"`
	Response Changes `yaml:"response" doc:"what is changed of the response before the client gets it"`
}

// Changes are what is done to the fields of a message, in this order.
type Changes struct {
	Remove []string            `yaml:"remove,one" length:"1..64" doc:"fields taken away; a * at the end stands for all that begin so"`
	Rename map[string]string   `yaml:"rename" length:"1..64" doc:"fields that get another name, in place of those that have it"`
	Set    map[string]string   `yaml:"set" length:"1..64" doc:"fields that get one value, in place of all they had"`
	Add    map[string][]string `yaml:"add,one" length:"1..64" doc:"fields that get one value or several more"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "headers", Options: Options{}, Build: build}

// headers is the policy. It does not change. One of requests alone, or of responses alone, takes part in that step alone.
type (
	headers struct {
		requests
		responses
	}
	requests  struct{ on *changes }
	responses struct{ of *changes }
)

// Request implements policy.Request. It runs after authentication, so that what clients send under a name that is set is gone before, and nothing
// is told of a caller whom nobody knows.
func (h requests) Request(x *exchange.Exchange) {
	c := h.on
	x.Request.Change()
	x.Request.Reserve(c.taken)
	c.takeAll(&x.Request.Header, false)
	c.name(&x.Request.Header)
	x.Request.Reserve(c.written)
	c.write(&x.Request.Header, x)
}

// Shapes implements policy.Shaper.
func (h requests) Shapes() {}

// Response implements policy.Response.
func (h responses) Response(x *exchange.Exchange) {
	c := h.of
	c.take(&x.Response.Header)
	c.takeAll(&x.Response.Header, true)
	c.name(&x.Response.Header)
	c.write(&x.Response.Header, x)
}

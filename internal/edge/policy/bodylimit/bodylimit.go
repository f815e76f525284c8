// Package bodylimit is the policy body_limit (step 4): how large the body of a request may be on a route. A length that is announced is judged
// at once; one that is not is counted as the body streams on.
//
// In reading order: bodylimit.go (options, and the life of a request), counted.go (a body whose length shows as it comes).
//
// It refuses to hold a body, and to allow more than the listener does.
package bodylimit

import (
	"errors"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Size document.Size `yaml:"size,short" required:"true" range:"0..1TiB" doc:"how many bytes a body may have; 0 allows none at all"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: name, Options: Options{}, Build: build}

const name = "body_limit"

// bodyLimit is the policy. It does not change.
type bodyLimit struct{ size int64 }

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	return &bodyLimit{int64(options.Size)}, nil
}

// Request implements policy.Request.
func (p *bodyLimit) Request(x *exchange.Exchange) {
	q := &x.Request
	switch {
	case q.Body == nil:
	case q.Length > p.size:
		x.Judge(name, "too_large")
		x.Fail(&tooLarge)
	case q.Length >= 0:
	case x.Held():
		// It is in memory, and whoever sends it on has to see that.
		if _, f := x.HoldBody(exchange.Hold{Max: p.size}); f != nil {
			x.Judge(name, "too_large")
			x.Fail(&tooLarge)
		}
	default:
		count(x, p.size)
	}
}

// tooLarge is the one fault for all: nothing in it depends on the request.
var tooLarge = fault.Fault{Kind: fault.BodyTooLarge, Detail: "The request body is larger than this route allows.",
	Cause: errors.New("the body is larger than the policy body_limit of the route allows")}

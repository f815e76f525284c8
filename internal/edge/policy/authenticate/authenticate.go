// Package authenticate is the policy authenticate (step 4): how the methods by which a route finds out who calls are asked as one, who
// stands for callers that show nothing, and whether endpoints are told. The asking itself is in the contract of policies.
//
// It refuses to let a bad credential pass as anonymous, and to name an anonymous consumer that the configuration does not have.
package authenticate

import (
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Require   string `yaml:"require" default:"any" enum:"any,all" doc:"which of the route's methods have to accept the request: any of them, or all; all have to mean the same consumer"`
	Anonymous string `yaml:"anonymous" length:"0..128" doc:"id of the consumer who stands for callers that show no credential at all; without one they are refused"`
	Identity  string `yaml:"identity" default:"forward" enum:"forward,hide" doc:"whether endpoints are told who calls, by the fields X-Consumer-* and X-Auth-*"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "authenticate", Options: Options{}, Build: build}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	return &unbound{options, o}, nil
}

// unbound is the policy before it knows the consumers of the revision.
type unbound struct {
	options Options
	at      policy.Options // for errors
}

// Bind implements policy.Binder.
func (u *unbound) Bind(w *policy.World) (any, error) {
	terms := &policy.Terms{All: u.options.Require == "all", Silent: u.options.Identity == "hide"}
	if id := u.options.Anonymous; id != "" {
		terms.Anonymous = w.Consumers.Consumer(id)
		if terms.Anonymous == nil {
			return nil, u.at.Errorf("anonymous", "there is no consumer %q; add it under consumers, or name one that is there", id)
		}
	}
	return terms, nil
}

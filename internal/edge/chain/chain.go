// Package chain puts the policies of a route into running order and builds them (steps 4, 8 and 9). order.go is the list of all
// policies; this file compiles a route's chain from it.
//
// It refuses to know what a policy does, and to let the configuration decide the order.
package chain

import (
	"fmt"

	"straum.dev/straum/internal/edge/policy"
)

// Use is one policy as the configuration names it.
type Use struct {
	Name    string
	Options policy.Options
}

// Compile builds the chain of a route. Policies set on every route come first in everywhere; one of the same name in own replaces
// it. kinds is Order, unless a test has its own.
func Compile(kinds []policy.Kind, everywhere, own []Use) (*policy.Chain, error) {
	chosen := map[string]Use{}
	for _, list := range [][]Use{everywhere, own} {
		for _, use := range list {
			chosen[use.Name] = use
		}
	}
	c := &policy.Chain{}
	for _, kind := range kinds {
		use, ok := chosen[kind.Name]
		if !ok {
			continue
		}
		delete(chosen, kind.Name)
		built, err := kind.Build(use.Options)
		if err != nil {
			return nil, err
		}
		if !c.Add(built) {
			panic(fmt.Sprintf("BUG: policy %s takes part in no step", kind.Name))
		}
	}
	for name := range chosen {
		return nil, fmt.Errorf("there is no policy %q", name) // the configuration was checked against Schemas; this is a second line
	}
	return c, nil
}

// Schemas gives the options struct of every policy by name, for checking a configuration and for the schema of editors.
func Schemas(kinds []policy.Kind) map[string]any {
	out := map[string]any{}
	for _, kind := range kinds {
		out[kind.Name] = kind.Options
	}
	return out
}

// Package chain puts the policies of a route into running order and builds them (steps 4, 8 and 9). order.go is the list of all
// policies; this file compiles a route's chain from it.
//
// It refuses to know what a policy does, and to let the configuration decide the order.
package chain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/policy"
)

// Use is one policy as the configuration names it.
type Use struct {
	Name    string
	Options policy.Options
	// Off takes a policy on every route away from one.
	Off bool
}

// terms is the policy that says how several that authenticate are asked.
const terms = "authenticate"

// Compile builds the chain of a route. Policies set on every route come first in everywhere; one of the same name in own replaces
// it, or takes it away. kinds is Order, unless a test has its own. What the configuration's own check refuses is refused here too:
// names that no kind has, and one name twice in a list.
func Compile(kinds []policy.Kind, everywhere, own []Use) (*policy.Chain, error) {
	chosen := map[string]Use{}
	for _, list := range [][]Use{everywhere, own} {
		seen := map[string]bool{}
		for _, use := range list {
			if seen[use.Name] {
				return nil, fmt.Errorf("the policy %s is here twice; remove one", use.Name)
			}
			seen[use.Name] = true
			if _, there := chosen[use.Name]; use.Off && !there {
				return nil, use.Options.Errorf("", "the policy %s is off here and not on every route; remove this line", use.Name)
			}
			chosen[use.Name] = use
		}
	}
	maps.DeleteFunc(chosen, func(_ string, use Use) bool { return use.Off })
	c := &policy.Chain{}
	var methods []string
	for _, kind := range kinds {
		use, ok := chosen[kind.Name]
		if !ok {
			continue
		}
		delete(chosen, kind.Name)
		if kind.Authenticates {
			if methods = append(methods, kind.Name); len(methods) == 2 && !c.Has(terms) {
				return nil, use.Options.Errorf("", "%s and %s are on one route: say with the policy %s whether any or all of them are asked for, as in %s: {require: any}",
					methods[0], methods[1], terms, terms)
			}
		}
		built, err := kind.Build(use.Options)
		if err != nil {
			return nil, err
		}
		if !c.Add(kind.Name, built) {
			panic(fmt.Sprintf("BUG: policy %s takes part in no step", kind.Name))
		}
	}
	if len(methods) == 0 {
		for _, use := range own {
			if use.Name == terms && !use.Off {
				return nil, use.Options.Errorf("", "the policy %s is on a route with nothing to authenticate by; add a method such as api_key or jwt", terms)
			}
		}
	}
	if len(chosen) > 0 {
		return nil, fmt.Errorf("there is no policy %s; there are %s", slices.Min(slices.Collect(maps.Keys(chosen))), names(kinds))
	}
	return c, nil
}

func names(kinds []policy.Kind) string {
	var all []string
	for _, kind := range kinds {
		all = append(all, kind.Name)
	}
	return strings.Join(all, ", ")
}

// Schemas gives the options struct of every policy by name, for checking a configuration and for the schema of editors.
func Schemas(kinds []policy.Kind) map[string]any {
	out := map[string]any{}
	for _, kind := range kinds {
		out[kind.Name] = kind.Options
	}
	return out
}

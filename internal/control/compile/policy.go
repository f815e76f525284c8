package compile

import (
	"errors"
	"slices"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/policy"
)

// everywhere compiles the policies on every route, which are also those of requests without a route. They are judged once, here, and
// left out of the routes' chains when they are bad, so that one mistake is not told for each route.
func (k *compiler) everywhere() {
	chain, ok := k.compileChain(nil, k.config.Policies)
	if ok {
		k.everyRoute = k.config.Policies
	}
	k.out.otherwise = chain
}

// chain compiles the policies of a route. Routes without any of their own share one chain.
func (k *compiler) chain(r *config.Route) (*policy.Chain, []string) {
	if len(r.Policies) == 0 {
		return k.out.otherwise, k.names(k.config.Policies, nil)
	}
	c, _ := k.compileChain(k.everyRoute, r.Policies)
	return c, k.names(k.config.Policies, r.Policies)
}

func (k *compiler) compileChain(everywhere, own []config.Policy) (*policy.Chain, bool) {
	c, err := chain.Compile(k.kinds, k.uses(everywhere), k.uses(own))
	if err != nil {
		k.problems.Add(err)
		return nil, false
	}
	return c, true
}

func (k *compiler) uses(list []config.Policy) []chain.Use {
	out := make([]chain.Use, len(list))
	for i := range list {
		out[i] = chain.Use{Name: list[i].Name, Options: &options{&list[i], k.read}, Off: list[i].Options.IsOff()}
	}
	return out
}

// names are those of the policies of a route in running order.
func (k *compiler) names(lists ...[]config.Policy) []string {
	there := map[string]bool{}
	for _, list := range lists {
		for _, use := range k.uses(list) {
			there[use.Name] = !use.Off
		}
	}
	var out []string
	for _, kind := range k.kinds {
		if there[kind.Name] {
			k.out.needsKeys = k.out.needsKeys || kind.Keys
			out = append(out, kind.Name)
		}
	}
	return out
}

// options are those of one policy where they stand in the configuration.
type options struct {
	written *config.Policy
	read    map[string]bool // what policies have asked to read
}

// Beside implements policy.Options.
func (o *options) Beside(path string) string {
	path = config.Beside(o.written.Node, path)
	o.read[path] = true
	return path
}

// Decode implements policy.Options.
func (o *options) Decode(into any) error { return o.written.Options.Decode(into) }

// Errorf implements policy.Options. An option that was left out is blamed where the policy stands.
func (o *options) Errorf(key, format string, args ...any) error {
	at := o.written.Blame()
	if key != "" && o.written.Options.Has(key) {
		at = o.written.Options.At(key)
	}
	return at.Errorf(format, args...)
}

// placed are the kinds whose errors all have a place, also those a policy made without the help of its Options.
func placed(kinds []policy.Kind) []policy.Kind {
	out := slices.Clone(kinds)
	for i := range out {
		build := out[i].Build
		out[i].Build = func(o policy.Options) (any, error) {
			built, err := build(o)
			if binder, ok := built.(policy.Binder); ok && err == nil {
				built = &placedBinder{binder, o}
			}
			return built, place(err, o)
		}
	}
	return out
}

// placedBinder is a policy whose errors have a place when it is bound, too.
type placedBinder struct {
	policy.Binder
	options policy.Options
}

// Bind implements policy.Binder.
func (b *placedBinder) Bind(w *policy.World) (any, error) {
	bound, err := b.Binder.Bind(w)
	return bound, place(err, b.options)
}

func place(err error, o policy.Options) error {
	var problem document.Problem
	var problems *document.Problems
	if err == nil || errors.As(err, &problem) || errors.As(err, &problems) {
		return err
	}
	return o.Errorf("", "%s", err)
}

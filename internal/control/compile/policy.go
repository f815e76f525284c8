package compile

import (
	"errors"
	"slices"
	"strings"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// everywhere compiles the policies on every route, which are also those of requests without a route. They are judged once, here. When they
// are bad, something stands in for each of them on the routes, so that one mistake is not told for each route, and what a route says
// of them is not told as another.
func (k *compiler) everywhere() {
	k.everyRoute = k.uses(k.config.Policies, policy.EveryRoute)
	var err error
	if k.out.otherwise, err = chain.Compile(k.kinds, nil, k.everyRoute); err != nil {
		k.problems.Add(err)
		k.mistake = err.Error()
		for i := range k.everyRoute {
			k.everyRoute[i].Options = standIn{k.everyRoute[i].Options}
		}
	}
}

// chain compiles the policies of a route. Routes without any of their own share one chain.
func (k *compiler) chain(r *config.Route) (*policy.Chain, []string) {
	on := k.on(r.Policies)
	names := make([]string, len(on))
	for i, p := range on {
		names[i] = p.written.Name
		k.out.needsKeys = k.out.needsKeys || p.kind.Keys
	}
	if r.Upstream == "" && !slices.ContainsFunc(on, func(p placedPolicy) bool { return p.kind.Settles }) {
		k.blame(r.Node, "the key upstream is missing; it is required, but on routes with a policy that answers or chooses: %s", k.settling())
	}
	k.caution(r, on)
	if len(r.Policies) == 0 {
		return k.out.otherwise, names
	}
	c, err := chain.Compile(k.kinds, k.everyRoute, k.uses(r.Policies, r.Name))
	if err != nil && err.Error() != k.mistake { // such as two methods without a word about which is asked for
		k.problems.Add(err)
	}
	return c, names
}

func (k *compiler) uses(list []config.Policy, scope string) []chain.Use {
	out := make([]chain.Use, len(list))
	for i := range list {
		out[i] = chain.Use{Name: list[i].Name, Options: &options{compiler: k, written: &list[i], scope: scope}, Off: list[i].Options.IsOff()}
	}
	return out
}

// standIn are the options of a policy on every route that is told to be bad already.
type standIn struct{ policy.Options }

// Request implements policy.Request: nothing runs, as there is a mistake.
func (standIn) Request(*exchange.Exchange) {}

// placedPolicy is a policy on a route, as it is written.
type placedPolicy struct {
	kind    *policy.Kind
	written *config.Policy
}

// settling names the policies that spare a route its upstream.
func (k *compiler) settling() string {
	var names []string
	for i := range k.kinds {
		if k.kinds[i].Settles {
			names = append(names, k.kinds[i].Name)
		}
	}
	return strings.Join(names, ", ")
}

// on are the policies of a route in running order.
func (k *compiler) on(own []config.Policy) (out []placedPolicy) {
	there := map[string]*config.Policy{}
	for _, list := range [][]config.Policy{k.config.Policies, own} {
		for i := range list {
			there[list[i].Name] = &list[i]
		}
	}
	for i := range k.kinds {
		if written := there[k.kinds[i].Name]; written != nil && !written.Options.IsOff() {
			out = append(out, placedPolicy{&k.kinds[i], written})
		}
	}
	return out
}

// options are those of one policy where they stand in the configuration.
type options struct {
	compiler *compiler
	written  *config.Policy
	scope    string
	built    any // what was made of them; nil before, and after a mistake
}

// Beside implements policy.Options.
func (o *options) Beside(path string) string {
	path = config.Beside(o.written.Node, path)
	if o.compiler.read[path] == nil {
		o.compiler.read[path] = o.written
	}
	return path
}

// Scope implements policy.Options.
func (o *options) Scope() string { return o.scope }

// Upstream implements policy.Options.
func (o *options) Upstream(key, name string) error {
	if o.compiler.config.Upstream(name) == nil {
		at := o.written.Blame()
		if key != "" && o.written.Options.Has(key) {
			at = o.written.Options.At(key)
		}
		return at.Unknown("upstream", name, o.compiler.upstreamNames())
	}
	o.compiler.out.asked[name] = true
	return nil
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

func (k *compiler) upstreamNames() (all []string) {
	for i := range k.config.Upstreams {
		all = append(all, k.config.Upstreams[i].Name)
	}
	return all
}

// placed are the kinds whose errors all have a place, also those a policy made without the help of its Options.
func placed(kinds []policy.Kind) []policy.Kind {
	out := slices.Clone(kinds)
	for i := range out {
		build := out[i].Build
		out[i].Build = func(o policy.Options) (any, error) {
			own, ok := o.(*options)
			if !ok {
				return o, nil // a standIn
			}
			if own.built != nil { // one on every route is part of many chains
				return own.built, nil
			}
			built, err := build(o)
			if err != nil {
				return nil, place(err, o)
			}
			if binder, ok := built.(policy.Binder); ok {
				built = &placedBinder{binder, o}
			}
			own.built = built
			return built, nil
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

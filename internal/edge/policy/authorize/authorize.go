// Package authorize is the policy authorize (step 4): whether the caller that authentication found may do this. It asks for scopes,
// groups, claims, certain consumers and a condition in CEL; all that are given have to hold.
//
// In reading order: authorize.go (options and the judgement), place.go (where a mistake in a condition is), facts.go (what a condition
// sees of an exchange).
//
// It refuses to let anyone pass when it cannot judge, to tell the client what was missing beyond what RFC 6750 says of scopes, and to
// find out who calls.
package authorize

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/condition"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/token"
)

// Options are those of the policy.
type Options struct {
	Scopes    []string            `yaml:"scopes,one" length:"1..64" pattern:"^[!#-\\[\\]-~]{1,128}$" form:"a scope of 1 to 128 visible ASCII characters without quotes and backslashes" doc:"scopes the caller has to have, all of them"`
	AnyScope  []string            `yaml:"any_scope,one" length:"1..64" pattern:"^[!#-\\[\\]-~]{1,128}$" form:"a scope of 1 to 128 visible ASCII characters without quotes and backslashes" doc:"scopes of which the caller has to have at least one"`
	Groups    []string            `yaml:"groups,one" length:"1..256" doc:"groups of which the consumer has to be in at least one"`
	Consumers []string            `yaml:"consumers,one" length:"1..1000" doc:"ids of the consumers who may"`
	Claims    map[string][]string `yaml:"claims,one" length:"1..32" doc:"claims the caller has to have: the path of each, with a value or a list of values of which it has to be one or hold one"`
	Condition string              `yaml:"condition,multiline" doc:"an expression in CEL that has to be true"`
	DryRun    bool                `yaml:"dry_run" default:"false" doc:"judge and log, and let everyone pass"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "authorize", Options: Options{}, Build: build}

const (
	longestPath = 256 // bytes of a claim's path
	mostValues  = 256 // of one claim
)

// authorize is the policy. It does not change.
type authorize struct {
	scopes    []string
	anyScope  []string
	groups    []string
	claims    []claim // by path
	consumers map[string]bool
	condition *condition.Condition
	dryRun    bool
	challenge string // for a bearer token with too few scopes
	at        policy.Options
}

// claim is one that the caller has to have.
type claim struct {
	path   string
	values []string
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	a := &authorize{scopes: options.Scopes, anyScope: options.AnyScope, groups: options.Groups, dryRun: options.DryRun, at: o}
	for path, values := range options.Claims {
		switch {
		case path == "" || len(path) > longestPath:
			return nil, o.Errorf("claims", "a claim's path has 1 to %d bytes; found %d", longestPath, len(path))
		case len(values) == 0 || len(values) > mostValues:
			return nil, o.Errorf("claims", "%q has %d values; 1 to %d are allowed", path, len(values), mostValues)
		}
		a.claims = append(a.claims, claim{path, values})
	}
	slices.SortFunc(a.claims, func(x, y claim) int { return strings.Compare(x.path, y.path) })
	for _, group := range a.groups {
		if group == "" {
			return nil, o.Errorf("groups", "a group without a name; remove it")
		}
	}
	if len(options.Consumers) > 0 {
		a.consumers = make(map[string]bool, len(options.Consumers))
		for _, id := range options.Consumers {
			a.consumers[id] = true
		}
	}
	if options.Condition != "" {
		var err error
		if a.condition, err = compile(o, options.Condition); err != nil {
			return nil, err
		}
	}
	if len(a.scopes)+len(a.anyScope)+len(a.groups)+len(a.claims)+len(a.consumers) == 0 && a.condition == nil {
		return nil, o.Errorf("", "authorize asks for nothing, so everyone may; give it scopes, any_scope, groups, consumers, claims or condition")
	}
	a.challenge = challenge(a.scopes, a.anyScope)
	return a, nil
}

// challenge tells the bearer of a token which scopes are enough (RFC 6750 §3.1). Of those of which one is, it is the first, so that clients
// do not ask for more than they need.
func challenge(scopes, anyScope []string) string {
	need := slices.Clone(scopes)
	if len(anyScope) > 0 && !slices.ContainsFunc(anyScope, func(s string) bool { return slices.Contains(need, s) }) {
		need = append(need, anyScope[0])
	}
	return `Bearer error="insufficient_scope", scope="` + strings.Join(need, " ") + `"`
}

// Bind implements policy.Binder: a consumer that is not there would be one who may not, and a misspelt one is found at once.
func (a *authorize) Bind(w *policy.World) (any, error) {
	for _, id := range slices.Sorted(maps.Keys(a.consumers)) {
		if w.Consumers.Consumer(id) == nil {
			return nil, a.at.Errorf("consumers", "there is no consumer %q; add it under consumers, or remove it here", id)
		}
	}
	return (*bound)(a), nil
}

// bound is the policy as it runs.
type bound authorize

// verdict is why a caller may not: the word, and the word for when it may all the same.
type verdict struct{ word, dry string }

// The verdicts, in the order they are come to.
var (
	noConsumer = &verdict{"consumer", "dry_run_consumer"}
	noGroup    = &verdict{"group", "dry_run_group"}
	noScope    = &verdict{"scope", "dry_run_scope"}
	noClaim    = &verdict{"claim", "dry_run_claim"}
	untrue     = &verdict{"condition", "dry_run_condition"}
	unjudged   = &verdict{"error", "dry_run_error"}
)

// causes tell the operator why a condition could not be judged, and nothing of the values it met.
var causes = map[condition.Outcome]error{
	condition.Missing:   errors.New(condition.Missing.String()),
	condition.TooCostly: errors.New(condition.TooCostly.String()),
	condition.Broken:    errors.New(condition.Broken.String()),
}

// Request implements policy.Request.
func (b *bound) Request(x *exchange.Exchange) {
	why, cause := b.judge(x)
	switch {
	case why == nil:
		return
	case b.dryRun:
		x.Judge(Kind.Name, why.dry)
		return
	}
	x.Judge(Kind.Name, why.word)
	method := x.Caller.Method
	if method != "" {
		x.Signals |= exchange.Forbidden
	}
	x.Challenges = x.Challenges[:0]
	if why == noScope && bearer(method) {
		x.Challenges = append(x.Challenges, b.challenge)
	}
	x.Fail(fault.New(fault.Forbidden, cause))
}

// bearer says whether a method takes bearer tokens, of which RFC 6750 speaks.
func bearer(method string) bool { return method == "jwt" || method == "introspection" }

// judge says why the caller may not, nil when it may. What costs least comes first.
func (b *bound) judge(x *exchange.Exchange) (*verdict, error) {
	c := &x.Caller
	if b.consumers != nil && (c.Consumer == nil || !b.consumers[c.Consumer.ID]) {
		return noConsumer, nil
	}
	if len(b.groups) > 0 && (c.Consumer == nil || !slices.ContainsFunc(b.groups, c.Consumer.In)) {
		return noGroup, nil
	}
	for _, scope := range b.scopes {
		if !c.Has(scope) {
			return noScope, nil
		}
	}
	if len(b.anyScope) > 0 && !slices.ContainsFunc(b.anyScope, c.Has) {
		return noScope, nil
	}
	for i := range b.claims {
		value, there := token.Lookup(c.Claims, b.claims[i].path)
		if !there || !token.Matches(value, b.claims[i].values) {
			return noClaim, nil
		}
	}
	if b.condition == nil {
		return nil, nil
	}
	f := lend(x)
	outcome := b.condition.Judge(f)
	f.giveBack()
	switch outcome {
	case condition.Holds:
		return nil, nil
	case condition.Fails:
		return untrue, nil
	}
	return unjudged, causes[outcome]
}

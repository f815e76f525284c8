package condition

import (
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Outcome is what became of a judgement. Only Holds lets anyone pass.
type Outcome uint8

// The outcomes.
const (
	Fails Outcome = iota // false
	Holds                // true
	// Missing: it asks for a claim, a field or a parameter that is not there, without has().
	Missing
	// TooCostly: it took more than MaxCost.
	TooCostly
	// Broken: a value is of another type than the expression takes it for, is too long, or is given twice.
	Broken
)

func (o Outcome) String() string {
	return [...]string{
		"the condition is false", "the condition is true", "the condition asks for something that is not there; test it with has() before",
		"the condition took too many steps", "the condition met a value that it cannot judge",
	}[o]
}

// Judge says whether the condition holds for these facts. It keeps nothing of them.
func (c *Condition) Judge(f Facts) Outcome {
	v := views.Get().(*view)
	v.facts = f
	v.headers.facts, v.query.facts = f, f
	out, _, err := c.program.Eval(v)
	v.facts, v.headers.facts, v.query.facts = nil, nil, nil
	views.Put(v)
	if err != nil {
		return failure(err.Error())
	}
	switch out {
	case types.True:
		return Holds
	case types.False:
		return Fails
	}
	return Broken
}

// failure says what kind of error stopped a judgement. Its text may hold what a client sent, and goes no further.
func failure(text string) Outcome {
	switch {
	case strings.Contains(text, "no such key"):
		return Missing
	case strings.Contains(text, "cost limit exceeded"):
		return TooCostly
	}
	return Broken
}

// view gives the program the values of variables as it comes to them. It is used for one judgement at a time.
type view struct {
	facts   Facts
	headers headers
	query   query
}

var views = sync.Pool{New: func() any { return new(view) }}

// Parent implements cel.Activation.
func (v *view) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	variable, ok := variables[name]
	if !ok {
		return nil, false
	}
	switch variable {
	case requestHeaders:
		return &v.headers, true
	case requestQuery:
		return &v.query, true
	case requestTime:
		return types.Timestamp{Time: v.facts.Time()}, true
	case authClaims:
		claims := v.facts.Claims()
		if claims == nil {
			claims = none
		}
		return claims, true
	case ConsumerGroups, ConsumerTags, AuthScopes:
		return v.facts.List(variable), true
	}
	return v.facts.Word(variable), true
}

// none are the claims of a caller without any. Nobody writes to them.
var none = map[string]any{}

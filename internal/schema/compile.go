package schema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// kinds are the types of values, as a set.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	integer
	text
	array
	object
)

// words are the types as schemas call them, in the order of their bits.
var words = [...]string{"null", "boolean", "number", "integer", "string", "array", "object"}

// node is a schema as it is judged by.
type node struct {
	fixed *bool // true or false as a schema
	types kinds // 0 for any
	only  []any // const or enum
	isSet bool  // only counts
	names map[string]bool

	ref                 *node
	refOnly             bool // $ref makes everything beside it count for nothing, as before 2019-09
	all, any, one       []*node
	not, when, yes, no  *node
	format              *jsonschema.Format
	needsSeen           bool // unevaluated… is asked for here
	unevaluatedMembers  *node
	unevaluatedElements *node

	leastMembers, mostMembers int // -1 for no bound
	required                  []string
	memberNames               *node
	members                   map[string]*node
	patterns                  []pattern
	others                    *node // members that neither names nor patterns are for
	dependents                map[string][]string
	dependentSchemas          map[string]*node

	leastElements, mostElements int
	unique                      bool
	contains                    *node
	leastContains, mostContains int
	first                       []*node
	rest                        *node

	leastLength, mostLength int
	matches                 jsonschema.Regexp

	least, most, above, below, multiple *decimal
}

// pattern is what members are for whose names match.
type pattern struct {
	name jsonschema.Regexp
	node *node
}

var never = &node{fixed: new(bool)}

// node makes a node of what the library compiled, and of all it refers to.
func (l *Library) node(s *jsonschema.Schema) (*node, error) {
	if s == nil {
		return nil, nil
	}
	if n := l.nodes[s]; n != nil {
		return n, nil
	}
	n := &node{}
	l.nodes[s] = n
	c := &compilation{l: l, at: ours(s.Location)}
	c.fill(n, s)
	if c.err != nil {
		delete(l.nodes, s)
	}
	return n, c.err
}

// compilation is that of one schema; it holds the first mistake.
type compilation struct {
	l   *Library
	at  string
	err error
}

func (c *compilation) sub(s *jsonschema.Schema) *node {
	n, err := c.l.node(s)
	if c.err == nil {
		c.err = err
	}
	return n
}

func (c *compilation) subs(list []*jsonschema.Schema) (nodes []*node) {
	for _, s := range list {
		nodes = append(nodes, c.sub(s))
	}
	return nodes
}

func (c *compilation) number(r *big.Rat) *decimal {
	if r == nil {
		return nil
	}
	d, ok := decimalOf(r)
	if !ok && c.err == nil {
		c.err = fmt.Errorf("%s: a bound has more digits than allowed", c.at)
	}
	return &d
}

func bound(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func (c *compilation) fill(n *node, s *jsonschema.Schema) {
	if s.RecursiveRef != nil || s.DynamicRef != nil {
		c.err = fmt.Errorf("%s: $dynamicRef and $recursiveRef are not known here; write $ref", c.at)
		return
	}
	n.fixed = s.Bool
	if s.Types != nil {
		for i, word := range words {
			if slices.Contains(s.Types.ToStrings(), word) {
				n.types |= 1 << i
			}
		}
	}
	if s.Const != nil {
		n.isSet, n.only = true, []any{*s.Const}
	}
	if s.Enum != nil {
		only := s.Enum.Values
		if n.isSet && !slices.ContainsFunc(only, func(v any) bool { return equal(v, n.only[0]) }) {
			only = nil
		} else if n.isSet {
			only = n.only
		}
		n.isSet, n.only = true, only
		n.names = map[string]bool{}
		for _, v := range only {
			name, ok := v.(string)
			if !ok {
				n.names = nil
				break
			}
			n.names[name] = true
		}
	}
	n.ref, n.refOnly = c.sub(s.Ref), s.Ref != nil && s.DraftVersion < 2019
	n.all, n.any, n.one, n.not = c.subs(s.AllOf), c.subs(s.AnyOf), c.subs(s.OneOf), c.sub(s.Not)
	n.when, n.yes, n.no = c.sub(s.If), c.sub(s.Then), c.sub(s.Else)
	if c.l.options.Formats {
		n.format = s.Format
	}
	n.unevaluatedMembers, n.unevaluatedElements = c.sub(s.UnevaluatedProperties), c.sub(s.UnevaluatedItems)
	n.needsSeen = n.unevaluatedMembers != nil || n.unevaluatedElements != nil
	c.members(n, s)
	c.elements(n, s)
	n.leastLength, n.mostLength, n.matches = bound(s.MinLength), bound(s.MaxLength), s.Pattern
	n.least, n.most, n.multiple = c.number(s.Minimum), c.number(s.Maximum), c.number(s.MultipleOf)
	n.above, n.below = c.number(s.ExclusiveMinimum), c.number(s.ExclusiveMaximum)
}

func (c *compilation) members(n *node, s *jsonschema.Schema) {
	n.leastMembers, n.mostMembers, n.required, n.memberNames = bound(s.MinProperties), bound(s.MaxProperties), s.Required, c.sub(s.PropertyNames)
	if len(s.Properties) > 0 {
		n.members = make(map[string]*node, len(s.Properties))
		for name, sub := range s.Properties {
			n.members[name] = c.sub(sub)
		}
	}
	for re, sub := range s.PatternProperties {
		n.patterns = append(n.patterns, pattern{re, c.sub(sub)})
	}
	slices.SortFunc(n.patterns, func(a, b pattern) int { return strings.Compare(a.name.String(), b.name.String()) })
	n.others = c.either(s.AdditionalProperties)
	n.dependents, n.dependentSchemas = map[string][]string{}, map[string]*node{}
	for name, names := range s.DependentRequired {
		n.dependents[name] = names
	}
	for name, sub := range s.DependentSchemas {
		n.dependentSchemas[name] = c.sub(sub)
	}
	for name, either := range s.Dependencies {
		switch either := either.(type) {
		case []string:
			n.dependents[name] = either
		case *jsonschema.Schema:
			n.dependentSchemas[name] = c.sub(either)
		}
	}
}

func (c *compilation) elements(n *node, s *jsonschema.Schema) {
	n.leastElements, n.mostElements, n.unique = bound(s.MinItems), bound(s.MaxItems), s.UniqueItems
	n.contains, n.leastContains, n.mostContains = c.sub(s.Contains), bound(s.MinContains), bound(s.MaxContains)
	if n.leastContains < 0 {
		n.leastContains = 1
	}
	if s.DraftVersion >= 2020 {
		n.first, n.rest = c.subs(s.PrefixItems), c.sub(s.Items2020)
		return
	}
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		n.rest = c.sub(items)
	case []*jsonschema.Schema:
		n.first, n.rest = c.subs(items), c.either(s.AdditionalItems)
	}
}

// either is what is a schema, true or false.
func (c *compilation) either(v any) *node {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return c.sub(v)
	case bool:
		if !v {
			return never
		}
		return &node{fixed: &v}
	}
	return nil
}

// formats are those of OpenAPI's registry that say more than a type. What they say of other types is nothing.
var formats = []*jsonschema.Format{
	{Name: "int32", Validate: within(math.MinInt32, math.MaxInt32)},
	{Name: "int64", Validate: within(math.MinInt64, math.MaxInt64)},
	{Name: "byte", Validate: func(v any) error {
		if s, ok := v.(string); ok {
			if _, err := base64.StdEncoding.DecodeString(s); err != nil {
				return errors.New("not base64")
			}
		}
		return nil
	}},
}

func within(least, most int64) func(any) error {
	low, _ := parseDecimal(fmt.Sprint(least))
	high, _ := parseDecimal(fmt.Sprint(most))
	return func(v any) error {
		if n, ok := v.(json.Number); ok {
			if d, ok := parseDecimal(string(n)); !ok || !d.whole() || d.compare(low) < 0 || d.compare(high) > 0 {
				return errors.New("out of range")
			}
		}
		return nil
	}
}

// Takes says whether a value of a type, as schemas call it, may be good: the type is named here or where a reference leads, or none is.
func (s *Schema) Takes(word string) bool { return s.n.takes(1<<slices.Index(words[:], word), 0) }

// Wants is Takes where some type is named.
func (s *Schema) Wants(word string) bool { return s.n.wants(1<<slices.Index(words[:], word), 0) }

func (n *node) takes(k kinds, depth int) bool {
	if n.fixed != nil || depth > 32 {
		return n.fixed == nil || *n.fixed
	}
	if n.types != 0 && n.types&k == 0 || n.ref != nil && !n.ref.takes(k, depth+1) {
		return false
	}
	for _, sub := range n.all {
		if !sub.takes(k, depth+1) {
			return false
		}
	}
	may := func(list []*node) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(sub *node) bool { return sub.takes(k, depth+1) })
	}
	return may(n.any) && may(n.one)
}

func (n *node) wants(k kinds, depth int) bool {
	if n.fixed != nil || depth > 32 {
		return false
	}
	wants := func(sub *node) bool { return sub.wants(k, depth+1) }
	return n.types&k != 0 || n.ref != nil && wants(n.ref) || slices.ContainsFunc(n.all, wants) || slices.ContainsFunc(n.any, wants) || slices.ContainsFunc(n.one, wants)
}

// Element is the schema of an array's elements, nil where none is plain to see.
func (s *Schema) Element() *Schema {
	return s.find(func(n *node) *node { return n.rest })
}

// Member is the schema of a member, nil where none is plain to see.
func (s *Schema) Member(name string) *Schema {
	return s.find(func(n *node) *node {
		if sub := n.members[name]; sub != nil {
			return sub
		}
		return n.others
	})
}

// Members are the names of the members that are plain to see.
func (s *Schema) Members() (names []string) {
	s.find(func(n *node) *node {
		for name := range n.members {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// find looks here, where a reference leads, and in the parts of allOf.
func (s *Schema) find(what func(*node) *node) *Schema {
	var look func(n *node, depth int) *node
	look = func(n *node, depth int) *node {
		if found := what(n); found != nil || depth > 32 {
			return found
		}
		if n.ref != nil {
			if found := look(n.ref, depth+1); found != nil {
				return found
			}
		}
		for _, sub := range n.all {
			if found := look(sub, depth+1); found != nil {
				return found
			}
		}
		return nil
	}
	if n := look(s.n, 0); n != nil {
		return &Schema{n}
	}
	return nil
}

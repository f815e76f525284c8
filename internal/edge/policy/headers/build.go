package headers

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// changes are Changes, compiled.
type changes struct {
	remove   []name
	prefixes []string
	rename   []pair
	values   []value // those that are set, then those that are added
	// taken are the names that are removed from requests, and those that others get; written are those that are set. Clients must not bring them as
	// trailers either, nor in another spelling.
	taken, written *exchange.Names
}

type name struct {
	text  string
	known exchange.Known
}

type pair struct{ from, to name }

// value is what a field gets.
type value struct {
	name
	add      bool
	text     string           // when it is always the same
	template *policy.Template // nil then
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	request, err := compile(&options.Request, false)
	if err != nil {
		return nil, o.Errorf("request", "%s", err)
	}
	response, err := compile(&options.Response, true)
	if err != nil {
		return nil, o.Errorf("response", "%s", err)
	}
	switch {
	case request == nil && response == nil:
		return nil, o.Errorf("", "headers changes nothing; give it request or response with remove, rename, set or add")
	case response == nil:
		return requests{request}, nil
	case request == nil:
		return responses{response}, nil
	}
	return headers{requests{request}, responses{response}}, nil
}

// compile compiles changes; nil for none. The order of a map is nobody's, so fields are written in that of their names.
func compile(from *Changes, response bool) (*changes, error) {
	if len(from.Remove)+len(from.Rename)+len(from.Set)+len(from.Add) == 0 {
		return nil, nil
	}
	c := &changes{}
	for _, n := range from.Remove {
		if err := c.addRemove(n, response); err != nil {
			return nil, fmt.Errorf("remove: %w", err)
		}
	}
	if err := c.addRenames(from.Rename, response); err != nil {
		return nil, fmt.Errorf("rename: %w", err)
	}
	if err := c.addSets(from.Set, response); err != nil {
		return nil, fmt.Errorf("set: %w", err)
	}
	for _, n := range sorted(from.Add) {
		for _, text := range from.Add[n] {
			v, err := newValue(n, text, response)
			if err != nil {
				return nil, fmt.Errorf("add: %w", err)
			}
			v.add = true
			c.values = append(c.values, v)
		}
	}
	var taken []string
	for i := range c.remove {
		taken = append(taken, c.remove[i].text)
	}
	for i := range c.rename {
		taken = append(taken, c.rename[i].to.text)
	}
	c.taken = exchange.NewNames(taken...).Beginning(c.prefixes...)
	c.written = exchange.NewNames(slices.Collect(maps.Keys(from.Set))...)
	return c, nil
}

func newName(text string) name { return name{text, exchange.Lookup(text)} }

func (n name) is(other name) bool { return strings.EqualFold(n.text, other.text) }

// like says whether endpoints may take one for the other.
func (n name) like(other name) bool {
	return len(n.text) == len(other.text) && looksLike(n.text, other.text)
}

// addRemove takes a name, or the beginning of names.
func (c *changes) addRemove(text string, response bool) error {
	prefix, begins := strings.CutSuffix(text, "*")
	if err := check(cmp.Or(prefix, text), response && !begins); err != nil {
		return err
	}
	if !begins {
		c.remove = append(c.remove, newName(text))
		return nil
	}
	if prefix == "" {
		return errors.New("* alone would take every field away; write how their names begin, as in X-Internal-*")
	}
	c.prefixes = append(c.prefixes, prefix)
	return nil
}

// check judges a name of which fields go away or are replaced.
func check(text string, response bool) error {
	if err := policy.CheckField(text, response); err != nil {
		return err
	}
	if response && exchange.Lookup(text) == exchange.Vary {
		return errors.New("the field Vary tells caches by what answers differ, which others say too; write it under add")
	}
	return nil
}

// notOurs refuses fields that another policy writes.
func notOurs(text string, response bool) error {
	if response && len(text) > len(cors) && strings.EqualFold(text[:len(cors)], cors) {
		return fmt.Errorf("%s is written by the policy cors; set it there", text)
	}
	return nil
}

const cors = "Access-Control-"

func (c *changes) addRenames(from map[string]string, response bool) error {
	for _, old := range sorted(from) {
		p := pair{newName(old), newName(from[old])}
		if err := cmp.Or(check(old, response), check(p.to.text, response), notOurs(p.to.text, response)); err != nil {
			return err
		}
		switch {
		case p.from.is(p.to):
			return fmt.Errorf("%s would get the name it has; remove it", old)
		case !response && p.from.like(p.to):
			return fmt.Errorf("%s and %s are one name to endpoints that read underscores as hyphens; choose another name", old, p.to.text)
		case p.from.known == exchange.SetCookie || p.to.known == exchange.SetCookie:
			return errors.New("a cookie keeps the name Set-Cookie, and nothing else gets it; browsers know it by this alone")
		case slices.ContainsFunc(c.remove, p.from.is):
			return fmt.Errorf("%s is removed before it could be renamed; take it out of one of them", old)
		}
		for _, other := range c.rename {
			if other.from.is(p.to) || other.to.is(p.from) {
				return fmt.Errorf("%s is renamed and is a new name besides; which comes first nobody could tell", cmp.Or(matching(p.from, other.to), p.to.text))
			}
			if other.to.is(p.to) || other.from.is(p.from) {
				return fmt.Errorf("%s and %s would both become %s; rename one of them", other.from.text, p.from.text, p.to.text)
			}
		}
		c.rename = append(c.rename, p)
	}
	return nil
}

func matching(a, b name) string {
	if a.is(b) {
		return a.text
	}
	return ""
}

func (c *changes) addSets(from map[string]string, response bool) error {
	for _, n := range sorted(from) {
		v, err := newValue(n, from[n], response)
		switch {
		case err != nil:
			return err
		case v.known == exchange.SetCookie:
			return errors.New("the field Set-Cookie would take all other cookies of the answer away; write it under add")
		case v.known == exchange.Vary && response:
			return check(n, response)
		case slices.ContainsFunc(c.rename, func(p pair) bool { return p.to.is(v.name) }):
			return fmt.Errorf("%s is a new name under rename, and would be overwritten; take it out of one of them", n)
		case slices.ContainsFunc(c.values, func(other value) bool { return other.is(v.name) }):
			return fmt.Errorf("%s is there twice in different case; remove one", n)
		}
		c.values = append(c.values, v)
	}
	return nil
}

// newValue compiles what a field gets.
func newValue(n, text string, response bool) (value, error) {
	if err := cmp.Or(policy.CheckField(n, response), notOurs(n, response)); err != nil {
		return value{}, err
	}
	compile := policy.NewTemplate
	if response {
		compile = policy.NewResponseTemplate
	}
	t, err := compile(text)
	if err != nil {
		return value{}, fmt.Errorf("%s: %w", n, err)
	}
	v := value{name: newName(n), template: t}
	if always, ok := t.Constant(); ok {
		if !exchange.FitsField(always) {
			return value{}, fmt.Errorf("%s: a value has no control characters, and no space at its ends", n)
		}
		v.text, v.template = always, nil
	}
	return v, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

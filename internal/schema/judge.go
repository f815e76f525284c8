package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The bounds of a judgement.
const (
	// MaxProblems is how many problems are told.
	MaxProblems = 10
	// MaxSteps is how many steps a judgement may take. A value judged by a schema is a step, and so are two
	// bytes of a string that a pattern is tried on.
	MaxSteps = 1_000_000
	maxNest  = 1000 // schemas that are asked within each other
	maxWord  = 64   // bytes of a name in a pointer
)

// Problem is something wrong with a value. It says nothing of the value but its type.
type Problem struct {
	// Pointer says where (RFC 6901). Names longer than 64 bytes are cut.
	Pointer string
	Message string
}

// Validate judges a value as Decode gives it. It returns the first problems, none when it is good. A judgement that takes too many steps ends in
// a problem of its own.
func (s *Schema) Validate(v any) []Problem {
	r := run{}
	if r.judge(s.n, v, nil) && !r.over {
		return nil
	}
	if !r.over { // once more, to say what is wrong
		r = run{telling: true}
		r.judge(s.n, v, nil)
	}
	if r.over {
		return []Problem{{"", "takes too many steps to judge"}}
	}
	return r.problems
}

// run is one judgement.
type run struct {
	steps, depth int
	over         bool
	telling      bool
	path         []string
	problems     []Problem
}

// wrong notes a problem where we are, and reports false.
func (r *run) wrong(message string) bool {
	if r.telling && len(r.problems) < MaxProblems {
		var b strings.Builder
		for _, word := range r.path {
			b.WriteByte('/')
			b.WriteString(strings.ReplaceAll(strings.ReplaceAll(clip(word), "~", "~0"), "/", "~1"))
		}
		r.problems = append(r.problems, Problem{b.String(), message})
	}
	return false
}

func clip(word string) string {
	if len(word) <= maxWord {
		return word
	}
	word = word[:maxWord]
	for !utf8.ValidString(word) {
		word = word[:len(word)-1]
	}
	return word + "…"
}

// done says whether it is known by now that the value is bad, and all that will be told.
func (r *run) done(good bool) bool {
	return r.over || !good && (!r.telling || len(r.problems) >= MaxProblems)
}

// step counts, and reports whether to go on.
func (r *run) step(n int) bool {
	if r.steps += n; r.steps > MaxSteps {
		r.over = true
	}
	return !r.over
}

func kindOf(v any) kinds {
	switch v.(type) {
	case nil:
		return null
	case bool:
		return boolean
	case json.Number:
		return number
	case string:
		return text
	case []any:
		return array
	}
	return object
}

// judge judges a value by a schema. What it evaluated is added to seen, unless that is nil.
func (r *run) judge(n *node, v any, s *seen) bool {
	if n.fixed != nil {
		return *n.fixed || r.wrong("is not allowed here")
	}
	if !r.step(1) {
		return false
	}
	if r.depth == maxNest {
		r.over = true
		return false
	}
	r.depth++
	defer func() { r.depth-- }()
	if n.refOnly {
		return r.judge(n.ref, v, s)
	}
	mine := s
	if n.needsSeen {
		mine = &seen{}
	}
	good := r.kind(n, v)
	if !good {
		return false // what is asked of other types would say nothing more
	}
	if n.isSet && !r.member(n, v) {
		good = r.wrong("is none of the values allowed")
	}
	if n.format != nil && !r.done(good) {
		if word, ok := v.(string); ok && !r.step(len(word)/16) || n.format.Validate(v) != nil {
			good = r.wrong("has not the format " + n.format.Name)
		}
	}
	if n.ref != nil && !r.done(good) {
		good = r.part(n.ref, v, mine) && good
	}
	if !r.done(good) {
		switch v := v.(type) {
		case map[string]any:
			good = r.members(n, v, mine) && good
		case []any:
			good = r.elements(n, v, mine) && good
		case string:
			good = r.text(n, v) && good
		case json.Number:
			good = r.number(n, string(v)) && good
		}
	}
	if !r.done(good) {
		good = r.parts(n, v, mine) && good
	}
	if n.needsSeen && !r.done(good) {
		good = r.unevaluated(n, v, mine) && good
		if good && s != nil {
			s.add(mine)
		}
	}
	return good
}

func (r *run) kind(n *node, v any) bool {
	if n.types == 0 {
		return true
	}
	k := kindOf(v)
	if n.types&k != 0 {
		return true
	}
	if k == number && n.types&integer != 0 {
		if d, ok := parseDecimal(string(v.(json.Number))); ok && d.whole() {
			return true
		}
	}
	if r.telling {
		var allowed []string
		for i, word := range words {
			if n.types&(1<<i) != 0 {
				allowed = append(allowed, word)
			}
		}
		got := ""
		for i, word := range words {
			if k == 1<<i {
				got = word
			}
		}
		r.wrong("is of type " + got + "; allowed: " + strings.Join(allowed, ", "))
	}
	return false
}

// member says whether a value is one of those that are allowed.
func (r *run) member(n *node, v any) bool {
	if n.names != nil {
		name, ok := v.(string)
		return ok && n.names[name]
	}
	for _, one := range n.only {
		if !r.step(1) || equal(one, v) {
			return true
		}
	}
	return false
}

// part judges by a schema that is about the same value.
func (r *run) part(n *node, v any, s *seen) bool {
	if s == nil {
		return r.judge(n, v, nil)
	}
	var mine seen
	if !r.judge(n, v, &mine) {
		return false
	}
	s.add(&mine)
	return true
}

// quietly is part without telling what is wrong.
func (r *run) quietly(n *node, v any, s *seen) bool {
	telling := r.telling
	r.telling = false
	good := r.part(n, v, s)
	r.telling = telling
	return good
}

func (r *run) parts(n *node, v any, s *seen) bool {
	good := true
	for _, sub := range n.all {
		if good = r.part(sub, v, s) && good; r.done(good) {
			return false
		}
	}
	if len(n.any) > 0 {
		found := false
		for _, sub := range n.any {
			if r.quietly(sub, v, s) {
				if found = true; s == nil {
					break
				}
			}
		}
		if !found {
			good = r.wrong("matches none of the forms allowed (anyOf)")
		}
	}
	if len(n.one) > 0 && !r.done(good) {
		found := 0
		for _, sub := range n.one {
			if r.quietly(sub, v, s) {
				if found++; found > 1 {
					break
				}
			}
		}
		switch found {
		case 0:
			good = r.wrong("matches none of the forms allowed (oneOf)")
		case 2:
			good = r.wrong("matches more than one of the forms allowed (oneOf)")
		}
	}
	if n.not != nil && !r.done(good) && r.quietly(n.not, v, nil) {
		good = r.wrong("has a form that is not allowed (not)")
	}
	if n.when != nil && !r.done(good) {
		if r.quietly(n.when, v, s) {
			if n.yes != nil {
				good = r.part(n.yes, v, s) && good
			}
		} else if n.no != nil {
			good = r.part(n.no, v, s) && good
		}
	}
	return good
}

// below judges a value inside the one we are at.
func (r *run) below(n *node, v any, word string) bool {
	if !r.telling {
		return r.judge(n, v, nil)
	}
	r.path = append(r.path, word)
	good := r.judge(n, v, nil)
	r.path = r.path[:len(r.path)-1]
	return good
}

func (r *run) members(n *node, o map[string]any, s *seen) bool {
	good := true
	if n.leastMembers >= 0 && len(o) < n.leastMembers {
		good = r.wrong("has fewer than " + strconv.Itoa(n.leastMembers) + " members")
	}
	if n.mostMembers >= 0 && len(o) > n.mostMembers {
		good = r.wrong("has more than " + strconv.Itoa(n.mostMembers) + " members")
	}
	for _, name := range n.required {
		if _, is := o[name]; !is {
			good = r.wrong("lacks the member " + strconv.Quote(clip(name)))
		}
	}
	if r.done(good) {
		return false
	}
	if n.members != nil || n.patterns != nil || n.others != nil || n.memberNames != nil {
		if r.telling { // always the same problems of the same value
			for _, name := range slices.Sorted(maps.Keys(o)) {
				if good = r.one(n, name, o[name], s) && good; r.done(good) {
					return false
				}
			}
		} else {
			for name, v := range o {
				if !r.one(n, name, v, s) {
					return false
				}
			}
		}
	}
	if len(n.dependents) > 0 {
		for name, others := range n.dependents {
			if _, is := o[name]; !is {
				continue
			}
			for _, other := range others {
				if _, is := o[other]; !is {
					good = r.wrong("lacks the member " + strconv.Quote(clip(other)) + ", which goes with " + strconv.Quote(clip(name)))
				}
			}
		}
	}
	for name, sub := range n.dependentSchemas {
		if _, is := o[name]; is && !r.done(good) {
			good = r.part(sub, o, s) && good
		}
	}
	return good
}

// one judges one member.
func (r *run) one(n *node, name string, v any, s *seen) bool {
	good, found := true, false
	if n.memberNames != nil {
		if telling := r.telling; !r.quietly(n.memberNames, name, nil) && !r.over {
			r.path = append(r.path, name)
			r.telling = telling
			good = r.wrong("has a name that is not allowed")
			r.path = r.path[:len(r.path)-1]
		}
	}
	if sub := n.members[name]; sub != nil {
		found = true
		good = r.below(sub, v, name) && good
	}
	for _, p := range n.patterns {
		if !r.step(1 + len(name)/2) {
			return false
		}
		if p.name.MatchString(name) {
			found = true
			good = r.below(p.node, v, name) && good
		}
	}
	if !found && n.others != nil {
		found = true
		good = r.below(n.others, v, name) && good
	}
	if found && s != nil {
		s.member(name)
	}
	return good
}

func (r *run) elements(n *node, list []any, s *seen) bool {
	good := true
	if n.leastElements >= 0 && len(list) < n.leastElements {
		good = r.wrong("has fewer than " + strconv.Itoa(n.leastElements) + " elements")
	}
	if n.mostElements >= 0 && len(list) > n.mostElements {
		good = r.wrong("has more than " + strconv.Itoa(n.mostElements) + " elements")
	}
	if n.unique && !r.done(good) && !r.unique(list) {
		good = r.wrong("has two elements that are equal")
	}
	for i, v := range list {
		sub := n.rest
		if i < len(n.first) {
			sub = n.first[i]
		}
		if sub == nil {
			break
		}
		word := ""
		if r.telling {
			word = strconv.Itoa(i)
		}
		if good = r.below(sub, v, word) && good; r.done(good) {
			return false
		}
		if s != nil {
			s.elements = max(s.elements, i+1)
		}
	}
	if n.contains != nil && !r.done(good) {
		found := 0
		for i, v := range list {
			if r.quietly(n.contains, v, nil) {
				found++
				if s != nil {
					s.element(i)
				}
			}
			if r.over {
				return false
			}
		}
		if found < n.leastContains {
			good = r.wrong("has too few elements of a form that is asked for (contains)")
		}
		if n.mostContains >= 0 && found > n.mostContains {
			good = r.wrong("has too many elements of a form (contains)")
		}
	}
	return good
}

func (r *run) text(n *node, v string) bool {
	good := true
	if n.leastLength >= 0 || n.mostLength >= 0 {
		length := utf8.RuneCountInString(v)
		if n.leastLength >= 0 && length < n.leastLength {
			good = r.wrong("is shorter than " + strconv.Itoa(n.leastLength) + " characters")
		}
		if n.mostLength >= 0 && length > n.mostLength {
			good = r.wrong("is longer than " + strconv.Itoa(n.mostLength) + " characters")
		}
	}
	if n.matches != nil && !r.done(good) && (!r.step(1+len(v)/2) || !n.matches.MatchString(v)) {
		good = r.wrong("does not match the pattern that is asked for")
	}
	return good
}

func (r *run) number(n *node, v string) bool {
	if n.least == nil && n.most == nil && n.above == nil && n.below == nil && n.multiple == nil {
		return true
	}
	d, ok := parseDecimal(v)
	switch {
	case !ok:
		return r.wrong("has more digits than can be judged")
	case n.least != nil && d.compare(*n.least) < 0, n.above != nil && d.compare(*n.above) <= 0:
		return r.wrong("is too small")
	case n.most != nil && d.compare(*n.most) > 0, n.below != nil && d.compare(*n.below) >= 0:
		return r.wrong("is too large")
	case n.multiple != nil && (!r.step(16) || !d.multipleOf(*n.multiple)):
		return r.wrong("is not a multiple of the number that is asked for")
	}
	return true
}

// unique says whether no two elements are equal. Each is written in the one form that equal ones share, so that it takes no longer for a list
// that was made to be slow.
func (r *run) unique(list []any) bool {
	var room [256]byte
	before := make(map[string]bool, len(list))
	for _, v := range list {
		key := appendKey(room[:0], v)
		if !r.step(1 + len(key)/16) {
			return true
		}
		if before[string(key)] {
			return false
		}
		before[string(key)] = true
	}
	return true
}

// appendKey appends a value in a form that two values share when they are equal, and not otherwise.
func appendKey(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 'n')
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		d, ok := parseDecimal(string(v))
		if !ok {
			return strconv.AppendQuote(append(b, '#'), string(v))
		}
		if d.negative {
			b = append(b, '-')
		}
		b = append(append(b, '0'), d.digits...)
		return strconv.AppendInt(append(b, 'e'), int64(d.exp), 10)
	case string:
		return strconv.AppendQuote(b, v)
	case []any:
		b = append(b, '[')
		for _, e := range v {
			b = append(appendKey(b, e), ',')
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = append(strconv.AppendQuote(b, name), ':')
			b = append(appendKey(b, v[name]), ',')
		}
		return append(b, '}')
	}
	return b
}

// equal compares two values as JSON Schema does: 1 and 1.0 are one number.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, ok := parseDecimal(string(a))
		y, ok2 := parseDecimal(string(n))
		return ok && ok2 && x == y
	case []any:
		list, ok := b.([]any)
		return ok && slices.EqualFunc(a, list, equal)
	case map[string]any:
		o, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, o, equal)
	case string:
		s, ok := b.(string)
		return ok && s == a
	case bool:
		t, ok := b.(bool)
		return ok && t == a
	}
	return a == nil && b == nil
}

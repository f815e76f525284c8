package schema

import (
	"maps"
	"slices"
	"strconv"
)

// seen is what of one value was judged by some part of a schema (JSON Schema 2020-12, Core §11).
type seen struct {
	members   map[string]bool
	elements  int // from the beginning
	scattered map[int]bool
}

func (s *seen) member(name string) {
	if s.members == nil {
		s.members = map[string]bool{}
	}
	s.members[name] = true
}

func (s *seen) element(i int) {
	if s.scattered == nil {
		s.scattered = map[int]bool{}
	}
	s.scattered[i] = true
}

func (s *seen) add(other *seen) {
	for name := range other.members {
		s.member(name)
	}
	for i := range other.scattered {
		s.element(i)
	}
	s.elements = max(s.elements, other.elements)
}

// unevaluated judges what no other part of a schema has.
func (r *run) unevaluated(n *node, v any, s *seen) bool {
	good := true
	switch v := v.(type) {
	case map[string]any:
		if n.unevaluatedMembers == nil {
			return true
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s.members[name] {
				continue
			}
			if good = r.below(n.unevaluatedMembers, v[name], name) && good; r.done(good) {
				return false
			}
			s.member(name)
		}
	case []any:
		if n.unevaluatedElements == nil {
			return true
		}
		for i := s.elements; i < len(v); i++ {
			if s.scattered[i] {
				continue
			}
			if good = r.below(n.unevaluatedElements, v[i], strconv.Itoa(i)) && good; r.done(good) {
				return false
			}
		}
		s.elements = len(v)
	}
	return good
}

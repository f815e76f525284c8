package route

import "strings"

// node stands for the segments of a path taken so far.
type node struct {
	few   []child          // literal children while they are at most fewChildren
	many  map[string]*node // all literal children once there are more
	param *node
	end   *leaf // the path ends here
	rest  *leaf // /* from here on, this very prefix included

	one [1]child // memory of few while it has one: spares a cache miss a segment
}

type child struct {
	literal string
	node    *node
}

// fewChildren is how many literal children are searched one by one. Up to about
// this many, comparing lengths and bytes is cheaper than hashing.
const fewChildren = 8

// leaf holds the routes of one host and one path, those with more conditions first.
type leaf struct {
	entries []entry
	index   *index // of a leaf with many entries; else nil

	one [1]entry // memory of entries while there is one, as it mostly is
}

// entry is a route under one of its hosts and one of its paths.
type entry struct {
	methods methods
	route   *compiled
	pattern *pattern
}

func (n *node) child(literal string) *node {
	if n.many != nil {
		return n.many[literal]
	}
	for i := range n.few {
		if n.few[i].literal == literal {
			return n.few[i].node
		}
	}
	return nil
}

// grow gives the node of a segment, which it adds if need be. Only while building.
func (n *node) grow(s segment) *node {
	if s.param {
		if n.param == nil {
			n.param = new(node)
		}
		return n.param
	}
	next := n.child(s.literal)
	if next != nil {
		return next
	}
	next = new(node)
	switch {
	case n.many != nil:
		n.many[s.literal] = next
	case len(n.few) == 0:
		n.one[0] = child{s.literal, next}
		n.few = n.one[:]
	case len(n.few) < fewChildren:
		n.few = append(n.few, child{s.literal, next})
	default:
		n.many = make(map[string]*node, 2*fewChildren)
		for _, c := range n.few {
			n.many[c.literal] = c.node
		}
		n.many[s.literal] = next
		n.few = nil
	}
	return next
}

// insert adds a route under a path. Only while building.
func (n *node) insert(segments []segment, e entry) *leaf {
	for _, s := range segments {
		n = n.grow(s)
	}
	at := &n.end
	if e.pattern.rest {
		at = &n.rest
	}
	if *at == nil {
		*at = new(leaf)
		(*at).entries = (*at).one[:0]
	}
	(*at).entries = append((*at).entries, e)
	return *at
}

// search is one lookup on its way.
type search struct {
	q   *Query
	m   *Match // values, rest and bare are written while walking
	bit methods

	sawHost bool    // some tree was walked
	sawPath bool    // some leaf was reached
	allow   methods // of routes that only the method kept from matching
}

// walk finds the most specific entry below n. path is what is left, either empty
// or with a slash in front; params have been taken so far. Going back needs no
// clean-up: the next branch overwrites the values it takes.
func (s *search) walk(n *node, path string, params int) *entry {
	s.m.steps++
	if path == "" {
		if n.end != nil {
			if e := s.choose(n.end); e != nil {
				s.m.rest, s.m.bare = "", false
				return e
			}
		}
		if n.rest != nil {
			if e := s.choose(n.rest); e != nil {
				s.m.rest, s.m.bare = "", true
				return e
			}
		}
		return nil
	}
	seg, left := path[1:], ""
	if i := strings.IndexByte(seg, '/'); i >= 0 {
		seg, left = seg[:i], seg[i:]
	}
	if next := n.child(seg); next != nil {
		if e := s.walk(next, left, params); e != nil {
			return e
		}
	}
	if n.param != nil && seg != "" {
		s.m.values[params] = seg
		if e := s.walk(n.param, left, params+1); e != nil {
			return e
		}
	}
	if n.rest != nil {
		if e := s.choose(n.rest); e != nil {
			s.m.rest, s.m.bare = path[1:], false
			return e
		}
	}
	return nil
}

// choose answers the third and fourth question. Entries stand in the order of
// the fourth, so of those whose methods fit equally well the first wins.
func (s *search) choose(l *leaf) *entry {
	s.sawPath = true
	if l.index != nil {
		return s.chooseIndexed(l.index)
	}
	best, _ := s.best(l.entries)
	return best
}

// best gives the most specific of entries that fits, and how well its methods do.
func (s *search) best(entries []entry) (best *entry, bestFit int) {
	for i := range entries {
		s.m.steps++
		e := &entries[i]
		fit := e.methods.fit(s.bit)
		if fit != fitNone && fit <= bestFit || !allHold(e.route.conditions, s.q) {
			continue
		}
		if fit == fitNone {
			s.allow |= e.methods
			continue
		}
		best, bestFit = e, fit
		if fit == fitListed {
			break
		}
	}
	return best, bestFit
}

package route

import "slices"

// index spares a leaf with many entries from trying them one by one: a table that
// tells a thousand tenants apart by a header looks the header's value up.
//
// Each entry is in one place only. What it leaves out cannot match, since the
// header's value differs; so it is out for the Allow list too.
type index struct {
	headers []headerIndex
	others  []entry // with no header condition that names a value
}

// headerIndex holds the entries that want a value of one header field.
type headerIndex struct {
	name    string
	byValue map[string][]entry
}

// fewEntries is how many entries a leaf may have without an index.
const fewEntries = 8

// newIndex puts each entry under its first header condition with a value, in the
// order they stand in. It gives nil if that would spare nothing.
func newIndex(entries []entry) *index {
	x := new(index)
	for _, e := range entries {
		i := slices.IndexFunc(e.route.conditions, func(c condition) bool { return !c.query && !c.present })
		if i < 0 {
			x.others = append(x.others, e)
			continue
		}
		c := &e.route.conditions[i]
		at := slices.IndexFunc(x.headers, func(h headerIndex) bool { return h.name == c.name })
		if at < 0 {
			at = len(x.headers)
			x.headers = append(x.headers, headerIndex{c.name, make(map[string][]entry)})
		}
		by := x.headers[at].byValue
		by[c.value] = append(by[c.value], e)
	}
	if len(x.headers) == 0 {
		return nil
	}
	return x
}

// chooseIndexed takes the best of each place that can match and of the rest.
func (s *search) chooseIndexed(x *index) *entry {
	best, bestFit := s.best(x.others)
	if s.q.Header == nil {
		return best
	}
	for i := range x.headers {
		value, ok := s.q.Header.Header(x.headers[i].name)
		if !ok {
			continue
		}
		e, fit := s.best(x.headers[i].byValue[value])
		if e != nil && (best == nil || fit > bestFit || fit == bestFit && compareConditions(e.route, best.route) < 0) {
			best, bestFit = e, fit
		}
	}
	return best
}

package route

import (
	"fmt"
	"strings"
)

// Two routes are ambiguous when one request can match both and none of the four
// questions tells them apart. Host and path differ in kind at their first
// difference, or one request cannot match both; so only routes in one leaf can
// be. There they must tie in methods, have as many conditions and as many with a
// value, and no condition on one name with two values.
//
// Comparing all pairs would be quadratic for a table that tells thousands of
// tenants apart by a header. So routes are put together by what they look at
// (their shape: kind and name of each condition). Within a shape the values
// decide, by a map; between two shapes the values of the names they share.
// That is linear in the routes for each pair of shapes, and two shapes that
// share no name are ambiguous by their methods alone.

// shape is the routes of a leaf whose conditions look at the same things.
type shape struct {
	conditions []condition // of any of them: kinds and names count, values do not
	entries    []*entry
}

func (b *Builder) refuseAmbiguous(p placed) {
	entries := p.leaf.entries
	for from := 0; from < len(entries) && b.more == 0; {
		to := from + 1
		for to < len(entries) && len(entries[to].route.conditions) == len(entries[from].route.conditions) &&
			entries[to].route.exact == entries[from].route.exact {
			to++
		}
		shapes := shapesOf(entries[from:to])
		for i, x := range shapes {
			b.compareWithin(p.host, x)
			for _, y := range shapes[:i] {
				if b.more > 0 {
					return
				}
				b.compareAcross(p.host, x, y)
			}
		}
		from = to
	}
}

func shapesOf(entries []entry) []*shape {
	byKey := make(map[string]*shape)
	var out []*shape
	var key strings.Builder
	for i := range entries {
		key.Reset()
		for _, c := range entries[i].route.conditions {
			fmt.Fprintf(&key, "%t %t %q ", c.query, c.present, c.name)
		}
		s := byKey[key.String()]
		if s == nil {
			s = &shape{conditions: entries[i].route.conditions}
			byKey[key.String()] = s
			out = append(out, s)
		}
		s.entries = append(s.entries, &entries[i])
	}
	return out
}

// compareWithin refuses routes with equal conditions that tie in methods. Of the
// routes that share values at most one takes any method and the others list
// methods no other lists, so at most MaxMethods+1 are kept to compare with.
func (b *Builder) compareWithin(h hostPattern, s *shape) {
	kept := make(map[string][]*entry, len(s.entries))
	all := make([]bool, len(s.conditions))
	for i := range s.conditions {
		all[i] = !s.conditions[i].present
	}
next:
	for _, e := range s.entries {
		key := valuesKey(e, all)
		for _, other := range kept[key] {
			if e.methods.ties(other.methods) {
				b.failAmbiguous(h, other, e)
				continue next
			}
		}
		kept[key] = append(kept[key], e)
	}
}

// compareAcross refuses routes of two shapes that agree on the values of the
// names they share and tie in methods.
func (b *Builder) compareAcross(h hostPattern, x, y *shape) {
	inX, inY := make([]bool, len(x.conditions)), make([]bool, len(y.conditions))
	for i, c := range x.conditions {
		for j, d := range y.conditions {
			if c.name == d.name && c.query == d.query && !c.present && !d.present {
				inX[i], inY[j] = true, true
			}
		}
	}
	type union struct {
		methods methods
		any     bool
		entries []*entry
	}
	byKey := make(map[string]*union)
	for _, e := range x.entries {
		key := valuesKey(e, inX)
		u := byKey[key]
		if u == nil {
			u = new(union)
			byKey[key] = u
		}
		u.methods |= e.methods
		u.any = u.any || e.methods == 0
		u.entries = append(u.entries, e)
	}
	for _, e := range y.entries {
		u := byKey[valuesKey(e, inY)]
		if u == nil || u.methods&e.methods == 0 && !(u.any && e.methods == 0) {
			continue
		}
		for _, other := range u.entries {
			if e.methods.ties(other.methods) {
				b.failAmbiguous(h, other, e)
				break
			}
		}
		if b.more > 0 {
			return
		}
	}
}

// valuesKey joins the values of the chosen conditions; conditions stand in one
// order, so the keys of two shapes that share names fit each other.
func valuesKey(e *entry, chosen []bool) string {
	var key strings.Builder
	for i, c := range e.route.conditions {
		if chosen[i] {
			fmt.Fprintf(&key, "%d %s ", len(c.value), c.value)
		}
	}
	return key.String()
}

func (b *Builder) failAmbiguous(h hostPattern, x, y *entry) {
	if x.route == y.route {
		b.fail(fmt.Errorf("%s: paths %s and %s match the same requests: remove one", x.route, x.pattern.text, y.pattern.text))
		return
	}
	if y.route.index < x.route.index {
		x, y = y, x
	}
	method := "any method"
	if both := x.methods & y.methods; both != 0 {
		method = "method " + b.methodName(both&-both)
	}
	conditions := "without conditions"
	switch n := len(x.route.conditions); n {
	case 0:
	case 1:
		conditions = "with one condition each"
	default:
		conditions = fmt.Sprintf("with %d conditions each", n)
	}
	path := x.pattern.text
	if y.pattern.text != path {
		path += " and " + y.pattern.text
	}
	b.fail(fmt.Errorf("%s is ambiguous with %s: both take host %s, path %s, %s, %s; nothing tells which comes first: "+
		"give one of them a narrower host or path, its own methods, or one header or query condition more",
		y.route, x.route, h, path, method, conditions))
}

func (b *Builder) methodName(bit methods) string {
	for i, name := range knownMethods {
		if bit == 1<<i {
			return name
		}
	}
	for name, own := range b.t.ownMethods {
		if own == bit {
			return name
		}
	}
	return ""
}

package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Row is one line of the table as compiled: a route under one host and one path.
type Row struct {
	Host       string // *.example.com for a wildcard, * for any
	Path       string
	Methods    []string // in alphabetical order; empty is any
	Conditions []string // such as "header x-version: 2"
	Route      int      // Spec.Index
	Name       string
	Source     string
	Why        string // what puts it behind the row above
}

// Rows gives the table in order of precedence: of two rows that one request
// matches, the upper wins. (With one exception: for HEAD, a row that lists HEAD
// comes before one of the same host and path that lists only GET.) It is meant
// for operators and allocates as it likes.
func (t *Table) Rows() []Row {
	w := rowWriter{table: t}
	for _, h := range t.hosts() {
		w.host = h.String()
		w.node(t.tree(h))
	}
	for i := range w.rows {
		if i == 0 {
			w.rows[i].Why = "first"
			continue
		}
		w.rows[i].Why = whyBehind(&w.rows[i-1], &w.rows[i])
	}
	return w.rows
}

// hosts lists exact hosts by name, then wildcards with long suffixes first, then any.
func (t *Table) hosts() []hostPattern {
	var out []hostPattern
	for _, name := range slices.Sorted(maps.Keys(t.exact)) {
		out = append(out, hostPattern{name: name})
	}
	for _, name := range slices.SortedFunc(maps.Keys(t.wild), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(y), len(x)), strings.Compare(x, y))
	}) {
		out = append(out, hostPattern{name: name, wild: true})
	}
	if t.any != nil {
		out = append(out, hostPattern{})
	}
	return out
}

func (t *Table) tree(h hostPattern) *node {
	switch {
	case h.name == "":
		return t.any
	case h.wild:
		return t.wild[h.name]
	}
	return t.exact[h.name]
}

type rowWriter struct {
	table *Table
	host  string
	rows  []Row
}

// node writes the rows below n in the order in which walk tries them.
func (w *rowWriter) node(n *node) {
	w.leaf(n.end)
	for _, literal := range n.literals() {
		w.node(n.child(literal))
	}
	if n.param != nil {
		w.node(n.param)
	}
	w.leaf(n.rest)
}

func (n *node) literals() []string {
	if n.many != nil {
		return slices.Sorted(maps.Keys(n.many))
	}
	out := make([]string, 0, len(n.few))
	for _, c := range n.few {
		out = append(out, c.literal)
	}
	slices.Sort(out)
	return out
}

func (w *rowWriter) leaf(l *leaf) {
	if l == nil {
		return
	}
	for _, any := range []bool{false, true} {
		for _, e := range l.entries {
			if (e.methods == 0) != any {
				continue
			}
			row := Row{Host: w.host, Path: e.pattern.text, Route: e.route.index, Name: e.route.name, Source: e.route.source}
			for _, m := range w.table.methodOrder {
				if e.methods&m.bit != 0 {
					row.Methods = append(row.Methods, m.name)
				}
			}
			for i := range e.route.conditions {
				row.Conditions = append(row.Conditions, e.route.conditions[i].String())
			}
			w.rows = append(w.rows, row)
		}
	}
}

// whyBehind names the first of the four questions that tells two neighbours apart.
func whyBehind(up, down *Row) string {
	if up.Host != down.Host {
		switch kind := hostKind(down.Host); {
		case kind == hostKind(up.Host) && kind == "wildcard" && len(down.Host) < len(up.Host):
			return "host: shorter wildcard after longer"
		case kind == hostKind(up.Host):
			return "host: another one, order does not matter"
		default:
			return "host: " + kind + " after " + hostKind(up.Host)
		}
	}
	x, y := strings.Split(up.Path, "/")[1:], strings.Split(down.Path, "/")[1:]
	for i := range min(len(x), len(y)) {
		kx, ky := segmentKind(x[i]), segmentKind(y[i])
		switch {
		case kx != ky:
			return fmt.Sprintf("path: %s after %s in segment %d", ky, kx, i+1)
		case kx == "literal" && x[i] != y[i]:
			return fmt.Sprintf("path: another literal in segment %d, order does not matter", i+1)
		}
	}
	switch {
	case len(x) < len(y) && y[len(x)] == "*":
		return fmt.Sprintf("path: /* after end in segment %d", len(x)+1)
	case len(x) < len(y):
		return "path: a longer one, order does not matter"
	case (len(up.Methods) == 0) != (len(down.Methods) == 0):
		return "methods: any after listed"
	case len(up.Conditions) > len(down.Conditions):
		return "conditions: fewer after more"
	case presences(up.Conditions) < presences(down.Conditions):
		return "conditions: presence after value"
	}
	return "methods or conditions exclude each other, order does not matter"
}

func hostKind(host string) string {
	switch {
	case host == "*":
		return "any"
	case strings.HasPrefix(host, "*."):
		return "wildcard"
	}
	return "exact"
}

func segmentKind(s string) string {
	switch {
	case s == "*":
		return "/*"
	case strings.HasPrefix(s, "{"):
		return "{param}"
	}
	return "literal"
}

func presences(conditions []string) (n int) {
	for _, c := range conditions {
		if strings.HasSuffix(c, ": *") {
			n++
		}
	}
	return n
}

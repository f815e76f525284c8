package route

import (
	"fmt"
	"slices"
	"strings"
)

// Explanation tells what Lookup decided and what would have helped.
type Explanation struct {
	// Client may be put into an answer: it says nothing about other hosts or
	// routes than the client named itself.
	Client string
	// Operator is for logs and commands: it names hosts, routes and sources.
	Operator string
}

// Bounds on the work of Explain, which clients may cause with made-up requests.
const (
	explainCandidates = 100 // hosts or segments compared with the one asked for
	explainLength     = 64  // longer names are not compared
	explainNames      = 5   // names listed
)

// Explain does a Lookup and puts the result in words. It allocates, and comparing
// names may take some hundred microseconds; it is for commands and for a log
// that samples, not for every request that finds no route.
func (t *Table) Explain(q *Query) Explanation {
	var m Match
	switch t.Lookup(q, &m) {
	case Found:
		return Explanation{
			Client:   "the request has a route",
			Operator: fmt.Sprintf("route %q takes it by path %s", m.Name, m.Pattern),
		}
	case MethodNotAllowed:
		return Explanation{
			Client:   "the method is not allowed here",
			Operator: fmt.Sprintf("no route takes method %q for this request: with %s there is one", q.Method, m.Allow),
		}
	case NoHost:
		return Explanation{noRoute, t.explainHost(q.Host)}
	case NoCondition:
		return Explanation{noRoute, t.explainConditions(q)}
	}
	return Explanation{noRoute, t.explainPath(q)}
}

const noRoute = "no route matches this request"

func (t *Table) explainHost(host string) string {
	if len(t.exact)+len(t.wild) == 0 {
		return "no route at all: the table is empty"
	}
	known := make([]string, 0, min(explainCandidates, len(t.exact)+len(t.wild)))
	for name := range t.exact {
		if len(known) == explainCandidates {
			break
		}
		known = append(known, name)
	}
	for name := range t.wild {
		if len(known) == explainCandidates {
			break
		}
		known = append(known, "*."+name)
	}
	slices.Sort(known)
	text := fmt.Sprintf("no route for host %q", host)
	if near := nearest(host, known); near != "" {
		text += fmt.Sprintf(", did the client mean %s?", near)
	}
	return text + fmt.Sprintf(" (hosts known: %s)", list(known, len(t.exact)+len(t.wild)))
}

// explainPath follows the path as far as any route of the most specific host goes.
func (t *Table) explainPath(q *Query) string {
	hosts := t.hostsOf(q.Host)
	if len(hosts) == 0 {
		return fmt.Sprintf("no route for path %q", q.Path)
	}
	h := hosts[0]
	n, taken := deepest(t.tree(h), q.Path)
	rest := strings.TrimPrefix(q.Path[taken:], "/")
	seg, _, _ := strings.Cut(rest, "/")
	where := q.Path[:taken]
	if where == "" {
		where = "/"
	}
	var next []string
	for _, literal := range n.someLiterals() {
		if literal == "" {
			literal = "/"
		}
		next = append(next, literal)
	}
	total := len(n.few) + len(n.many)
	near := nearest(seg, next)
	if n.param != nil {
		next, total = append(next, "{param}"), total+1
	}
	text := fmt.Sprintf("no route for path %s under host %s", q.Path, h)
	switch {
	case taken == len(q.Path):
		text += fmt.Sprintf(": it ends at %s, where routes go on with %s", where, list(next, total))
	case total == 0:
		text += fmt.Sprintf(": routes end at %s", where)
	default:
		text += fmt.Sprintf(": after %s it has %q, routes have %s", where, seg, list(next, total))
	}
	if near != "" {
		text += fmt.Sprintf("; did the client mean %s?", near)
	}
	return text
}

// hostsOf lists the hosts of the table that match, the most specific first.
func (t *Table) hostsOf(host string) (out []hostPattern) {
	if !strings.HasPrefix(host, "*") && t.exact[host] != nil {
		out = append(out, hostPattern{name: host})
	}
	for label, suffix, ok := strings.Cut(host, "."); ok; label, suffix, ok = strings.Cut(suffix, ".") {
		if label != "" && t.wild[suffix] != nil {
			out = append(out, hostPattern{name: suffix, wild: true})
		}
	}
	if t.any != nil {
		out = append(out, hostPattern{})
	}
	return out
}

// deepest gives the node that takes the most of the path, and how much.
func deepest(n *node, path string) (best *node, taken int) {
	best = n
	if path == "" || path[0] != '/' {
		return best, 0
	}
	seg := path[1:]
	if i := strings.IndexByte(seg, '/'); i >= 0 {
		seg = seg[:i]
	}
	try := func(next *node) {
		if next == nil {
			return
		}
		if b, more := deepest(next, path[1+len(seg):]); 1+len(seg)+more > taken {
			best, taken = b, 1+len(seg)+more
		}
	}
	try(n.child(seg))
	if seg != "" {
		try(n.param)
	}
	return best, taken
}

func (n *node) someLiterals() []string {
	if len(n.many) <= explainCandidates {
		return n.literals()
	}
	var out []string
	for literal := range n.many {
		if len(out) == explainCandidates {
			break
		}
		out = append(out, literal)
	}
	return out
}

// explainConditions names the routes that failed by their conditions alone.
func (t *Table) explainConditions(q *Query) string {
	c := conditionFailures{q: q}
	for _, h := range t.hostsOf(q.Host) {
		c.node(t.tree(h), q.Path)
	}
	text := fmt.Sprintf("no route for path %s: %s", q.Path, strings.Join(c.found, "; "))
	if c.more > 0 {
		text += fmt.Sprintf("; and %d more", c.more)
	}
	return text
}

type conditionFailures struct {
	q     *Query
	found []string
	more  int
}

func (c *conditionFailures) node(n *node, path string) {
	if path == "" {
		c.leaf(n.end)
		c.leaf(n.rest)
		return
	}
	seg, left := path[1:], ""
	if i := strings.IndexByte(seg, '/'); i >= 0 {
		seg, left = seg[:i], seg[i:]
	}
	if next := n.child(seg); next != nil {
		c.node(next, left)
	}
	if n.param != nil && seg != "" {
		c.node(n.param, left)
	}
	c.leaf(n.rest)
}

func (c *conditionFailures) leaf(l *leaf) {
	if l == nil {
		return
	}
	for _, e := range l.entries {
		if len(c.found) == explainNames {
			c.more++
			continue
		}
		for i := range e.route.conditions {
			if !e.route.conditions[i].holds(c.q) {
				c.found = append(c.found, fmt.Sprintf("%s wants %s", e.route, &e.route.conditions[i]))
				break
			}
		}
	}
}

// list writes the first names and how many there are besides.
func list(names []string, total int) string {
	if len(names) == 0 {
		return "nothing"
	}
	shown := names[:min(len(names), explainNames)]
	text := strings.Join(shown, ", ")
	if total > len(shown) {
		text += fmt.Sprintf(" and %d more", total-len(shown))
	}
	return text
}

// nearest gives the name with the fewest edits to what was asked for, if they
// are few enough to be a slip; among equals the first in the alphabet.
func nearest(asked string, names []string) string {
	if len(asked) > explainLength || len(asked) < 3 {
		return ""
	}
	best, bestEdits := "", max(1, len(asked)/4)+1
	for _, name := range names {
		if len(name) > explainLength {
			continue
		}
		if n := edits(asked, name); n < bestEdits || n == bestEdits && best != "" && name < best {
			best, bestEdits = name, n
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes of two strings of at most explainLength.
func edits(x, y string) int {
	var row [explainLength + 1]int
	for j := range len(y) + 1 {
		row[j] = j
	}
	for i := range len(x) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(y) {
			change := diagonal
			if x[i] != y[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

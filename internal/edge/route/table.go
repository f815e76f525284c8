package route

import "strings"

// Table is the immutable tree of all routes of a snapshot; see the package
// comment for its levels. The zero Table has no routes.
type Table struct {
	exact map[string]*node // by host
	wild  map[string]*node // by suffix, without "*."
	any   *node

	wildLongest int // length of the longest key of wild, to skip suffixes in vain

	ownMethods  map[string]methods // bits of methods that are not known ones
	methodOrder []namedMethod
}

// HeaderGetter gives the first value of a header field. The name is asked in
// lower case; the implementation compares without case.
type HeaderGetter interface {
	Header(name string) (value string, ok bool)
}

// Query is what Lookup needs to know about a request.
type Query struct {
	Host     string       // lower case, no port, no trailing dot: see AppendHost
	Method   string       // as received; methods have case
	Path     string       // canonical: see AppendCanonical
	RawQuery string       // without "?"; may be empty
	Header   HeaderGetter // may be nil: no fields
}

// Result is the kind of answer Lookup found.
type Result uint8

// Results. All but Found and MethodNotAllowed are answered with 404; a client is
// not told which.
const (
	Found            Result = iota
	NoHost                  // no route for the host
	NoPath                  // routes for the host, none for the path
	NoCondition             // routes for host and path, whose header or query conditions do not hold
	MethodNotAllowed        // with another method a route would match; see Match.Allow
)

func (r Result) String() string {
	switch r {
	case Found:
		return "found"
	case NoHost:
		return "no route for the host"
	case NoPath:
		return "no route for the path"
	case NoCondition:
		return "no route for header and query"
	case MethodNotAllowed:
		return "method not allowed"
	}
	return "unknown result"
}

// Match is what Lookup found. It is the caller's, to be reused: a Lookup
// overwrites it. Its strings alias the path looked up and the table.
type Match struct {
	Route        int    // Spec.Index of the route
	Name         string // Spec.Name
	Pattern      string // the path pattern that matched, such as /orders/{id}
	EncodedSlash bool   // the route allows %2F and %5C in the path

	// Allow is the value of the Allow field after MethodNotAllowed, empty after
	// any other result: the methods with which this request would find a route,
	// in alphabetical order. HEAD is in it wherever GET is. OPTIONS is in it only
	// if a route takes OPTIONS, since the gateway answers none by itself.
	Allow []byte

	names  []string
	values [MaxParams]string
	rest   string
	bare   bool // the pattern ends in /* and the path is its bare prefix
	steps  int  // nodes visited and entries tried, for tests
}

// Params tells how many parameters the path had.
func (m *Match) Params() int { return len(m.names) }

// ParamAt gives the i-th parameter from the left, 0 <= i < Params(). The value is
// one segment of the canonical path, never empty, still percent-encoded.
func (m *Match) ParamAt(i int) (name, value string) { return m.names[i], m.values[i] }

// Param gives a parameter by name.
func (m *Match) Param(name string) (value string, ok bool) {
	for i, n := range m.names {
		if n == name {
			return m.values[i], true
		}
	}
	return "", false
}

// Rest is what the * of the pattern took, without leading slash.
func (m *Match) Rest() string { return m.rest }

// Lookup finds the most specific route that matches, and writes it to m. It
// allocates nothing, except that m.Allow grows on its first use.
func (t *Table) Lookup(q *Query, m *Match) Result {
	s := search{q: q, m: m, bit: t.bit(q.Method)}
	m.steps = 0
	if e := t.find(&s); e != nil {
		m.Route, m.Name, m.EncodedSlash = e.route.index, e.route.name, e.route.encodedSlash
		m.Pattern, m.names = e.pattern.text, e.pattern.params
		m.Allow = m.Allow[:0]
		return Found
	}
	*m = Match{Route: -1, Allow: m.Allow[:0], steps: m.steps}
	switch {
	case s.allow != 0:
		if s.allow&bitGet != 0 {
			s.allow |= bitHead
		}
		m.Allow = t.appendMethods(m.Allow, s.allow)
		return MethodNotAllowed
	case s.sawPath:
		return NoCondition
	case s.sawHost:
		return NoPath
	}
	return NoHost
}

// find tries the trees of all hosts that match, the most specific first.
func (t *Table) find(s *search) *entry {
	path := s.q.Path
	if path == "" || path[0] != '/' {
		s.sawHost = true
		return nil
	}
	if n := t.exact[s.q.Host]; n != nil {
		s.sawHost = true
		if e := s.walk(n, path, 0); e != nil {
			return e
		}
	}
	if t.wildLongest > 0 {
		for suffix := s.q.Host; ; {
			dot := strings.IndexByte(suffix, '.')
			if dot < 0 {
				break
			}
			before := dot
			suffix = suffix[dot+1:]
			if before == 0 || len(suffix) > t.wildLongest {
				continue
			}
			if n := t.wild[suffix]; n != nil {
				s.sawHost = true
				if e := s.walk(n, path, 0); e != nil {
					return e
				}
			}
		}
	}
	if t.any != nil {
		s.sawHost = true
		return s.walk(t.any, path, 0)
	}
	return nil
}

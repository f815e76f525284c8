package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/grammar"
)

// Spec is a route as an operator wrote it. Build keeps none of its slices and maps.
type Spec struct {
	Index  int    // the caller's number of the route, given back in Match
	Name   string // for error texts and rows
	Source string // where it is written, such as straum.yaml:12:5

	// Hosts are names or wildcards; empty is any host, as is a lone "*".
	// "*.example.com" stands for one label or more in front of example.com.
	Hosts []string

	// Paths are literal segments and {param} segments, the last of them perhaps
	// "*"; empty is "/*". A path ending in /* also matches its bare prefix: /a/*
	// matches /a, /a/ and /a/b/c, not /ab. A parameter takes one whole segment
	// that is not empty. /a and /a/ are two paths.
	Paths []string

	// Methods, in upper case; empty is any. GET takes HEAD too, unless another
	// route with the same host and path lists HEAD.
	Methods []string

	// Headers and Query map a name to the value it must have, "*" for any. Only
	// the first field line or parameter of a name is looked at. Values have case.
	Headers, Query map[string]string

	// EncodedSlash: the route takes paths with %2F or %5C, which stay encoded.
	EncodedSlash bool
}

// compiled is a route in the table.
type compiled struct {
	index        int
	name, source string
	conditions   []condition // header before query, then by name
	exact        int         // conditions with a value to equal
	methods      methods
	encodedSlash bool
}

func (r *compiled) String() string {
	if r.source == "" {
		return fmt.Sprintf("route %q", r.name)
	}
	return fmt.Sprintf("%s: route %q", r.source, r.name)
}

// maxErrors is how many errors Build tells before it only counts the rest.
const maxErrors = 20

// Builder collects routes for a Table. The zero Builder is ready for use; it
// serves one Build and one goroutine.
type Builder struct {
	t      Table
	leaves []placed
	errs   []error
	more   int // errors beyond maxErrors

	fewEntries int // for tests; 0 is fewEntries
}

// placed is a leaf with the place it stands for, for error texts.
type placed struct {
	host hostPattern
	leaf *leaf
}

// Add adds a route. What is wrong with it is told by Build.
func (b *Builder) Add(s Spec) {
	r := &compiled{index: s.Index, name: s.Name, source: s.Source, encodedSlash: s.EncodedSlash}
	before := len(b.errs) + b.more
	fail := func(err error) { b.fail(fmt.Errorf("%s: %w", r, err)) }

	for _, name := range s.Methods {
		bit, err := b.method(name)
		if err == nil && r.methods&bit != 0 {
			err = fmt.Errorf("method %s is listed twice", name)
		}
		if err != nil {
			fail(err)
		}
		r.methods |= bit
	}
	var err error
	if r.conditions, err = compileConditions(s.Headers, s.Query); err != nil {
		fail(err)
	}
	for i := range r.conditions {
		if !r.conditions[i].present {
			r.exact++
		}
	}

	hosts := make([]hostPattern, 0, max(1, len(s.Hosts)))
	for _, text := range s.Hosts {
		h, err := parseHost(text)
		if err == nil && slices.Contains(hosts, h) {
			err = fmt.Errorf("host %q is listed twice", text)
		}
		if err != nil {
			fail(err)
		}
		hosts = append(hosts, h)
	}
	if len(s.Hosts) == 0 {
		hosts = append(hosts, hostPattern{})
	}
	paths := s.Paths
	if len(paths) == 0 {
		paths = []string{"/*"}
	}
	for _, text := range paths {
		p, segments, err := parsePattern(text, s.EncodedSlash)
		if err != nil {
			fail(err)
			continue
		}
		if len(b.errs)+b.more > before {
			continue // a route with errors takes no place, lest it seem ambiguous too
		}
		for _, h := range hosts {
			b.place(h, p, segments, r)
		}
	}
}

// Build gives the table, or all that is wrong with the routes. The table is
// good only if the error is nil.
func (b *Builder) Build() (*Table, error) {
	t := &b.t
	b.fewEntries = cmp.Or(b.fewEntries, fewEntries)
	for _, p := range b.leaves {
		slices.SortStableFunc(p.leaf.entries, func(x, y entry) int {
			return compareConditions(x.route, y.route)
		})
		b.refuseAmbiguous(p)
		if len(p.leaf.entries) > b.fewEntries {
			p.leaf.index = newIndex(p.leaf.entries)
		}
	}
	for suffix := range t.wild {
		t.wildLongest = max(t.wildLongest, len(suffix))
	}
	for i, name := range knownMethods {
		t.methodOrder = append(t.methodOrder, namedMethod{name, 1 << i})
	}
	for name, bit := range t.ownMethods {
		t.methodOrder = append(t.methodOrder, namedMethod{name, bit})
	}
	slices.SortFunc(t.methodOrder, func(x, y namedMethod) int { return strings.Compare(x.name, y.name) })
	if b.more > 0 {
		b.errs = append(b.errs, fmt.Errorf("and %d more errors in routes", b.more))
	}
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return t, nil
}

// compareConditions is the fourth question: negative if x comes before y.
func compareConditions(x, y *compiled) int {
	return cmp.Or(
		cmp.Compare(len(y.conditions), len(x.conditions)),
		cmp.Compare(y.exact, x.exact))
}

func (b *Builder) fail(err error) {
	if len(b.errs) == maxErrors {
		b.more++
		return
	}
	b.errs = append(b.errs, err)
}

// method gives the bit of a method, a new one if the table has not named it yet.
func (b *Builder) method(name string) (methods, error) {
	if bit := b.t.bit(name); bit != 0 {
		return bit, nil
	}
	if !grammar.IsToken(name) {
		return 0, fmt.Errorf("method %q is none: a method is letters, digits and -, as in GET", name)
	}
	if upper := strings.ToUpper(name); upper != name && slices.Contains(knownMethods[:], upper) {
		return 0, fmt.Errorf("method %q is in lower case: methods have case, write %s", name, upper)
	}
	n := len(knownMethods) + len(b.t.ownMethods)
	if n == MaxMethods {
		return 0, fmt.Errorf("method %s is one too many: all routes together may name %d", name, MaxMethods)
	}
	if b.t.ownMethods == nil {
		b.t.ownMethods = make(map[string]methods)
	}
	b.t.ownMethods[name] = 1 << n
	return 1 << n, nil
}

func compileConditions(headers, query map[string]string) ([]condition, error) {
	if n := len(headers) + len(query); n > MaxConditions {
		return nil, fmt.Errorf("%d header and query conditions: at most %d are allowed", n, MaxConditions)
	} else if n == 0 {
		return nil, nil
	}
	out := make([]condition, 0, len(headers)+len(query))
	for name, value := range headers {
		if !grammar.IsToken(name) {
			return nil, fmt.Errorf("header name %q is none: a name holds letters, digits and -", name)
		}
		if strings.Trim(value, " \t") != value || strings.ContainsAny(value, "\r\n\x00") {
			return nil, fmt.Errorf("header %s: the value %q can never match: take away spaces at the ends and control characters", name, value)
		}
		out = append(out, condition{name: strings.ToLower(name), value: value, present: value == "*"})
	}
	for name, value := range query {
		if name == "" {
			return nil, errors.New("query condition without a name")
		}
		out = append(out, condition{name: name, value: value, present: value == "*", query: true})
	}
	slices.SortFunc(out, func(x, y condition) int {
		if x.query != y.query {
			if y.query {
				return -1
			}
			return 1
		}
		return strings.Compare(x.name, y.name)
	})
	for i := 1; i < len(out); i++ {
		if out[i].query == out[i-1].query && out[i].name == out[i-1].name {
			return nil, fmt.Errorf("header %s is listed twice: names of header fields have no case", out[i].name)
		}
	}
	return out, nil
}

// place puts a route into the tree of one host.
func (b *Builder) place(h hostPattern, p *pattern, segments []segment, r *compiled) {
	top := b.t.any
	switch {
	case h.name == "":
		if top == nil {
			top = new(node)
			b.t.any = top
		}
	case h.wild:
		top = hostNode(&b.t.wild, h.name)
	default:
		top = hostNode(&b.t.exact, h.name)
	}
	l := top.insert(segments, entry{methods: r.methods, route: r, pattern: p})
	if len(l.entries) == 2 {
		b.leaves = append(b.leaves, placed{h, l})
	}
}

func hostNode(trees *map[string]*node, name string) *node {
	if *trees == nil {
		*trees = make(map[string]*node)
	}
	n := (*trees)[name]
	if n == nil {
		n = new(node)
		(*trees)[name] = n
	}
	return n
}

// Package rewrite is the policy rewrite (steps 4 and 9): endpoints are asked for another path, with another query or by another method
// than the client asked with.
//
// In reading order: rewrite.go (options, and the life of a request), path.go, replace.go (regular expressions), query.go, content.go (what
// becomes of content when the method takes none).
//
// It refuses paths that are not in canonical form once they are rewritten, or would lead elsewhere than the configuration says: what a
// client puts into one can add segments and never take any away. Logs, limits and routes go by what the client asked for.
package rewrite

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Path   *Path  `yaml:"path" doc:"the path endpoints are asked for: a template, or what is done to the client's"`
	Query  Query  `yaml:"query" doc:"what is done to the query, in this order; without it the query goes on as it came"`
	Method string `yaml:"method" doc:"the method endpoints are asked with"`
}

// Path says how the path changes. Written as one text it is To.
type Path struct {
	To          string        `yaml:"-,short" doc:"a template for the whole path"`
	StripPrefix string        `yaml:"strip_prefix" doc:"whole segments taken away at the beginning; a path without them stays as it is"`
	Replace     []Replacement `yaml:"replace,one" length:"1..16" doc:"parts replaced by regular expression, one after the other"`
	AddPrefix   string        `yaml:"add_prefix" doc:"a template for segments put in front"`
}

// Replacement is one regular expression and what its matches become.
type Replacement struct {
	Match string `yaml:"match" required:"true" length:"1..1024" doc:"a regular expression (RE2); every match of it in the path is replaced"`
	With  string `yaml:"with" length:"0..1024" doc:"what a match becomes; {1} or {name} stands for a group"`
}

// Query is what is done to the query.
type Query struct {
	Remove []string          `yaml:"remove,one" length:"1..64" doc:"parameters taken away; a * at the end stands for all that begin so"`
	Rename map[string]string `yaml:"rename" length:"1..64" doc:"parameters that get another name"`
	Set    map[string]string `yaml:"set" length:"1..64" doc:"parameters that get one value, a template, in place of all they had"`
	Add    map[string]string `yaml:"add" length:"1..64" doc:"parameters that get one value more, a template"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "rewrite", Options: Options{}, Build: build}

// rewrite is the policy. It does not change.
type rewrite struct {
	path   *path  // nil leaves it as it is
	query  *query // likewise
	method string // empty leaves it as it is
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	r := &rewrite{}
	var err error
	if options.Path != nil {
		if r.path, err = newPath(options.Path); err != nil {
			return nil, o.Errorf("path", "%v", err)
		}
	}
	if q := &options.Query; len(q.Remove)+len(q.Rename)+len(q.Set)+len(q.Add) > 0 {
		if r.query, err = newQuery(q); err != nil {
			return nil, o.Errorf("query", "%v", err)
		}
	}
	switch m := options.Method; {
	case m == "":
	case len(m) > 32 || !grammar.IsToken(m) || strings.ToUpper(m) != m:
		return nil, o.Errorf("method", "%.40q is no method: write it in capitals, such as POST", m)
	case m == "HEAD" || m == "CONNECT" || m == "TRACE":
		return nil, o.Errorf("method", "%s cannot be asked with in place of another method: its answer has none of the content that a client of the other waits for", m)
	default:
		r.method = m
	}
	if r.path == nil && r.query == nil && r.method == "" {
		return nil, o.Errorf("", "nothing is rewritten: set path, query or method")
	}
	return r, nil
}

// Request implements policy.Request.
func (r *rewrite) Request(x *exchange.Exchange) {
	if r.path != nil {
		path, err := r.path.of(x)
		if err != nil {
			x.Judge(Kind.Name, "refused")
			x.Fail(&fault.Fault{Kind: fault.BadPath, Cause: err})
			return
		}
		x.Onward.Path = path
	}
	if r.query != nil {
		query, err := r.query.of(x)
		if err != nil {
			x.Judge(Kind.Name, "refused")
			x.Fail(&fault.Fault{Kind: fault.BadPath, Cause: err})
			return
		}
		x.Onward.Query, x.Onward.NewQuery = query, true
	}
	if r.method != "" && x.Request.Method != r.method && x.Request.Upgrade == "" {
		r.ask(x)
	}
}

// Shapes implements policy.Shaper.
func (r *rewrite) Shapes() {}

// ask changes the method. A request that asks to switch protocols keeps its own: the switch is defined for that alone. HEAD stays where GET
// is asked for, since it is answered with the same head.
func (r *rewrite) ask(x *exchange.Exchange) {
	if r.method == "GET" {
		if x.Request.Method == "HEAD" {
			return
		}
		setAside(x)
	}
	x.Onward.Method = r.method
}

// Response implements policy.Response: whoever reads what is left of the request finds all of it.
func (r *rewrite) Response(x *exchange.Exchange) {
	if a, ok := x.Request.Body.(*aside); ok {
		a.Settle(x)
	}
}

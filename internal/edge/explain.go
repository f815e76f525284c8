package edge

import (
	"errors"
	"fmt"
	"strings"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/route"
)

// Question is a request of which is asked what the cache would do with it. Nobody sends it.
type Question struct {
	Method string // GET when empty
	URL    string // scheme://host[:port][/path][?query]
	Header [][2]string
	// Caller is who authentication is taken to have found: a consumer, or whom an issuer says it is.
	Caller exchange.Caller
}

// Explanation is the cache's, with the route it belongs to.
type Explanation struct {
	Route  string
	Method string
	// URL is the one that was asked about, in the canonical form that keys are made of, but for what of the query the route leaves out.
	URL string
	cache.Explanation
}

// The reasons for there being no explanation. What is no good as a question has another error.
var (
	ErrUnready = errors.New("no configuration is in force yet")
	ErrNoRoute = errors.New("no route is for this request")
	ErrNoCache = errors.New("the route does not have the policy cache, so nothing of it is stored")
)

// Explain says what the cache of the route that a request finds would do with it, by the snapshot in force. Of the policies of step 4 those run that
// change what an endpoint is asked: the request is taken to be let through. No endpoint is asked, nothing is stored or renewed, and no exchange is
// counted.
func (e *Edge) Explain(q Question) (Explanation, error) {
	s := e.snapshot.Load()
	if s == nil {
		return Explanation{}, ErrUnready
	}
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, clock.Now())
	if err := q.ask(&x.Request); err != nil {
		return Explanation{}, err
	}
	x.Conn.Secure = x.Request.Scheme == "https"
	if x.Caller = q.Caller; x.Caller.Consumer != nil || x.Caller.Subject != "" {
		x.Caller.Method = "explain"
	}
	to, err := s.find(x)
	if err != nil {
		return Explanation{}, err
	}
	if to.Chain.Cache == nil {
		return Explanation{}, fmt.Errorf("%w: it is the route %s", ErrNoCache, to.Info.Name)
	}
	to.Chain.Shape(x)
	if x.Fault != nil {
		return Explanation{}, fmt.Errorf("the request would be refused: %w", x.Fault)
	}
	r := &x.Request
	out := Explanation{Route: to.Info.Name, Method: r.Method, URL: r.Scheme + "://" + r.Host + r.Path, Explanation: to.Chain.Cache.Explain(x)}
	if r.Port != "" && (r.Scheme != "http" || r.Port != "80") && (r.Scheme != "https" || r.Port != "443") {
		out.URL = r.Scheme + "://" + r.Host + ":" + r.Port + r.Path
	}
	if r.Query != "" {
		out.URL += "?" + r.Query
	}
	return out, nil
}

// maxAsked is how many fields a question may have.
const maxAsked = 100

// ask makes the request as step 2 would have.
func (q *Question) ask(r *exchange.Request) error {
	r.Method, r.Major, r.Minor = q.Method, 1, 1
	if r.Method == "" {
		r.Method = "GET"
	}
	if !grammar.IsToken(r.Method) {
		return fmt.Errorf("%q is no method", q.Method)
	}
	scheme, rest, ok := strings.Cut(q.URL, "://")
	if r.Scheme = strings.ToLower(scheme); !ok || r.Scheme != "http" && r.Scheme != "https" {
		return fmt.Errorf("found %q; allowed: a whole URL as clients ask for it, such as https://api.example.com/orders/7?full=1", q.URL)
	}
	if !grammar.IsVisible(rest) || strings.Contains(rest, "#") {
		return fmt.Errorf("found %q; allowed: visible ASCII characters without #, others as %%XX", q.URL)
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if strings.Contains(rest[:end], "@") {
		return errors.New("a name or password stands before the host; leave it out")
	}
	if r.Host, r.Port, ok = grammar.SplitHost(rest[:end]); !ok {
		return fmt.Errorf("%q is not a host with an optional port", rest[:end])
	}
	r.Target = rest[end:]
	if !strings.HasPrefix(r.Target, "/") {
		r.Target = "/" + r.Target
	}
	r.Path, r.Query = grammar.SplitQuery(r.Target)
	if len(q.Header) > maxAsked {
		return fmt.Errorf("found %d fields; allowed: at most %d", len(q.Header), maxAsked)
	}
	for _, f := range q.Header {
		known := exchange.Lookup(f[0])
		switch {
		case !grammar.IsToken(f[0]):
			return fmt.Errorf("%q is no field name", f[0])
		case !grammar.IsValue(f[1]):
			return fmt.Errorf("the value of %s has characters that no field may have", f[0])
		case known == exchange.Host:
			return errors.New("the host is part of the URL; leave the field Host out")
		}
		if !known.HopByHop() {
			r.Header.Append(known, f[0], grammar.TrimSpace(f[1]))
		}
	}
	r.Header.DropOurs()
	return nil
}

// find is step 3 for a request that comes from nowhere.
func (s *Snapshot) find(x *exchange.Exchange) (*Route, error) {
	r := &x.Request
	canonical, _, err := route.AppendCanonical(nil, r.Path)
	if err != nil {
		return nil, fmt.Errorf("the path %s would be refused: %w", r.Path, err)
	}
	r.Path = canonical.Path
	var match route.Match
	switch result := s.Table.Lookup(&route.Query{Host: r.Host, Method: r.Method, Path: r.Path, RawQuery: r.Query, Header: &r.Header}, &match); result {
	case route.Found:
	case route.MethodNotAllowed:
		return nil, fmt.Errorf("%w: this path has routes for %s, but none for %s", ErrNoRoute, match.Allow, r.Method)
	default:
		return nil, fmt.Errorf("%w: %s", ErrNoRoute, missing[result])
	}
	if canonical.EncodedSlash && !match.EncodedSlash {
		return nil, fmt.Errorf("the path %s would be refused: %w", r.Path, route.ErrEncodedSlash)
	}
	to := s.Routes[match.Route]
	x.Route = to.Info
	for i := range match.Params() {
		name, value := match.ParamAt(i)
		x.Params = append(x.Params, exchange.Param{Name: name, Value: value})
	}
	if rest := match.Rest(); rest != "" {
		x.Params = append(x.Params, exchange.Param{Name: "*", Value: rest})
	}
	return to, nil
}

// missing says why no route was found.
var missing = map[route.Result]string{
	route.NoHost:      "none is for this host",
	route.NoPath:      "none of this host is for this path",
	route.NoCondition: "those for this path ask for fields or query parameters that it lacks",
}

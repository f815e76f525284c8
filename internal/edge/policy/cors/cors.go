// Package cors is the policy cors (steps 4, 8 and 9): it tells browsers which pages of other origins may read what this API answers (Fetch
// standard §3.3). Preflights are answered in step 4, before anybody is asked for a credential; every response, of endpoints, of policies and of
// faults, gets its fields in step 9.
//
// In reading order: cors.go (options, and what is done in each step), build.go (how options are checked), origin.go (which origins are meant).
//
// It refuses to be taken for authorisation: callers that are no browsers go by none of this. It refuses to repeat an origin that the configuration
// does not have, and to let endpoints say otherwise.
package cors

import (
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Origins        []string          `yaml:"origins,one" length:"1..256" doc:"origins that may read answers: https://app.example.com, https://*.example.com, null, or * for all"`
	OriginPatterns []string          `yaml:"origin_patterns,one" length:"1..32" doc:"regular expressions (RE2) of which one matches the whole origin"`
	Credentials    bool              `yaml:"credentials" default:"false" doc:"let pages send cookies and client certificates along and read the answer"`
	Methods        []string          `yaml:"methods,one" length:"1..32" doc:"methods that pages may use; those of the route when left out"`
	Headers        []string          `yaml:"headers,one" length:"1..128" default:"Authorization,Content-Type" doc:"fields that pages may send; * for all they ask for"`
	Expose         []string          `yaml:"expose,one" length:"0..128" default:"RateLimit,RateLimit-Policy,Retry-After,X-Request-Id" doc:"fields of answers that pages may read"`
	MaxAge         document.Duration `yaml:"max_age" default:"10m" range:"0s..24h" doc:"for how long browsers may remember the answer to a preflight"`
	PrivateNetwork bool              `yaml:"private_network" default:"false" doc:"let pages of public networks ask when this gateway is in a private one"`
	Refuse         bool              `yaml:"refuse" default:"false" doc:"answer requests of other origins with 403, in place of letting them pass without the fields"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "cors", Options: Options{}, Build: build}

// cors is the policy. It does not change.
type cors struct {
	origins     *origins
	credentials bool
	private     bool
	refuse      bool
	methods     string // empty for the one that is asked for
	headers     string // empty for those that are asked for
	echo        bool
	expose      string // empty for none
	maxAge      string
}

// Preflights implements policy.Preflighter: a preflight has an origin and asks for a method (Fetch standard §4.8).
func (c *cors) Preflights(x *exchange.Exchange) bool {
	h := x.Request.Said()
	method, asks := h.Get(exchange.AccessControlRequestMethod)
	return asks && x.Request.Method == "OPTIONS" && h.Count(exchange.Origin) > 0 && len(method) <= longestMethod && grammar.IsToken(method)
}

// longestMethod is more than any method has, in bytes.
const longestMethod = 64

// Request implements policy.Request.
func (c *cors) Request(x *exchange.Exchange) {
	allowed, _ := c.allows(x)
	switch {
	case !allowed && c.refuse && crosses(x):
		x.Judge(Kind.Name, "origin")
		x.Fail(refused)
	case c.Preflights(x):
		word := "preflight"
		if !allowed {
			word = "preflight_origin"
		}
		x.Judge(Kind.Name, word)
		x.Respond(204, "", nil)
	}
}

// refused is the fault of an origin that may not. It tells nothing of those that may.
var refused = &fault.Fault{Kind: fault.Forbidden, Detail: "Pages of this origin may not use this API."}

// UpstreamResponse implements policy.UpstreamResponse: what a cache keeps must not name the origin of who happened to ask first.
func (c *cors) UpstreamResponse(x *exchange.Exchange) { strip(&x.Response.Header) }

// Response implements policy.Response.
func (c *cors) Response(x *exchange.Exchange) {
	h := &x.Response.Header
	strip(h)
	if !c.origins.all {
		vary(h)
	}
	allowed, origin := c.allows(x)
	if !allowed {
		return
	}
	if c.origins.all {
		origin = "*"
	}
	h.Append(exchange.AccessControlAllowOrigin, allowOrigin, origin)
	if c.credentials {
		h.Append(exchange.AccessControlAllowCredentials, allowCredentials, "true")
	}
	if c.Preflights(x) {
		c.tell(x)
	} else if c.expose != "" {
		h.Append(exchange.AccessControlExposeHeaders, exposeHeaders, c.expose)
	}
}

// tell adds what a preflight asks for (Fetch standard §4.8).
func (c *cors) tell(x *exchange.Exchange) {
	asked, h := x.Request.Said(), &x.Response.Header
	methods := c.methods
	if methods == "" {
		methods, _ = asked.Get(exchange.AccessControlRequestMethod)
	}
	h.Append(exchange.Other, "Access-Control-Allow-Methods", methods)
	headers := c.headers
	if c.echo {
		headers = asksFor(asked)
	}
	if headers != "" {
		h.Append(exchange.Other, "Access-Control-Allow-Headers", headers)
	}
	h.Append(exchange.Other, "Access-Control-Max-Age", c.maxAge)
	if wants, _ := asked.Header("Access-Control-Request-Private-Network"); c.private && wants == "true" {
		h.Append(exchange.Other, "Access-Control-Allow-Private-Network", "true")
	}
}

// asksFor is the list of fields that a preflight asks for, as it is; nothing when it is none.
func asksFor(h *exchange.Fields) string {
	list, _ := h.Get(exchange.AccessControlRequestHeaders)
	if len(list) > longestList || h.Count(exchange.AccessControlRequestHeaders) > 1 {
		return ""
	}
	for element, rest, ok := grammar.NextElement(list); ok; element, rest, ok = grammar.NextElement(rest) {
		if !grammar.IsToken(element) {
			return ""
		}
	}
	return list
}

// longestList is how long a list of fields may be that is told back, in bytes.
const longestList = 1 << 10

// allows says whether the origin of a request may, and gives it.
func (c *cors) allows(x *exchange.Exchange) (bool, string) {
	h := x.Request.Said()
	origin, there := h.Get(exchange.Origin)
	if c.origins.all { // the same for all, also for requests without an origin
		return true, origin
	}
	if !there || h.Count(exchange.Origin) > 1 || !c.origins.has(origin) {
		return false, ""
	}
	return true, origin
}

// crosses says whether a request comes from a page of another origin. A gateway behind one that ends TLS is asked by http for what is https.
func crosses(x *exchange.Exchange) bool {
	h := x.Request.Said()
	origin, there := h.Get(exchange.Origin)
	if !there {
		return false
	}
	scheme, at, ok := strings.Cut(origin, "://")
	if !ok || h.Count(exchange.Origin) > 1 || scheme != "https" && scheme != x.Request.Scheme {
		return true
	}
	host, port := at, ""
	if colon := strings.LastIndexByte(at, ':'); colon > strings.LastIndexByte(at, ']') {
		host, port = at[:colon], at[colon+1:]
	}
	return host != x.Request.Host || portOr(port, scheme) != portOr(x.Request.Port, scheme)
}

func portOr(port, scheme string) string {
	switch {
	case port != "":
		return port
	case scheme == "https":
		return "443"
	}
	return "80"
}

// The names of the fields, as they are written.
var (
	allowOrigin      = exchange.AccessControlAllowOrigin.String()
	allowCredentials = exchange.AccessControlAllowCredentials.String()
	exposeHeaders    = exchange.AccessControlExposeHeaders.String()
)

// strip takes away what an endpoint says of origins.
func strip(h *exchange.Fields) {
	for i := 0; i < h.Len(); {
		if name := h.All()[i].Name; len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			h.DelHeader(name) // all of that name, of which this is the first
			continue
		}
		i++
	}
}

const prefix = "Access-Control-"

// vary says that the answer differs by origin, also when none was named: a cache must not give this one to a page that names one (Fetch standard
// §3.3.5).
func vary(h *exchange.Fields) {
	all := h.All()
	for i := range all {
		if all[i].Known != exchange.Vary {
			continue
		}
		for element, rest, ok := grammar.NextElement(all[i].Value); ok; element, rest, ok = grammar.NextElement(rest) {
			if element == "*" || grammar.FoldIs(element, "origin") {
				return
			}
		}
	}
	h.Append(exchange.Vary, "Vary", "Origin")
}

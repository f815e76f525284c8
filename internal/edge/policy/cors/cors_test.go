package cors

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// told is what a client gets: the status or the fault, and every field that a browser goes by.
func told(x *exchange.Exchange) string {
	var all []string
	switch {
	case x.Fault != nil:
		all = append(all, x.Fault.Kind.Word)
	case x.Answered():
		all = append(all, fmt.Sprint(x.Response.Status))
	default:
		all = append(all, "goes on")
	}
	for _, f := range x.Response.Header.All() {
		all = append(all, strings.TrimPrefix(f.Name, "Access-Control-")+": "+f.Value)
	}
	return strings.Join(all, " | ")
}

// ask takes a request through step 4, the answer of an endpoint with these fields through step 8, and all through step 9.
func ask(r *policytest.Running, request string, answer ...string) *exchange.Exchange {
	x := r.Request(request)
	r.Chain.Request(x)
	if !x.Answered() && x.Fault == nil {
		x.Response.Status = 200
		for _, line := range answer {
			name, value, _ := strings.Cut(line, ": ")
			x.Response.Header.Add(name, value)
		}
		r.Chain.UpstreamResponse(x)
	}
	if x.Fault != nil { // as the flow answers it
		x.Respond(x.Fault.Kind.Status, "", nil)
	}
	r.Chain.Response(x)
	return x
}

const page = "https://app.example.com"

// Preflights and answers, by the paragraphs of the Fetch standard (https://fetch.spec.whatwg.org) that browsers go by.
func TestFetch(t *testing.T) {
	w := policytest.New(t)
	f := func(paragraph, options, request, want string, answer ...string) {
		t.Helper()
		x := ask(w.Policy(Kind, options), request, answer...)
		if got := told(x); got != want {
			t.Errorf("%s, %s:\n%s, want\n%s", paragraph, options, got, want)
		}
	}
	const (
		one       = "{origins: https://app.example.com}"
		plain     = "GET /a HTTP/1.1\nHost: a\n"
		fromPage  = plain + "Origin: " + page + "\n"
		preflight = "OPTIONS /a HTTP/1.1\nHost: a\nOrigin: " + page + "\nAccess-Control-Request-Method: PUT\n"
		exposed   = " | Expose-Headers: RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
		allowed   = " | Vary: Origin | Allow-Origin: " + page
		headers   = " | Allow-Headers: Authorization, Content-Type"
	)
	// §3.3.3: Access-Control-Allow-Origin is the origin itself, or *.
	f("§3.3.3", one, fromPage, "200"+allowed+exposed)
	f("§3.3.3", `{origins: "*"}`, fromPage, "200 | Allow-Origin: *"+exposed)
	f("§3.3.3 credentials", "{origins: https://app.example.com, credentials: true}", fromPage, "200"+allowed+" | Allow-Credentials: true"+exposed)
	f("§3.3.3 expose", "{origins: https://app.example.com, expose: ETag}", fromPage, "200"+allowed+" | Expose-Headers: ETag")
	f("§3.3.3 expose", "{origins: https://app.example.com, expose: []}", fromPage, "200"+allowed)
	// §4.10, CORS check: the origin byte by byte; nothing is told to others.
	for _, other := range []string{"http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.example", "https://evil-app.example.com",
		"https://App.example.com", "https://app.example.com/", "https://sub.app.example.com", "null", "", "*", "https://app.example.com, https://evil.example",
		"https://app.example.com https://evil.example"} {
		f("§4.10", one, plain+"Origin: "+other+"\n", "200 | Vary: Origin")
		f("§4.10", one, strings.Replace(preflight, page, other, 1), "204 | Vary: Origin")
	}
	f("§4.10 two origins", one, fromPage+"Origin: "+page+"\n", "200 | Vary: Origin")
	f("§4.10 null", "{origins: ['null']}", plain+"Origin: null\n", "200 | Vary: Origin | Allow-Origin: null"+exposed)
	f("§4.10 null", `{origins: "*"}`, plain+"Origin: null\n", "200 | Allow-Origin: *"+exposed)
	// §3.3.5, caches: Vary also without an origin, and never where the answer is the same for all.
	f("§3.3.5", one, plain, "200 | Vary: Origin")
	f("§3.3.5", `{origins: "*"}`, plain, "200 | Allow-Origin: *"+exposed)
	f("§3.3.5", one, fromPage, "200 | Vary: Accept, origin | Allow-Origin: "+page+exposed, "Vary: Accept, origin")
	f("§3.3.5", one, fromPage, "200 | Vary: *"+strings.TrimPrefix(allowed, " | Vary: Origin")+exposed, "Vary: *")
	f("§3.3.5", one, fromPage, "200 | Vary: Accept"+allowed+exposed, "Vary: Accept")
	// §4.10: two Access-Control-Allow-Origin fail the check, so what an endpoint says is replaced, whoever asks.
	mine := []string{"access-control-allow-origin: *", "Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Secret", "ACCESS-CONTROL-MAX-AGE: 1", "Access-Control-Allow-Origin: a", "Access-Control-Anything: b"}
	f("§4.10", one, fromPage, "200"+allowed+exposed, mine...)
	f("§4.10", one, plain, "200 | Vary: Origin", mine...)
	f("§4.10", one, plain+"Origin: https://evil.example\n", "200 | Vary: Origin", mine...)
	// §4.8, CORS-preflight fetch: an OK status, and the methods and fields that may be used.
	f("§4.8", one, preflight, "204"+allowed+" | Allow-Methods: PUT"+headers+" | Max-Age: 600")
	f("§4.8 methods", "{origins: https://app.example.com, methods: [GET, DELETE]}", preflight, "204"+allowed+" | Allow-Methods: GET, DELETE"+headers+" | Max-Age: 600")
	f("§4.8 headers", "{origins: https://app.example.com, headers: [X-A, X-B], max_age: 0s}", preflight, "204"+allowed+" | Allow-Methods: PUT | Allow-Headers: X-A, X-B | Max-Age: 0")
	f("§4.8 headers", `{origins: https://app.example.com, headers: "*"}`, preflight, "204"+allowed+" | Allow-Methods: PUT | Max-Age: 600")
	f("§4.8 headers", `{origins: https://app.example.com, headers: "*"}`, preflight+"Access-Control-Request-Headers: authorization,x-b\n", "204"+allowed+" | Allow-Methods: PUT | Allow-Headers: authorization,x-b | Max-Age: 600")
	for _, list := range []string{"a b", "a;b", "a,\x01", "é", strings.Repeat("a,", 600)} {
		f("§4.8 no list", `{origins: https://app.example.com, headers: "*"}`, preflight+"Access-Control-Request-Headers: "+list+"\n", "204"+allowed+" | Allow-Methods: PUT | Max-Age: 600")
	}
	f("§4.8 credentials", "{origins: https://app.example.com, credentials: true}", preflight, "204"+allowed+" | Allow-Credentials: true | Allow-Methods: PUT"+headers+" | Max-Age: 600")
	f("§4.8", `{origins: "*"}`, preflight, "204 | Allow-Origin: * | Allow-Methods: PUT"+headers+" | Max-Age: 600")
	// A preflight has both fields; any other OPTIONS goes on.
	f("§4.8", one, "OPTIONS /a HTTP/1.1\nHost: a\nOrigin: "+page+"\n", "200"+allowed+exposed)
	f("§4.8", one, "OPTIONS /a HTTP/1.1\nHost: a\nAccess-Control-Request-Method: PUT\n", "200 | Vary: Origin")
	f("§4.8", one, "OPTIONS /a HTTP/1.1\nHost: a\nOrigin: "+page+"\nAccess-Control-Request-Method: P T\n", "200"+allowed+exposed)
	f("§4.8", one, strings.Replace(preflight, "OPTIONS", "GET", 1), "200"+allowed+exposed)
	// Private Network Access §3.1.2.
	const private = "Access-Control-Request-Private-Network: true\n"
	f("PNA", "{origins: https://app.example.com, private_network: true}", preflight+private, "204"+allowed+" | Allow-Methods: PUT"+headers+" | Max-Age: 600 | Allow-Private-Network: true")
	f("PNA", "{origins: https://app.example.com, private_network: true}", preflight, "204"+allowed+" | Allow-Methods: PUT"+headers+" | Max-Age: 600")
	f("PNA", one, preflight+private, "204"+allowed+" | Allow-Methods: PUT"+headers+" | Max-Age: 600")
	// Refused: pages of other origins, and nobody else.
	const refuse = "{origins: https://app.example.com, refuse: true}"
	f("refuse", refuse, fromPage, "200"+allowed+exposed)
	f("refuse", refuse, plain, "200 | Vary: Origin")
	f("refuse", refuse, plain+"Origin: https://evil.example\n", "forbidden | Vary: Origin")
	f("refuse", refuse, plain+"Origin: null\n", "forbidden | Vary: Origin")
	f("refuse", refuse, strings.Replace(preflight, page, "https://evil.example", 1), "forbidden | Vary: Origin")
	f("refuse, the page is ours", refuse, plain+"Origin: http://a\n", "200 | Vary: Origin")
	f("refuse, TLS ends before us", refuse, plain+"Origin: https://a\n", "200 | Vary: Origin")
	f("refuse, another port", refuse, plain+"Origin: http://a:8080\n", "forbidden | Vary: Origin")
}

func TestSameOrigin(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{origins: https://app.example.com, refuse: true}")
	f := func(scheme, host, port, origin string, same bool) {
		t.Helper()
		x := r.Request("GET / HTTP/1.1\n")
		x.Request.Scheme, x.Request.Host, x.Request.Port = scheme, host, port
		x.Request.Header.Add("Origin", origin)
		r.Chain.Request(x)
		if same == (x.Fault != nil) {
			t.Errorf("%s://%s:%s and %s: %s", scheme, host, port, origin, told(x))
		}
	}
	f("http", "[::1]", "8080", "http://[::1]:8080", true)
	f("http", "[::1]", "", "http://[::1]", true)
	f("http", "[::1]", "", "http://[::1]:8080", false)
	f("https", "a", "443", "https://a", true)
	f("https", "a", "", "http://a", false)
	f("http", "a", "80", "http://a", true)
	f("http", "a", "8443", "https://a:8443", true)
	f("http", "a", "", "a", false)
	f("http", "a", "", "http://b", false)
}

// The fields are on what the gateway answers itself, and preflights are answered before anybody is asked for a credential.
func TestFaultsAndOrder(t *testing.T) {
	w := policytest.New(t)
	refusing := policy.Kind{Name: "refusing", Build: func(policy.Options) (any, error) { return no{}, nil }}
	r := w.Policies(policytest.Use{Kind: Kind, YAML: "{origins: https://app.example.com}"}, policytest.Use{Kind: refusing, YAML: "{}"})
	if r.Chain.Preflights == nil {
		t.Fatal("nobody answers preflights")
	}
	if x := ask(r, "GET / HTTP/1.1\nHost: a\nOrigin: "+page+"\n"); !strings.HasPrefix(told(x), "unauthenticated | Vary: Origin | Allow-Origin: "+page) {
		t.Error(told(x))
	}
	x := ask(r, "OPTIONS / HTTP/1.1\nHost: a\nOrigin: "+page+"\nAccess-Control-Request-Method: GET\n")
	if x.Response.Status != 204 || x.Fault != nil {
		t.Error(told(x))
	}
	if word := policytest.Verdict(x, "cors"); word != "preflight" {
		t.Errorf("the log says %q", word)
	}
	if x = ask(r, "OPTIONS / HTTP/1.1\nHost: a\nOrigin: a\nAccess-Control-Request-Method: GET\n"); policytest.Verdict(x, "cors") != "preflight_origin" {
		t.Errorf("the log says %q", policytest.Verdict(x, "cors"))
	}
}

type no struct{}

func (no) Request(x *exchange.Exchange) { x.Fail(fault.New(fault.NotAuthenticated, nil)) }

// What a policy answered with is replaced as well: that of an outside service, say.
func TestAnswersOfPolicies(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{origins: [https://app.example.com], expose: []}")
	x := r.Request("GET / HTTP/1.1\nHost: a\nOrigin: " + page + "\n")
	x.Respond(403, "", nil)
	x.Response.Header.Add("Access-Control-Allow-Origin", "*")
	r.Chain.Response(x)
	if got := told(x); got != "403 | Vary: Origin | Allow-Origin: "+page {
		t.Error(got)
	}
}

// What a cache would keep names nobody's origin.
func TestStepEight(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{origins: [https://app.example.com]}")
	x := r.Request("GET / HTTP/1.1\nHost: a\nOrigin: " + page + "\n")
	x.Response.Status = 200
	x.Response.Header.Add("Access-Control-Allow-Origin", page)
	x.Response.Header.Add("ETag", "a")
	r.Chain.UpstreamResponse(x)
	if got := told(x); got != "200 | ETag: a" {
		t.Error(got)
	}
}

func TestOrigins(t *testing.T) {
	f := func(options, in, out string) {
		t.Helper()
		r := policytest.New(t).Policy(Kind, options)
		for i, list := range []string{in, out} {
			for origin := range strings.FieldsSeq(list) {
				x := ask(r, "GET / HTTP/1.1\nHost: a\nOrigin: "+origin+"\n")
				got, there := x.Response.Header.Get(exchange.AccessControlAllowOrigin)
				if there != (i == 0) || there && got != origin {
					t.Errorf("%s: %s gets %q, %v", options, origin, got, there)
				}
			}
		}
	}
	// Written in another way, and meant the same.
	f("{origins: [HTTPS://App.Example.com:443, 'http://a:080', 'https://b:0443']}", "https://app.example.com http://a https://b", "https://App.Example.com https://app.example.com:443 http://a:80 http://b")
	f("{origins: ['http://localhost:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000']}", "http://localhost:3000 http://127.0.0.1:3000 http://[::1]:3000", "http://localhost http://localhost:30000 http://[::1]")
	f("{origins: ['http://[2001:DB8:0::1]']}", "http://[2001:db8::1]", "http://[2001:DB8:0::1]")
	f("{origins: [capacitor://localhost, 'chrome-extension://abcdef']}", "capacitor://localhost chrome-extension://abcdef", "chrome-extension://abcde")
	// All names below a domain.
	f("{origins: 'https://*.example.com'}", "https://a.example.com https://a.b.example.com https://a-1.example.com https://x_y.example.com",
		"https://example.com https://.example.com https://..example.com https://a.example.com:8443 http://a.example.com https://aexample.com https://a.example.com.evil.org https://evil.org/.example.com https://evil.org#.example.com https://u@evil.example.com https://evil.org:80.example.com https://A.example.com")
	f("{origins: 'http://*.dev.example:8080'}", "http://a.dev.example:8080", "http://a.dev.example http://a.dev.example:80800 http://:8080.dev.example:8080")
	// Patterns match all of it.
	f("{origin_patterns: 'https://pr-[0-9]+\\.example\\.com'}", "https://pr-1.example.com", "https://pr-1.example.com.evil.org http://pr-1.example.com xhttps://pr-1.example.com https://pr-1.example.comx https://pr-.example.com")
	f("{origin_patterns: ['https://a|https://b', '(?m)^https://c$']}", "https://a https://b https://c", "https://ab https://bx xhttps://a https://c.evil")
	f("{origins: https://x.example, origin_patterns: 'https://y'}", "https://x.example https://y", "https://z")
	f("{origin_patterns: 'https://a+'}", "https://"+strings.Repeat("a", 312), "https://"+strings.Repeat("a", 313))
}

// A pattern's own anchors and flags do not let it match a part.
func TestPatternWithLines(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{origin_patterns: '(?ms)^https://a$.*'}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n")
	x.Request.Header.Add("Origin", "https://evil\nhttps://a")
	x.Response.Status = 200
	r.Chain.Response(x)
	if got := told(x); got != "200 | Vary: Origin" {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", options, got, want)
		}
	}
	f("{}", "cors names no origin")
	f(`{origins: "*", credentials: true}`, "every page of the web could act")
	f(`{origins: ["null"], credentials: true}`, "in a sandboxed frame")
	f(`{origins: ["*", "https://a.example"]}`, "* stands for all origins")
	f(`{origins: "*", origin_patterns: a}`, "* stands for all origins")
	f(`{origins: "*", refuse: true}`, "nobody is refused")
	f("{origins: app.example.com}", "is no origin; write the scheme")
	f("{origins: https://app.example.com/}", "write https://app.example.com")
	f("{origins: https://app.example.com/path}", "write https://app.example.com")
	f("{origins: https://}", "the host is not valid")
	f("{origins: '://a'}", "has no scheme")
	f("{origins: 'https://u@a'}", "the host is not valid")
	f("{origins: 'https://a:0'}", "0 is no port")
	f("{origins: 'https://a:65536'}", "the host is not valid")
	f("{origins: https://bücher.example}", "xn--")
	f("{origins: 'https://*.com'}", "top-level domain")
	f("{origins: 'https://*.10.0.0.1'}", "no name at all")
	f("{origins: 'https://*'}", "whole labels")
	f("{origins: 'https://a.*.com'}", "whole labels")
	f("{origins: 'https://pr-*.example.com'}", "whole labels")
	f("{origin_patterns: ''}", "1 to 256 bytes")
	f("{origin_patterns: '('}", "no regular expression")
	f("{origin_patterns: 'a)|(.*'}", "no regular expression")
	f("{origin_patterns: '.*'}", "matches https://straum-test.invalid")
	f("{origin_patterns: 'https://.+'}", "matches https://straum-test.invalid")
	f("{origin_patterns: '[a-z]+'}", "matches null")
	f("{origins: https://a.b, methods: get}", "write it in capitals")
	f(`{origins: https://a.b, methods: "*"}`, "write it in capitals")
	f("{origins: https://a.b, methods: [GET, 'P T']}", "is no name")
	f("{origins: https://a.b, methods: TRACE}", "no page may use TRACE")
	f("{origins: https://a.b, headers: ['X Y']}", "is no name")
	f(`{origins: https://a.b, headers: ["*", X-A]}`, "* stands for all fields")
	f("{origins: https://a.b, expose: Set-Cookie}", "no page may see Set-Cookie")
	f(`{origins: https://a.b, expose: "*", credentials: true}`, "browsers take * for the name")
	f("{origins: https://a.b, max_age: 25h}", "24h")
	f("{origin: https://a.b}", "origins")
}

// accepting is a policy with many origins, and what asks it.
func accepting(t testing.TB) (preflight, request func()) {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprintf("https://app%d.example.com, 'https://*.app%d.example.com'", i, i))
	}
	r := policytest.New(t).Policy(Kind, "{origins: ["+strings.Join(list, ",")+"], origin_patterns: 'https://pr-[0-9]+\\.example\\.com', credentials: true}")
	run := func(x *exchange.Exchange) func() {
		return func() {
			x.Response.Status = 0
			x.Response.Header.Reset()
			x.Verdicts = x.Verdicts[:0]
			r.Chain.Request(x)
			if x.Response.Status == 0 {
				x.Response.Status = 200
				x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/json")
			}
			r.Chain.Response(x)
			if x.Response.Header.Count(exchange.AccessControlAllowOrigin) != 1 {
				t.Fatal("not allowed")
			}
		}
	}
	return run(r.Request("OPTIONS /a HTTP/1.1\nHost: a\nOrigin: https://pr-12.example.com\nAccess-Control-Request-Method: PUT\n")),
		run(r.Request("GET /a HTTP/1.1\nHost: a\nAccept: */*\nUser-Agent: b\nOrigin: https://app49.example.com\n"))
}

func TestAcceptingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	preflight, request := accepting(t)
	for name, run := range map[string]func(){"preflight": preflight, "request": request} {
		if n := testing.AllocsPerRun(1000, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkCORS(b *testing.B) {
	preflight, request := accepting(b)
	for name, run := range map[string]func(){"preflight by pattern": preflight, "request": request} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

// A page may read the answer also where the endpoint is not told of its origin.
func TestOriginKeptFromEndpoints(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{origins: "+page+"}")
	x := r.Request("GET / HTTP/1.1\nHost: a\nOrigin: " + page + "\n")
	r.Chain.Request(x)
	x.Request.Change() // as the policy headers does
	x.Request.Header.Del(exchange.Origin)
	x.Response.Status = 200
	r.Chain.Response(x)
	if got, _ := x.Response.Header.Get(exchange.AccessControlAllowOrigin); got != page {
		t.Errorf("told %q", got)
	}
}

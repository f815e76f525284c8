package rewrite

import (
	"io"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/edge/route"
)

// ask takes a request whose path the route has brought to canonical form through step 4. lines are further field lines.
func ask(t testing.TB, r *policytest.Running, method, target, lines string, params ...exchange.Param) *exchange.Exchange {
	t.Helper()
	x := r.Request(method + " " + target + " HTTP/1.1\nHost: api.example.com\n" + lines)
	canonical, _, err := route.AppendCanonical(nil, x.Request.Path)
	if err != nil {
		t.Fatal(err)
	}
	x.Request.Path = canonical.Path
	x.Params = params
	r.Chain.Request(x)
	return x
}

// sent is the target an endpoint is asked for.
func sent(x *exchange.Exchange) string {
	if x.Fault != nil {
		return x.Fault.Kind.Word
	}
	path := x.Onward.Path
	if path == "" {
		path = x.Request.Path
	}
	if q := x.SentQuery(); q != "" {
		path += "?" + q
	}
	return path
}

func TestPath(t *testing.T) {
	w := policytest.New(t)
	f := func(options, target, want string, params ...exchange.Param) {
		t.Helper()
		if options[0] != '{' {
			options = "'" + options + "'"
		}
		x := ask(t, w.Policy(Kind, "{path: "+options+"}"), "GET", target, "X-Tenant: acme/../x\nX-Plain: acme", params...)
		if got := sent(x); got != want {
			t.Errorf("%s, %s: %s, want %s", options, target, got, want)
		}
		if strings.SplitN(target, "?", 2)[0] != x.Request.Path && !strings.Contains(target, "%") {
			t.Errorf("%s: the client's path became %s", target, x.Request.Path)
		}
		if x.Fault == nil {
			if again, _, err := route.AppendCanonical(nil, x.Onward.Path); err != nil || again.Path != x.Onward.Path {
				t.Errorf("%s, %s: %s is not canonical: %v", options, target, x.Onward.Path, err)
			}
		}
	}
	id := func(v string) exchange.Param { return exchange.Param{Name: "id", Value: v} }
	rest := func(v string) exchange.Param { return exchange.Param{Name: "*", Value: v} }

	// A template for the whole. The query stays as it is, byte for byte.
	f("/v2/all", "/a?b=%41&&c", "/v2/all?b=%41&&c")
	f("/v2/{path.*}", "/a/b/c", "/v2/b/c", rest("b/c"))
	f("/v2/{path.*}", "/a/b%2Fc", "/v2/b%2Fc", rest("b%2Fc")) // the route allowed it
	f("/v2/{path.id}/x", "/a/1%20b", "/v2/1%20b/x", id("1%20b"))
	f("/t/{request.headers.x-plain}/x", "/a", "/t/acme/x")
	f("/t/{request.query_params.t}", "/a?t=b%20%C3%A9", "/t/b%20%C3%A9?t=b%20%C3%A9")
	// What a client puts into it takes nothing of it away.
	f("/t/{request.headers.x-tenant}", "/a", "bad_path") // its slashes are escaped, and become none
	f("/t/{request.query_params.t}/x", "/a?t=..", "bad_path")
	f("/t/{request.query_params.t}/x", "/a?t=.", "bad_path")
	f("/t/{request.query_params.t}/x", "/a?t=%2e%2e", "bad_path")
	f("/t/.{request.query_params.t}", "/a?t=.", "bad_path")
	f("/t/{request.query_params.t}{request.query_params.u}/x", "/a?t=.&u=.", "bad_path")
	f("/t/{request.query_params.t}", "/a?t=..%2f..%2fadmin", "bad_path")
	f("/t/{request.query_params.t}", "/a?t=a%5cb", "bad_path")
	f("/t/{request.query_params.t}", "/a?t=a%00", "bad_path")
	f("/t/{request.query_params.t}", "/a?t=a%3Fb%23c", "/t/a%3Fb%23c?t=a%3Fb%23c")
	f("/t/{request.query_params.t}", "/a?t=1&t=2", "bad_path")
	f("/{request.query_params.t}/evil.example.com", "/a", "/evil.example.com") // never two slashes in front
	f("/t/{request.query_params.t}", "/a?t="+strings.Repeat("x", 9000), "bad_path")
	f("/t/...{request.query_params.t}", "/a", "/t/...")

	// What is done to the client's.
	f("{strip_prefix: /api}", "/api/x", "/x")
	f("{strip_prefix: /api/}", "/api/x/", "/x/")
	f("{strip_prefix: /api}", "/api", "/")
	f("{strip_prefix: /api}", "/apis/x", "/apis/x")
	f("{strip_prefix: /api}", "/x/api", "/x/api")
	f("{strip_prefix: /a%7eb}", "/a~b/c", "/c")
	f("{add_prefix: /v2}", "/x", "/v2/x")
	f("{add_prefix: /v2/}", "/", "/v2/")
	f("{add_prefix: '/t/{request.headers.x-plain}'}", "/x", "/t/acme/x")
	f("{strip_prefix: /api, add_prefix: /v2}", "/api/x", "/v2/x")
	f(`{replace: {match: '^/users/([0-9]+)$', with: '/people/{1}'}}`, "/users/12?a", "/people/12?a")
	f(`{replace: {match: '^/users/(?P<id>[0-9]+)', with: '/people/id-{id}'}}`, "/users/12/x", "/people/id-12/x")
	f(`{replace: {match: '_', with: '-'}}`, "/a_b/c_d", "/a-b/c-d")
	f(`{replace: {match: '[^/]+', with: '{{{0}}}'}}`, "/a/b", "/%7Ba%7D/%7Bb%7D")
	f(`{replace: {match: '/x', with: ''}}`, "/x", "/") // nothing is left
	f(`{replace: [{match: 'a', with: 'b'}, {match: 'b', with: 'c'}]}`, "/a/b", "/c/c")
	f(`{replace: {match: '^/old(/.*)?$', with: '/new{1}'}}`, "/old", "/new")
	f(`{replace: {match: '-', with: '.'}}`, "/a/--/b", "bad_path")
	f(`{replace: {match: '-', with: '%2e'}}`, "/a/--/b", "bad_path")
	f(`{replace: {match: '-', with: '/'}}`, "/-/evil.example.com", "/evil.example.com")
	f(`{replace: {match: '2', with: '3'}}`, "/a%20b", "/a0b") // the escaped form is what is matched
	f(`{replace: {match: '-', with: '?'}}`, "/a-b", "bad_path")
	f(`{replace: {match: 'x', with: '`+strings.Repeat("y", 1000)+`'}}`, "/"+strings.Repeat("x", 100), "bad_path")
	f(`{strip_prefix: /api, replace: {match: '^/', with: '/r-'}, add_prefix: /v2}`, "/api/x", "/v2/r-x")
}

func TestQuery(t *testing.T) {
	w := policytest.New(t)
	f := func(options, query, want string) {
		t.Helper()
		x := ask(t, w.Policy(Kind, "{query: "+options+"}"), "GET", "/a?"+query, "X-Odd: a&b=c d+é\"")
		got := sent(x)
		if got != strings.TrimSuffix("/a?"+want, "?") && got != want {
			t.Errorf("%s, %s: %s, want %s", options, query, got, want)
		}
		if x.Request.Query != query {
			t.Errorf("the client's query became %s", x.Request.Query)
		}
	}
	// Removed, by names as endpoints read them; the rest stays byte for byte.
	f("{remove: a}", "a=1&b=%7e&c", "b=%7e&c")
	f("{remove: [a, b]}", "a=1&b=2", "")
	f("{remove: a}", "A=1&aa=2&=a", "A=1&aa=2&=a")
	f("{remove: a}", "%61=1&a&a=&b=a", "b=a")
	f("{remove: 'a b'}", "a+b=1&a%20b=2&ab=3", "ab=3")
	f("{remove: 'é'}", "%C3%A9=1&%c3%a9=2&e=3", "e=3")
	f("{remove: utm_*}", "utm_source=1&utm%5Fmedium=2&utm=3", "utm=3")
	f("{remove: '*'}", "a=1&b", "")
	f("{remove: '%zz'}", "%zz=1&b", "b")
	f("{remove: b}", "a=1&&c", "a=1&&c")
	// Renamed, in their place, with what they have.
	f("{rename: {a: b}}", "x=1&a=%7e&a&%61=2", "x=1&b=%7e&b&b=2")
	f("{rename: {a: 'b c&d'}}", "a=1", "b%20c%26d=1")
	f("{rename: {a: b, b: c}}", "a=1&b=2", "b=1&c=2")
	// Set, once; added, besides.
	f("{set: {a: '1'}}", "", "a=1")
	f("{set: {a: '1'}}", "a=2&b=3&%61=4", "b=3&a=1")
	f("{set: {b: '2', a: '1'}}", "", "a=1&b=2")
	f("{set: {'a b': 'c&d=e f'}}", "", "a%20b=c%26d%3De%20f")
	f("{add: {a: '1'}}", "a=2", "a=2&a=1")
	f("{set: {t: '{request.headers.x-odd}'}}", "a=1", "a=1&t=a%26b%3Dc%20d%2B%C3%A9%22")
	f("{set: {t: '{request.query_params.a}'}}", "a=x%26y", "a=x%26y&t=x%26y")
	f("{set: {t: '{request.query_params.a}'}}", "a=1&a=2", "bad_path")
	f("{set: {t: '{auth.subject}'}}", "", "t=")
	// Order: remove, rename, set, add.
	f("{remove: a, rename: {b: a}, set: {c: '1'}, add: {a: '2'}}", "a=0&b=3&c=4", "a=3&c=1&a=2")
	f("{rename: {x: role}, set: {role: viewer}}", "x=admin&role=admin&y", "y&role=viewer")
}

// TestMethod is what becomes of requests when endpoints are asked by another method.
func TestMethod(t *testing.T) {
	w := policytest.New(t)
	post, get, query := w.Policy(Kind, "{method: POST}"), w.Policy(Kind, "{method: GET}"), w.Policy(Kind, "{method: QUERY}")
	f := func(r *policytest.Running, method, want string) {
		t.Helper()
		x := ask(t, r, method, "/a", "")
		if x.SentMethod() != want || x.Request.Method != method {
			t.Errorf("%s: %s, asked with %s", method, x.Request.Method, x.SentMethod())
		}
	}
	f(post, "GET", "POST")
	f(post, "HEAD", "POST")
	f(post, "POST", "POST")
	f(query, "GET", "QUERY")
	f(get, "POST", "GET")
	f(get, "HEAD", "HEAD") // the same head, without content that nobody gets

	// A switch of protocols is defined for the method it was asked with.
	x := post.Request("GET / HTTP/1.1\nHost: a")
	x.Request.Upgrade = "websocket"
	post.Chain.Request(x)
	if x.SentMethod() != "GET" {
		t.Error(x.SentMethod())
	}

	// Content goes on as it is, but to GET.
	x = ask(t, post, "PUT", "/a", "Content-Type: text/plain\nContent-Length: 3\n\nabc")
	if x.Request.Length != 3 || x.Request.Body == nil || x.Request.Header.Count(exchange.ContentType) != 1 {
		t.Error("POST has no content")
	}
	x = ask(t, get, "POST", "/a", "Content-Type: text/plain\nContent-Language: de\nX: y\nContent-Length: 3\n\nabc")
	if names := names(x); names != "Host X" || x.Request.Length != 0 {
		t.Errorf("GET has %q, %d bytes", names, x.Request.Length)
	}
	if _, err := x.Request.Body.Next(); err != io.EOF || !x.Request.Body.Buffered() {
		t.Errorf("GET has content: %v", err)
	}
	// It is back before the answer is written, since the connection has to be rid of it.
	x.Respond(200, "", nil)
	get.Chain.Response(x)
	if run, err := x.Request.Body.Next(); string(run) != "abc" || err != nil || x.Request.Length != 3 {
		t.Errorf("%q, %v, %d", run, err, x.Request.Length)
	}
	x.Settle()
	// And so it is when nobody is answered.
	x = ask(t, get, "POST", "/a", "Content-Length: 3\n\nabc")
	x.Request.Continue = true
	x.Settle()
	if x.Request.Length != 3 {
		t.Error("the content is lost")
	}
}

// TestHeld: content that lies in memory is given back at the end.
func TestHeld(t *testing.T) {
	get := policytest.New(t).Policy(Kind, "{method: GET}")
	before := exchange.Holding()
	x := get.Request("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
	if _, f := x.HoldBody(exchange.Hold{Max: 10}); f != nil {
		t.Fatal(f)
	}
	get.Chain.Request(x)
	x.Settle()
	x.DropHeld()
	if got := exchange.Holding(); got != before {
		t.Errorf("%d bytes are held", got-before)
	}
}

func names(x *exchange.Exchange) string {
	var all []string
	for _, f := range x.Request.Header.All() {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

func TestRefused(t *testing.T) {
	x := ask(t, policytest.New(t).Policy(Kind, "{path: '/t/{request.query_params.t}'}"), "GET", "/a?t=..", "")
	if x.Fault == nil || x.Fault.Kind != fault.BadPath || policytest.Verdict(x, "rewrite") != "refused" {
		t.Errorf("%v, %q", x.Fault, policytest.Verdict(x, "rewrite"))
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(text, want string) {
		t.Helper()
		if got := w.Refused(Kind, text); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
	f("{}", "nothing is rewritten")
	f("{query: {}}", "nothing is rewritten")
	f("{path: {}}", "nothing is done to the path")
	f("{path: v2}", "does not begin with a slash")
	f("{path: '/v2?a=b'}", "has a query")
	f("{path: '/v2/{path.*}?a=b'}", "has a query")
	f("{path: '/v2/{path.*'}", "is not closed")
	f("{path: '/v2/{cookie.x}'}", "no fact")
	f("{path: '/v2/{response.status}'}", "known in responses alone")
	f("{path: /a/../b}", "segment")
	f("{path: '/a%zz'}", "percent")
	f("{path: '/a b'}", "percent-encoded")
	f("{path: {strip_prefix: /}}", "strips nothing")
	f("{path: {strip_prefix: api}}", "slash")
	f("{path: {add_prefix: api}}", "slash")
	f("{path: {replace: {match: '(', with: a}}}", "missing closing )")
	f("{path: {replace: {match: 'a*', with: b}}}", "matches nothing at all")
	f("{path: {replace: {match: a, with: '{1}'}}}", "no group {1}")
	f("{path: {replace: {match: '(a)', with: '{01}'}}}", "no group {01}")
	f("{path: {replace: {match: a, with: '{'}}}", "not closed")
	f("{path: {replace: {match: a, with: '}'}}}", "found }")
	f("{path: {replace: {with: a}}}", "match")
	f("{method: HEAD}", "HEAD cannot be asked with")
	f("{method: CONNECT}", "CONNECT")
	f("{method: post}", "capitals")
	f("{method: 'P T'}", "is no method")
	f("{query: {set: {a: b}, add: {a: c}}}", "set and added")
	f("{query: {set: {a: b}, rename: {a: c}}}", "set and renamed")
	f("{query: {set: {'': b}}}", "no name")
	f("{query: {remove: ['']}}", "no name")
	f("{query: {set: {a: '{nothing}'}}}", "no fact")
}

// TestAllocations: a constant path, a template and a query cost nothing once the exchange has room for them. Regular expressions
// allocate for what they match.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := policytest.New(t).Policy(Kind, "{path: '/v2/{path.id}', query: {remove: a, set: {b: '{request.headers.x}'}}, method: QUERY}")
	x := r.Request("GET /a?a=1&c=2 HTTP/1.1\nHost: a\nX: y")
	if got := testing.AllocsPerRun(100, func() {
		x.Onward = exchange.Onward{}
		x.Verdicts = x.Verdicts[:0]
		keepAgain(x)
		r.Chain.Request(x)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if sent(x) != "/v2/?c=2&b=y" {
		t.Error(sent(x))
	}
}

// keepAgain lets the exchange use its room for texts again, as it does for the next request, and keeps the request.
func keepAgain(x *exchange.Exchange) {
	request, conn := x.Request, x.Conn
	x.Request = exchange.Request{}
	x.Begin(conn, 1)
	x.Request = request
}

func BenchmarkPath(b *testing.B) {
	bench(b, "{path: '/v2/{path.id}'}")
}

func BenchmarkReplace(b *testing.B) {
	bench(b, `{path: {replace: {match: '^/orders/([0-9]+)$', with: '/v2/orders/{1}'}}}`)
}

func BenchmarkQuery(b *testing.B) {
	bench(b, "{query: {remove: utm_*, set: {tenant: acme}}}")
}

func bench(b *testing.B, options string) {
	r := policytest.New(b).Policy(Kind, options)
	x := r.Request("GET /orders/12?page=3&utm_source=x HTTP/1.1\nHost: a")
	b.ReportAllocs()
	for b.Loop() {
		keepAgain(x)
		r.Chain.Request(x)
	}
}

// FuzzPath: whatever a client puts in, what an endpoint is asked for is canonical and below what the configuration says.
func FuzzPath(f *testing.F) {
	f.Add("/a/b", "..", "%2e%2e/x")
	f.Add("/a-b", ".", "//evil")
	f.Fuzz(func(t *testing.T, path, header, rest string) {
		canonical, _, err := route.AppendCanonical(nil, path)
		if err != nil {
			t.Skip()
		}
		w := policytest.New(t)
		template := w.Policy(Kind, "{path: '/t/{request.headers.x}/{path.*}'}")
		replaced := w.Policy(Kind, `{path: {replace: {match: '[a-z-]+', with: '.{0}'}, add_prefix: /t/}}`)
		for _, r := range []*policytest.Running{template, replaced} {
			x := r.Request("GET / HTTP/1.1\nHost: a")
			x.Request.Path = canonical.Path
			x.Request.Header.Append(exchange.Other, "X", header)
			x.Params = []exchange.Param{{Name: "*", Value: rest}}
			r.Chain.Request(x)
			if x.Fault != nil {
				continue
			}
			again, _, err := route.AppendCanonical(nil, x.Onward.Path)
			if err != nil || again.Path != x.Onward.Path || !strings.HasPrefix(again.Path, "/t/") && again.Path != "/t" {
				t.Errorf("%q, %q, %q: %q, %v", path, header, rest, x.Onward.Path, err)
			}
		}
	})
}

// FuzzQuery: a parameter that is set is there once, and last, however a client writes its name.
func FuzzQuery(f *testing.F) {
	f.Add("role=admin&%72ole=admin&+=&&", "x&role=admin")
	f.Fuzz(func(t *testing.T, query, header string) {
		r := policytest.New(t).Policy(Kind, "{query: {remove: gone*, set: {role: '{request.headers.x}'}}}")
		x := r.Request("GET / HTTP/1.1\nHost: a")
		x.Request.Query = query
		x.Request.Header.Append(exchange.Other, "X", header)
		r.Chain.Request(x)
		if x.Fault != nil {
			return
		}
		all := strings.Split(x.SentQuery(), "&")
		for i, parameter := range all {
			name, _, _ := strings.Cut(parameter, "=")
			if means(name, "role", false) != (i == len(all)-1) || means(name, "gone", true) {
				t.Errorf("%q, %q: %q", query, header, x.SentQuery())
			}
		}
	})
}

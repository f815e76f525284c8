package headers

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

func lines(h *exchange.Fields) string {
	var all []string
	for _, f := range h.All() {
		if f.Known != exchange.Lookup(f.Name) {
			all = append(all, "MISTAKEN")
		}
		all = append(all, f.Name+": "+f.Value)
	}
	return strings.Join(all, " | ")
}

// What endpoints get.
func TestRequest(t *testing.T) {
	w := policytest.New(t)
	f := func(options, request, want string) {
		t.Helper()
		x := w.Policy(Kind, "{request: {"+options+"}}").Request("GET /a?b=c HTTP/1.1\n" + request)
		w.Policy(Kind, "{request: {"+options+"}}").Chain.Request(x)
		if got := lines(&x.Request.Header); got != want || x.Fault != nil || x.Answered() {
			t.Errorf("%s:\n%s, want\n%s", options, got, want)
		}
	}
	// Removed: all of a name, in any case, and what endpoints may take for it.
	f("remove: X-A", "x-a: 1\nAccept: b\nX-A: 2\nX_A: 3\nX-AB: 4\n", "Accept: b | X-AB: 4")
	f("remove: [Accept, X-A]", "Accept: b\nX-A: 2\nVia: c\n", "Via: c")
	f("remove: X-Internal-*", "X-Internal-A: 1\nx_internal_b: 2\nX-Internal: 3\nX-INTERNAL-: 4\nX-Intern: 5\nX-Internal-A: 6\n", "X-Internal: 3 | X-Intern: 5")
	// What begins so and is protected stays.
	f("remove: X-*", "X-A: 1\nX-Forwarded-For: 2\nX-Consumer-Id: 3\nX-Straum-Attempt: 1\n", "X-Forwarded-For: 2 | X-Consumer-Id: 3 | X-Straum-Attempt: 1")
	// Renamed: where they stand, all of them, in place of those that had the name.
	f("rename: {X-A: X-B}", "X-B: 0\nx-a: 1\nVia: c\nX-A: 2\nX_b: 3\n", "X-B: 1 | Via: c | X-B: 2")
	// A client does not bring the new name itself, whether the old one is there or not.
	f("rename: {X-A: X-B}", "X-B: 0\nx_b: 1\nVia: c\n", "Via: c")
	f("rename: {X_A: X-B}", "X_A: 0\nX-A: 1\n", "X-B: 0 | X-A: 1")
	f("rename: {X-Auth: Authorization}", "X-Auth: Bearer a\n", "Authorization: Bearer a")
	f("rename: {X-A: x-a-b}", "X-A: 1\nX_A: 2\n", "x-a-b: 1 | X_A: 2")
	// Set: exactly one, whatever the client sent.
	f("set: {X-Tenant: acme}", "", "X-Tenant: acme")
	f("set: {X-Tenant: acme}", "x-tenant: evil\nAccept: b\nX_Tenant: evil\nX-TENANT: evil\n", "Accept: b | X-Tenant: acme")
	f("set: {accept: b, X-Empty: ''}", "Accept: a\n", "X-Empty:  | accept: b")
	f("set: {X-Q: '{request.query_params.b} {request.method}', X-Plan: '{consumer.plan}'}", "X-Plan: gold\n", "X-Q: c GET") // nothing comes of it, and the client's is gone
	// Added: besides what is there.
	f("add: {X-A: [b, c], Via: d}", "x-a: 1\n", "x-a: 1 | Via: d | X-A: b | X-A: c")
	f("add: {X-A: '{consumer.id}'}", "x-a: 1\n", "x-a: 1")
	// In this order: remove, rename, set, add.
	f("remove: X-A, rename: {X-B: X-C, X-D: X-E}, set: {X-D: d, X-A: a}, add: {X-E: e, X-A: b}", "X-A: 0\nX-B: 1\nX-C: 2\nX-D: 3\nX-E: 4\n", "X-C: 1 | X-E: 3 | X-A: a | X-D: d | X-A: b | X-E: e")
}

// What clients get.
func TestResponse(t *testing.T) {
	w := policytest.New(t)
	f := func(options, response, want string) {
		t.Helper()
		r := w.Policy(Kind, "{response: {"+options+"}}")
		x := r.Request("GET / HTTP/1.1\nHost: a\n")
		x.Response.Status = 200
		for line := range strings.Lines(response) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			x.Response.Header.Add(name, value)
		}
		r.Chain.Response(x)
		if got := lines(&x.Response.Header); got != want {
			t.Errorf("%s:\n%s, want\n%s", options, got, want)
		}
	}
	f("remove: [Server, X-Powered-*]", "server: a\nX-Powered-By: b\nETag: c\n", "ETag: c")
	f("remove: Set-Cookie", "Set-Cookie: a\nA: b\nSet-Cookie: c\n", "A: b")
	f("rename: {X-Old: X-New}, set: {Cache-Control: no-store}", "Cache-Control: a\nX-Old: b\nCache-Control: c\n", "Cache-Control: no-store | X-New: b")
	f("add: {Set-Cookie: ['a=b; Path=/', c=d], Vary: Accept}", "Set-Cookie: x=y, z\nVary: Origin\n", "Set-Cookie: x=y, z | Vary: Origin | Set-Cookie: a=b; Path=/ | Set-Cookie: c=d | Vary: Accept")
	f("set: {X-Status: '{response.status}', X-By: '{upstream.endpoint}'}", "X-By: a\n", "X-Status: 200")
	f("remove: V*", "Vary: Origin\nVia: a\nVary: Accept\n", "Vary: Origin | Vary: Accept")
	f("rename: {X-Old: X-New}", "X-New: a\n", "X-New: a")
	f("remove: '*-A'", "*-A: 1\n", "") // a star elsewhere is a character of a name
	f("remove: X-*", "X-Forwarded-For: 1\nX-A: 2\nSec-WebSocket-Accept: 3\n", "Sec-WebSocket-Accept: 3")
	f("set: {Strict-Transport-Security: max-age=1}", "", "Strict-Transport-Security: max-age=1")
}

// Nothing that a client or an issuer says begins a field of its own.
func TestInjection(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{request: {set: {X-Email: '{auth.claims.email}', X-Q: 'q={request.query_params.q}'}, add: {X-Add: '{auth.claims.email}'}}}")
	f := func(email, query, want, word string) {
		t.Helper()
		x := r.Request("GET / HTTP/1.1\nX-Email: forged\nX-Add: mine\n")
		x.Request.Query = query
		x.Caller.Claims = map[string]any{"email": email}
		r.Chain.Request(x)
		if got := lines(&x.Request.Header); got != want || policytest.Verdict(x, "headers") != word {
			t.Errorf("%q %s:\n%s (%s), want\n%s", email, query, got, policytest.Verdict(x, "headers"), want)
		}
	}
	f("a@b", "q=1", "X-Add: mine | X-Email: a@b | X-Q: q=1 | X-Add: a@b", "")
	for _, bad := range []string{"a\r\nX-Admin: 1", "a\nb", "a\rb", "a\x00", "\x7f", "a\x1bb", strings.Repeat("a", policy.MaxFilled+1)} {
		f(bad, "q=1", "X-Add: mine | X-Q: q=1", "unfit")
	}
	f("a@b", "q=%0d%0aX-Admin:1", "X-Add: mine | X-Email: a@b | X-Add: a@b", "unfit")
	f("a@b", "q=1&q=2", "X-Add: mine | X-Email: a@b | X-Add: a@b", "unfit")
	f(" a ", "", "X-Add: mine | X-Email: a | X-Q: q= | X-Add: a", "")
}

// Clients cannot bring a field as a trailer that is set or removed.
func TestTrailers(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{request: {set: {X-Tenant: acme}, remove: [X-Secret, X-Internal-*], rename: {X-Old: X-New}, add: {X-A: b}}}")
	x := r.Request("POST / HTTP/1.1\n")
	r.Chain.Request(x)
	for name, want := range map[string]bool{"x-tenant": true, "X_Tenant": true, "X-SECRET": true, "X-A": false,
		"x_internal_role": true, "X-Internal-": true, "X-Internal": false, "X-New": true, "X-Old": false} {
		if x.Request.Reserved(name) != want {
			t.Errorf("%s: reserved is %v", name, !want)
		}
	}
}

// Only the step that there is something to do in is taken part in.
func TestSteps(t *testing.T) {
	f := func(options string, requests, responses int) {
		t.Helper()
		c := policytest.New(t).Policy(Kind, options).Chain
		if len(c.Requests) != requests || len(c.Responses) != responses {
			t.Errorf("%s: %d and %d", options, len(c.Requests), len(c.Responses))
		}
	}
	f("{request: {remove: A}}", 1, 0)
	f("{response: {remove: A}}", 0, 1)
	f("{request: {remove: A}, response: {remove: A}}", 1, 1)
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", options, got, want)
		}
	}
	f("{}", "headers changes nothing")
	f("{request: {}}", "headers changes nothing")
	f("{request: {remove: '*'}}", "take every field away")
	f("{request: {remove: 'X Y'}}", "is not a field name")
	f("{request: {remove: ''}}", "is not a field name")
	f("{request: {remove: [':path']}}", "is not a field name")
	for name, why := range map[string]string{"Content-Length": "where the message ends", "transfer-encoding": "where the message ends", "Trailer": "where the message ends",
		"Connection": "about one connection", "TE": "about one connection", "Upgrade": "about one connection", "Keep-Alive": "about one connection", "Expect": "about one connection",
		"Proxy-Authorization": "for proxies", "Content-Encoding": "how the body is coded", "Sec-WebSocket-Key": "handshake of WebSocket"} {
		for _, step := range []string{"request", "response"} {
			for _, what := range []string{"{remove: %s}", "{set: {%s: a}}", "{add: {%s: a}}", "{rename: {%s: X-A}}", "{rename: {X-A: %s}}"} {
				f("{"+step+": "+fmt.Sprintf(what, name)+"}", why)
			}
		}
	}
	for name, why := range map[string]string{"Host": "option host", "X-Forwarded-For": "written by the gateway", "forwarded": "written by the gateway", "X-Real-IP": "written by the gateway",
		"X-Consumer-Id": "what the gateway has found out", "x-auth-subject": "what the gateway has found out", "X-Straum-Attempt": "retries",
		"X_Consumer_Id": "underscores", "X_Forwarded_For": "underscores"} {
		for _, what := range []string{"{remove: %s}", "{set: {%s: a}}", "{add: {%s: a}}", "{rename: {%s: X-A}}", "{rename: {X-A: %s}}"} {
			f("{request: "+fmt.Sprintf(what, name)+"}", why)
		}
	}
	f("{request: {set: {X-A: ' a'}}}", "no space at its ends")
	f(`{request: {set: {X-A: "a\nX-B: c"}}}`, "control character")
	f("{request: {set: {X-A: '{response.status}'}}}", "known in responses alone")
	f("{request: {set: {X-A: '{reqest.id}'}}}", "did you mean {request.id}?")
	f("{request: {set: {X-A: a, x-a: b}}}", "twice in different case")
	f("{request: {rename: {X-A: x-a}}}", "the name it has")
	f("{request: {rename: {X-A: X-B, X-B: X-C}}}", "X-B is renamed and is a new name")
	f("{request: {rename: {X-C: X-B, X-B: X-A}}}", "X-B is renamed and is a new name")
	f("{request: {rename: {X-A: X-C, X-B: X-C}}}", "would both become X-C")
	f("{request: {remove: x-a, rename: {X-A: X-B}}}", "removed before it could be renamed")
	f("{request: {rename: {X-A: X-B}, set: {X-B: a}}}", "would be overwritten")
	f("{response: {set: {Set-Cookie: a}}}", "take all other cookies")
	f("{response: {rename: {Set-Cookie: X-A}}}", "keeps the name Set-Cookie")
	f("{response: {set: {Vary: a}}}", "write it under add")
	f("{response: {remove: Vary}}", "write it under add")
	f("{response: {set: {Access-Control-Allow-Origin: a}}}", "the policy cors")
	f("{response: {add: {access-control-max-age: a}}}", "the policy cors")
	f("{response: {rename: {X-A: Access-Control-Max-Age}}}", "the policy cors")
	f("{request: {sett: {X-A: a}}}", "set")
}

// usual is what an API has: a constant, facts of the caller, and fields taken away.
func usual(t testing.TB) func() {
	r := policytest.New(t).Policy(Kind, "{request: {remove: [X-Debug, X-Internal-*], set: {X-Gateway: straum, X-Tenant: '{consumer.id}', X-Request: '{request.id} {client.ip}'}}, response: {remove: Server, set: {Cache-Control: no-store}, add: {X-Served-By: '{route}'}}}")
	x := r.Request("GET /orders/1 HTTP/1.1\nHost: api.example.com\nAccept: */*\nUser-Agent: a\nX-Debug: 1\nX-Tenant: evil\nX-Internal-A: b\nAccept-Language: no\n")
	from := append([]exchange.Field(nil), x.Request.Header.All()...)
	x.Caller.Consumer = &consumer.Consumer{ID: "acme"}
	id := x.ID
	return func() {
		who := x.Caller
		x.Begin(x.Conn, 1)
		x.Caller, x.ID, x.Route = who, id, &route
		for i := range from {
			x.Request.Header.Append(from[i].Known, from[i].Name, from[i].Value)
		}
		r.Chain.Request(x)
		x.Response.Status = 200
		x.Response.Header.Append(exchange.Server, "Server", "a")
		r.Chain.Response(x)
	}
}

var route = exchange.Route{Name: "orders"}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, usual(t)); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkHeaders(b *testing.B) {
	run := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

// What the client said stays known to those who answer it.
func TestSaid(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{request: {remove: [Origin, X-A-*], rename: {X-B: X-C}, set: {Accept-Encoding: identity}}}")
	x := r.Request("GET / HTTP/1.1\nOrigin: https://a\nAccept-Encoding: gzip\nX-A-B: 1\nX-B: 2\n")
	r.Chain.Request(x)
	if got := lines(&x.Request.Header); got != "X-C: 2 | Accept-Encoding: identity" {
		t.Errorf("endpoints get %s", got)
	}
	if got := lines(x.Request.Said()); got != "Origin: https://a | Accept-Encoding: gzip | X-A-B: 1 | X-B: 2" {
		t.Errorf("the client said %s", got)
	}
}

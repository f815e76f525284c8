package redirect

import (
	"net/url"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// where is the address that a request is sent to, or the fault.
func where(r *policytest.Running, x *exchange.Exchange) string {
	r.Chain.Request(x)
	if x.Fault != nil {
		return x.Fault.Kind.Word
	}
	to, _ := x.Response.Header.Get(exchange.Location)
	return to
}

func TestRedirect(t *testing.T) {
	w := policytest.New(t)
	f := func(options, target, want string, params ...string) {
		t.Helper()
		r := w.Policy(Kind, options)
		x := r.Request("GET " + target + " HTTP/1.1\nHost: Shop.example:8443\nX-Next: //evil.example/a?b\n")
		for i := 0; i < len(params); i += 2 {
			x.Params = append(x.Params, exchange.Param{Name: params[i], Value: params[i+1]})
		}
		if got := where(r, x); got != want {
			t.Errorf("%s of %s: %s, want %s", options, target, got, want)
		}
		if x.Fault == nil && (x.Response.Length != 0 || !x.Response.Own) {
			t.Error("a redirection has a body, or is nobody's")
		}
	}
	f("{to: /new}", "/old", "/new")
	f("{to: /new}", "/old?a=b", "/new?a=b")
	f("{to: /new, query: drop}", "/old?a=b", "/new")
	f("{to: '/new?c=d'}", "/old?a=b", "/new?c=d&a=b")
	f("{to: '/new?c=d#e'}", "/old?a=b", "/new?c=d&a=b#e")
	f("{to: '/new#e'}", "/old", "/new#e")
	f("{to: '/new?of={request.path}', query: drop}", "/old/a?b", "/new?of=/old/a")
	f("{to: '/new?{request.query}', query: drop}", "/old?a=b&c", "/new?a=b&c")
	f("{to: 'https://new.example'}", "/old", "https://new.example/")
	f("{to: 'https://new.example'}", "/old?a", "https://new.example/?a")
	f("{to: 'https://new.example{request.path}'}", "/old/a%2Fb?a", "https://new.example/old/a%2Fb?a")
	f("{to: 'https://{request.host}{request.path}'}", "/old?a", "https://shop.example/old?a")
	f("{to: 'https://{request.authority}/v2{request.path}'}", "/old", "https://shop.example:8443/v2/old")
	f("{to: 'https://{request.host}:444/'}", "/", "https://shop.example:444/")
	f("{to: '{request.scheme}://www.{request.host}/a'}", "/", "http://www.shop.example/a")
	f("{to: 'https://{path.tenant}.shop.example/{path.*}'}", "/acme/a/b", "https://acme.shop.example/a/b", "tenant", "acme", "*", "a/b")
	f("{to: '/{path.*}'}", "/v1/a%20b/c", "/a%20b/c", "*", "a%20b/c")
	f("{to: '/a?b={auth.claims.https://x/y?z#}'}", "/", "/a?b=")
}

// Nobody but the operator says where it leads.
func TestNoOpenRedirect(t *testing.T) {
	w := policytest.New(t)
	f := func(options, target, want string, params ...string) {
		t.Helper()
		r := w.Policy(Kind, options)
		x := r.Request("GET " + target + " HTTP/1.1\nHost: a\nX-Next: //evil.example/a?b\n")
		x.Caller.Claims = map[string]any{"next": "a\r\nSet-Cookie: b", "up": "..", "host": "evil.example"}
		for i := 0; i < len(params); i += 2 {
			x.Params = append(x.Params, exchange.Param{Name: params[i], Value: params[i+1]})
		}
		got := where(r, x)
		if got != want {
			t.Errorf("%s of %s: %s, want %s", options, target, got, want)
		}
		if u, err := url.Parse(got); err != nil || u.Host != "" && u.Host != "safe.example" && !strings.HasSuffix(u.Host, ".safe.example") {
			t.Errorf("%s of %s: leads to %s, %v", options, target, got, err)
		}
	}
	f("{to: '/{path.*}'}", "/r//evil.example", "/evil.example", "*", "/evil.example")
	f("{to: '/{request.path}'}", "/evil.example", "/evil.example")
	f("{to: '/{path.*}'}", "/r/", "/", "*", "")
	f("{to: '/{path.a}{path.b}'}", "/", "/evil.example", "a", "", "b", "/evil.example")
	f("{to: '/{request.headers.X-Next}'}", "/", "/%2F%2Fevil.example%2Fa%3Fb")
	f("{to: '/{request.query_params.next}', query: drop}", "/?next=%5C%5Cevil.example", "/%5C%5Cevil.example")
	f("{to: '/{request.query_params.next}', query: drop}", "/?next=%0d%0aSet-Cookie:a", "/%0D%0ASet-Cookie%3Aa")
	f("{to: '/{auth.claims.next}'}", "/", "/a%0D%0ASet-Cookie%3A%20b")
	f("{to: '/{request.query_params.a}', query: drop}", "/?a=1&a=2", "bad_path")
	f("{to: '/{auth.claims.up}/admin'}", "/", "bad_path")
	f("{to: 'https://safe.example/tenants/{auth.claims.up}/x'}", "/", "bad_path")
	f("{to: 'https://safe.example/a/{path.p}'}", "/", "bad_path", "p", "%2e%2E")
	f("{to: 'https://safe.example/a/.{path.p}'}", "/", "bad_path", "p", ".")
	f("{to: 'https://safe.example/a/.{path.p}'}", "/", "https://safe.example/a/...", "p", "..")
	for _, host := range []string{"evil.example", "evil.example%2F", "", "a@evil", "a:1", "-"} {
		f("{to: 'https://{path.t}.safe.example/'}", "/", "bad_path", "t", host)
	}
	f("{to: 'https://{auth.claims.host}.safe.example/'}", "/", "bad_path")
	f("{to: '/a'}", "/?b=\"<>`{|}", "/a?b=%22%3C%3E%60%7B%7C%7D")
	f("{to: '/a'}", "/?"+strings.Repeat("a", 9000), "bad_path")
	// Without a host there is no address on it.
	r := w.Policy(Kind, "{to: 'https://{request.host}/'}")
	if got := where(r, r.Request("GET / HTTP/1.0\n")); got != "bad_path" {
		t.Errorf("without a host: %s", got)
	}
}

func TestStatus(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]int{"{to: /a}": 307, "{to: /a, status: 301}": 301, "{to: /a, status: 302}": 302, "{to: /a, status: 303}": 303, "{to: /a, status: 308}": 308} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			x := w.Policy(Kind, options).Ask(method + " / HTTP/1.1\nHost: a\n")
			if x.Response.Status != want || policytest.Verdict(x, "redirect") != "redirected" {
				t.Errorf("%s %s: %d", method, options, x.Response.Status)
			}
		}
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
	f("{}", "to")
	f("{to: /a, status: 300}", "allowed: 307")
	f("{to: new}", "neither an address nor a path")
	f("{to: '{request.query_params.next}'}", "lets the client say which")
	f("{to: '{request.headers.X-Next}/a'}", "lets the client say which")
	f("{to: '{path.*}'}", "lets the client say which")
	f("{to: //evil.example}", "begins with two slashes")
	f("{to: 'ftp://a/'}", "allowed: http, https")
	f("{to: 'javascript://a/'}", "allowed: http, https")
	f("{to: '{request.query_params.a}://a/'}", "allowed: http, https")
	f("{to: 'https://{request.query_params.host}/'}", "could lead anywhere")
	f("{to: 'https://{path.a}'}", "could lead anywhere")
	f("{to: 'https://safe.example{path.a}/'}", "could lead anywhere")
	f("{to: 'https://{path.a}.com/'}", "two labels at least")
	f("{to: 'https://www.{path.a}.com/'}", "two labels at least")
	f("{to: 'https://{path.a}.{path.b}/'}", "two labels at least")
	f("{to: 'https://u:p@a/'}", "before the host")
	f("{to: 'https:///a'}", "the host \"\" is not valid")
	f("{to: 'https://a b/'}", "no address has")
	f("{to: 'https://a:99999/'}", "is not valid")
	f("{to: '/a b'}", "no address has")
	f("{to: '/é'}", "no address has")
	f("{to: '/a\\b'}", "no address has")
	f("{to: '/a?'}", "nothing behind")
	f("{to: '/a{{b}}'}", "write %7B and %7D")
	f("{to: '/a#{request.id}'}", "the same for all")
	f("{to: /a/../b}", "a . or .. for a segment")
	f("{to: /a/%2e%2e}", "a . or .. for a segment")
	f("{to: '/{reqest.id}'}", "did you mean {request.id}?")
	f("{to: '/{response.status}'}", "known in responses alone")
	f("{to: '/a?{request.query}'}", "twice")
	f("{to: /a, query: merge}", "keep, drop")
}

func usual(t testing.TB) func() {
	r := policytest.New(t).Policy(Kind, "{to: 'https://{request.host}/new/{path.*}'}")
	x := r.Request("GET /old/a/b?c=d HTTP/1.1\nHost: a.example\n")
	q := x.Request
	return func() {
		x.Begin(x.Conn, 1)
		x.Request.Host, x.Request.Query = q.Host, q.Query
		x.Params = append(x.Params, exchange.Param{Name: "*", Value: "a/b"})
		if got := where(r, x); got != "https://a.example/new/a/b?c=d" {
			t.Fatal(got)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, usual(t)); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkRedirect(b *testing.B) {
	run := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

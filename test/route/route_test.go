package route

import (
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// TestRoutes shows for each request which route took it and what reached the endpoint. Who wins is the business of internal/edge/route;
// here it is about what the world sees.
func TestRoutes(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }))
	g := gateway.Start(t, `
listeners:
  - address: `+addr+`
upstreams:
  app: { endpoints: ["`+endpoint.Addr+`"] }
  named: { endpoints: ["`+endpoint.Addr+`"], host: inner.example }
  own: { endpoints: ["`+endpoint.Addr+`"], host: endpoint }
routes:
  - { name: any, match: { host: api.example, path: /* }, upstream: app }
  - { name: few, match: { host: api.example, path: /few, methods: [GET, PUT] }, upstream: app }
  - { name: only, match: { host: only.example, path: /x, methods: [GET, DELETE] }, upstream: app }
  - { name: strip, match: { host: api.example, path: /v1/* }, upstream: app, strip_prefix: /v1 }
  - { name: rewrite, match: { host: api.example, path: "/u/{id}/posts/{n}" }, upstream: app, rewrite: "/posts/{n}/of/{id}" }
  - { name: slash, match: { host: api.example, path: "/files/{name}" }, upstream: app, encoded_slash: allow }
  - { name: v2, match: { host: api.example, path: /versions, headers: { X-Version: "2" } }, upstream: app }
  - { name: debug, match: { host: api.example, path: /versions, query: { debug: "1" }, headers: { X-Version: "*" } }, upstream: app }
  - { name: wild, match: { host: "*.wild.example", path: /* }, upstream: app }
  - { name: named, match: { host: named.example, path: /* }, upstream: named }
  - { name: own, match: { host: own.example, path: /* }, upstream: own }
  - { name: kept, match: { host: kept.example, path: /* }, upstream: named, host: keep }
  - { name: fixed, match: { host: fixed.example, path: /* }, upstream: app, host: "other.example:99" }
`)
	routes := map[string]string{} // by the User-Agent that asked
	for i, test := range []struct {
		request string // method, target, host, and more fields
		route   string // "" when there is none
		status  int
		target  string // at the endpoint
		host    string // at the endpoint
	}{
		{"GET / api.example", "any", 200, "/", "api.example"},
		{"GET /a/b?c=d api.example", "any", 200, "/a/b?c=d", "api.example"},
		{"GET / API.Example:8080", "any", 200, "/", "API.Example:8080"},
		{"GET / api.example.", "any", 200, "/", "api.example."},
		{"PUT /few api.example", "few", 200, "/few", "api.example"},
		{"HEAD /few api.example", "few", 200, "/few", "api.example"},
		{"POST /few api.example", "any", 200, "/few", "api.example"},
		{"POST /x only.example", "", 405, "", ""},
		{"GET /y only.example", "", 404, "", ""},
		{"GET / nobody.example", "", 404, "", ""},
		{"GET /./a/../b//c api.example", "any", 200, "/b/c", "api.example"},
		{"GET /%7Euser/%61%3a api.example", "any", 200, "/~user/a%3A", "api.example"},
		{"GET /a%2fb api.example", "", 400, "", ""},
		{"GET /a%5cb api.example", "", 400, "", ""},
		{"GET /files/a%2fb api.example", "slash", 200, "/files/a%2Fb", "api.example"},
		{"GET /files/a%2f..%2fb api.example", "", 400, "", ""},
		{"GET /a%00 api.example", "", 400, "", ""},
		{"GET /.. api.example", "", 400, "", ""},
		{"GET /x/%2e%2e/y api.example", "any", 200, "/y", "api.example"},
		{"GET /v1 api.example", "strip", 200, "/", "api.example"},
		{"GET /v1/orders/7?x=1 api.example", "strip", 200, "/orders/7?x=1", "api.example"},
		{"GET /v1//orders api.example", "strip", 200, "/orders", "api.example"},
		{"GET /v10 api.example", "any", 200, "/v10", "api.example"},
		{"GET /u/7/posts/a%20b?q=/v1 api.example", "rewrite", 200, "/posts/a%20b/of/7?q=/v1", "api.example"},
		{"GET /versions api.example", "any", 200, "/versions", "api.example"},
		{"GET /versions api.example X-Version:2", "v2", 200, "/versions", "api.example"},
		{"GET /versions api.example x-version:3", "any", 200, "/versions", "api.example"},
		{"GET /versions?a=b&debug=1 api.example X-Version:2", "debug", 200, "/versions?a=b&debug=1", "api.example"},
		{"GET /versions?debug=2 api.example X-Version:1", "any", 200, "/versions?debug=2", "api.example"},
		{"GET / a.b.wild.example", "wild", 200, "/", "a.b.wild.example"},
		{"GET / wild.example", "", 404, "", ""},
		{"GET / named.example", "named", 200, "/", "inner.example"},
		{"GET / own.example", "own", 200, "/", endpoint.Addr},
		{"GET / kept.example", "kept", 200, "/", "kept.example"},
		{"GET / fixed.example", "fixed", 200, "/", "other.example:99"},
		{"GET http://api.example/few api.example", "few", 200, "/few", "api.example"},
	} {
		parts := strings.Split(test.request, " ")
		c := wire.Dial(t, addr)
		extra := ""
		for _, field := range parts[3:] {
			extra += strings.Replace(field, ":", ": ", 1) + "\r\n"
		}
		id := strings.Repeat("i", i+1)
		c.Send(parts[0] + " " + parts[1] + " HTTP/1.1\r\nHost: " + parts[2] + "\r\nUser-Agent: " + id + "\r\n" + extra + "\r\n")
		m := c.Answer(parts[0])
		if m.Status() != test.status {
			t.Errorf("%s: %s%s", test.request, m, m.Body)
			continue
		}
		if test.status == 405 && m.Get("Allow") != "DELETE, GET, HEAD" {
			t.Errorf("%s: Allow is %q", test.request, m.Get("Allow"))
		}
		if test.status == 200 {
			if got := seen.One(t); got.Target() != test.target || got.Get("Host") != test.host {
				t.Errorf("%s: the endpoint got %s", test.request, got)
			}
		} else if got := seen.Take(); len(got) != 0 {
			t.Errorf("%s: the endpoint got %s", test.request, got)
		}
		routes[id] = test.route
	}
	gateway.Await(t, "a line for each", func() bool {
		found := 0
		for _, l := range g.Access() {
			if want, ok := routes[l.Text("user_agent")]; ok {
				found++
				if l.Text("route") != want {
					t.Fatalf("the route is %q, want %q: %v", l.Text("route"), want, l)
				}
			}
		}
		return found == len(routes)
	})
}

// A 404 tells what would have helped, and names nothing that the client did not name.
func TestNotFound(t *testing.T) {
	t.Parallel()
	addr := gateway.Free(t)
	gateway.Start(t, `
listeners:
  - address: `+addr+`
upstreams:
  app: { endpoints: ["127.0.0.1:1"] }
routes:
  - { name: secret-name, match: { host: hidden.example, path: /secret/* }, upstream: app }
  - { name: v2, match: { host: hidden.example, path: /versions, headers: { X-Hidden: "2" } }, upstream: app }
`)
	c := wire.Dial(t, addr)
	for _, test := range []struct{ host, path, tells string }{
		{"a", "/", "host"},
		{"hidden.example", "/x", "path"},
		{"hidden.example", "/versions", "header fields"},
	} {
		c.Send("GET " + test.path + " HTTP/1.1\r\nHost: " + test.host + "\r\n\r\n")
		m := c.Answer("GET")
		body := string(m.Body)
		if m.Status() != 404 || !strings.Contains(body, test.tells) {
			t.Errorf("%s%s: %s%s", test.host, test.path, m, body)
		}
		for _, hidden := range []string{"secret", "X-Hidden", "hidden.example", "v2"} {
			if strings.Contains(body, hidden) {
				t.Errorf("%s%s: the client is told %q: %s", test.host, test.path, hidden, body)
			}
		}
	}
}

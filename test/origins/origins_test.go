package origins

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"straum.dev/straum/test/gateway"
)

// api is an endpoint that says of origins what it should not, and counts what reaches it.
type api struct {
	*httptest.Server
	preflights, changes atomic.Int64
	seen                atomic.Pointer[http.Header]
}

func newAPI(t *testing.T) *api {
	a := &api{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case "OPTIONS":
			a.preflights.Add(1)
		case "PUT", "POST":
			a.changes.Add(1)
		}
		header := r.Header.Clone()
		a.seen.Store(&header)
		w.Header().Set("Access-Control-Allow-Origin", "https://the-endpoint-says.example")
		w.Header().Add("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Request-Id", "theirs")
		w.Header().Set("X-Secret", "hidden")
		w.Header().Set("Server", "made-of/1")
		fmt.Fprint(w, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) address() string { return strings.TrimPrefix(a.URL, "http://") }

// page is a page of an origin of its own, called by a name of this box.
func page(t *testing.T, host string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<h1 id=title>page</h1>")
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", host, 1)
}

// chromium starts a browser of its own. It runs without a sandbox, since tests run as root.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: scripts/packages.txt tells what brings it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(gateway.Patience))
	bounded, end := context.WithTimeout(t.Context(), 3*gateway.Patience)
	t.Cleanup(end)
	allocated, end := chromedp.NewExecAllocator(bounded, options...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it has ended
	return ctx
}

// A page in Chromium reads what it may, with a credential and without, also refusals; a page of another origin reads nothing.
func TestChromium(t *testing.T) {
	a := newAPI(t)
	mine, other := page(t, "localhost"), page(t, "127.0.0.1")
	listen := gateway.Free(t)
	gateway.Start(t, gateway.Simple(listen, []string{a.address()}, "")+fmt.Sprintf(`
    policies: [{ request_id: {} }, { cors: { origins: %q, credentials: true, headers: [Authorization, X-Mine] } }]
  - name: keys
    match: { path: /keys/* }
    upstream: app
    policies: [{ request_id: {} }, { cors: { origins: %q, headers: X-Api-Key } }, { api_key: {} }]
  - name: open
    match: { path: /open/* }
    upstream: app
    policies: [{ cors: { origins: "*" } }]
  - name: refusing
    match: { path: /refusing/* }
    upstream: app
    policies: [{ cors: { origins: %q, refuse: true } }]
  - name: none
    match: { path: /none/* }
    upstream: app
`, mine, mine, mine))
	ctx := chromium(t)
	from := ""
	at := func(origin string) {
		t.Helper()
		from = origin
		if err := chromedp.Do(ctx, chromedp.Navigate(origin+"/"), chromedp.WaitVisible(chromedp.ID("title"))); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name, path, options, want string) {
		t.Helper()
		script := fmt.Sprintf(`fetch("http://%s%s", %s).then(async r => r.type == "opaque" ? r.type : r.status + " " + (r.headers.get("X-Request-Id") ? "id " : "") + (r.headers.get("X-Secret") || "") +
			(r.status == 200 ? await r.text() : (await r.json()).code), e => e.name)`, listen, path, options)
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s, from %s: %q, want %q", name, from, got, want)
		}
	}
	at(mine)
	f("a simple request", "/a", "{}", "200 id GET /a")
	f("with cookies", "/a", `{credentials: "include"}`, "200 id GET /a")
	f("another method", "/a", `{method: "PUT", body: "a"}`, "200 id PUT /a")
	f("a field that may", "/a", `{method: "DELETE", headers: {"X-Mine": "a", "Authorization": "Bearer a"}}`, "200 id DELETE /a")
	f("a field that may not", "/a", `{headers: {"X-Other": "a"}}`, "TypeError")
	f("a refusal can be read", "/keys/a", `{method: "PUT"}`, "401 id unauthenticated")
	f("and one of a wrong key", "/keys/a", `{headers: {"X-Api-Key": "a"}}`, "401 id unauthenticated")
	f("open to all", "/open/a", `{method: "PATCH", headers: {"Content-Type": "application/json"}}`, "200 id PATCH /open/a")
	f("but for cookies", "/open/a", `{credentials: "include"}`, "TypeError")
	f("a route that refuses others", "/refusing/a", `{method: "PUT"}`, "200 id PUT /refusing/a")
	if n := a.preflights.Load(); n != 0 {
		t.Errorf("%d preflights reached the endpoint", n)
	}
	f("a route without the policy", "/none/a", `{method: "PUT"}`, "TypeError")
	if n := a.preflights.Load(); n != 1 {
		t.Errorf("%d preflights of a route without the policy reached the endpoint", n)
	}
	before := a.changes.Load()
	at(other)
	f("a simple request", "/a", "{}", "TypeError")
	f("another method", "/a", `{method: "PUT"}`, "TypeError")
	f("a refusal", "/keys/a", "{}", "TypeError")
	f("open to all", "/open/a", `{method: "PUT"}`, "200 id PUT /open/a")
	f("refused", "/refusing/a", `{method: "POST", mode: "no-cors"}`, "opaque") // no preflight, and the page reads nothing
	if n := a.changes.Load() - before; n != 1 {
		t.Errorf("%d changes of a page that may not reached the endpoint", n-1)
	}
}

// What is set, removed and answered, as a client and an endpoint see it.
func TestFields(t *testing.T) {
	a := newAPI(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{a.address()}, "")+`
    policies:
      - security_headers: {}
      - headers:
          request: { set: { X-Tenant: "{request.query_params.tenant}", X-Client: "{client.ip}" }, remove: X-Internal-* }
          response: { set: { X-By: "{upstream.endpoint}" }, rename: { X-Secret: X-Public } }
  - name: moved
    match: { path: "/v1/{name}" }
    upstream: app
    policies: [{ redirect: { to: "/v2/{path.name}", status: 308 } }]
  - name: mock
    match: { path: "/mock/{name}" }
    upstream: app
    policies:
      - respond: { template: true, body: '{{"name": "{path.name}", "agent": "{request.headers.User-Agent}"}}' }
  - name: text
    match: { path: /text }
    upstream: app
    policies: [{ respond: { body: "the same for all" } }]
`)
	ask := func(method, path string, fields ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+listen+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	resp, _ := ask("GET", "/a?tenant=acme", "X-Tenant", "evil", "X-Internal-Admin", "1")
	if h := a.seen.Load(); h.Get("X-Tenant") != "acme" || h.Get("X-Client") != "127.0.0.1" || h.Get("X-Internal-Admin") != "" {
		t.Errorf("the endpoint sees %v", *h)
	}
	if h := resp.Header; h.Get("X-By") != a.address() || h.Get("X-Secret") != "" || h.Get("X-Public") != "hidden" || h.Get("Server") != "" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors 'none'" {
		t.Errorf("the client sees %v", h)
	}
	ask("GET", "/a?tenant=a%0d%0aX-Admin:%201", "X-Tenant", "evil")
	if h := a.seen.Load(); h.Get("X-Tenant") != "" || h.Get("X-Admin") != "" {
		t.Errorf("the endpoint sees %v", *h)
	}
	if resp, body := ask("POST", "/v1/a%2Fb?c=d"); resp.StatusCode != 400 || !strings.Contains(body, "bad_path") { // an encoded slash, before any policy
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, method := range []string{"GET", "HEAD", "POST"} {
		resp, body := ask(method, "/v1/a%20b?c=d")
		if resp.StatusCode != 308 || resp.Header.Get("Location") != "/v2/a%20b?c=d" || body != "" {
			t.Errorf("%s: %d %v %q", method, resp.StatusCode, resp.Header, body)
		}
	}
	if resp, body := ask("GET", "/mock/7", "User-Agent", `a"b`); body != `{"name": "7", "agent": "a\"b"}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %q", resp.Header, body)
	}
	resp, body := ask("GET", "/text")
	tag := resp.Header.Get("ETag")
	if body != "the same for all" || tag == "" {
		t.Errorf("%v %q", resp.Header, body)
	}
	if resp, body := ask("HEAD", "/text"); body != "" || resp.ContentLength != int64(len("the same for all")) || resp.Header.Get("ETag") != tag {
		t.Errorf("%v %d %q", resp.Header, resp.ContentLength, body)
	}
	if resp, body := ask("GET", "/text", "If-None-Match", tag); resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != tag {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
	g.AwaitAccess("the redirection", func(l gateway.Line) bool { return l.Text("route") == "moved" })
}

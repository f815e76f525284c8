package oidc

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// A browser is sent to log in, comes back to where it wanted to go, and goes on without the provider until it logs out.
func TestLogin(t *testing.T) {
	s := open(t, false, nil, "post_logout: /bye", "claims_to_headers: { email: X-Email, groups: X-Groups }")
	b := s.browser()
	if a := b.logIn("/orders?id=1&x=%2F"); a.StatusCode != 200 || !strings.Contains(a.text, "/orders?id=1&x=%2F sees alice") {
		t.Fatalf("got %s: %s", a.Status, a.text)
	}
	m := s.seen.One(t)
	for name, want := range map[string]string{"X-Auth-Method": "oidc", "X-Email": "alice@example.com", "X-Groups": "staff,readers", "Cookie": "", "Authorization": ""} {
		if m.Get(name) != want {
			t.Errorf("the endpoint gets %s: %q, want %q", name, m.Get(name), want)
		}
	}
	if a, err := b.do(http.MethodPost, "/orders", url.Values{"a": {"1"}}); err != nil || a.StatusCode != 200 {
		t.Errorf("a form: %v, %v", a, err)
	}
	if a, err := s.browser().do(http.MethodGet, "/orders", nil, "Accept", "application/json"); err != nil || a.StatusCode != 401 ||
		!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Cookie ") || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("a program without a session: %+v, %v", a, err)
	}
	if n := s.issuer.Count("/token"); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	line := s.AwaitAccess("the page", func(l gateway.Line) bool { return l.Text("path") == "/orders" && l.Number("status") == 200 })
	t.Logf("the log says %v", line)

	out, err := b.do(http.MethodPost, "/.straum/oidc/logout", nil, "Origin", s.origin)
	if err != nil || out.StatusCode != 303 {
		t.Fatalf("logout: %+v, %v", out, err)
	}
	if bye := b.get(out.location()); bye.location() != s.origin+"/bye" {
		t.Errorf("the provider sends on to %q: %s %s", bye.location(), bye.Status, bye.text)
	}
	if a := b.get("/orders"); a.StatusCode != 302 {
		t.Errorf("after the logout: %s", a.Status)
	} else if page := b.get(a.location()); page.StatusCode != 200 || !strings.Contains(page.text, "Log in") {
		t.Errorf("the provider still knows the browser: %s", page.Status)
	}
	b.silent()
}

// What a browser brings back counts once, here, and for a while.
func TestStates(t *testing.T) {
	s := open(t, false, nil)
	b := s.browser()
	back := b.arrive(b.get("/a").location())
	if a := b.get(back); a.StatusCode != 302 {
		t.Fatalf("got %s", a.Status)
	}
	refused := func(what, target string, b *browser) {
		t.Helper()
		a := b.get(target)
		if a.StatusCode != 400 || !isPage(a, "Login not completed", "login_failed") || a.location() != "" {
			t.Errorf("%s: %s %s %s", what, a.Status, a.location(), a.text)
		}
	}
	refused("replayed", back, b)
	s.AwaitAccess("the fault", func(l gateway.Line) bool { return l.Number("status") == 400 && l.Text("fault") == "login_failed" })
	one, two := b.site.browser(), b.site.browser()
	refused("another's", one.arrive(one.get("/a").location()), two)
	first, second := one.arrive(one.get("/a").location()), one.arrive(one.get("/b").location())
	u, _ := url.Parse(first)
	v, _ := url.Parse(second)
	q := u.Query()
	q.Set("code", v.Query().Get("code"))
	u.RawQuery = q.Encode()
	refused("another tab's code", u.String(), one)
	s.issuer.Call("https://evil.example")
	refused("mixed up", one.arrive(one.get("/c").location()), one)
	s.issuer.Call("-")
	refused("nameless", one.arrive(one.get("/c").location()), one)
	s.issuer.Call("")
	if a := one.get(one.arrive(one.get("/d").location())); a.location() != "/d" {
		t.Errorf("a login after all that: %s %s", a.Status, a.text)
	}
}

// isPage says whether an answer is a page for people, with these words.
func isPage(a *answer, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(a.text, w) {
			return false
		}
	}
	return a.Header.Get("Content-Type") == "text/html; charset=utf-8" && a.Header.Get("Cache-Control") == "no-store" &&
		strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "default-src 'none';")
}

// What programs get stays a problem document, and no code that reached the gateway gets into a log that tells all queries.
func TestCodes(t *testing.T) {
	s := open(t, false, nil)
	b := s.browser()
	for method, status := range map[string]int{"GET": 400, "HEAD": 405, "POST": 405} {
		a, err := b.do(method, "/.straum/oidc/callback?state=ABCDEFGHIJ&code=the-code-of-"+method, nil)
		if err != nil || a.StatusCode != status || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %+v, %v", method, a, err)
		}
		s.AwaitAccess(method, func(l gateway.Line) bool {
			return l.Text("method") == method && strings.HasSuffix(l.Text("path"), "/callback")
		})
	}
	if _, err := b.do("GET", "/page?seen=by-the-log", nil); err != nil {
		t.Fatal(err)
	}
	s.AwaitAccess("a query", func(l gateway.Line) bool { return l.Text("query") == "seen=by-the-log" })
	b.silent()
}

// With a certificate or a key asked for besides, a browser with a session that lacks it is told so, and goes in no circles.
func TestAll(t *testing.T) {
	s := open(t, false, []string{"-jwt"}, "scopes: [openid]\n      - jwt: { issuer: ISSUER, discovery: true, audience: orders }\n      - authenticate: { require: all }")
	b := s.browser()
	sent := b.get("/page")
	if sent.StatusCode != 302 {
		t.Fatalf("got %s", sent.Status)
	}
	if back := b.get(b.arrive(sent.location())); back.StatusCode != 302 || back.location() != "/page" {
		t.Fatalf("got %s, %q", back.Status, back.location())
	}
	if a := b.get("/page"); a.StatusCode != 401 || len(a.Header.Values("WWW-Authenticate")) != 2 {
		t.Errorf("with a session alone: %s, %q", a.Status, a.location())
	}
}

// The provider signs with a new key from one login to the next.
func TestRotation(t *testing.T) {
	s := open(t, false, nil)
	for i := range 2 {
		if a := s.browser().logIn("/"); a.StatusCode != 200 {
			t.Fatalf("login %d: %s", i, a.Status)
		}
		s.issuer.Rotate(false)
	}
}

// Requests that come at once with tokens that have run out use the refresh token, which is good once, only once.
func TestRefresh(t *testing.T) {
	s := open(t, false, []string{"-access", "3s", "-id", "1h"}, "scopes: [openid, offline_access]", "forward: access_token")
	b := s.browser()
	b.logIn("/")
	first := s.seen.One(t).Get("Authorization")
	var failed atomic.Int32
	for deadline := time.Now().Add(9 * time.Second); time.Now().Before(deadline); {
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				a, err := b.do(http.MethodGet, fmt.Sprintf("/%d", i), nil, "Accept", "application/json")
				if err != nil || a.StatusCode != 200 {
					failed.Add(1)
					t.Errorf("got %+v, %v", a, err)
				}
			})
		}
		group.Wait()
		if failed.Load() > 0 {
			return
		}
	}
	tokens := map[string]bool{}
	for _, m := range s.seen.Take() {
		tokens[m.Get("Authorization")] = true
	}
	if n := s.issuer.Count("/token"); len(tokens) < 3 || n != len(tokens) && n != len(tokens)+1 || !strings.HasPrefix(first, "Bearer ") {
		t.Errorf("%d tokens after %d requests for one", len(tokens), n)
	}
	b.silent()
}

// With the provider away sessions go on, and logins wait for it.
func TestProviderDown(t *testing.T) {
	s := open(t, false, nil, "timeout: 1s")
	b := s.browser()
	b.logIn("/")
	begun := s.browser()
	back := begun.arrive(begun.get("/").location())
	s.issuer.Stop()
	if a := b.get("/"); a.StatusCode != 200 {
		t.Errorf("a session: %s", a.Status)
	}
	if a := begun.get(back); a.StatusCode != 503 || !isPage(a, "Try again shortly", "auth_unavailable") {
		t.Errorf("a login that had begun: %s %s", a.Status, a.text)
	}
	s.issuer.Again()
	if a := s.browser().logIn("/"); a.StatusCode != 200 {
		t.Errorf("a login once it is back: %s", a.Status)
	}
	s.issuer.Pause()
	waiting := s.browser()
	from := time.Now()
	_, _ = waiting.do(http.MethodGet, "/.straum/oidc/callback?state=AAAAAAAAAAAAAAAAAAAA&code=x", nil)
	if took := time.Since(from); took > gateway.Patience/2 {
		t.Errorf("a callback of nobody waits %s for the provider", took)
	}
	s.issuer.Resume()
}

// One route takes browsers with a session and programs with a token of the same provider.
func TestWithTokens(t *testing.T) {
	s := open(t, false, []string{"-jwt"}, "claims_to_headers: { iss: X-Who-Says }\n      - jwt: { issuer: ISSUER, discovery: true, audience: orders, claims_to_headers: { iss: X-Who-Says } }\n      - authenticate: { require: any }")
	b := s.browser()
	if a := b.logIn("/page"); a.StatusCode != 200 {
		t.Fatalf("a browser: %s", a.Status)
	}
	token := s.issuer.Token("site", secret, url.Values{"audience": {"orders"}})
	if a, err := s.browser().do(http.MethodGet, "/api", nil, "Authorization", "Bearer "+token, "X-Who-Says", "eve"); err != nil || a.StatusCode != 200 || !strings.Contains(a.text, "sees site") {
		t.Errorf("a token: %+v, %v", a, err)
	}
	for _, fields := range [][]string{nil, {"Authorization", "Bearer " + token[:len(token)-2]}} {
		a, err := s.browser().do(http.MethodGet, "/api", nil, fields...)
		if err != nil || a.StatusCode != 401 || len(a.Header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%.20s: %+v, %v", fields, a, err)
		}
	}
	methods := map[string]bool{}
	for _, m := range s.seen.Take() {
		methods[m.Get("X-Auth-Method")] = true
		if got := m.Get("X-Who-Says"); got != s.issuer.URL {
			t.Errorf("the endpoint is told %q", got)
		}
	}
	if !methods["oidc"] || !methods["jwt"] || len(methods) != 2 {
		t.Errorf("the endpoint was told of %v", methods)
	}
}

// A session outlives a change of the configuration and a restart of the gateway; another client's settings make it nothing.
func TestReload(t *testing.T) {
	s := open(t, false, nil)
	b := s.browser()
	b.logIn("/")
	if err := s.Reload(strings.ReplaceAll(s.config, "name: bye", "name: goodbye")); err != nil {
		t.Fatal(err)
	}
	if a := b.get("/"); a.StatusCode != 200 {
		t.Errorf("after a reload: %s", a.Status)
	}
	if err := s.Reload(strings.ReplaceAll(s.config, "client_id: site", "client_id: other")); err != nil {
		t.Fatal(err)
	}
	if a := b.get("/"); a.StatusCode != 302 {
		t.Errorf("another client: %s", a.Status)
	}
	if err := s.Reload(s.config); err != nil {
		t.Fatal(err)
	}
	if a := b.get("/"); a.StatusCode != 200 {
		t.Errorf("back again: %s", a.Status)
	}
	if code := s.Stop(); code != 0 {
		t.Fatalf("ended with %d", code)
	}
	s.Gateway = gateway.Start(t, s.config)
	if a := b.get("/"); a.StatusCode != 200 {
		t.Errorf("after a restart: %s", a.Status)
	}
}

// Tokens too large for a browser end a login with a word for the operator, and not in a circle.
func TestTooLarge(t *testing.T) {
	s := open(t, false, nil)
	s.issuer.Claims(map[string]any{"photo": strings.Repeat("x", 5000)})
	if a := s.browser().logIn("/"); a.StatusCode != 200 {
		t.Errorf("two cookies: %s", a.Status)
	}
	s.issuer.Claims(map[string]any{"photo": strings.Repeat("x", 30000)})
	b := s.browser()
	a := b.get(b.arrive(b.get("/").location()))
	if a.StatusCode < 400 || !isPage(a, "</h1>") || a.location() != "" {
		t.Errorf("got %s, %s", a.Status, a.text)
	}
}

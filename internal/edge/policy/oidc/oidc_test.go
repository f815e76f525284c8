package oidc

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/openid"
	"straum.dev/straum/internal/session"
)

// bench is a policy, a provider and a browser.
type bench struct {
	*policytest.Running
	t        *testing.T
	world    *policytest.World
	provider *liar
	login    *login
	jar      map[string]string
	order    []string // of cookies, oldest first
	shift    time.Duration
}

// set up a bench; %s in the options is the issuer.
func setup(t *testing.T, options string) *bench {
	t.Helper()
	b := &bench{t: t, provider: newLiar(t), world: policytest.New(t), jar: map[string]string{}}
	b.bind(options)
	return b
}

func (b *bench) bind(options string, others ...policytest.Use) {
	b.t.Helper()
	b.Running = b.world.Policies(append(others, policytest.Use{Kind: Kind, YAML: "issuer: " + b.provider.URL + "\nclient_id: gateway\nclient_secret: a-secret\n" + options})...)
	b.Scheme = "https"
	b.login = b.Chain.Responses[0].(*login)
	b.login.now = func() time.Time { return time.Now().Add(b.shift) }
}

// ask sends a request and keeps the cookies of the answer.
func (b *bench) ask(target string, fields ...string) *exchange.Exchange {
	b.t.Helper()
	x := b.send(target, fields...)
	b.take(x)
	return x
}

func (b *bench) send(target string, fields ...string) *exchange.Exchange {
	if !strings.Contains(target, " ") {
		target = "GET " + target
	}
	text := target + " HTTP/1.1\r\nHost: app.example.com\r\n" + strings.Join(fields, "\r\n")
	if cookies := b.cookies(); cookies != "" {
		text = strings.TrimSuffix(text, "\r\n") + "\r\nCookie: " + cookies
	}
	return b.pass(b.Request(text))
}

// pass takes a request through the chain, and past an endpoint that says 200.
func (b *bench) pass(x *exchange.Exchange) *exchange.Exchange {
	b.Chain.Request(x)
	if x.Fault == nil && !x.Answered() {
		x.Response.Status = 200 // the endpoint's
	} else if x.Fault != nil {
		x.Respond(x.Fault.Kind.Status, "application/problem+json", []byte("{}\n"))
	}
	b.Chain.Response(x)
	return x
}

func (b *bench) cookies() string {
	var all []string
	for _, name := range b.order {
		all = append(all, name+"="+b.jar[name])
	}
	return strings.Join(all, "; ")
}

var setCookie = regexp.MustCompile(`^([^=]+)=([^;]*); Path=/; Max-Age=(\d+); HttpOnly; SameSite=Lax(; Secure)?$`)

func (b *bench) take(x *exchange.Exchange) {
	b.t.Helper()
	for _, f := range x.Response.Header.All() {
		if f.Known != exchange.SetCookie {
			continue
		}
		m := setCookie.FindStringSubmatch(f.Value)
		if m == nil {
			b.t.Fatalf("set %q", f.Value)
		}
		if strings.HasPrefix(m[1], "__Host-") != (m[4] != "") {
			b.t.Errorf("%q would be refused by browsers, or not protected", f.Value)
		}
		if _, there := b.jar[m[1]]; !there {
			b.order = append(b.order, m[1])
		}
		b.jar[m[1]] = m[2]
		if m[3] == "0" {
			b.drop(m[1])
		}
	}
}

func (b *bench) drop(name string) {
	delete(b.jar, name)
	for i := range b.order {
		if b.order[i] == name {
			b.order = append(b.order[:i:i], b.order[i+1:]...)
			return
		}
	}
}

// anyone is whom a test takes.
var anyone = openid.Expectation{MaxAge: -1, Access: "access-2"}

const page = "Accept: text/html,*/*"

func location(x *exchange.Exchange) string {
	at, _ := x.Response.Header.Get(exchange.Location)
	return at
}

// word is the last verdict.
func word(x *exchange.Exchange) string { return policytest.Verdict(x, "oidc") }

// logIn takes the browser through a login that works.
func (b *bench) logIn(target string) *exchange.Exchange {
	b.t.Helper()
	x := b.ask(target, page)
	if x.Response.Status != 302 {
		b.t.Fatalf("the page gave %d, %v, %s", x.Response.Status, x.Fault, word(x))
	}
	x = b.ask("/.straum/oidc/callback?" + b.provider.arrive(location(x)).Encode())
	if x.Response.Status != 302 {
		b.t.Fatalf("the callback gave %d, %v, %s", x.Response.Status, x.Fault, word(x))
	}
	return x
}

func TestLogin(t *testing.T) {
	b := setup(t, "claims_to_headers: { email: X-Email, groups: X-Groups, nothing: X-Nothing }")
	x := b.logIn("/page?a=1&b=%2F")
	if location(x) != "/page?a=1&b=%2F" {
		t.Errorf("came back to %q", location(x))
	}
	for _, field := range []string{"Referrer-Policy", "Cache-Control"} {
		if v, _ := x.Response.Header.Header(field); !strings.HasPrefix(v, "no-") {
			t.Errorf("%s: %q", field, v)
		}
	}
	if len(b.jar) != 1 || !strings.HasPrefix(b.order[0], "__Host-straum-") {
		t.Errorf("the browser has %v", b.order)
	}
	if got := b.provider.auth[0]; got != "Basic Z2F0ZXdheTphLXNlY3JldA==" || b.provider.asked[0].Has("client_secret") {
		t.Errorf("the client was shown as %q, %v", got, b.provider.asked[0])
	}
	b.order, b.jar["mine"] = append(b.order, "mine"), "1"
	x = b.ask("/api", "X-Email: eve@example.com", "x-nothing: eve", "X_Nothing: eve", "X-Nothing-Else: mine")
	c := x.Caller
	if c.Method != "oidc" || c.Subject != "alice" || c.Issuer != b.provider.URL || c.Client != "gateway" || c.ScopeList != "openid" || c.Claims["email"] != "alice@example.com" || c.Credential == "" {
		t.Errorf("the caller is %+v, %s", c, word(x))
	}
	for field, want := range map[string]string{"X-Email": "alice@example.com", "X-Groups": "a,b", "X-Nothing": "", "X_Nothing": "", "X-Nothing-Else": "mine", "Cookie": "mine=1", "Authorization": ""} {
		if got, _ := x.Request.Header.Header(field); got != want {
			t.Errorf("the endpoint gets %s: %q, want %q", field, got, want)
		}
	}
	if x.Response.Header.Count(exchange.SetCookie) != 0 {
		t.Error("the cookie is set again at once")
	}
}

// Only a browser that goes to a page is sent away.
func TestNavigation(t *testing.T) {
	b := setup(t, "")
	for _, c := range []struct {
		target, fields string
		want           int
	}{
		{"/", page, 302},
		{"HEAD /", page, 302},
		{"/", page + "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document", 302},
		{"/", "Accept: */*", 401},
		{"/", "", 401},
		{"/", "Accept: application/json", 401},
		{"POST /", page, 401},
		{"/", page + "\r\nSec-Fetch-Mode: cors", 401},
		{"/", page + "\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe", 401},
		{"/", page + "\r\nX-Requested-With: XMLHttpRequest", 401},
		{"/", page + "\r\nSec-Purpose: prefetch", 401},
	} {
		x := b.send(c.target, c.fields)
		if x.Response.Status != c.want {
			t.Errorf("%s %q: got %d, want %d", c.target, c.fields, x.Response.Status, c.want)
		}
		if c.want == 401 && (len(x.Challenges) != 1 || !strings.HasPrefix(x.Challenges[0], "Cookie ") || x.Signals != 0) {
			t.Errorf("%s %q: challenges %q, signals %d", c.target, c.fields, x.Challenges, x.Signals)
		}
	}
	b.Scheme = "http"
	if x := b.send("/", page); x.Fault == nil || x.Fault.Kind != fault.LoginInsecure {
		t.Errorf("without TLS: %v", x.Fault)
	}
}

// An answer that the browser did not ask for makes no session, and sends nobody anywhere.
func TestCallbackRefused(t *testing.T) {
	const callback = "/.straum/oidc/callback?"
	for name, c := range map[string]struct {
		do   func(b *bench, q url.Values) string // the target, instead of the callback with q
		want string                              // verdict
		kind *fault.Kind
	}{
		"another's state": {func(b *bench, q url.Values) string { q.Set("state", "_"+q.Get("state")[1:]); return "" }, "unknown_state", fault.LoginFailed},
		"almost the state": {func(b *bench, q url.Values) string {
			q.Set("state", q.Get("state")[:len(q.Get("state"))-1]+"=")
			return ""
		}, "bad_state", fault.LoginFailed},
		"no state":     {func(b *bench, q url.Values) string { q.Del("state"); return "" }, "bad_callback", fault.LoginFailed},
		"no code":      {func(b *bench, q url.Values) string { q.Del("code"); return "" }, "bad_callback", fault.LoginFailed},
		"two codes":    {func(b *bench, q url.Values) string { q.Add("code", "x"); return "" }, "bad_callback", fault.LoginFailed},
		"huge code":    {func(b *bench, q url.Values) string { q.Set("code", strings.Repeat("x", 5000)); return "" }, "bad_callback", fault.LoginFailed},
		"broken query": {func(b *bench, q url.Values) string { return callback + q.Encode() + "&%zz" }, "bad_callback", fault.LoginFailed},
		"another browser": {func(b *bench, q url.Values) string {
			for _, name := range b.order {
				b.drop(name)
			}
			return ""
		}, "unknown_state", fault.LoginFailed},
		"tampered": {func(b *bench, q url.Values) string {
			v := []byte(b.jar[b.order[0]])
			v[50] ^= 1
			b.jar[b.order[0]] = string(v)
			return ""
		}, "bad_state", fault.LoginFailed},
		"mixed up": {func(b *bench, q url.Values) string { // two tabs, one's state with the other's cookie
			first := b.order[0]
			b.ask("/", page)
			b.jar[first] = b.jar[b.order[1]]
			return ""
		}, "bad_state", fault.LoginFailed},
		"too late":       {func(b *bench, q url.Values) string { b.shift = attemptLasts; return "" }, "attempt_expired", fault.LoginFailed},
		"another issuer": {func(b *bench, q url.Values) string { q.Set("iss", "https://evil.example"); return "" }, "other_issuer", fault.LoginFailed},
		"denied":         {func(b *bench, q url.Values) string { q.Del("code"); q.Set("error", "access_denied"); return "" }, "access_denied", fault.Forbidden},
		"provider ill":   {func(b *bench, q url.Values) string { q.Del("code"); q.Set("error", "server_error"); return "" }, "provider_unavailable", fault.AuthUnavailable},
		"odd error":      {func(b *bench, q url.Values) string { q.Del("code"); q.Set("error", "<script>"); return "" }, "provider_error", fault.LoginFailed},
		"code of nobody": {func(b *bench, q url.Values) string { q.Set("code", "x"); return "" }, "code_refused", fault.LoginFailed},
		"another's code": {func(b *bench, q url.Values) string { // injected: it belongs to another attempt
			q.Set("code", b.provider.arrive(location(b.send("/", page))).Get("code"))
			return ""
		}, "code_refused", fault.LoginFailed},
		"nonce": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["nonce"] = "other" }
			return ""
		}, "nonce", fault.LoginFailed},
		"no nonce": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { delete(c, "nonce") }
			return ""
		}, "nonce", fault.LoginFailed},
		"audience": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["aud"] = "other" }
			return ""
		}, "audience", fault.LoginFailed},
		"party": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["azp"] = "other" }
			return ""
		}, "authorized_party", fault.LoginFailed},
		"audiences": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["aud"] = []string{"gateway", "x"} }
			return ""
		}, "authorized_party", fault.LoginFailed},
		"issuer": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["iss"] = "https://other" }
			return ""
		}, "issuer", fault.LoginFailed},
		"expired": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["exp"] = 1000 }
			return ""
		}, "expired", fault.LoginFailed},
		"at_hash": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }
			return ""
		}, "at_hash", fault.LoginFailed},
		"nobody": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["sub"] = "" }
			return ""
		}, "subject", fault.LoginFailed},
		"split": {func(b *bench, q url.Values) string {
			b.provider.lie = func(c map[string]any) { c["sub"] = "a\r\nX: y" }
			return ""
		}, "subject", fault.Forbidden},
		"a claim that fits no field": {func(b *bench, q url.Values) string {
			b.bind("claims_to_headers: { email: X-Email }\ncookie: __Host-x")
			b.order, b.jar = nil, map[string]string{}
			for k, v := range b.provider.arrive(location(b.ask("/page", page))) {
				q[k] = v
			}
			b.provider.lie = func(c map[string]any) { c["email"] = "a\nX-Evil: 1" }
			return ""
		}, "claim", fault.Forbidden},
		"not signed by it": {func(b *bench, q url.Values) string { b.provider.answer = unsigned; return "" }, "malformed", fault.LoginFailed},
		"no id token": {func(b *bench, q url.Values) string {
			b.provider.answer = says(200, `{"access_token":"x","token_type":"bearer"}`)
			return ""
		}, "provider_unavailable", fault.AuthUnavailable},
		"another type": {func(b *bench, q url.Values) string {
			b.provider.answer = says(200, `{"access_token":"x","token_type":"mac","id_token":"x"}`)
			return ""
		}, "provider_unavailable", fault.AuthUnavailable},
		"broken":  {func(b *bench, q url.Values) string { b.provider.answer = says(500, ``); return "" }, "provider_unavailable", fault.AuthUnavailable},
		"garbage": {func(b *bench, q url.Values) string { b.provider.answer = says(200, `{"access_token":`); return "" }, "provider_unavailable", fault.AuthUnavailable},
		"wrong secret": {func(b *bench, q url.Values) string {
			b.provider.answer = says(401, `{"error":"invalid_client"}`)
			return ""
		}, "provider_unavailable", fault.AuthUnavailable},
		"gone":    {func(b *bench, q url.Values) string { b.provider.Close(); return "" }, "provider_unavailable", fault.AuthUnavailable},
		"by POST": {func(b *bench, q url.Values) string { return "POST " + callback + q.Encode() }, "", fault.MethodNotAllowed},
		"by HEAD": {func(b *bench, q url.Values) string { return "HEAD " + callback + q.Encode() }, "", fault.MethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, "")
			q := b.provider.arrive(location(b.ask("/page", page)))
			target := c.do(b, q)
			if target == "" {
				target = callback + q.Encode()
			}
			x := b.ask(target, page)
			if x.Fault == nil || x.Fault.Kind != c.kind || c.want != "" && word(x) != c.want {
				t.Errorf("got %v, %s (%d), want %s", x.Fault, word(x), x.Response.Status, c.want)
			}
			if location(x) != "" {
				t.Errorf("sent on to %q", location(x))
			}
			if x.Request.Query != "" {
				t.Errorf("logs and endpoints are told %q", x.Request.Query)
			}
			for _, name := range b.order {
				if !strings.Contains(name, attemptMark) {
					t.Errorf("the browser has %s", name)
				}
			}
			if x.Fault != nil && (strings.Contains(x.Fault.Error(), "a-secret") || strings.Contains(x.Fault.Error(), q.Get("code")) && q.Has("code") && len(q.Get("code")) > 3) {
				t.Errorf("the fault tells too much: %v", x.Fault)
			}
		})
	}
}

func says(status int, body string) func(http.ResponseWriter, url.Values) bool {
	return func(w http.ResponseWriter, _ url.Values) bool {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
}

func unsigned(w http.ResponseWriter, _ url.Values) bool {
	// {"alg":"none"}.{}
	return says(200, `{"access_token":"x","token_type":"bearer","id_token":"eyJhbGciOiJub25lIn0.e30."}`)(w, nil)
}

// An answer counts once, even for one who has kept the cookie.
func TestReplay(t *testing.T) {
	b := setup(t, "")
	q := b.provider.arrive(location(b.ask("/", page)))
	name, value := b.order[0], b.jar[b.order[0]]
	if x := b.ask("/.straum/oidc/callback?" + q.Encode()); x.Response.Status != 302 {
		t.Fatalf("got %d", x.Response.Status)
	}
	if _, there := b.jar[name]; there {
		t.Error("the attempt is still there")
	}
	if x := b.ask("/.straum/oidc/callback?"+q.Encode(), page); word(x) != "unknown_state" || x.Response.Status != 400 {
		t.Errorf("again: %d, %s", x.Response.Status, word(x))
	}
	b.order, b.jar[name] = append(b.order, name), value
	if x := b.ask("/.straum/oidc/callback?"+q.Encode(), page); word(x) != "replayed" || x.Response.Status != 400 {
		t.Errorf("with the cookie: %d, %s", x.Response.Status, word(x))
	}
	if n := b.provider.tokens(); n != 1 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
}

// Tabs do not disturb each other, and do not pile up.
func TestTabs(t *testing.T) {
	b := setup(t, "")
	var tabs []url.Values
	for i := range 8 {
		tabs = append(tabs, b.provider.arrive(location(b.ask(fmt.Sprintf("/%d", i), page))))
		if len(b.jar) > maxAttempts {
			t.Fatalf("%d attempts", len(b.jar))
		}
	}
	if x := b.ask("/.straum/oidc/callback?" + tabs[0].Encode()); word(x) != "unknown_state" {
		t.Errorf("the oldest: %s", word(x))
	}
	for _, i := range []int{7, 4} {
		if x := b.ask("/.straum/oidc/callback?" + tabs[i].Encode()); location(x) != fmt.Sprintf("/%d", i) {
			t.Errorf("tab %d came back to %q, %s", i, location(x), word(x))
		}
	}
}

func TestBackToWhere(t *testing.T) {
	b := setup(t, "")
	for to, want := range map[string]string{"/x?y=%26": "/x?y=%26", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/", "": "/",
		"/a\r\nSet-Cookie: x": "/", "/" + strings.Repeat("x", 3000): "/", "javascript:alert(1)": "/"} {
		x := b.ask("/.straum/oidc/login?" + url.Values{"to": {to}}.Encode())
		x = b.ask("/.straum/oidc/callback?" + b.provider.arrive(location(x)).Encode())
		if location(x) != want {
			t.Errorf("%.40q came back to %q, want %q", to, location(x), want)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	for _, c := range []struct {
		name, options string
		shift         time.Duration
		want          string // verdict; empty when it is good
	}{
		{"fresh", "", 0, ""},
		{"idle", "", time.Hour + time.Second, "session_idle"},
		{"idle off", "idle: 0", 7 * time.Hour, ""},
		{"over", "idle: 0", 8*time.Hour + time.Second, "session_expired"},
		{"from the future", "", -2 * time.Minute, "session_expired"},
		{"token over, not needed", "", 11 * time.Minute, ""},
		{"token over", "forward: access_token", 11 * time.Minute, "token_expired"},
		{"id token over", "forward: id_token", 11 * time.Minute, "token_expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, c.options)
			b.logIn("/")
			b.shift = c.shift
			x := b.send("/api")
			if (x.Caller.Method == "oidc") != (c.want == "") || c.want != "" && x.Verdicts[0].Word != c.want {
				t.Errorf("got %v, %v", x.Caller.Method, x.Verdicts)
			}
			if x.Signals != 0 {
				t.Error("a session that is over passes for an attack")
			}
			if x = b.send("/api", page); c.want != "" && x.Response.Status != 302 {
				t.Errorf("a page gives %d", x.Response.Status)
			}
		})
	}
}

// A session in use does not become idle.
func TestTouch(t *testing.T) {
	b := setup(t, "")
	b.logIn("/")
	for range 6 {
		b.shift += 50 * time.Minute
		x := b.ask("/api")
		if x.Caller.Method != "oidc" {
			t.Fatalf("after %s: %v", b.shift, x.Verdicts)
		}
		if got, _ := x.Response.Header.Get(exchange.CacheControl); got != "private, no-cache" {
			t.Errorf("a cache may keep the cookie: %q", got)
		}
	}
	b.shift = 8*time.Hour - time.Second
	b.ask("/api")
	if b.shift = 8 * time.Hour; b.ask("/api").Caller.Method != "" {
		t.Error("use makes a session last for longer than it may")
	}
}

// What was sealed for one client, or for another purpose, is nothing for another.
func TestForeignCookie(t *testing.T) {
	b := setup(t, "cookie: __Host-s")
	b.ask("/", page)
	attempt := b.jar[b.order[0]]
	b.logIn("/")
	sealed := b.jar["__Host-s"]
	if x := b.ask("/api"); x.Caller.Method == "" {
		t.Fatal(x.Verdicts)
	}
	for _, bad := range []string{attempt, "1." + attempt, sealed[:len(sealed)-1], sealed + "A", "2" + sealed[1:], "", "1.", "x"} {
		b.jar["__Host-s"] = bad
		if x := b.send("/api"); x.Caller.Method != "" || x.Signals != 0 {
			t.Errorf("%.20q: %v", bad, x.Caller)
		}
	}
	b.jar["__Host-s"] = sealed
	b.bind("cookie: __Host-s\nscopes: [openid, email]")
	if x := b.send("/api"); x.Caller.Method != "" || word(x) != "unreadable" {
		t.Errorf("a session of other settings is good: %v", x.Verdicts)
	}
	b.bind("cookie: __Host-s")
	if x := b.send("/api"); x.Caller.Method != "oidc" {
		t.Errorf("a session does not outlive a revision: %v", x.Verdicts)
	}
}

// What was opened once does not outlive the secret, nor the settings.
func TestRemembered(t *testing.T) {
	b := setup(t, "cookie: __Host-s")
	b.logIn("/")
	for range 2 {
		if x := b.ask("/api"); x.Caller.Subject != "alice" {
			t.Fatal(x.Verdicts)
		}
	}
	b.bind("cookie: __Host-s\nclaims_to_headers: { email: X-Email }")
	if got, _ := b.ask("/api").Request.Header.Header("X-Email"); got != "alice@example.com" {
		t.Errorf("the endpoint gets %q", got)
	}
	b.world.Keys = keyring.Random()
	b.bind("cookie: __Host-s\nclaims_to_headers: { email: X-Email }")
	if x := b.ask("/api"); x.Caller.Method != "" || word(x) != "unreadable" {
		t.Errorf("a session outlives the secret: %v", x.Verdicts)
	}
}

func TestLarge(t *testing.T) {
	b := setup(t, "forward: access_token")
	b.provider.padding = strings.Repeat("x", 6000)
	b.logIn("/")
	if len(b.jar) != 3 {
		t.Errorf("%d cookies", len(b.jar))
	}
	x := b.ask("/api", "Cookie: none=1")
	if got, _ := x.Request.Header.Get(exchange.Authorization); got != "Bearer access-2"+b.provider.padding {
		t.Errorf("forwarded %.40q", got)
	}
	if got, _ := x.Request.Header.Get(exchange.Cookie); got != "none=1" {
		t.Errorf("the endpoint gets %.80q", got)
	}
	b.provider.change(func() { b.provider.padding = "" })
	b.jar[b.order[0]] = "broken"
	b.logIn("/")
	if len(b.jar) != 1 {
		t.Errorf("%d cookies are left of a longer session", len(b.jar))
	}
	b.provider.change(func() { b.provider.padding = strings.Repeat("x", 11000) })
	b.jar[b.order[0]] = "broken"
	x = b.ask("/", page)
	if x = b.ask("/.straum/oidc/callback?" + b.provider.arrive(location(x)).Encode()); x.Fault == nil || word(x) != "too_large" || !strings.Contains(x.Fault.Error(), "too large") {
		t.Errorf("got %d, %v", x.Response.Status, x.Fault)
	}
}

// Where a session does not fit, the ID token goes first; the claims stay.
func TestLargeWithoutIDToken(t *testing.T) {
	b := setup(t, "")
	s := &session.Session{ID: "x", Created: time.Now().Unix(), Seen: time.Now().Unix(), Claims: `{"sub":"alice"}`, IDToken: strings.Repeat("t", 600), Access: strings.Repeat("x", 10_300)}
	x := b.Request("GET / HTTP/1.1\r\nHost: app.example.com")
	if !b.login.keep(x, s, time.Now()) {
		t.Fatal("not kept")
	}
	x.Response.Status = 200
	b.Chain.Response(x)
	b.take(x)
	looked := b.login.look(b.Request("GET / HTTP/1.1\r\nHost: app.example.com\r\nCookie: " + b.cookies()))
	got, word := b.login.open(&looked, time.Now())
	if got == nil || got.session.IDToken != "" || got.session.Claims != s.Claims || got.session.Access != s.Access || s.IDToken == "" {
		t.Errorf("got %v, %s", got != nil, word)
	}
	s.Access += strings.Repeat("x", 600)
	if b.login.keep(x, s, time.Now()) {
		t.Error("more than fits was kept")
	}
}

// A provider that renews no ID tokens ends the session of an endpoint that wants one.
func TestNoNewIDToken(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]\nforward: id_token")
	b.provider.rest = true
	b.provider.lie = func(c map[string]any) { c["exp"] = time.Now().Add(10 * time.Minute).Unix() }
	b.logIn("/")
	b.provider.change(func() { b.provider.answer = says(200, `{"access_token":"x","token_type":"bearer","expires_in":36000}`) })
	b.shift = 9*time.Minute + 10*time.Second
	for range 2 {
		if x := b.ask("/api"); x.Caller.Subject != "alice" {
			t.Fatal(x.Verdicts)
		}
	}
	if n := b.provider.tokens(); n != 2 {
		t.Errorf("the provider was asked %d times for what it does not have", n-1)
	}
	b.shift = 10*time.Minute + time.Second
	if x := b.ask("/api"); x.Caller.Method != "" {
		t.Error("the endpoint gets an ID token that is over")
	}
}

func TestForwardIDToken(t *testing.T) {
	b := setup(t, "forward: id_token")
	b.logIn("/")
	x := b.ask("/api", "Authorization: Bearer mine")
	got, _ := x.Request.Header.Get(exchange.Authorization)
	if strings.Count(got, ".") != 2 || x.Request.Header.Count(exchange.Authorization) != 1 {
		t.Errorf("forwarded %q", got)
	}
	if _, reason := b.login.provider.Identify(t.Context(), strings.TrimPrefix(got, "Bearer "), &anyone, time.Now()); reason != "" {
		t.Errorf("it is not the token that was issued: %s", reason)
	}
}

func TestConsumer(t *testing.T) {
	b := setup(t, "")
	known := consumer.NewBuilder()
	if err := known.Consumer(consumer.Consumer{ID: "c1", Name: "One"}); err != nil {
		t.Fatal(err)
	}
	b.world.Consumers = known.Build()
	b.bind("consumer_claim: account")
	b.logIn("/")
	if x := b.ask("/api"); x.Caller.Consumer == nil || x.Caller.Consumer.ID != "c1" {
		t.Errorf("got %+v", x.Caller)
	}
	b.world.Consumers = consumer.Empty()
	b.bind("consumer_claim: account")
	if x := b.ask("/api", page); x.Response.Status != 401 || word(x) != "no_consumer" || location(x) != "" {
		t.Errorf("a consumer who was removed: %d, %v", x.Response.Status, x.Verdicts)
	}
	b.jar = map[string]string{}
	b.order = nil
	x := b.ask("/", page)
	if x = b.ask("/.straum/oidc/callback?" + b.provider.arrive(location(x)).Encode()); x.Response.Status != 403 || len(b.jar) != 0 {
		t.Errorf("logs in: %d, %v", x.Response.Status, b.order)
	}
	b.bind("consumer_claim: account\nconsumer_required: false")
	b.logIn("/")
	if x := b.ask("/api"); x.Caller.Method != "oidc" || x.Caller.Consumer != nil {
		t.Errorf("got %+v", x.Caller)
	}
}

func TestRenewed(t *testing.T) {
	b := setup(t, "forward: access_token\nscopes: [openid, offline_access]")
	b.provider.rest = true
	b.logIn("/")
	if x := b.ask("/api"); x.Response.Header.Count(exchange.SetCookie) != 0 {
		t.Error("renewed at once")
	}
	old := map[string]string{}
	for k, v := range b.jar {
		old[k] = v
	}
	b.shift = 9*time.Minute + time.Second // a minute before the end
	b.provider.change(func() { b.provider.lie = func(c map[string]any) { c["email"] = "new@example.com" } })
	x := b.ask("/api")
	if x.Caller.Claims["email"] != "new@example.com" {
		t.Errorf("the caller is as before: %v", x.Caller.Claims)
	}
	if got, _ := x.Request.Header.Get(exchange.Authorization); got != "Bearer access-3" || b.provider.tokens() != 2 {
		t.Errorf("forwarded %q after %d requests, %v", got, b.provider.tokens(), x.Verdicts)
	}
	b.jar = old // a request that was under way with the older cookie
	if x = b.ask("/api"); x.Response.Header.Count(exchange.SetCookie) == 0 || b.provider.tokens() != 2 {
		t.Errorf("%d requests, %v", b.provider.tokens(), x.Verdicts)
	}
	if x = b.ask("/api"); x.Response.Header.Count(exchange.SetCookie) != 0 {
		t.Error("the newer cookie is not in use")
	}
	if b.provider.stolen != 0 {
		t.Error("a refresh token was used twice")
	}
}

// However many requests come with a session that is due, its refresh token is used once.
func TestRenewedOnce(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]\nforward: access_token")
	b.provider.rest = true
	b.logIn("/")
	b.shift = 11 * time.Minute // nothing else will do
	var group sync.WaitGroup
	for range 40 {
		x := b.Request("GET /api HTTP/1.1\r\nHost: app.example.com\r\nCookie: " + b.cookies())
		group.Go(func() {
			if b.pass(x); x.Caller.Subject != "alice" || x.Response.Header.Count(exchange.SetCookie) == 0 {
				t.Errorf("got %v", x.Verdicts)
			}
		})
	}
	group.Wait()
	if n := b.provider.tokens(); n != 2 || b.provider.stolen != 0 {
		t.Errorf("%d requests, %d of them with a used token", n, b.provider.stolen)
	}
}

// An answer that was long under way does not bring an older session back.
func TestRenewedMeanwhile(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]")
	b.provider.rest = true
	b.logIn("/")
	b.shift = 7 * time.Minute // the session is to be sealed again for its use
	slow, other := b.Request("GET /slow HTTP/1.1\r\nHost: app.example.com\r\nCookie: "+b.cookies()), b.Request("GET /other HTTP/1.1\r\nHost: app.example.com\r\nCookie: "+b.cookies())
	b.Chain.Request(slow)
	b.Chain.Request(other)
	other.Response.Status, slow.Response.Status = 200, 200
	b.Chain.Response(other)
	if other.Response.Header.Count(exchange.SetCookie) != 1 {
		t.Errorf("not sealed again: %v", other.Verdicts)
	}
	b.shift = 9*time.Minute + 10*time.Second
	if x := b.ask("/api"); x.Response.Header.Count(exchange.SetCookie) != 1 {
		t.Errorf("not renewed: %v", x.Verdicts)
	}
	b.Chain.Response(slow)
	if slow.Response.Header.Count(exchange.SetCookie) != 0 {
		t.Error("the older session comes back")
	}
}

// Endpoints see no session, whoever was accepted.
func TestHidden(t *testing.T) {
	b := setup(t, "cookie: s")
	x := b.Request("GET / HTTP/1.1\nHost: app.example.com\nCookie: a=1; s=2; s-1=3; s-login-ABC=4; s-2x=5\nCookie: s-3=1")
	b.login.Hide(x, policy.Unasked)
	if got, _ := x.Request.Header.Get(exchange.Cookie); got != "a=1; s-2x=5" || x.Request.Header.Count(exchange.Cookie) != 1 {
		t.Errorf("the endpoint gets %q", got)
	}
}

func TestRenewalFails(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]\nforward: access_token")
	b.provider.rest = true
	b.logIn("/")
	b.shift = 9*time.Minute + 10*time.Second
	b.provider.change(func() { b.provider.answer = says(503, "") })
	for range 10 {
		if x := b.ask("/api"); x.Caller.Subject != "alice" {
			t.Fatalf("the token is still good: %v", x.Verdicts)
		}
	}
	if n := b.provider.tokens(); n != 2 {
		t.Errorf("a provider that is down was asked %d times", n-1)
	}
	b.shift = 11 * time.Minute
	if x := b.ask("/api", page); x.Response.Status != 503 {
		t.Errorf("with a token that is over: %d, %v", x.Response.Status, x.Verdicts)
	}
	b.shift += keepFailure + time.Second
	b.provider.change(func() { b.provider.answer = nil })
	if x := b.ask("/api"); x.Caller.Subject != "alice" {
		t.Fatalf("the provider is back: %v", x.Verdicts)
	}
	// The provider has ended the session.
	b.provider.change(func() { b.provider.refreshes = map[string]visitor{} })
	b.shift += 11 * time.Minute
	if x := b.ask("/api"); x.Response.Status != 401 || x.Verdicts[0].Word != "refresh_refused" {
		t.Errorf("got %d, %v", x.Response.Status, x.Verdicts)
	}
	if x := b.ask("/", page); x.Response.Status != 302 {
		t.Errorf("a page gives %d", x.Response.Status)
	}
}

// The ID token of a renewal may not be somebody else's.
func TestRenewedAsAnother(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]")
	b.provider.rest = true
	b.logIn("/")
	b.provider.change(func() { b.provider.lie = func(c map[string]any) { c["sub"] = "eve" } })
	b.shift = 9*time.Minute + 10*time.Second
	if x := b.ask("/api"); x.Caller.Method != "" || x.Verdicts[0].Word != "refresh_refused" {
		t.Errorf("got %+v, %v", x.Caller, x.Verdicts)
	}
}

func TestLogout(t *testing.T) {
	b := setup(t, "scopes: [openid, offline_access]\npost_logout: /bye")
	b.provider.rest = true
	b.logIn("/")
	kept := b.cookies()
	for _, foreign := range []string{"", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null",
		"Referer: https://app.example.com.evil.example/", "Referer: https://app.example.com"} {
		if x := b.ask("POST /.straum/oidc/logout", foreign); x.Response.Status != 403 || len(b.jar) != 1 {
			t.Errorf("%q: %d, %v", foreign, x.Response.Status, b.order)
		}
	}
	if x := b.ask("DELETE /.straum/oidc/logout", "Sec-Fetch-Site: same-origin"); x.Response.Status != 405 {
		t.Errorf("DELETE: %d", x.Response.Status)
	}
	x := b.ask("POST /.straum/oidc/logout", "Origin: https://app.example.com")
	u, err := url.Parse(location(x))
	if err != nil || x.Response.Status != 303 || !strings.HasPrefix(location(x), b.provider.URL+"/end?") || len(b.jar) != 0 {
		t.Fatalf("got %d, %q, %v", x.Response.Status, location(x), b.order)
	}
	if q := u.Query(); q.Get("post_logout_redirect_uri") != "https://app.example.com/bye" || strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("client_id") != "gateway" {
		t.Errorf("sent with %v", q)
	}
	if len(b.provider.revoked) != 1 || b.provider.revoked[0] != "refresh-2" {
		t.Errorf("revoked %q", b.provider.revoked)
	}
	if x := b.send("/api", "Cookie: "+kept); x.Caller.Method != "" || x.Verdicts[0].Word != "logged_out" {
		t.Errorf("a cookie that was kept is still good: %v", x.Verdicts)
	}
	for _, own := range []string{"Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin", "Referer: https://app.example.com/x"} {
		if x := b.ask("/.straum/oidc/logout", own); x.Response.Status != 302 {
			t.Errorf("%q: %d", own, x.Response.Status)
		}
	}
}

// Without a provider people still get out.
func TestLogoutAlone(t *testing.T) {
	b := setup(t, "")
	b.provider.change(func() { b.provider.discover = func(d map[string]any) { delete(d, "end_session_endpoint") } })
	b.logIn("/")
	if x := b.ask("/.straum/oidc/logout", "Sec-Fetch-Site: none"); x.Response.Status != 200 || len(b.jar) != 0 {
		t.Errorf("got %d, %v", x.Response.Status, b.order)
	}
}

func TestProviderDown(t *testing.T) {
	b := setup(t, "")
	b.logIn("/")
	b.provider.Close()
	if x := b.ask("/api"); x.Caller.Subject != "alice" {
		t.Errorf("a session ends with the provider's connection: %v", x.Verdicts)
	}
	down := setup(t, "")
	down.provider.Close()
	if x := down.ask("/", page); x.Response.Status != 503 || x.Fault.Kind != fault.AuthUnavailable {
		t.Errorf("got %d, %v", x.Response.Status, x.Fault)
	}
}

// Behind a proxy that speaks TLS, origin says what browsers see; on this box plain HTTP will do.
func TestOrigin(t *testing.T) {
	b := setup(t, "origin: https://Public.example:8443/")
	b.Scheme = "http"
	x := b.logIn("/")
	if got := b.provider.asked[0].Get("redirect_uri"); got != "https://public.example:8443/.straum/oidc/callback" {
		t.Errorf("redirected to %q", got)
	}
	if !strings.HasPrefix(b.order[0], "__Host-") || x.Response.Status != 302 {
		t.Errorf("the cookies are %v", b.order)
	}
	local := setup(t, "")
	local.Scheme = "http"
	x = local.Request("GET / HTTP/1.1\r\nHost: localhost:8080\r\n" + page)
	local.Chain.Request(x)
	local.Chain.Response(x)
	local.take(x)
	if x.Response.Status != 302 || strings.HasPrefix(local.order[0], "__") || !strings.Contains(location(x), "localhost%3A8080") {
		t.Errorf("got %d, %v, %s", x.Response.Status, local.order, location(x))
	}
}

func TestRefusedOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{
		"client_id: x":                                                                   "issuer",
		"{ issuer: 'https://x', client_id: '' }":                                         "client_id",
		"{ issuer: 'http://x.example', client_id: y }":                                   "https://",
		"{ issuer: 'https://x?a', client_id: y }":                                        "query",
		"{ issuer: 'https://x', client_id: y, scopes: [email] }":                         "openid",
		"{ issuer: 'https://x', client_id: y, scopes: [openid, 'a b'] }":                 "a b",
		"{ issuer: 'https://x', client_id: y, parameters: { state: x } }":                "state",
		"{ issuer: 'https://x', client_id: y, redirect_path: 'x' }":                      "redirect_path",
		"{ issuer: 'https://x', client_id: y, redirect_path: '//x' }":                    "path",
		"{ issuer: 'https://x', client_id: y, login_path: /a, logout_path: /a }":         "same path",
		"{ issuer: 'https://x', client_id: y, post_logout: 'javascript:x' }":             "post_logout",
		"{ issuer: 'https://x', client_id: y, origin: 'https://x/y' }":                   "origin",
		"{ issuer: 'https://x', client_id: y, origin: 'http://x.example' }":              "https://",
		"{ issuer: 'https://x', client_id: y, cookie: 'a=b' }":                           "cookie",
		"{ issuer: 'https://x', client_id: y, cookie: '__Secure-x' }":                    "__Host-",
		"{ issuer: 'https://x', client_id: y, claims_to_headers: { a: Host } }":          "Host",
		"{ issuer: 'https://x', client_id: y, claims_to_headers: { a: X-Consumer-Id } }": "X-Consumer-Id",
		"{ issuer: 'https://x', client_id: y, claims_to_headers: { a: X-A, b: x-a } }":   "two claims",
		"{ issuer: 'https://x', client_id: y, claims_to_headers: { a: 'X A' } }":         "field name",
		"{ issuer: 'https://x', client_id: y, lifetime: 1s }":                            "lifetime",
		"{ issuer: 'https://x', client_id: y, forward: both }":                           "forward",
		"{ issuer: 'https://x', client_id: y, ca: missing.pem }":                         "missing.pem",
		"{ issuer: 'https://x', client_id: y, client_secret: '' }":                       "client_secret",
	} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q does not speak of %q", options, got, want)
		}
	}
}

// A file of roots that cannot be read is an error at its key.
func TestRefusedCA(t *testing.T) {
	if got := policytest.New(t).Refused(Kind, "issuer: https://x\nclient_id: y\nca: missing.pem\nrefresh: true"); !strings.HasPrefix(got, "test.yaml:3:") || !strings.Contains(got, "missing.pem") {
		t.Errorf("got %q", got)
	}
}

func TestPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "policies", "oidc.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range regexp.MustCompile(`yaml:"([a-z_]+)"`).FindAllStringSubmatch(source(t, "oidc.go"), -1) {
		if !strings.Contains(string(text), "| `"+key[1]+"` |") {
			t.Errorf("the page has no row for %s", key[1])
		}
	}
}

func source(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMarks(t *testing.T) {
	var m marks
	const maxMarks = maxMarks / markShards // all names begin alike
	if !m.add("a", 10, 1) || m.add("a", 10, 9) || !m.has("a", 9) || m.has("a", 10) || !m.add("a", 20, 10) {
		t.Error("a name is not kept for its time")
	}
	for i := range maxMarks + 10 {
		m.add(fmt.Sprint("a", i), 1000, 21)
	}
	s := m.shard("a")
	if len(s.until) != maxMarks || len(s.order) != len(s.until) || m.has("a5", 21) || !m.has(fmt.Sprint("a", maxMarks), 21) {
		t.Errorf("%d names, %d in order", len(s.until), len(s.order))
	}
}

func TestDeskIsBounded(t *testing.T) {
	d, now, at := newDesk("x"), time.Now(), newPlaces()
	for i := range maxRenewals + 100 {
		f, mine := d.board(fmt.Sprint(i), now, at)
		if !mine {
			t.Fatal("not mine")
		}
		d.land(f, &session.Session{}, nil, now)
	}
	if len(d.flights) > maxRenewals || len(d.order) != len(d.flights) {
		t.Errorf("%d renewals, %d in order", len(d.flights), len(d.order))
	}
	if _, mine := d.board(fmt.Sprint(maxRenewals+99), now, at); mine {
		t.Error("the latest is forgotten")
	}
	if _, mine := d.board("0", now, at); !mine {
		t.Error("the oldest is kept")
	}
	busy, at := newDesk("x"), newPlaces()
	first, _ := busy.board("0", now, at)
	for i := 1; i < maxRenewing; i++ {
		if _, mine := busy.board(fmt.Sprint(i), now, at); !mine {
			t.Fatal("not mine")
		}
	}
	if f, _ := busy.board("one more", now, at); f != nil {
		t.Error("more renewals at a time than allowed")
	}
	busy.land(first, nil, errNoKeys, now)
	if _, mine := busy.board("one more", now, at); !mine {
		t.Error("a place is not given back")
	}
}

func BenchmarkSession(b *testing.B) {
	s := &session.Session{ID: "x", Created: 1, Seen: 1, Claims: `{"sub":"alice","iss":"https://x","aud":"gateway","exp":1800000000,"email":"alice@example.com","groups":["a","b"]}`, Scope: "openid email"}
	sealer := session.New([32]byte{1})
	pieces, err := session.Split(sealer.Seal("identity", s.Append(nil)))
	if err != nil {
		b.Fatal(err)
	}
	l := &login{set: &settings{Options: Options{Lifetime: document.Duration(1 << 62)}, identity: "identity", cookie: "c"}, sessions: sealer, desk: newDesk("c"), recent: newRecent(), now: time.Now}
	l.set.Forward = "none"
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	x.Request.Scheme, x.Request.Path = "https", "/api"
	cookies := "a=1; c=" + pieces[0] + "; b=2"
	for _, fresh := range []bool{true, false} {
		b.Run(map[bool]string{true: "opened", false: "remembered"}[fresh], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if fresh {
					l.recent.slots = [recentSlots]atomic.Pointer[remembered]{}
				}
				x.Request.Header.Set(exchange.Cookie, cookies)
				x.Session = nil
				if l.Authenticate(x) != policy.Accepted {
					b.Fatal(x.Verdicts)
				}
				l.Hide(x, policy.Unasked)
			}
		})
	}
}

func FuzzRequest(f *testing.F) {
	l := &login{set: &settings{Options: Options{RedirectPath: "/cb", LogoutPath: "/out", LoginPath: "/in", Lifetime: document.Duration(time.Hour), Forward: "none"}, identity: "identity", cookie: "c"},
		sessions: session.New([32]byte{1}), attempts: session.New([32]byte{2}), desk: newDesk("c"), places: newPlaces(), recent: newRecent(), now: time.Now}
	f.Add("/cb", "state=ABCDEFGHIJ&code=x", "c-login-ABCDEFGH="+l.attempts.Seal("other", nil))
	f.Add("/", "", "c=1."+l.sessions.Seal("other", (&session.Session{ID: "x"}).Append(nil)))
	f.Add("/", "", "c=2.abc; c-1=def; c=;;=; \"")
	f.Fuzz(func(t *testing.T, path, query, cookies string) {
		if path == "/in" || path == "/out" {
			return // these ask the provider
		}
		if path == "" || path[0] != '/' || strings.Contains(path, "?") {
			return // no canonical path
		}
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{}, 1)
		x.Request.Method, x.Request.Scheme, x.Request.Host, x.Request.Path, x.Request.Query = "GET", "https", "a", path, query
		x.Request.Target = path + "?" + query
		x.Request.Header.Set(exchange.Cookie, cookies)
		l.Conceal(x)
		if l.Serve(x); (path == "/cb") != (x.Fault != nil) {
			t.Errorf("%q %q %q: %v", path, query, cookies, x.Fault)
		}
		if l.Authenticate(x) != policy.Nothing || x.Caller.Method != "" {
			t.Errorf("%q %q %q: %v", path, query, cookies, x.Verdicts)
		}
		l.Hide(x, policy.Unasked)
		l.Response(x)
	})
}

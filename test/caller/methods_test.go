package caller

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

const (
	hmacSecret = "a secret of the tests, 32 bytes and more"
	hookSecret = "another secret of the tests"
)

// show makes a request show a credential.
type show func(r *http.Request, body []byte)

// method is one way to show who one is, on the route of its name.
type method struct {
	name        string
	content     bool // it is about content, which its requests have
	good        []show
	bad         map[string]show
	certificate bool     // it is shown by the connection; bad[...] is then nil, and another one is shown
	challenge   string   // when nothing was shown
	refused     string   // when something was; the same if empty
	told        string   // what the endpoint is told
	gone        []string // fields that do not reach it
	key         string   // of api_key
}

// everyMethod is a front with a route for each, and what is to be shown there.
func everyMethod(t *testing.T) (*front, []method) {
	t.Helper()
	key, hash := apiKey(t)
	old, oldHash := apiKey(t)
	unknown, _ := apiKey(t)
	rs, es, other := newSigner(t, jose.RS256, "rs-1"), newSigner(t, jose.ES256, "es-1"), newSigner(t, jose.RS256, "rs-1")
	f := open(t, setting{
		consumers: fmt.Sprintf(`
  - id: acme
    name: Acme Corp
    plan: gold
    groups: [partners, eu]
    credentials:
      - { api_key: %q, scopes: [orders:read, orders:write] }
      - { api_key: %q, expires: 2020-01-31 }
      - { basic: { username: ann, password: %q } }
      - { basic: { username: old, password: %[3]q }, expires: 2020-01-31 }
      - { hmac: { id: acme-1, secret: %[4]q } }
      - { hmac: { id: acme-0, secret: %[4]q }, expires: 2020-01-31 }
      - { mtls: { dns: orders.acme.example } }
`, hash, oldHash, passwordHash(t, "pass:word"), hmacSecret),
		routes: fmt.Sprintf(`
  - { name: api_key, match: { path: /api_key }, upstream: app, policies: [ api_key: {} ] }
  - { name: basic, match: { path: /basic }, upstream: app, policies: [ basic: { realm: Reports } ] }
  - { name: jwt, match: { path: /jwt }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, keys_file: %q, consumer_claim: client_id, forward: false } ] }
  - { name: hmac, match: { path: /hmac }, upstream: app, policies: [ hmac: {} ] }
  - { name: mtls, match: { path: /mtls }, upstream: app, policies: [ mtls: {} ] }
  - { name: github, match: { path: /github }, upstream: app, policies: [ webhook_signature: { scheme: github, secrets: %q, consumer: acme } ] }
  - { name: stripe, match: { path: /stripe }, upstream: app, policies: [ webhook_signature: { scheme: stripe, secrets: %[2]q } ] }
  - { name: open, match: { path: /open }, upstream: app }
`, file(t, "keys.json", jwks(t, rs, es)), hookSecret),
		more: "plans: { gold: {} }\n",
	})
	field := func(name, value string) show {
		return func(r *http.Request, _ []byte) { r.Header.Set(name, value) }
	}
	authorization := func(value string) show { return field("Authorization", value) }
	sign := func(change func(s *signing)) show {
		return func(r *http.Request, body []byte) {
			s := signing{id: "acme-1", secret: hmacSecret}
			if change != nil {
				change(&s)
			}
			s.sign(r, body)
		}
	}
	acme := "x-consumer-id=acme x-consumer-name=Acme Corp x-consumer-groups=eu,partners x-consumer-plan=gold "
	token := rs.token(t, nil)
	_, rest, _ := strings.Cut(token, ".")
	return f, []method{
		{name: "api_key", key: key, good: []show{field("X-Api-Key", key)}, challenge: `ApiKey realm="api"`, told: acme + "x-auth-method=api_key x-auth-scope=orders:read orders:write",
			gone: []string{"X-Api-Key"}, bad: map[string]show{
				"unknown": field("X-Api-Key", unknown), "expired": field("X-Api-Key", old), "mistyped": field("X-Api-Key", mistyped(key)), "short": field("X-Api-Key", "x"),
				"long": field("X-Api-Key", strings.Repeat("k", 3000)), "empty": field("X-Api-Key", ""), "foreign": field("X-Api-Key", strings.Repeat("k", 40)),
			}},
		{name: "basic", good: []show{authorization(basic("ann", "pass:word")), authorization("bASIC " + strings.TrimPrefix(basic("ann", "pass:word"), "Basic "))},
			challenge: `Basic realm="Reports", charset="UTF-8"`, told: acme + "x-auth-method=basic x-auth-subject=ann", gone: []string{"Authorization"}, bad: map[string]show{
				"wrong": authorization(basic("ann", "pass:wort")), "unknown": authorization(basic("bob", "pass:word")), "expired": authorization(basic("old", "pass:word")),
				"no base64": authorization("Basic ????"), "no colon": authorization("Basic " + "YW5u"), "empty": authorization("Basic"),
			}},
		{name: "jwt", good: []show{authorization(bearer(token)), authorization(bearer(es.token(t, nil))), authorization("bearer " + rs.token(t, claims{"aud": []string{"x", "orders"}}))},
			challenge: `Bearer realm="api"`, refused: `Bearer realm="api", error="invalid_token"`, told: acme + "x-auth-method=jwt x-auth-subject=somebody x-auth-scope=orders:read",
			gone: []string{"Authorization"}, bad: map[string]show{
				"expired":      authorization(bearer(rs.token(t, claims{"exp": time.Now().Unix() - 600}))),
				"not yet":      authorization(bearer(rs.token(t, claims{"nbf": time.Now().Unix() + 600}))),
				"endless":      authorization(bearer(rs.token(t, claims{"exp": nil}))),
				"issuer":       authorization(bearer(rs.token(t, claims{"iss": "https://other.example"}))),
				"audience":     authorization(bearer(rs.token(t, claims{"aud": "invoices"}))),
				"no consumer":  authorization(bearer(rs.token(t, claims{"client_id": "nobody"}))),
				"foreign":      authorization(bearer(other.token(t, nil))),
				"unknown key":  authorization(bearer(mint(t, rs.as(t, "rs-9"), nil))),
				"foul":         authorization(bearer(foul(token))),
				"alg none":     authorization(bearer("eyJhbGciOiJub25lIn0." + strings.Split(rest, ".")[0] + ".")),
				"no signature": authorization(bearer(token[:strings.LastIndexByte(token, '.')+1])),
				"rubbish":      authorization(bearer("rubbish")),
			}},
		{name: "hmac", content: true, good: []show{sign(nil)}, challenge: `Signature realm="api", algorithm="hmac-sha256"`, told: acme + "x-auth-method=hmac",
			gone: []string{"Signature", "Signature-Input"}, bad: map[string]show{
				"wrong secret": sign(func(s *signing) { s.secret += "!" }), "unknown": sign(func(s *signing) { s.id = "acme-9" }), "expired": sign(func(s *signing) { s.id = "acme-0" }),
				"stale": sign(func(s *signing) { s.age = time.Hour }), "early": sign(func(s *signing) { s.age = -time.Hour }), "foul": sign(func(s *signing) { s.foul = true }),
				"not covered": sign(func(s *signing) { s.leave = "@query" }), "other content": sign(func(s *signing) { s.digestOf = []byte("other") }),
				"other path": func(r *http.Request, body []byte) {
					path := r.URL.Path
					r.URL.Path = "/other"
					sign(nil)(r, body)
					r.URL.Path = path
				},
				"rubbish": func(r *http.Request, _ []byte) {
					r.Header.Set("Signature", "rubbish")
					r.Header.Set("Signature-Input", "((((")
				},
			}},
		{name: "mtls", certificate: true, challenge: `ClientCertificate realm="api"`, told: acme + "x-auth-method=mtls x-auth-subject=CN=orders.acme.example"},
		{name: "github", content: true, good: []show{func(r *http.Request, body []byte) { r.Header.Set("X-Hub-Signature-256", github(hookSecret, body)) }},
			challenge: `WebhookSignature realm="webhooks"`, told: acme + "x-auth-method=webhook_signature", bad: map[string]show{
				"wrong secret": func(r *http.Request, body []byte) { r.Header.Set("X-Hub-Signature-256", github("wrong", body)) },
				"other content": func(r *http.Request, body []byte) {
					r.Header.Set("X-Hub-Signature-256", github(hookSecret, []byte("other")))
				},
				"rubbish": field("X-Hub-Signature-256", "rubbish"),
			}},
		{name: "stripe", content: true, good: []show{func(r *http.Request, body []byte) {
			r.Header.Set("Stripe-Signature", stripe(hookSecret, time.Now(), body))
		}},
			challenge: `WebhookSignature realm="webhooks"`, told: "x-auth-method=webhook_signature", bad: map[string]show{
				"wrong secret": func(r *http.Request, body []byte) {
					r.Header.Set("Stripe-Signature", stripe("wrong", time.Now(), body))
				},
				"stale": func(r *http.Request, body []byte) {
					r.Header.Set("Stripe-Signature", stripe(hookSecret, time.Now().Add(-time.Hour), body))
				},
				"early": func(r *http.Request, body []byte) {
					r.Header.Set("Stripe-Signature", stripe(hookSecret, time.Now().Add(time.Hour), body))
				},
				"rubbish": field("Stripe-Signature", "rubbish"),
			}},
	}
}

// forged adds what a client would like the endpoint to believe, in all spellings.
func forged(r *http.Request) {
	for _, name := range []string{"X-Consumer-Id", "X-Consumer-Name", "X-Consumer-Groups", "X-Consumer-Plan", "X-Auth-Method", "X-Auth-Subject", "X-Auth-Scope", "X-Anonymous-Consumer"} {
		r.Header[name] = []string{"forged", "twice"}
		r.Header[strings.ReplaceAll(name, "-", "_")] = []string{"forged"}
		r.Header[strings.Replace(strings.ToLower(name), "-", "_", 1)] = []string{"forged"}
	}
}

// Each method by each way: who shows a good credential passes, the endpoint is told who it is by us alone and does not see the credential;
// whatever else is shown is refused in the same words.
func TestMethods(t *testing.T) {
	t.Parallel()
	f, methods := everyMethod(t)
	mine := f.certificates()
	n := 0 // requests so far, as the same content at the same time has the same signature
	for _, name := range allWays {
		for _, m := range methods {
			if m.certificate && !strings.Contains(name, "tls") && name != "h2" {
				continue
			}
			t.Run(name+"/"+m.name, func(t *testing.T) {
				w, w2 := f.way(t, name, nil), (*way)(nil)
				path := "/" + m.name
				if m.certificate {
					w2, m.good = f.way(t, name, mine.acme), []show{func(*http.Request, []byte) {}}
					path += "?a=b"
				} else if w2 = w; m.name == "hmac" {
					path += "?a=b&c=%20d"
				}
				ask := func(w *way, s show, change ...func(r *http.Request)) *answer {
					verb, body := "GET", []byte(nil)
					n++
					if m.content {
						verb, body = "POST", fmt.Appendf(nil, `{"item": %d}`, n)
					}
					r := w.request(t, verb, path, body)
					if s != nil {
						s(r, body)
					}
					for _, c := range change {
						c(r)
					}
					return w.do(t, r)
				}
				for i, s := range m.good {
					for _, change := range [][]func(*http.Request){nil, {forged}} {
						a := ask(w2, s, change...)
						a.expect(t, fmt.Sprint("good ", i), 200, "")
						if a.StatusCode != 200 {
							continue
						}
						seen := f.seen.One(t)
						if got := told(seen); got != m.told {
							t.Errorf("the endpoint is told %q, want %q", got, m.told)
						}
						for _, name := range append(m.gone, "Client-Cert") {
							if seen.Has(name) {
								t.Errorf("the endpoint gets %s: %q", name, seen.Get(name))
							}
						}
						if m.content && !strings.Contains(string(seen.Body), "item") {
							t.Errorf("the endpoint gets %q", seen.Body)
						}
					}
				}
				if m.refused == "" {
					m.refused = m.challenge
				}
				missing := ask(w, nil)
				missing.expect(t, "missing", 401, "unauthenticated", m.challenge)
				ask(w, nil, forged).expect(t, "missing, forged", 401, "unauthenticated", m.challenge)
				_, want := missing.problem(t)
				refused := func(what string, a *answer) {
					a.expect(t, what, 401, "unauthenticated", m.refused)
					if a.StatusCode == 401 {
						if _, got := a.problem(t); got != want {
							t.Errorf("%s: the answer differs: %s, want %s", what, got, want)
						}
						if fmt.Sprint(names(a.Header)) != fmt.Sprint(names(missing.Header)) {
							t.Errorf("%s: the answer has other fields: %v, want %v", what, a.Header, missing.Header)
						}
					}
				}
				for what, s := range m.bad {
					refused(what, ask(w, s))
				}
				if m.certificate {
					refused("stranger", ask(f.way(t, name, mine.stranger), nil))
					stray := f.authority.Issue([]string{"orders.acme.example"}) // by an authority that is not asked
					if a, err := f.way(t, name, stray).try(w.request(t, "GET", path, nil)); err == nil {
						t.Errorf("a certificate of nobody's passed the handshake: %d", a.StatusCode)
					}
				}
				if left := f.seen.Take(); len(left) > 0 {
					t.Errorf("%d requests that were refused reached the endpoint: %v", len(left), left)
				}
			})
		}
	}
	f.verdicts(t)
}

func names(h http.Header) []string {
	var all []string
	for name := range h {
		if name != "Date" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// verdicts proves that the log tells what the client was not told, and the metrics count it.
func (f *front) verdicts(t *testing.T) {
	t.Helper()
	want := map[string]bool{"api_key:unknown": false, "api_key:expired": false, "api_key:malformed": false, "basic:wrong": false, "basic:unknown": false, "basic:expired": false,
		"jwt:expired": false, "jwt:signature": false, "jwt:unknown_key": false, "jwt:issuer": false, "jwt:audience": false, "jwt:no_consumer": false, "jwt:not_yet": false, "jwt:no_expiry": false,
		"hmac:bad_signature": false, "hmac:unknown_key": false, "hmac:expired_key": false, "hmac:stale": false, "hmac:early": false, "hmac:bad_digest": false, "hmac:not_covered": false,
		"mtls:unknown": false, "webhook_signature:bad_signature": false, "webhook_signature:stale": false, "authenticate:missing": false}
	gateway.Await(t, "a line for each verdict", func() bool {
		for _, l := range f.Access() {
			all, _ := l["verdicts"].([]any)
			for _, v := range all {
				want[fmt.Sprint(v)] = true
			}
		}
		for _, found := range want {
			if !found {
				return false
			}
		}
		return true
	})
	n := f.Numbers()
	for v := range want {
		policy, word, _ := strings.Cut(v, ":")
		if n.Sum("straum_policy_verdicts_total", fmt.Sprintf("policy=%q", policy), fmt.Sprintf("verdict=%q", word)) == 0 {
			t.Errorf("%s is not counted", v)
		}
	}
	for _, l := range f.Access() {
		if l.Number("status") == 200 && l.Text("path") != "/open" && l.Text("auth") == "" || l.Number("status") == 401 && (l.Text("auth") != "" || l.Text("consumer") != "") {
			t.Errorf("got the line %v", l)
		}
	}
}

// A client's own words about who it is reach no endpoint, whatever the spelling and whether anybody is asked there or not.
func TestForged(t *testing.T) {
	t.Parallel()
	f, methods := everyMethod(t)
	for _, name := range allWays {
		t.Run(name, func(t *testing.T) {
			w := f.way(t, name, nil)
			w.do(t, w.request(t, "POST", "/open", []byte("content"), forged)).expect(t, "open", 200, "")
			if got := told(f.seen.One(t)); got != "" {
				t.Errorf("the endpoint is told %q", got)
			}
			r := w.request(t, "POST", "/api_key", []byte("content"), forged)
			methods[0].good[0](r, nil)
			w.do(t, r).expect(t, "api_key", 200, "")
			if got := told(f.seen.One(t)); got != methods[0].told {
				t.Errorf("the endpoint is told %q", got)
			}
		})
	}
}

// Nor do they behind the content: such a request either passes without them or is refused.
func TestForgedTrailers(t *testing.T) {
	t.Parallel()
	f, methods := everyMethod(t)
	key := methods[0].key
	for _, path := range []string{"/open", "/api_key"} {
		want := ""
		if path == "/api_key" {
			want = methods[0].told
		}
		for _, name := range []string{"x-kept", "x-consumer-id", "x_consumer_id", "x-auth-subject", "x-auth_method", "x-anonymous-consumer", "x-consumer-groups"} {
			judge := func(way string, passed bool) {
				t.Helper()
				all := f.seen.Take()
				if len(all) == 1 != passed {
					t.Errorf("%s: %s in the trailers of %s: %d requests reached the endpoint, answered well: %v", way, name, path, len(all), passed)
				}
				for _, m := range all {
					if got := told(m); got != want {
						t.Errorf("%s: %s in the trailers of %s: the endpoint is told %q, want %q", way, name, path, got, want)
					}
					if kept := len(m.Trailers) == 1; kept != (name == "x-kept") {
						t.Errorf("%s: the trailers that reach the endpoint are %v", way, m.Trailers)
					}
				}
				if name == "x-kept" && !passed {
					t.Errorf("%s: a request with trailers is refused", way)
				}
			}
			p := wire.Dial(t, f.plain)
			p.Send("POST " + path + " HTTP/1.1\r\nHost: api.example\r\nX-Api-Key: " + key + "\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n0\r\n" + name + ": forged\r\n\r\n")
			status := p.Answer("POST").Status()
			p.Close()
			if status != 200 && status != 400 {
				t.Errorf("%s in the trailers: got %d", name, status)
			}
			judge("HTTP/1.1", status == 200)
			for _, config := range []*tls.Config{nil, f.authority.Trusting(host)} {
				addr := f.plain
				if config != nil {
					addr = f.secure
				}
				s := wire.DialStreams(t, addr, config)
				st, err := s.Open(false, wire.Ask("POST", host, path, wire.Field{Name: "x-api-key", Value: key})...)
				if err == nil {
					err = errors.Join(st.Send([]byte("content"), false), st.Trailers(wire.Field{Name: name, Value: "forged"}))
				}
				if err != nil {
					t.Fatal(err)
				}
				m, err := st.Answer()
				judge("HTTP/2", err == nil && wire.Status(m) == 200)
				s.Close()
			}
		}
	}
}

// A credential that comes twice, or in two places, is answered 400.
func TestTwice(t *testing.T) {
	t.Parallel()
	f, methods := everyMethod(t)
	for _, name := range allWays {
		t.Run(name, func(t *testing.T) {
			w := f.way(t, name, nil)
			for _, m := range methods {
				if m.certificate {
					continue
				}
				body := []byte("content")
				r := w.request(t, "POST", "/"+m.name, body)
				m.good[0](r, body)
				for field, v := range r.Header {
					if field != "Content-Digest" {
						r.Header[field] = append(v, strings.Replace(v[0], "sig1=", "sig2=", 1)) // a signature has a label
					}
				}
				a := w.do(t, r)
				a.expect(t, m.name, 400, "bad_credential")
			}
			f.seen.Take()
		})
	}
}

// mistyped is a key with another character in its middle.
func mistyped(key string) string {
	other := "x"
	if key[20] == 'x' {
		other = "y"
	}
	return key[:20] + other + key[21:]
}

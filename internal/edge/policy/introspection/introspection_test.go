package introspection

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// issuer is an authorization server that knows tokens by the answer for each; what it does not know is not active.
type issuer struct {
	*httptest.Server
	asked atomic.Int64
	mu    sync.Mutex
	known map[string]string
	fails int // the status it answers with, 0 for none
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{known: map[string]string{}}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		answer, ok := i.known[r.FormValue("token")]
		if !ok {
			answer = `{"active":false}`
		}
		if i.fails != 0 {
			w.WriteHeader(i.fails)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) knows(token, members string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[token] = `{"active":true,` + members + `}`
}

func (i *issuer) fail(status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = status
}

// options are those of every test, and more.
func (i *issuer) options(more string) string {
	return fmt.Sprintf("endpoint: %s/introspect\nclient_id: gate\nclient_secret: canary-secret\n%s\n", i.URL, more)
}

func world(t testing.TB, ids ...string) *policytest.World {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	for _, id := range ids {
		if err := b.Consumer(consumer.Consumer{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w.Consumers = b.Build()
	return w
}

// show is what becomes of a request, in words: the fault and the verdict, or who calls.
func show(r *policytest.Running, lines ...string) string {
	return tell(r.Ask("GET /a HTTP/1.1\nHost: a\n" + strings.Join(append(lines, ""), "\n")))
}

func tell(x *exchange.Exchange) string {
	if x.Fault != nil {
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", x.Fault.Kind.Status, policytest.Verdict(x, name), strings.Join(x.Challenges, "; ")))
	}
	id := ""
	if x.Caller.Consumer != nil {
		id = " is " + x.Caller.Consumer.ID
	}
	return x.Caller.Method + " " + x.Caller.Subject + id
}

const (
	bare    = `Bearer realm="api"`
	invalid = `Bearer realm="api", error="invalid_token"`
)

func TestAuthenticate(t *testing.T) {
	i := newIssuer(t)
	i.knows("good", `"sub":"ann","iss":"https://id.example","client_id":"shop","scope":"read write","aud":["orders","bills"],"tenant":{"id":7}`)
	w := world(t)
	f := func(more, want string, lines ...string) {
		t.Helper()
		if got := show(w.Policy(Kind, i.options(more)), lines...); got != want {
			t.Errorf("%s %q: %s, want %s", more, lines, got, want)
		}
	}
	const good = "introspection ann"
	bearer := "Authorization: Bearer good"
	f("", good, bearer)
	f("", good, "authorization: bEaReR   good")
	f("", "401  "+bare)
	f("", "401  "+bare, "Authorization: Basic Z29vZA==")
	f("", "401 inactive "+invalid, "Authorization: Bearer bad")
	f("", "401 malformed "+invalid, "Authorization: Bearer")
	f("", "401 malformed "+invalid, "Authorization: Bearer a b")
	f("", "401 malformed "+invalid, "Authorization: Bearer "+strings.Repeat("a", 9000))
	f("", "400 twice", bearer, bearer)
	f("", "400 twice", bearer, "Authorization: Basic Z29vZA==")
	f("realm: shop", `401  Bearer realm="shop"`)
	// Other places only when asked.
	f("", "401  "+bare, "Cookie: t=good")
	f("cookie: t", good, "Cookie: x=1; t=good")
	f("cookie: t", good, `Cookie: t="good"`)
	f("cookie: t", "401  "+bare, "Cookie: tt=good")
	f("cookie: t", "400 twice", "Cookie: t=good; t=good")
	f("cookie: t", "400 twice", "Cookie: t=good", bearer)
	f("header: X-Token", good, "x-token: good")
	f("header: X-Token", good, "X-Token: Bearer good")
	f("header: X-Token", "401  "+bare, bearer)
	// What the answer must say.
	f("issuer: https://id.example", good, bearer)
	f("issuer: [https://a.example, https://id.example]", good, bearer)
	f("issuer: https://id.example/", "401 issuer "+invalid, bearer)
	f("audience: bills", good, bearer)
	f("audience: [x, orders]", good, bearer)
	f("audience: order", "401 audience "+invalid, bearer)
	f("client_ids: [shop]", good, bearer)
	f("client_ids: other", "401 client "+invalid, bearer)
	f("scopes: [write, read]", good, bearer)
	f("scopes: [read, admin]", `403 insufficient_scope Bearer realm="api", error="insufficient_scope", scope="read admin"`, bearer)
	i.knows("little", `"sub":"ann"`)
	for _, more := range []string{"issuer: https://id.example", "audience: bills", "client_ids: shop"} {
		f(more, "401 "+map[byte]string{'i': "issuer ", 'a': "audience ", 'c': "client "}[more[0]]+invalid, "Authorization: Bearer little")
	}
	if n := i.asked.Load(); n != 3 {
		t.Errorf("%d questions, want one a token: what judges an answer is no part of what is remembered", n)
	}
}

func TestQuery(t *testing.T) {
	i := newIssuer(t)
	i.knows("good+/=", `"sub":"ann"`)
	r := world(t).Policy(Kind, i.options("query: access_token\nhide: true"))
	f := func(query, want, left string) {
		t.Helper()
		x := r.Ask("GET /a?" + query + " HTTP/1.1\nHost: a\n")
		if got := tell(x); got != want || x.Request.Query != left {
			t.Errorf("%s: %s and %s, want %s and %s", query, got, x.Request.Query, want, left)
		}
	}
	f("a=1&access_token=good%2B%2F%3D&b=2", "introspection ann", "a=1&b=2")
	f("%61ccess_token=good%2B/=", "introspection ann", "")
	f("access_token=good%2B/=&access%5Ftoken=x", "400 twice", "")
	f("a=1&access_token=bad", "401 inactive "+invalid, "a=1")
	f("token=good", "401  "+bare, "token=good")
	f("access_token", "401 malformed "+invalid, "")
	r = world(t).Policy(Kind, i.options("query: access_token\nhide: false")) // it never stays
	f("a=1&access_token=good%2B%2F%3D&b=2", "introspection ann", "a=1&b=2")
}

// Nobody is let through when the endpoint cannot be asked, and nobody is called bad for it.
func TestUnavailable(t *testing.T) {
	i := newIssuer(t)
	i.knows("good", `"sub":"ann"`)
	w := world(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := w.Policy(Kind, i.options(""))
	f := func(token, want string) {
		t.Helper()
		x := r.Ask("GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer " + token + "\n")
		if got := tell(x); got != want || x.Signals != 0 {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
		if x.Fault != nil && strings.Contains(x.Fault.Error(), "canary") {
			t.Errorf("the fault says %v", x.Fault)
		}
	}
	f("good", "introspection ann")
	i.fail(500)
	f("canary-token", "503 unavailable")
	i.fail(401)
	for range 10 { // and all the same while the endpoint is left alone
		f("canary-token", "503 misconfigured")
	}
	if n := i.asked.Load(); n > 8 {
		t.Errorf("%d questions: the endpoint is not left alone", n)
	}
	if x := r.Ask("GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer other\n"); x.Fault == nil || x.Fault.RetryAfter == 0 {
		t.Error("nobody says when to try again")
	}
	f("good", "introspection ann")
	if text := log.String(); !strings.Contains(text, "level=ERROR") || strings.Contains(text, "canary") {
		t.Errorf("log: %s", text)
	}
}

func TestFlood(t *testing.T) {
	i := newIssuer(t)
	r := world(t).Policy(Kind, i.options("flood_burst: 3\nflood_rate: 0.01"))
	for n := range 10 {
		want := "401 inactive " + invalid
		if n >= 3 {
			want = "503 flood"
		}
		if got := show(r, fmt.Sprint("Authorization: Bearer bad", n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if n := i.asked.Load(); n != 3 {
		t.Errorf("%d questions", n)
	}
	x := r.Ask("GET / HTTP/1.1\nHost: a\nAuthorization: Bearer bad\n")
	if x.Signals != 0 || x.Fault.RetryAfter != 1 { // nobody knows that it is a bad one
		t.Errorf("signals %b, Retry-After %d", x.Signals, x.Fault.RetryAfter)
	}
}

func TestConsumers(t *testing.T) {
	i := newIssuer(t)
	i.knows("shop", `"sub":"ann","client_id":"shop","ext":{"tenant":"inner"}`)
	i.knows("other", `"sub":"bob","client_id":"other"`)
	i.knows("number", `"sub":"bob","client_id":"x","ext":{"tenant":7}`)
	w := world(t, "shop", "inner")
	f := func(more, token, want string) {
		t.Helper()
		if got := show(w.Policy(Kind, i.options(more)), "Authorization: Bearer "+token); got != want {
			t.Errorf("%s %s: %s, want %s", more, token, got, want)
		}
	}
	f("", "shop", "introspection ann")
	f("consumer_claim: client_id", "shop", "introspection ann is shop")
	f("consumer_claim: client_id", "other", "401 no_consumer "+invalid)
	f("consumer_claim: client_id\nconsumer_required: false", "other", "introspection bob")
	f("consumer_claim: ext.tenant", "shop", "introspection ann is inner")
	f("consumer_claim: ext.tenant", "number", "401 no_consumer "+invalid)
	// A reload: what is remembered stays, who it belongs to is asked anew.
	asked := i.asked.Load()
	w.Consumers = world(t, "other").Consumers
	f("consumer_claim: client_id", "shop", "401 no_consumer "+invalid)
	f("consumer_claim: client_id", "other", "introspection bob is other")
	if now := i.asked.Load(); now != asked {
		t.Errorf("%d questions after a reload", now-asked)
	}
	// With another ttl it is another thing, and everything is asked anew.
	f("ttl: 30s", "shop", "introspection ann")
	if now := i.asked.Load(); now != asked+1 {
		t.Errorf("%d questions after a change", now-asked)
	}
}

// Endpoints are told claims; what a client wrote in their place never arrives.
func TestFields(t *testing.T) {
	i := newIssuer(t)
	i.knows("good", `"sub":"ann","tenant":"t1","roles":["a","b"],"n":1.50,"ok":true`)
	i.knows("none", `"sub":"bob"`)
	i.knows("comma", `"sub":"eve","roles":["a,b"]`)
	i.knows("break", `"sub":"eve","tenant":"a\r\nX-Admin: 1"`)
	i.knows("object", `"sub":"eve","tenant":{"a":1}`)
	w := world(t)
	const options = "claims_to_headers: {tenant: X-Tenant, roles: X-Roles, n: X-N, ok: X-Ok, gone: X-Gone}\nhide: true\ncookie: t"
	r := w.Policy(Kind, i.options(options))
	forged := []string{"X-Tenant: forged", "x_tenant: forged", "X-ROLES: forged", "X-Gone: forged", "Keep: me"}
	f := func(lines []string, want, fields string) {
		t.Helper()
		x := r.Ask("GET /a HTTP/1.1\nHost: a\n" + strings.Join(append(lines, forged...), "\n") + "\n")
		var got []string
		for _, field := range x.Request.Header.All() {
			if n := strings.ToLower(field.Name); strings.HasPrefix(n, "x-") && !strings.HasPrefix(n, "x-auth") || strings.HasPrefix(n, "x_") || n == "keep" || n == "cookie" || n == "authorization" {
				got = append(got, field.Name+"="+field.Value)
			}
		}
		if told := tell(x); told != want || x.Fault == nil && strings.Join(got, " ") != fields {
			t.Errorf("%q: %s %q, want %s %q", lines, told, got, want, fields)
		}
	}
	f([]string{"Authorization: Bearer good"}, "introspection ann", "Keep=me X-N=1.50 X-Ok=true X-Roles=a,b X-Tenant=t1")
	f([]string{"Authorization: Bearer none"}, "introspection bob", "Keep=me")
	f([]string{"Cookie: a=1; t=none; b=2"}, "introspection bob", "Cookie=a=1; b=2 Keep=me")
	f([]string{"Cookie: t=none"}, "introspection bob", "Keep=me")
	for _, token := range []string{"comma", "break", "object"} {
		f([]string{"Authorization: Bearer " + token}, "401 unfit "+invalid, "")
	}
	// The anonymous consumer, and whom another method accepted, bring none either; nor does the token arrive.
	anonymous := policy.Kind{Name: "authenticate", Build: func(policy.Options) (any, error) {
		return &policy.Terms{Anonymous: &consumer.Consumer{ID: "guest"}}, nil
	}}
	r = w.Policies(policytest.Use{Kind: anonymous, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: i.options(options)})
	f(nil, "  is guest", "Keep=me X-Consumer-Id=guest X-Consumer-Name= X-Anonymous-Consumer=true")
}

// other is a method that accepts everybody.
type other struct{}

func (other) Authenticate(x *exchange.Exchange) policy.Finding {
	x.Caller.Subject = "other"
	return policy.Accepted
}
func (other) Challenge(*exchange.Exchange, policy.Finding) {}
func (other) Hide(*exchange.Exchange, policy.Finding)      {}

// A token without the scopes is one method's refusal; another method may accept the caller.
func TestScopesAmongOthers(t *testing.T) {
	i := newIssuer(t)
	i.knows("little", `"sub":"eve","scope":"read"`)
	kind := policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return other{}, nil }}
	w := world(t)
	r := w.Policies(policytest.Use{Kind: Kind, YAML: i.options("scopes: write")}, policytest.Use{Kind: kind, YAML: "{}"})
	if x := r.Ask("GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer little\n"); tell(x) != "other other" || x.Signals != 0 {
		t.Errorf("%s, signals %d", tell(x), x.Signals)
	}
	x := w.Policy(Kind, i.options("scopes: write")).Ask("GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer little\n")
	if x.Fault == nil || x.Fault.Kind.Status != 403 || x.Signals != exchange.Forbidden {
		t.Errorf("%s, signals %d", tell(x), x.Signals)
	}
}

// What a refused token says reaches no endpoint, also when another method accepts the caller.
func TestRefusedTellsNothing(t *testing.T) {
	i := newIssuer(t)
	i.knows("half", `"sub":"eve","a":"admin","b":{}`)
	kind := policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return other{}, nil }}
	r := world(t).Policies(policytest.Use{Kind: Kind, YAML: i.options("claims_to_headers: {a: X-A, b: X-B}")}, policytest.Use{Kind: kind, YAML: "{}"})
	x := r.Ask("GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer half\nX-A: forged\n")
	if got := tell(x); got != "other other" {
		t.Error(got)
	}
	if value, there := x.Request.Header.Header("X-A"); there {
		t.Errorf("X-A: %s", value)
	}
}

// A token that is bound to a certificate is good for its holder alone; one that is bound to something else for nobody.
func TestBound(t *testing.T) {
	i := newIssuer(t)
	own := &x509.Certificate{Raw: []byte("own")}
	sum := sha256.Sum256(own.Raw)
	i.knows("mine", `"sub":"ann","cnf":{"x5t#S256":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}`)
	i.knows("dpop", `"sub":"ann","cnf":{"jkt":"abc"}`)
	r := world(t).Policy(Kind, i.options(""))
	f := func(tls *exchange.TLS, token, want string) {
		t.Helper()
		r.Conn.TLS = tls
		if got := show(r, "Authorization: Bearer "+token); got != want {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
	const no = "401 not_bound " + invalid
	f(nil, "mine", no)
	f(&exchange.TLS{}, "mine", no)
	f(&exchange.TLS{Client: &x509.Certificate{Raw: []byte("other")}}, "mine", no)
	f(&exchange.TLS{Client: own}, "mine", "introspection ann")
	f(&exchange.TLS{Client: own}, "dpop", no)
}

func TestOptions(t *testing.T) {
	w := world(t)
	f := func(yaml, want string) {
		t.Helper()
		if got := w.Refused(Kind, yaml); !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%s: %s, want %s", yaml, got, want)
		}
	}
	const at = "endpoint: https://id.example/introspect\n"
	const pair = at + "client_id: a\nclient_secret: canary-b\n"
	f("{}", "endpoint")
	f("endpoint: http://id.example/\nauth: none", "http:// to another box")
	f("endpoint: https://a:canary@id.example/\nauth: none", "user name or password")
	f("endpoint: https://169.254.169.254/\nauth: none", "link-local")
	f(at, "with basic there must be client_id and client_secret")
	f(at+"client_id: a", "with basic there must be")
	f(at+"auth: post\nclient_secret: canary-b", "with post there must be")
	f(at+"auth: bearer", "with bearer there must be a token")
	f(at+"auth: bearer\ntoken: 'canary b'", "with bearer there must be a token")
	f(pair+"auth: bearer\ntoken: canary-t", "go with auth: basic or post; auth is bearer")
	f(pair+"auth: none", "auth is none")
	f(pair+"token: canary-t", "goes with auth: bearer")
	f(at+"auth: none\ntoken: canary-t", "auth is none")
	f(at+"auth: digest", "digest")
	f(pair+"header: Host", "Host has a meaning")
	f(pair+"header: 'a b'", "is not a field name")
	f(pair+"header: X-Consumer-Id", "X-Consumer-Id has a meaning")
	f(pair+"cookie: 'a=b'", "cookie")
	f(pair+"query: 'a&b'", "query")
	f(pair+"realm: 'a\"b'", "realm")
	f(pair+"scopes: ['a b']", "is no scope")
	f(pair+"issuer: ['']", "empty")
	f(pair+"claims_to_headers: {a: Authorization}", "Authorization has a meaning")
	f(pair+"claims_to_headers: {a: X-Consumer-Id}", "X-Consumer-Id has a meaning")
	f(pair+"claims_to_headers: {a: X-A, b: x-a}", "used twice")
	f(pair+"header: X-A\nclaims_to_headers: {a: X-A}", "used twice")
	f(pair+"claims_to_headers: {a: 'X A'}", "is not a field name")
	f(pair+"ttl: 2h", "ttl")
	f(pair+"flood_rate: 0", "flood_rate")
	f(pair+"ca: nowhere.pem", "nowhere.pem")
	f(pair+"tll: 1s", "ttl")
}

// The file of authorities is asked for while the policy is built, so that a reload sees it change.
func TestFileIsAskedFor(t *testing.T) {
	asked := ""
	kind := policy.Kind{Name: name, Build: func(o policy.Options) (any, error) {
		if _, err := build(noting{o, &asked}); err != nil {
			t.Error(err)
		}
		return nil, errors.New("built")
	}}
	if policytest.New(t).Refused(kind, "{endpoint: 'https://id.example/i', auth: none, ca: ca.pem}"); asked != "ca.pem" {
		t.Errorf("asked for %q", asked)
	}
}

// noting are options that note the file asked for.
type noting struct {
	policy.Options
	asked *string
}

func (n noting) Beside(path string) string {
	*n.asked = path
	return n.Options.Beside(path)
}

func TestReport(t *testing.T) {
	i := newIssuer(t)
	i.knows("good", `"sub":"ann"`)
	w := world(t)
	r := w.Policy(Kind, i.options(""))
	show(r, "Authorization: Bearer good")
	show(r, "Authorization: Bearer bad")
	seen := map[string]float64{}
	w.State.Each(func(from policy.Reporter) {
		from.Report(func(f policy.Figure) {
			key := fmt.Sprint(f.Name, f.Labels)
			if _, twice := seen[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			if f.Help == "" || f.Counter != strings.HasSuffix(f.Name, "_total") {
				t.Errorf("%+v", f)
			}
			seen[key] = f.Value
		})
	})
	place := "[[endpoint " + i.URL + "/introspect] [client_id gate]"
	for key, want := range map[string]float64{
		"introspection_questions_total" + place + " [outcome active]]":   1,
		"introspection_questions_total" + place + " [outcome inactive]]": 1,
		"introspection_questions_total" + place + " [outcome failed]]":   0,
		"introspection_remembered" + place + " [active true]]":           1,
		"introspection_asking" + place + "]":                             0,
	} {
		if got, ok := seen[key]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", key, got, ok, want)
		}
	}
}

// The operator is told of an endpoint that refuses us or fails, for as long as it does.
func TestAttention(t *testing.T) {
	i := newIssuer(t)
	w := world(t)
	r := w.Policy(Kind, i.options("flood_burst: 0"))
	token := 0
	f := func(status, times int, want string) {
		t.Helper()
		i.fail(status)
		for range times {
			token++
			show(r, fmt.Sprint("Authorization: Bearer canary", token))
		}
		got := strings.Join(w.State.Attention(), "|")
		if got == "" != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "canary") || want != "" && !strings.Contains(got, i.URL+"/introspect") {
			t.Errorf("after %d, %d times: %q, want %q", status, times, got, want)
		}
	}
	f(0, 1, "")
	f(401, 1, `refuses the gateway as client "gate"`)
	f(0, 1, "")
	f(500, 4, "")
	f(500, 1, "does not answer")
}

func TestRememberedAllocatesNothing(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	i := newIssuer(t)
	i.knows("good", `"sub":"ann","client_id":"shop","scope":"read write","aud":"orders","tenant":"t1"`)
	r := world(t, "shop").Policy(Kind, i.options("consumer_claim: client_id\nscopes: [read]\naudience: orders\nclaims_to_headers: {tenant: X-Tenant}\nhide: true"))
	x := r.Request("GET /a HTTP/1.1\nHost: a\n")
	ask := func() {
		x.Begin(r.Conn, 1)
		x.Request.Header.Append(exchange.Authorization, "Authorization", "Bearer good")
		r.Chain.Request(x)
		if x.Fault != nil || x.Caller.Consumer == nil {
			t.Fatal(x.Fault)
		}
	}
	ask()
	if n := testing.AllocsPerRun(1000, ask); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRemembered(b *testing.B) {
	i := newIssuer(b)
	i.knows("good", `"sub":"ann","client_id":"shop","scope":"read write"`)
	r := world(b, "shop").Policy(Kind, i.options("consumer_claim: client_id\nscopes: [read]"))
	x := r.Request("GET /a HTTP/1.1\nHost: a\n")
	b.ReportAllocs()
	for b.Loop() {
		x.Begin(r.Conn, 1)
		x.Request.Header.Append(exchange.Authorization, "Authorization", "Bearer good")
		r.Chain.Request(x)
		if x.Fault != nil {
			b.Fatal(x.Fault)
		}
	}
}

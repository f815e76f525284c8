package jwt

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

const invalid = `Bearer realm="api", error="invalid_token"`

func TestAnswers(t *testing.T) {
	r := policytest.New(t).Policy(Kind, ours+"max_size: 1KiB\n")
	good := sign(t, "", []byte(secret), claims(`"sub":"alice","scope":"read write","client_id":"shop"`))
	f := func(head, want string) *exchange.Exchange {
		t.Helper()
		x := r.Ask("GET /a HTTP/1.1\nHost: a\n" + head)
		if got := outcome(x); got != want {
			t.Errorf("%.60q: %s, want %s", head, got, want)
		}
		return x
	}
	x := f("Authorization: Bearer "+good+"\nX-Auth-Subject: kept for the flow\n", "ok accepted")
	want := exchange.Caller{Method: "jwt", Subject: "alice", Issuer: "https://id.example", Client: "shop", ScopeList: "read write"}
	if c := x.Caller; c.Method != want.Method || c.Subject != want.Subject || c.Issuer != want.Issuer || c.Client != want.Client || c.ScopeList != want.ScopeList || !c.Has("write") || c.Claims["sub"] != "alice" {
		t.Errorf("%+v", c)
	}
	if got := fields(x); !strings.Contains(got, "Authorization: Bearer "+good) || !strings.Contains(got, "X-Auth-Subject: alice\n") || !strings.Contains(got, "X-Auth-Method: jwt\n") {
		t.Error(got)
	}
	f("authorization: bEARER   "+good+"\n", "ok accepted")
	f("", `401  [Bearer realm="api"]`)
	f("Authorization: Basic YTpi\n", `401  [Bearer realm="api"]`)
	f("Authorization: "+good+"\n", `401  [Bearer realm="api"]`)
	f("Authorization: Bearer\n", `401 malformed [`+invalid+`]`)
	f("Authorization: Bearer abc\n", `401 malformed [`+invalid+`]`)
	f("Authorization: Bearer "+good+" x\n", `401 malformed [`+invalid+`]`)
	f("Authorization: Bearer "+good+", Bearer "+good+"\n", `401 malformed [`+invalid+`]`)
	f("Authorization: Bearer "+strings.Repeat("a", 1025)+"\n", `401 too_long [`+invalid+`]`)
	f("Authorization: Bearer "+good+"\nAuthorization: Bearer "+good+"\n", "400 twice []")
	f("Authorization: Basic YTpi\nAuthorization: Bearer "+good+"\n", "400 twice []")
	for text, word := range map[string]string{
		`{"iss":"https://id.example","aud":"orders","exp":1}`:        "expired",
		`{"iss":"https://id.example","aud":"orders"}`:                "no_expiry",
		strings.Replace(claims(``), "id.example", "evil.example", 1): "issuer",
		strings.Replace(claims(``), "orders", "other", 1):            "audience",
		claims(fmt.Sprintf(`"nbf":%d`, time.Now().Unix()+200)):       "not_yet",
		claims(fmt.Sprintf(`"iat":%d`, time.Now().Unix()+200)):       "issued_in_future",
		strings.Replace(claims(`"iat":1`), `"exp":1`, `"exp":9`, 1):  "lifetime",
		claims(`"sub":"a\u000d\u000aX-Evil: 1"`):                     "claim",
		claims(`"sub":" a"`):                                         "claim",
		claims(`"client_id":"a\u0000"`):                              "claim",
		claims(`"sub":"a","sub":"b"`):                                "malformed",
	} {
		x := f("Authorization: Bearer "+sign(t, "", []byte(secret), text)+"\n", "401 "+word+" ["+invalid+"]")
		if x.Signals != exchange.AuthFailed || x.Caller.Method != "" || x.Caller.Claims != nil {
			t.Errorf("%s: %+v", word, x.Caller)
		}
	}
	f("Authorization: Bearer "+sign(t, "", []byte(secret+"!"), claims(``))+"\n", `401 signature [`+invalid+`]`)
	f("Authorization: Bearer "+sign(t, "", rsaKey(), claims(``))+"\n", `401 algorithm [`+invalid+`]`)
}

// A token that is bound to a certificate is good for its holder alone, remembered or not; one that is bound to something else for nobody.
func TestBound(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, ours)
	own := &x509.Certificate{Raw: []byte("own")}
	sum := sha256.Sum256(own.Raw)
	print := base64.RawURLEncoding.EncodeToString(sum[:])
	mine := sign(t, "", []byte(secret), claims(`"cnf":{"x5t#S256":"`+print+`"}`))
	proof := sign(t, "", []byte(secret), claims(`"cnf":{"jkt":"`+print+`"}`))
	f := func(tls *exchange.TLS, token, want string, entries int) {
		t.Helper()
		r.Conn.TLS = tls
		if got := outcome(r.Ask(get(token))); got != want || remembers(w) != entries {
			t.Errorf("%s with %d remembered, want %s with %d", got, remembers(w), want, entries)
		}
	}
	const no = "401 not_bound [" + invalid + "]"
	others := []*exchange.TLS{nil, {}, {Client: &x509.Certificate{Raw: []byte("other")}}}
	for _, tls := range others {
		f(tls, mine, no, 0) // a thief's takes no room
	}
	f(&exchange.TLS{Client: own}, mine, "ok accepted", 1)
	f(&exchange.TLS{Client: own}, mine, "ok accepted", 1)
	for _, tls := range others {
		f(tls, mine, no, 1)
	}
	f(&exchange.TLS{Client: own}, mine, "ok accepted", 1)
	f(&exchange.TLS{Client: own}, proof, no, 1)
}

// Files are asked for while the policy is built, so that a reload sees them change.
func TestFilesAreAskedFor(t *testing.T) {
	for yaml, want := range map[string]string{
		"{issuer: https://id.example, audience: a, keys_file: keys.json}":                        "keys.json",
		"{issuer: https://id.example, audience: a, jwks: 'https://id.example/jwks', ca: ca.pem}": "ca.pem",
	} {
		var asked []string
		kind := policy.Kind{Name: name, Build: func(o policy.Options) (any, error) {
			_, err := build(noting{o, &asked})
			if err != nil {
				t.Error(err)
			}
			return nil, errors.New("built")
		}}
		policytest.New(t).Refused(kind, yaml)
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("%s: asked for %q", yaml, asked)
		}
	}
}

// noting are options that note the files asked for.
type noting struct {
	policy.Options
	asked *[]string
}

func (n noting) Beside(path string) string {
	*n.asked = append(*n.asked, path)
	return n.Options.Beside(path)
}

// Keys in every form, and only the algorithms that go with them.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	w := policytest.New(t)
	w.File = filepath.Join(dir, "straum.yaml")
	der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	pemText := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	jwks := set(t, "r", rsaKey(), "e", ecKey(), "d", edwards(1))
	for file, text := range map[string]string{"keys.json": "\n" + jwks, "keys.pem": pemText} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const who = "issuer: https://id.example\naudience: [orders, other]\n"
	f := func(options string, token, want string) {
		t.Helper()
		if got := outcome(w.Policy(Kind, who+options).Ask(get(token))); got != want {
			t.Errorf("%.40q: %s, want %s", options, got, want)
		}
	}
	rs, es, ed := sign(t, "r", rsaKey(), claims(``)), sign(t, "e", ecKey(), claims(``)), sign(t, "d", edwards(1), claims(``))
	inline := "keys: '" + jwks + "'\n"
	for _, options := range []string{inline, "keys_file: keys.json\n", "keys_file: " + filepath.Join(dir, "keys.json") + "\n"} {
		f(options, rs, "ok accepted")
		f(options, es, "ok accepted")
		f(options, ed, "ok accepted")
		f(options, sign(t, "x", edwards(1), claims(``)), "401 unknown_key ["+invalid+"]")
	}
	f("keys_file: keys.pem\n", rs, "ok accepted")
	f("keys_file: keys.pem\n", es, "401 unknown_key ["+invalid+"]")
	f("keys: |\n  "+strings.ReplaceAll(strings.TrimSpace(pemText), "\n", "\n  ")+"\n", rs, "ok accepted")
	f(inline+"algorithms: ES256\n", es, "ok accepted")
	f(inline+"algorithms: [ES256, EdDSA]\n", rs, "401 algorithm ["+invalid+"]")
	f("secret: "+secret+secret+"\nalgorithms: [HS512]\n", sign(t, "", []byte(secret+secret), claims(``)), "401 algorithm ["+invalid+"]")
}

// The operator is told of keys that are of no use, wherever they stand; the others are used.
func TestKeysLeftOut(t *testing.T) {
	w := policytest.New(t)
	w.File = filepath.Join(t.TempDir(), "straum.yaml")
	var log strings.Builder
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	all := strings.Replace(set(t, "r", rsaKey(), "e", ecKey()), `"kid":"e"`, `"kid":"e","use":"enc"`, 1)
	if err := os.WriteFile(filepath.Join(filepath.Dir(w.File), "keys"), []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"keys: '" + all + "'", "keys_file: keys"} {
		log.Reset()
		r := w.Policy(Kind, "{issuer: https://id.example, audience: orders, "+from+"}")
		if got := outcome(r.Ask(get(sign(t, "r", rsaKey(), claims(``))))); got != "ok accepted" {
			t.Error(got)
		}
		if got := outcome(r.Ask(get(sign(t, "e", ecKey(), claims(``))))); got != "401 unknown_key ["+invalid+"]" {
			t.Error(got)
		}
		if !strings.Contains(log.String(), "not for signatures") {
			t.Errorf("the log says %q", log.String())
		}
	}
}

// Where the token may be, and what endpoints see of it.
func TestPlaces(t *testing.T) {
	w := policytest.New(t)
	token := sign(t, "", []byte(secret), claims(``))
	f := func(options, request, want, query, seen string) {
		t.Helper()
		x := w.Policy(Kind, ours+options).Ask(strings.ReplaceAll(request, "TOKEN", token))
		got := ""
		for _, f := range x.Request.Header.All() {
			if f.Known != exchange.XAuthMethod {
				got += strings.ReplaceAll(f.Name+": "+f.Value, token, "TOKEN") + "\n"
			}
		}
		if o := strings.Fields(outcome(x))[0]; o != want || strings.ReplaceAll(x.Request.Query, token, "TOKEN") != query || got != seen {
			t.Errorf("%q %q: %s, query %q, fields\n%swant %s, query %q, fields\n%s", options, request, o, x.Request.Query, got, want, query, seen)
		}
	}
	const in = "GET /a HTTP/1.1\n"
	f("", in+"Authorization: Bearer TOKEN\n", "ok", "", "Authorization: Bearer TOKEN\n")
	f("forward: false\n", in+"Accept: a\nAuthorization: Bearer TOKEN\n", "ok", "", "Accept: a\n")
	f("header: X-Token\n", in+"X-Token: TOKEN\n", "ok", "", "X-Token: TOKEN\n")
	f("header: X-Token\n", in+"x-token: bearer TOKEN\n", "ok", "", "x-token: bearer TOKEN\n")
	f("header: X-Token\n", in+"Authorization: Bearer TOKEN\n", "401", "", "Authorization: Bearer TOKEN\n")
	f("header: X-Token\nforward: false\n", in+"Authorization: Basic a\nX-Token: TOKEN\n", "ok", "", "Authorization: Basic a\n")
	// Cookie and query only when asked for.
	f("", in+"Cookie: token=TOKEN\n", "401", "", "Cookie: token=TOKEN\n")
	f("", "GET /a?token=TOKEN HTTP/1.1\n", "401", "token=TOKEN", "")
	f("cookie: token\n", in+"Cookie: a=b; token=TOKEN; token2=x\n", "ok", "", "Cookie: a=b; token=TOKEN; token2=x\n")
	f("cookie: token\n", in+`Cookie: token="TOKEN"`+"\n", "ok", "", `Cookie: token="TOKEN"`+"\n")
	f("cookie: token\nforward: false\n", in+"Cookie: a=b;token=TOKEN; c=d\nCookie: e=f\nAccept: a\n", "ok", "", "Cookie: a=b; c=d\nCookie: e=f\nAccept: a\n")
	f("cookie: token\nforward: false\n", in+"Cookie: token=TOKEN\n", "ok", "", "")
	f("cookie: token\nforward: false\n", in+"Cookie: a=b\nAuthorization: Bearer TOKEN\n", "ok", "", "Cookie: a=b\n")
	f("query: token\n", "GET /a?x=1&token=TOKEN&y=token HTTP/1.1\n", "ok", "x=1&y=token", "")
	f("query: token\n", "GET /a?token=TOKEN HTTP/1.1\n", "ok", "", "")
	f("query: token\n", "GET /a?%74oken=TOKEN HTTP/1.1\n", "ok", "", "")
	f("query: token\n", "GET /a?tokens=TOKEN&Token=TOKEN HTTP/1.1\n", "401", "tokens=TOKEN&Token=TOKEN", "")
	// In two places.
	f("cookie: token\n", in+"Cookie: token=TOKEN; token=TOKEN\n", "400", "", "Cookie: token=TOKEN; token=TOKEN\n")
	f("cookie: token\n", in+"Cookie: token=TOKEN\nCookie: token=x\n", "400", "", "Cookie: token=TOKEN\nCookie: token=x\n")
	f("cookie: token\nquery: token\n", "GET /a?token=TOKEN HTTP/1.1\nCookie: token=TOKEN\n", "400", "", "Cookie: token=TOKEN\n")
	f("query: token\n", "GET /a?token=TOKEN&%74oken=x HTTP/1.1\n", "400", "", "")
	f("query: token\n", "GET /a?token=TOKEN HTTP/1.1\nAuthorization: Bearer TOKEN\n", "400", "", "Authorization: Bearer TOKEN\n")
	// What is refused is taken out of the query too, and out of the cookie where endpoints are not to see it.
	f("query: token\n", "GET /a?x=1&token=TOKEN- HTTP/1.1\n", "401", "x=1", "")
	f("cookie: token\nforward: false\n", in+"Cookie: a=b; token=TOKEN-\n", "401", "", "Cookie: a=b\nCookie: token=TOKEN-\n") // it goes nowhere
	f("header: X-Token\n", in+"X-Token: TOKEN\nX-Token: TOKEN\n", "400", "", "X-Token: TOKEN\nX-Token: TOKEN\n")
	f("cookie: token\n", in+"Cookie: token=\n", "401", "", "Cookie: token=\n")
}

// other is another method of the route, for callers who show the field X-Other.
type other struct{}

func (other) Authenticate(x *exchange.Exchange) policy.Finding {
	if _, there := x.Request.Header.Header("X-Other"); there {
		x.Caller.Subject = "other"
		return policy.Accepted
	}
	return policy.Nothing
}
func (other) Challenge(*exchange.Exchange, policy.Finding) {}
func (other) Hide(*exchange.Exchange, policy.Finding)      {}

// What claims become for endpoints, and what clients write there themselves.
func TestClaimsToHeaders(t *testing.T) {
	w := policytest.New(t)
	before := policy.Kind{Name: "other", Options: struct{}{}, Build: func(policy.Options) (any, error) { return other{}, nil }}
	terms := policy.Kind{Name: "authenticate", Options: struct{}{}, Build: func(policy.Options) (any, error) {
		return &policy.Terms{Anonymous: &consumer.Consumer{ID: "nobody", Name: "nobody"}}, nil
	}}
	r := w.Policies(policytest.Use{Kind: before, YAML: "{}"}, policytest.Use{Kind: Kind, YAML: ours + `claims_to_headers: {tenant.id: X-Tenant, roles: X-Roles, email: X-Email, "https://e.example/v": X-V}`},
		policytest.Use{Kind: terms, YAML: "{}"})
	const forged = "X-Tenant: forged\nx-roles: forged\nX_Roles: forged\nX-ROLES: forged\nx_email: forged\nX-Emails: kept\nX-V: forged\nX-V: forged\n"
	f := func(head, want string) {
		t.Helper()
		x := r.Ask("GET /a HTTP/1.1\n" + forged + head)
		got := ""
		for _, line := range strings.SplitAfter(fields(x), "\n") {
			if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(line, "_", "-")), "x-") && !regexp.MustCompile("^X-(Auth|Anon|Cons|Other)").MatchString(line) {
				got += line
			}
		}
		if x.Fault != nil || got != want {
			t.Errorf("%.30q: %s\n%swant\n%s", head, outcome(x), got, want)
		}
	}
	bearer := func(more string) string {
		return "Authorization: Bearer " + sign(t, "", []byte(secret), claims(more)) + "\n"
	}
	for range 2 { // the second time it is remembered
		f(bearer(`"tenant":{"id":7},"roles":["a","b"],"email":"é@example.com","https://e.example/v":true`), "X-Emails: kept\nX-Email: é@example.com\nX-V: true\nX-Roles: a,b\nX-Tenant: 7\n")
		f(bearer(`"roles":[],"email":null`), "X-Emails: kept\nX-Roles: \n")
		f(bearer(``), "X-Emails: kept\n")
	}
	f("X-Other: yes\n", "X-Emails: kept\n") // another method accepted, and ours was not asked
	f("", "X-Emails: kept\n")               // anonymous
	f("X-Other: yes\n"+bearer(`"email":"a"`), "X-Emails: kept\n")
	for _, more := range []string{`"email":{}`, `"email":"a\nb"`, `"email":" a"`, `"roles":["a,b"]`, `"roles":[["a"]]`, `"email":"a\u0000"`} {
		if got := outcome(r.Ask("GET /a HTTP/1.1\n" + forged + bearer(more))); got != "401 claim ["+invalid+"]" {
			t.Errorf("%s: %s", more, got)
		}
	}
}

func TestScopes(t *testing.T) {
	r := policytest.New(t).Policy(Kind, ours+"scopes: [read, 'orders:write']\nrealm: Orders\n")
	for scope, want := range map[string]string{
		"read orders:write": "ok accepted", "x orders:write y read": "ok accepted",
		"read": `403 insufficient_scope [Bearer realm="Orders", error="insufficient_scope", scope="read orders:write"]`,
		"":     `403 insufficient_scope [Bearer realm="Orders", error="insufficient_scope", scope="read orders:write"]`,
	} {
		token := sign(t, "", []byte(secret), claims(`"scope":"`+scope+`"`))
		for range 2 {
			x := r.Ask(get(token))
			if got := outcome(x); got != want || (x.Signals == exchange.Forbidden) != (x.Fault != nil) {
				t.Errorf("%q: %s, want %s", scope, got, want)
			}
		}
	}
}

// A token without the scopes is one method's refusal; another method may accept the caller.
func TestScopesAmongOthers(t *testing.T) {
	last := policy.Kind{Name: "other", Options: struct{}{}, Build: func(policy.Options) (any, error) { return other{}, nil }}
	r := policytest.New(t).Policies(policytest.Use{Kind: Kind, YAML: ours + "scopes: write\n"}, policytest.Use{Kind: last, YAML: "{}"})
	head := "GET /a HTTP/1.1\nAuthorization: Bearer " + sign(t, "", []byte(secret), claims(`"scope":"read"`)) + "\n"
	if x := r.Ask(head + "X-Other: yes\n"); x.Fault != nil || x.Caller.Method != "other" || x.Signals != 0 {
		t.Errorf("%s, by %q, signals %d", outcome(x), x.Caller.Method, x.Signals)
	}
	if x := r.Ask(head); x.Fault == nil || x.Fault.Kind.Status != 403 || x.Signals != exchange.Forbidden || len(x.Challenges) != 1 {
		t.Errorf("%s, challenges %q, signals %d", outcome(x), x.Challenges, x.Signals)
	}
}

// A consumer is looked up in the revision that asks, however long the token is remembered.
func TestConsumer(t *testing.T) {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	if err := b.Consumer(consumer.Consumer{ID: "acme", Name: "Acme"}); err != nil {
		t.Fatal(err)
	}
	w.Consumers = b.Build()
	const options = ours + "consumer_claim: tenant.name\n"
	r := w.Policy(Kind, options)
	good := sign(t, "", []byte(secret), claims(`"tenant":{"name":"acme"}`))
	x := r.Ask(get(good))
	if x.Caller.Consumer == nil || x.Caller.Consumer.Name != "Acme" || !strings.Contains(fields(x), "X-Consumer-Id: acme\n") {
		t.Errorf("%s %+v", outcome(x), x.Caller)
	}
	for _, more := range []string{``, `"tenant":{"name":"other"}`, `"tenant":{"name":7}`, `"tenant":{"name":""}`, `"tenant":"acme"`, `"tenant":{"name":["acme"]}`} {
		token := sign(t, "", []byte(secret), claims(more))
		if got := outcome(r.Ask(get(token))); got != "401 no_consumer ["+invalid+"]" {
			t.Errorf("%s: %s", more, got)
		}
		x := w.Policy(Kind, options+"consumer_required: false\n").Ask(get(token))
		if x.Fault != nil || x.Caller.Consumer != nil {
			t.Errorf("%s, not required: %s", more, outcome(x))
		}
	}
	// The next revision does not have the consumer.
	w.Consumers = consumer.Empty()
	next := w.Policy(Kind, options)
	if got := outcome(next.Ask(get(good))); got != "401 no_consumer ["+invalid+"]" {
		t.Errorf("taken out: %s", got)
	}
	if got := outcome(r.Ask(get(good))); got != "ok accepted" {
		t.Errorf("an exchange of the revision before: %s", got)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) || strings.Contains(got, secret[:8]) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	const who = "{issuer: https://id.example, audience: orders, "
	const with = who + "secret: " + secret + ", "
	f("{secret: "+secret+"}", `the key issuer is missing; it says who may have issued a token, and "*" is any`)
	f("{issuer: a, secret: "+secret+"}", `the key audience is missing; it says for whom a token has to be, and "*" is any`)
	f(who+"algorithms: ES256, keys: '"+set(t, "r", rsaKey())+"'}", "no key can do ES256; found RSA")
	f(who+"algorithms: [ES384, RS256], keys: '"+set(t, "d", edwards(1), "e", ecKey())+"'}", "no key can do ES384 or RS256; found Ed25519, EC P-256")
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(set(t, "r", rsaKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	f(who+"algorithms: EdDSA, keys_file: "+file+"}", "no key can do EdDSA; found RSA")
	f("{issuer: [], audience: a, secret: "+secret+"}", "issuer")
	f("{issuer: '', audience: a, secret: "+secret+"}", "an empty name")
	f("{issuer: a, audience: ['*', b], secret: "+secret+"}", "cannot stand beside others")
	f("{issuer: a, audience: b}", "jwks, discovery, keys_file, keys")
	f(with+"jwks: https://a/b}", "jwks")
	f(who+"discovery: false}", "no keys")
	f(who+"secret: short}", "a secret of 5 bytes")
	f(with+"algorithms: HS512}", "HS512 asks for at least 64")
	f(with+"algorithms: RS256}", "RS256 needs a public key")
	f(with+"algorithms: none}", "algorithms")
	f(with+"algorithms: []}", "algorithms")
	f(who+"jwks: https://a/b, algorithms: [RS256, HS256]}", "HS256 needs a secret")
	f(who+"jwks: http://a.example/b}", "jwks")
	f(who+"jwks: 'https://a:b@c/'}", "jwks")
	f("{issuer: '*', audience: a, discovery: true}", "exactly one issuer")
	f("{issuer: [https://a, https://b], audience: a, discovery: true}", "exactly one issuer")
	f("{issuer: http://a.example, audience: a, discovery: true}", "issuer")
	f(who+"keys: '{}'}", "keys")
	f(who+"keys: garbage}", "no PEM block")
	f(who+"keys_file: /nonexistent/keys}", "/nonexistent/keys")
	f(with+"ca: /a}", "nothing to connect to")
	f(who+"jwks: https://a/b, ca: /nonexistent/ca}", "/nonexistent/ca")
	f(with+"skew: 1h}", "skew")
	f(with+"header: 'A b'}", "not a field name")
	f(with+"header: Cookie}", "Cookie has a meaning of its own")
	f(with+"header: X-Auth-Subject}", "X-Auth-Subject has a meaning")
	f(with+"cookie: 'a=b'}", "not a name for a cookie")
	f(with+"query: 'a&b'}", "not a name for a parameter")
	f(with+`realm: 'a"b'}`, "realm")
	f(with+`realm: é}`, "realm")
	f(with+`scopes: 'a b'}`, "no scope")
	f(with+`scopes: [a, é]}`, "no scope")
	f(with+"claims: {a: []}}", "no value")
	f(with+"claims_to_headers: {sub: X-User-Id, email: x-user-id}}", "two claims go into the field")
	f(with+"claims_to_headers: {sub: X_User}}", "not a field name")
	f(with+"claims_to_headers: {sub: Host}}", "Host has a meaning")
	f(with+"claims_to_headers: {sub: X-Consumer-Id}}", "X-Consumer-Id has a meaning")
	f(with+"header: X-T, claims_to_headers: {sub: x-t}}", "where the token is")
	f(with+"cache: 1KiB}", "cache")
	f(with+"isuer: a}", "isuer")
}

// Required claims and values, and nobody in particular.
func TestRules(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{issuer: '*', audience: '*', secret: "+secret+", require: [sub, a.b], claims: {tenant: [x, y], n: '1'}, types: at+jwt, require_expiry: false}")
	f := func(text, want string) {
		t.Helper()
		if got := outcome(r.Ask(get(sign(t, "", []byte(secret), text)))); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f(`{"sub":"s","a":{"b":1},"tenant":"y","n":1}`, "401 type ["+invalid+"]") // the signer writes no typ
	r = w.Policy(Kind, "{issuer: '*', audience: '*', secret: "+secret+", require: [sub, a.b], claims: {tenant: [x, y], n: '1'}, require_expiry: false}")
	f(`{"sub":"s","a":{"b":1},"tenant":"y","n":1}`, "ok accepted")
	f(`{"sub":"s","a":{"b":1},"tenant":["z","x"],"n":"1"}`, "ok accepted")
	f(`{"sub":"s","a":{"c":1},"tenant":"y","n":1}`, "401 claim ["+invalid+"]")
	f(`{"sub":"s","a":{"b":1},"tenant":"z","n":1}`, "401 claim ["+invalid+"]")
	f(`{"sub":"s","a":{"b":1},"tenant":"y","n":1.0}`, "401 claim ["+invalid+"]")
}

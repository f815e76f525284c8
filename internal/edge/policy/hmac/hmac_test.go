package hmac

import (
	"bytes"
	mac "crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// testSecret is the shared secret of RFC 9421 appendix B.1.5.
const testSecret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

// start is when the tests' clock begins: when the RFC's examples were signed.
const start = 1618884473

var now = time.Unix(start, 0)

// clock is what the policies under test take for the time. It is one test at a time.
func clock() time.Time { return now }

func world(t testing.TB) *policytest.World {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	secret, err := base64.StdEncoding.DecodeString(testSecret)
	must(err)
	must(b.Consumer(consumer.Consumer{ID: "acme"}))
	must(b.Secret("acme", consumer.SecretSpec{KeyID: "test-shared-secret", Secret: secret, Terms: consumer.Terms{ID: "first", Scopes: []string{"orders:read"}}}))
	must(b.Secret("acme", consumer.SecretSpec{KeyID: "next", Secret: bytes.Repeat([]byte("n"), 32), Terms: consumer.Terms{ID: "second"}}))
	must(b.Secret("acme", consumer.SecretSpec{KeyID: "old", Secret: bytes.Repeat([]byte("o"), 32), Terms: consumer.Terms{ID: "third", Expires: start}}))
	must(b.Secret("acme", consumer.SecretSpec{KeyID: "last", Secret: bytes.Repeat([]byte("l"), 32), Terms: consumer.Terms{ID: "fifth"}}))
	must(b.Consumer(consumer.Consumer{ID: "bolt"}))
	must(b.Secret("bolt", consumer.SecretSpec{KeyID: "other", Secret: bytes.Repeat([]byte("b"), 32), Terms: consumer.Terms{ID: "fourth"}}))
	w.Consumers = b.Build()
	now = time.Unix(start, 0)
	return w
}

// message is a request to be signed by one who has read the RFC and not our code.
type message struct {
	method, authority, path, query, body string
	fields                               [][2]string
	covered                              []string
	params                               string // what follows the list of components
	secret                               []byte
	label                                string
}

// base is the signature base, made from the parts and not from a request.
func (m *message) base() (input, base string) {
	var b strings.Builder
	var quoted []string
	for _, c := range m.covered {
		var value string
		switch c {
		case "@method":
			value = m.method
		case "@authority":
			value = m.authority
		case "@path":
			value = m.path
		case "@query":
			value = "?" + m.query
		case "@scheme":
			value = "http"
		case "@target-uri":
			value = "http://" + m.authority + m.target()
		case "@request-target":
			value = m.target()
		default:
			var values []string
			for _, f := range m.fields {
				if strings.EqualFold(f[0], c) {
					values = append(values, strings.TrimSpace(f[1]))
				}
			}
			value = strings.Join(values, ", ")
		}
		fmt.Fprintf(&b, "%q: %s\n", c, value)
		quoted = append(quoted, `"`+c+`"`)
	}
	input = "(" + strings.Join(quoted, " ") + ")" + m.params
	return input, b.String() + `"@signature-params": ` + input
}

func (m *message) target() string {
	if m.query == "" {
		return m.path
	}
	return m.path + "?" + m.query
}

// text is the request with its signature.
func (m *message) text() string {
	input, base := m.base()
	h := mac.New(sha256.New, m.secret)
	h.Write([]byte(base))
	label := m.label
	if label == "" {
		label = "sig1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\nHost: %s\n", m.method, m.target(), m.authority)
	for _, f := range m.fields {
		fmt.Fprintf(&b, "%s: %s\n", f[0], f[1])
	}
	fmt.Fprintf(&b, "Signature-Input: %s=%s\nSignature: %s=:%s:\n\n%s", label, input, label, base64.StdEncoding.EncodeToString(h.Sum(nil)), m.body)
	return b.String()
}

func sum256(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func sum512(body string) string {
	sum := sha512.Sum512([]byte(body))
	return "sha-512=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// post is a good request, which changes may spoil.
func post(changes ...func(*message)) string {
	const body = `{"hello": "world"}`
	m := &message{method: "POST", authority: "example.com", path: "/foo", query: "param=Value&Pet=dog", body: body,
		fields:  [][2]string{{"Content-Type", "application/json"}, {"Content-Digest", sum256(body)}},
		covered: []string{"@method", "@authority", "@path", "@query", "content-digest"},
		params:  fmt.Sprintf(`;created=%d;keyid="next"`, start), secret: bytes.Repeat([]byte("n"), 32)}
	for _, change := range changes {
		change(m)
	}
	return m.text()
}

// outcome is what became of a request in a word: who was found, or how it was refused.
func outcome(x *exchange.Exchange) string {
	switch {
	case x.Fault == nil && x.Caller.Consumer != nil:
		return x.Caller.Consumer.ID + " " + x.Caller.Credential
	case x.Fault == nil:
		return "let through"
	case x.Fault.Kind == fault.NotAuthenticated:
		if v := policytest.Verdict(x, "hmac"); v != "" {
			return v
		}
		return "nothing"
	}
	return x.Fault.Kind.Word
}

// TestRFC verifies the example of RFC 9421 appendix B.2.5, which asks for less than we do by default.
func TestRFC(t *testing.T) {
	r := world(t).Policy(kind(clock), `components: [date, "@authority", content-type]
digest: false`)
	const request = `POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18
Signature-Input: sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"
Signature: sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:

{"hello": "world"}`
	x := r.Ask(request)
	if got := outcome(x); got != "acme first" || x.Caller.ScopeList != "orders:read" || x.Caller.Method != "hmac" {
		t.Errorf("%s, %+v", got, x.Caller)
	}
	if got := outcome(r.Ask(strings.Replace(request, "20 Apr", "21 Apr", 1))); got != "bad_signature" {
		t.Error(got)
	}
	// Its digest is right too.
	if !agrees("sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:", []byte(`{"hello": "world"}`)) {
		t.Error("the digest of the example does not agree")
	}
}

func TestAuthenticate(t *testing.T) {
	// Each row is judged by a policy of its own, so that no signature counts as used.
	f := func(name, options, request, want string) {
		t.Helper()
		x := world(t).Policy(kind(clock), options).Ask(request)
		if got := outcome(x); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if x.Fault != nil && x.Fault.Kind == fault.NotAuthenticated {
			if len(x.Challenges) != 1 || x.Challenges[0] != `Signature realm="api", algorithm="hmac-sha256"` {
				t.Errorf("%s: challenges %q", name, x.Challenges)
			}
		}
	}
	set := func(params string) func(*message) { return func(m *message) { m.params = params } }
	cover := func(c ...string) func(*message) { return func(m *message) { m.covered = c } }
	field := func(name, value string) func(*message) {
		return func(m *message) { m.fields = append(m.fields, [2]string{name, value}) }
	}
	digested := func(value string) func(*message) { return func(m *message) { m.fields[1][1] = value } }
	at := func(seconds int) string { return fmt.Sprintf(`;created=%d;keyid="next"`, start+seconds) }
	swap := func(old, new string) string {
		out := strings.Replace(post(), old, new, 1)
		if out == post() {
			t.Fatalf("%q is not there", old)
		}
		return out
	}

	f("good", "{}", post(), "acme second")
	f("none", "{}", "GET / HTTP/1.1\nHost: a\n\n", "nothing")
	f("without content", "{}", post(func(m *message) { m.body, m.method = "", "GET" }, cover("@method", "@authority", "@path", "@query")), "acme second")
	f("without query", "{}", post(func(m *message) { m.query = "" }), "acme second")
	f("with port", "{}", post(func(m *message) { m.authority = "example.com:8080" }), "acme second")
	f("more covered", "{}", post(cover("@method", "@authority", "@path", "@query", "content-digest", "content-type", "@scheme", "@target-uri", "@request-target")), "acme second")
	f("several lines of a field", "{}", post(field("X-A", "1"), field("x-a", " 2 "), cover("@method", "@authority", "@path", "@query", "content-digest", "x-a")), "acme second")
	f("every parameter", "{}", post(set(fmt.Sprintf(`;alg="hmac-sha256";created=%d;expires=%d;keyid="next";nonce="a\"b";tag="x"`, start, start+1))), "acme second")
	f("white space where it may be", "{}", swap(`("@method" "@authority"`, `(  "@method"   "@authority"`), "acme second")
	f("and before parameters", "{}", swap(`;keyid`, `;  keyid`), "acme second")

	// What was signed was changed.
	f("method", "{}", swap("POST", "PUT"), "bad_signature")
	f("path", "{}", swap("/foo", "/fop"), "bad_signature")
	f("path in another spelling", "{}", swap("/foo", "/%66oo"), "bad_signature")
	f("query", "{}", swap("Pet=dog", "Pet=cat"), "bad_signature")
	f("host", "{}", swap("example.com", "example.org"), "bad_signature")
	f("content", "{}", swap(`"world"}`, `"wurld"}`), "bad_digest")
	f("digest", "{}", swap(sum256(`{"hello": "world"}`), sum256("x")), "bad_signature")
	f("content and digest of an uncovered one", "{digest: false}", post(cover("@method", "@authority", "@path", "@query"), digested(sum256("x"))), "acme second")
	f("content taken away", "{}", swap(`{"hello": "world"}`, ""), "bad_digest")
	f("content added", "{}", post(func(m *message) { m.body, m.method = "", "GET" }, cover("@method", "@authority", "@path", "@query"))+"content", "content_not_covered")
	f("a line of a field added", "{}", strings.Replace(post(), "Content-Type", "Content-Digest: "+sum256("")+"\nContent-Type", 1), "bad_signature")
	f("key", "{}", swap(`keyid="next"`, `keyid="test-shared-secret"`), "bad_signature")
	f("time", "{}", swap(fmt.Sprint(start), fmt.Sprint(start-1)), "bad_signature")

	// Times.
	f("as old as may be", "{}", post(set(at(-300))), "acme second")
	f("older", "{}", post(set(at(-301))), "stale")
	f("as early as may be", "{}", post(set(at(30))), "acme second")
	f("earlier", "{}", post(set(at(31))), "early")
	f("window", "{window: 10s, skew: 0s}", post(set(at(-11))), "stale")
	f("skew", "{window: 10s, skew: 0s}", post(set(at(1))), "early")
	f("over", "{}", post(set(at(-1)+fmt.Sprintf(";expires=%d", start))), "expired")
	f("no time", "{}", post(set(`;keyid="next"`)), "no_time")

	// Keys and what else is said.
	f("no key", "{}", post(set(fmt.Sprintf(";created=%d", start))), "no_key")
	f("unknown key", "{}", post(set(fmt.Sprintf(`;created=%d;keyid="nextt"`, start))), "unknown_key")
	f("expired key", "{}", post(set(fmt.Sprintf(`;created=%d;keyid="old"`, start)), func(m *message) { m.secret = bytes.Repeat([]byte("o"), 32) }), "expired_key")
	f("wrong secret", "{}", post(func(m *message) { m.secret = bytes.Repeat([]byte("o"), 32) }), "bad_signature")
	f("the secret of keys there are not", "{}", post(set(fmt.Sprintf(`;created=%d;keyid="x"`, start)), func(m *message) { m.secret = nobody }), "unknown_key")
	f("algorithm", "{}", post(set(at(0)+`;alg="rsa-pss-sha512"`)), "wrong_algorithm")
	f("tag", "{tag: orders}", post(set(at(0)+`;tag="orders"`)), "acme second")
	f("wrong tag", "{tag: orders}", post(set(at(0)+`;tag="x"`)), "wrong_tag")
	f("no tag", "{tag: orders}", post(), "wrong_tag")

	// Components.
	f("too few", "{}", post(cover("@method", "@authority", "@path", "content-digest")), "not_covered")
	f("none covered", "{}", post(func(m *message) { m.covered, m.body = nil, "" }), "not_covered")
	f("content not covered", "{}", post(cover("@method", "@authority", "@path", "@query")), "content_not_covered")
	f("another field asked for", "{components: [x-a]}", post(), "not_covered")
	f("a field that is not there", "{}", post(cover("@method", "@authority", "@path", "@query", "content-digest", "x-a")), "missing_component")
	f("of a response", "{}", post(cover("@method", "@authority", "@path", "@query", "content-digest", "@status")), "missing_component")
	f("with parameters", "{}", swap(`"@path"`, `"@path";req`), "unsupported_component")
	f("of the query", "{}", swap(`"@path"`, `"@query-param";name="a"`), "unsupported_component")
	f("twice", "{}", post(cover("@method", "@authority", "@path", "@query", "content-digest", "@path")), "malformed")

	// Digests.
	f("sha-512", "{}", post(digested(sum512(`{"hello": "world"}`))), "acme second")
	f("both", "{}", post(digested(sum512(`{"hello": "world"}`)+", "+sum256(`{"hello": "world"}`))), "acme second")
	f("one of both wrong", "{}", post(digested(sum512(`{"hello": "world"}`)+", "+sum256(`x`))), "bad_digest")
	f("an unknown one besides", "{}", post(digested("md5=:AAAA:, "+sum256(`{"hello": "world"}`))), "acme second")
	f("only an unknown one", "{}", post(digested("md5=:AAAA:")), "bad_digest")
	f("twice", "{}", post(digested(sum256(`{"hello": "world"}`)+", "+sum256(`{"hello": "world"}`))), "bad_digest")
	f("too large", "{max_body: 17}", post(), "hold_too_large")
	f("just not", "{max_body: 18}", post(), "acme second")
	f("too large, of one who has no key", "{max_body: 17}", post(set(fmt.Sprintf(`;created=%d;keyid="x"`, start))), "unknown_key")

	// Several signatures.
	two := strings.Replace(strings.Replace(post(), "Signature-Input: ", `Signature-Input: b=("date");created=1, `, 1), "Signature: ", "Signature: b=:AAAA:, ", 1)
	f("two", "{}", two, "bad_credential")
	f("two and a label", "{label: sig1}", two, "acme second")
	f("two and the other", "{label: b}", two, "no_key")
	f("two in lines of their own", "{label: sig1}", strings.Replace(strings.Replace(post(), "Signature-Input: ", "Signature-Input: b=(\"date\");created=1\nSignature-Input: ", 1), "Signature: ", "Signature: b=:AAAA:\nsignature: ", 1), "acme second")
	f("none with the label", "{label: c}", two, "nothing")

	// Fields that are not what they should be.
	for _, bad := range [][2]string{
		{"Signature-Input: sig1=(", "Signature-Input: sig1=x("}, {"Signature-Input: sig1=", "Signature-Input: ="}, {"Signature-Input: sig1", "Signature-Input: SIG1"}, {"Signature: sig1", "Signature: sig2"},
		{"Signature: sig1=:", "Signature: sig1=: "}, {"Signature-Input: ", "Signature-Input: ,"}, {`"@method"`, `"@Method"`}, {`"@method" `, `"@method"`},
		{`"@method"`, `@method`}, {";created=", ";created=0"}, {";created=", ";created=-"}, {";created=", ";created=1.0;created="}, {";created=", ";created;x="},
		{`;keyid="next"`, `;keyid=next`}, {`;keyid="next"`, `;keyid="next`}, {`;keyid="next"`, `;keyid="next";keyid="next"`}, {`;keyid="next"`, `;keyid="next";`},
		{`;keyid="next"`, `;keyid="next" x`}, {`;keyid="next"`, `;keyid="next",`}, {`;keyid="next"`, `;keyid="n` + "\x80" + `ext"`}, {`;keyid="next"`, `;keyid="next";x=1`},
		{`;keyid="next"`, `;keyid="next", sig1=()`}, {`;created=`, `;created=9999999999999999`}, {"Signature: ", "X: "}, {"Signature-Input: ", "X: "},
		{`;keyid="next"`, `;keyid="next";nonce="` + strings.Repeat("x", maxText) + `"`}, {`"@method"`, strings.Repeat(`"a" `, 1) + strings.Repeat(`"b" `, maxComponents)},
		{"Signature-Input: ", "Signature-Input: a=(), b=(), c=(), d=(), "},
	} {
		f(bad[1], "{}", swap(bad[0], bad[1]), "malformed")
	}
	f("a signature that is too short", "{}", regexp.MustCompile(`Signature: sig1=:.*:`).ReplaceAllString(post(), "Signature: sig1=:AAAA:"), "bad_signature")
}

// TestDerived has a row for each form of a target, an authority and a derived component, and what RFC 9421 §2.2 makes of it.
func TestDerived(t *testing.T) {
	f := func(scheme, host, port, target, component, want string) {
		t.Helper()
		q := &exchange.Request{Method: "GET", Scheme: scheme, Host: host, Port: port, Target: target}
		got, ok := appendDerived(nil, q, component)
		if !ok || string(got) != want {
			t.Errorf("%s of %s: %q, want %q", component, target, got, want)
		}
	}
	f("http", "a", "", "/", "@method", "GET")
	f("https", "a", "", "/", "@scheme", "https")
	f("http", "a", "80", "/", "@authority", "a")
	f("http", "a", "443", "/", "@authority", "a:443")
	f("https", "a", "443", "/", "@authority", "a")
	f("https", "a", "80", "/", "@authority", "a:80")
	f("https", "[::1]", "8443", "/", "@authority", "[::1]:8443")
	f("http", "a", "", "/b/../c%2Fd?e", "@path", "/b/../c%2Fd")
	f("http", "a", "", "//b", "@path", "//b")
	f("http", "a", "", "/b://c/d", "@path", "/b://c/d")
	f("http", "a", "", "http://a", "@path", "/")
	f("http", "a", "", "http://a?x", "@path", "/")
	f("http", "a", "", "http://a/b?x", "@path", "/b")
	f("http", "a", "", "http://a/b?x=/?y", "@query", "?x=/?y")
	f("http", "a", "", "/b", "@query", "?")
	f("http", "a", "", "/b?", "@query", "?")
	f("http", "a", "", "/b?x=%20", "@query", "?x=%20")
	f("http", "a", "", "http://a/b?x", "@request-target", "http://a/b?x")
	f("http", "a", "81", "/b?x", "@target-uri", "http://a:81/b?x")
	f("https", "a", "443", "/b?", "@target-uri", "https://a/b?")
	f("https", "a", "", "https://a/b", "@target-uri", "https://a/b")
}

// A signature is good once, on whatever route, until it is too old; the next revision knows it too.
func TestOnce(t *testing.T) {
	w := world(t)
	r := w.Policy(kind(clock), "{}")
	if got := outcome(r.Ask(post())); got != "acme second" {
		t.Fatal(got)
	}
	if got := outcome(r.Ask(post())); got != "replayed" {
		t.Error(got)
	}
	again := w.Policy(kind(clock), "{components: ['@method']}")
	if got := outcome(again.Ask(post())); got != "replayed" {
		t.Error(got)
	}
	nonce := func(m *message) { m.params += `;nonce="2"` }
	if got := outcome(again.Ask(post(nonce))); got != "acme second" {
		t.Error(got)
	}
	// One whose content was spoiled on its way is used up: content is held for those alone who have not been there before.
	third := func(m *message) { m.params += `;nonce="3"` }
	if got := outcome(r.Ask(strings.Replace(post(third), `"world"}`, `"wurld"}`, 1))); got != "bad_digest" {
		t.Error(got)
	}
	if got := outcome(r.Ask(post(third))); got != "replayed" {
		t.Error(got)
	}
	now = time.Unix(start+300, 0) // as late as it could be taken
	if got := outcome(r.Ask(post())); got != "replayed" {
		t.Error(got)
	}
	now = time.Unix(start+301, 0)
	if got := outcome(r.Ask(post())); got != "stale" {
		t.Error(got)
	}
	// Where it is wanted, signatures may be used again.
	free := world(t).Policy(kind(clock), "{once: false}")
	for range 2 {
		if got := outcome(free.Ask(post())); got != "acme second" {
			t.Error(got)
		}
	}
}

// What was used is known whatever the window of the route it comes to next, and after a reload that changes the window.
func TestOnceAcrossWindows(t *testing.T) {
	w := world(t)
	f := func(r *policytest.Running, created, nonce int, want string) {
		t.Helper()
		m := func(m *message) { m.params = fmt.Sprintf(`;created=%d;keyid="next";nonce="%d"`, created, nonce) }
		if got := outcome(r.Ask(post(m))); got != want {
			t.Errorf("%d at %d: %s, want %s", nonce, now.Unix(), got, want)
		}
	}
	short, long := w.Policy(kind(clock), "{window: 10s}"), w.Policy(kind(clock), "{window: 1h}")
	f(short, start, 1, "acme second")
	f(long, start, 1, "replayed")
	f(long, start-3600, 2, "acme second") // nothing used before is forgotten
	now = time.Unix(start+3600, 0)
	f(long, start, 1, "replayed")
	// A reload with more room, less time, and then more time than ever.
	less := w.Policy(kind(clock), "{window: 1h, remember: 4096, skew: 0s}")
	f(less, start, 1, "replayed")
	f(less, start+3600, 3, "acme second")
	w.Policy(kind(clock), "{window: 1s}")
	more := w.Policy(kind(clock), "{window: 24h}")
	f(more, start+3600, 3, "replayed")
	f(more, start, 1, "replayed")
	now = time.Unix(start+3*3600, 0)
	f(more, start-2, 4, "stale") // it was too old already when the window was an hour: it could have been used
	f(more, start+3600, 3, "replayed")
	f(more, start+3600, 5, "acme second")
}

// Content is held of those alone who have the secret and were not there before.
func TestHoldsForProvenAlone(t *testing.T) {
	r := world(t).Policy(kind(clock), "{}")
	f := func(request, want string, held bool) {
		t.Helper()
		x := r.Request(request)
		body := &watched{Body: x.Request.Body}
		x.Request.Body = body
		r.Chain.Request(x)
		if got := outcome(x); got != want || body.read != held {
			t.Errorf("%s and %v, want %s and %v", got, body.read, want, held)
		}
		x.DropHeld()
	}
	f(post(), "acme second", true)
	f(post(), "replayed", false)
	f(post(func(m *message) { m.secret = bytes.Repeat([]byte("o"), 32) }), "bad_signature", false)
	f(post(func(m *message) { m.params = fmt.Sprintf(`;created=%d;keyid="x"`, start) }), "unknown_key", false)
	f(post(func(m *message) { m.covered = m.covered[:4] }), "content_not_covered", false)
	f(post(func(m *message) { m.params = fmt.Sprintf(`;created=%d;keyid="next"`, start-301) }), "stale", false)
	// They have room when everybody else has none.
	var others []*exchange.Exchange
	for i := range byte(255) {
		x := &exchange.Exchange{Client: netip.AddrFrom4([4]byte{192, 0, 2, i}), Request: exchange.Request{Length: exchange.Unknown, Body: &one{make([]byte, 1<<20)}}}
		if _, f := x.HoldBody(exchange.Hold{Max: 1 << 20}); f != nil {
			break
		}
		others = append(others, x)
	}
	if len(others) == 255 {
		t.Fatal("there is room for everybody")
	}
	f(post(func(m *message) { m.params += `;nonce="2"` }), "acme second", true)
	for _, x := range others {
		x.DropHeld()
	}
}

// watched is a body that knows whether it was read.
type watched struct {
	exchange.Body
	read bool
}

func (w *watched) Next() ([]byte, error) {
	w.read = true
	return w.Body.Next()
}

// A key that there is not costs as many hashes, of as many bytes, as one that there is.
func TestUnknownKeyCostsTheSame(t *testing.T) {
	cost := func(params string) (sums, bytes int, word string) {
		w := world(t)
		r := &running{settings: &settings{now: clock, window: 300, hash: func() hash.Hash { return &counted{Hash: sha256.New(), sums: &sums, bytes: &bytes} }}, consumers: w.Consumers}
		x := w.Policy(kind(clock), "{}").Request(post(func(m *message) { m.params = fmt.Sprintf(params, start) }))
		if got := r.Authenticate(x); got != policy.Refused {
			t.Error(got)
		}
		return sums, bytes, policytest.Verdict(x, name)
	}
	sums, bytes, word := cost(`;created=%d;keyid="none"`)
	knownSums, knownBytes, knownWord := cost(`;created=%d;keyid="last"`)
	if word != "unknown_key" || knownWord != "bad_signature" {
		t.Fatal(word, knownWord)
	}
	if sums == 0 || sums != knownSums || bytes != knownBytes {
		t.Errorf("%d sums of %d bytes, %d of %d for a key that there is", sums, bytes, knownSums, knownBytes)
	}
}

// counted counts what is hashed.
type counted struct {
	hash.Hash
	sums, bytes *int
}

func (c *counted) Write(p []byte) (int, error) {
	*c.bytes += len(p)
	return c.Hash.Write(p)
}

func (c *counted) Sum(b []byte) []byte {
	*c.sums++
	return c.Hash.Sum(b)
}

// When no more can be remembered, requests are refused and not let through.
func TestFull(t *testing.T) {
	w := world(t)
	r := w.Policy(kind(clock), "{remember: 1024}")
	refused, taken := 0, 0
	if all := w.State.Attention(); len(all) != 0 {
		t.Errorf("attention for %q", all)
	}
	for i := range 3000 {
		switch got := outcome(r.Ask(post(func(m *message) { m.params += fmt.Sprintf(`;nonce="%d"`, i) }))); got {
		case "acme second":
			taken++
		case "auth_unavailable":
			refused++
		default:
			t.Fatal(got)
		}
	}
	if taken == 0 || taken > 1024/2 || refused != 3000-taken {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	// Another consumer is not refused for it.
	for i := range 100 {
		other := func(m *message) {
			m.params, m.secret = fmt.Sprintf(`;created=%d;keyid="other";nonce="%d"`, start, i), bytes.Repeat([]byte("b"), 32)
		}
		if got := outcome(r.Ask(post(other))); got != "bolt fourth" {
			t.Fatal(got)
		}
	}
	taken += 100
	figures := map[string]float64{}
	w.State.Each(func(r policy.Reporter) { r.Report(func(f policy.Figure) { figures[f.Name] = f.Value }) })
	if all := w.State.Attention(); len(all) != 1 || !strings.Contains(all[0], "policy hmac remembers as many used signatures of acme as it may") {
		t.Errorf("attention for %q", all)
	}
	if figures["hmac_remembered"] != float64(taken) || figures["hmac_full_total"] != float64(refused) {
		t.Errorf("%v", figures)
	}
}

func TestHide(t *testing.T) {
	f := func(options string, want bool) {
		t.Helper()
		x := world(t).Policy(kind(clock), options).Ask(post())
		for _, name := range []string{"Signature", "Signature-Input"} {
			if _, ok := x.Request.Header.Header(name); ok != want {
				t.Errorf("%s: %s is there: %v", options, name, ok)
			}
		}
		if _, ok := x.Request.Header.Header("Content-Digest"); !ok {
			t.Error("the digest is gone")
		}
		if body, f := x.HoldBody(exchange.Hold{Max: 100}); f != nil || string(body) != `{"hello": "world"}` {
			t.Errorf("%q, %v", body, f)
		}
	}
	f("{}", false)
	f("{forward: true}", true)
}

func TestOptions(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		if got := policytest.New(t).Refused(kind(clock), options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f("{components: [Date]}", "components")
	f("{components: ['@query-param']}", "@request-target")
	f("{components: []}", "components")
	f("{window: 0s}", "window")
	f("{realm: 'a\"b'}", "realm")
	f("{label: 'A'}", "label")
	f("{remember: 1}", "remember")
	f("{max_body: 1GiB}", "max_body")
}

// TestSigned signs requests of all sorts in the test's own way, and takes them; then changes one byte anywhere, and does not.
func TestSigned(t *testing.T) {
	w := world(t)
	r := w.Policy(kind(clock), "{remember: 16777216}")
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		m := &message{
			method:    rapid.SampledFrom([]string{"GET", "POST", "DELETE", "QUERY"}).Draw(t, "method"),
			authority: rapid.SampledFrom([]string{"example.com", "a:1", "b.example"}).Draw(t, "authority"),
			path:      "/" + rapid.StringMatching(`[a-z%0-9./_~-]{0,20}`).Draw(t, "path"),
			query:     rapid.StringMatching(`([a-z]{1,3}=[a-z0-9%?/]{0,4}&?){0,3}`).Draw(t, "query"),
			body:      rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "body"),
			secret:    bytes.Repeat([]byte("n"), 32),
			params:    fmt.Sprintf(`;created=%d;nonce="%d";keyid="next"`, start, n),
			label:     rapid.StringMatching(`[a-z*][a-z0-9_.*-]{0,8}`).Draw(t, "label"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			m.fields = append(m.fields, [2]string{rapid.SampledFrom([]string{"X-A", "x-b", "Date", "Content-Type"}).Draw(t, "name"), rapid.StringMatching(`[!-~]([ -~]{0,10}[!-~])?`).Draw(t, "value")})
		}
		m.covered = rapid.Permutation([]string{"@method", "@authority", "@path", "@query", "@target-uri"}).Draw(t, "order")
		for _, f := range m.fields {
			if c := strings.ToLower(f[0]); !strings.Contains(strings.Join(m.covered, " ")+" ", c+" ") {
				m.covered = append(m.covered, c)
			}
		}
		if m.body != "" {
			m.fields = append(m.fields, [2]string{"Content-Digest", sum256(m.body)})
			m.covered = append(m.covered, "content-digest")
		}
		// One byte of what is covered is spoilt. The attempt may use the signature up, so the good request has another.
		good := *m
		good.params = fmt.Sprintf(`;created=%d;nonce="good %d";keyid="next"`, start, n)
		text := m.text()
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		if c := text[at]; 'a' <= c && c < 'z' && at > strings.IndexByte(text, '\n') && strings.LastIndex(text[:at], "\n") > strings.Index(text, "\nSignature-Input") {
			spoiled := text[:at] + string(c+1) + text[at+1:]
			if got := outcome(r.Ask(spoiled)); strings.HasPrefix(got, "acme") {
				t.Fatalf("taken: %s", spoiled)
			}
		}
		if got := outcome(r.Ask(good.text())); got != "acme second" {
			t.Fatalf("%s: %s", got, good.text())
		}
	})
}

// TestDocs runs the example of the page: a request signed by a shell with OpenSSL.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/policies/hmac.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```sh\n")
	script, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("the page has no example of a shell")
	}
	script = script[:strings.Index(script, "curl ")] + `printf 'POST /orders?x=1 HTTP/1.1\nHost: api.example.com\nContent-Digest: %s\nSignature-Input: sig1=%s\nSignature: sig1=:%s:\n\n%s' "$digest" "$params" "$signature" "$body"`
	command := exec.Command("sh", "-eu")
	command.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		t.Logf("example:\n%s", block[1])
	}
	w := world(t)
	b := consumer.NewBuilder()
	b.Consumer(consumer.Consumer{ID: "acme"})
	if err := b.Secret("acme", consumer.SecretSpec{KeyID: "acme-2027", Secret: []byte("an example of 32 bytes, no secret")}); err != nil {
		t.Fatal(err)
	}
	w.Consumers = b.Build()
	r := w.Policy(Kind, "{}") // on the clock of the shell
	x := r.Ask(string(out))
	if x.Fault != nil || x.Caller.Consumer == nil {
		t.Errorf("%s: %s", outcome(x), out)
	}
}

// FuzzRead throws anything at the reader. What it takes must read the same once more when it is written back.
func FuzzRead(f *testing.F) {
	f.Add(`sig1=("@method" "x");created=1;keyid="a"`, `sig1=:AAAA:`, "")
	f.Add(`a=();b;c="\"";d=:AA==:, b=("x";sf)`, `a=:AA==:;x, b=:AA==:`, "a")
	f.Fuzz(func(t *testing.T, inputs, signatures, label string) {
		var s, again signature
		if s.read(inputs, signatures, label) != "" {
			return
		}
		if s.n > maxComponents || !s.plain {
			return
		}
		written := s.label + "=" + string(s.params)
		if word := again.read(written, signatures, s.label); word != "" || string(again.params) != string(s.params) || again.n != s.n || again.created != s.created || again.keyID != s.keyID {
			t.Errorf("%q was read from %q, and then %q (%s)", written, inputs, again.params, word)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, body := range []bool{false, true} {
		b.Run(fmt.Sprintf("content=%v", body), func(b *testing.B) {
			r := world(b).Policy(kind(clock), "{once: false}")
			request := post()
			if !body {
				request = post(func(m *message) { m.body, m.covered = "", m.covered[:4] })
			}
			x := r.Request(request)
			fields := append([]exchange.Field(nil), x.Request.Header.All()...)
			content := []byte(`{"hello": "world"}`)
			b.ReportAllocs()
			for b.Loop() {
				x.Caller, x.Verdicts = exchange.Caller{}, x.Verdicts[:0]
				x.Request.Header.Reset()
				for _, f := range fields {
					x.Request.Header.Append(f.Known, f.Name, f.Value)
				}
				if body {
					x.DropHeld()
					x.Request.Body, x.Request.Length = &one{content}, int64(len(content))
				}
				if r.Chain.Request(x); x.Fault != nil {
					b.Fatal(outcome(x))
				}
			}
		})
	}
}

// one is a body of one run.
type one struct{ rest []byte }

func (o *one) Next() ([]byte, error) {
	if o.rest == nil {
		return nil, io.EOF
	}
	run := o.rest
	o.rest = nil
	return run, nil
}

func (o *one) Buffered() bool { return true }

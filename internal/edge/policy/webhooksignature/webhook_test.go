package webhooksignature

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// start is when the tests' clock begins.
const start = 1614265330

var now = time.Unix(start, 0)

func clock() time.Time { return now }

const (
	secret = "It's a Secret to Everybody" // of GitHub's documentation
	other  = "another secret of some length"
)

func world(t testing.TB) *policytest.World {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	if err := b.Consumer(consumer.Consumer{ID: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.Consumers = b.Build()
	now = time.Unix(start, 0)
	return w
}

// sum is an HMAC made by the test.
func sum(of func() hash.Hash, key, text string) []byte {
	h := hmac.New(of, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hex256(key, text string) string { return hex.EncodeToString(sum(sha256.New, key, text)) }

func outcome(x *exchange.Exchange) string {
	switch {
	case x.Fault == nil && x.Caller.Consumer != nil:
		return x.Caller.Consumer.ID + " " + x.Caller.Credential
	case x.Fault == nil:
		return x.Caller.Method
	case x.Fault.Kind == fault.NotAuthenticated:
		if v := policytest.Verdict(x, name); v != "" {
			return v
		}
		return "nothing"
	}
	return x.Fault.Kind.Word
}

func post(body string, fields ...string) string {
	return "POST /hooks HTTP/1.1\nHost: a\n" + strings.Join(fields, "\n") + "\n\n" + body
}

func check(t *testing.T, name, options, request, want string) {
	t.Helper()
	x := world(t).Policy(kind(clock), options).Ask(request)
	if got := outcome(x); got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
	if x.Fault != nil && x.Fault.Kind == fault.NotAuthenticated && (len(x.Challenges) != 1 || x.Challenges[0] != `WebhookSignature realm="webhooks"`) {
		t.Errorf("%s: challenges %q", name, x.Challenges)
	}
	if x.Fault == nil {
		if body, f := x.HoldBody(exchange.Hold{Max: 1 << 20}); f != nil || !strings.HasSuffix(request, "\n\n"+string(body)) {
			t.Errorf("%s: the endpoint would get %q", name, body)
		}
		if _, n := field(&x.Request.Header, "X-Hub-Signature-256"); strings.Contains(options, "github") && n != 1 {
			t.Errorf("%s: the endpoint would not get the signature", name)
		}
	}
}

func TestGitHub(t *testing.T) {
	options := fmt.Sprintf(`{scheme: github, secrets: [%q, %q], consumer: shop}`, other, secret)
	f := func(name, request, want string) { t.Helper(); check(t, name, options, request, want) }
	// The example of GitHub's documentation.
	const example = "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	f("good", post("Hello, World!", example), "shop github")
	f("the other secret", post("x", "x-hub-signature-256: sha256="+hex256(other, "x")), "shop github")
	f("capitals", post("Hello, World!", "X-Hub-Signature-256: sha256="+strings.ToUpper(example[len(example)-64:])), "shop github")
	f("without content", post("", "X-Hub-Signature-256: sha256="+hex256(secret, "")), "shop github")
	f("none", post("Hello, World!"), "nothing")
	f("content", post("Hello, World?", example), "bad_signature")
	f("secret", post("x", "X-Hub-Signature-256: sha256="+hex256("unknown", "x")), "bad_signature")
	f("the old kind alone", post("x", "X-Hub-Signature: sha1=0123456789012345678901234567890123456789"), "nothing")
	f("the old kind", post("x", "X-Hub-Signature-256: sha1=0123456789012345678901234567890123456789"), "malformed")
	f("no prefix", post("x", "X-Hub-Signature-256: "+hex256(secret, "x")), "malformed")
	f("short", post("Hello, World!", example[:len(example)-2]), "malformed")
	f("long", post("Hello, World!", example+"00"), "malformed")
	f("as long as of another hash", post("Hello, World!", example+strings.Repeat("00", 32)), "bad_signature")
	f("very long", post("Hello, World!", example+strings.Repeat("00", 5000)), "malformed")
	f("no hexadecimal", post("Hello, World!", example[:len(example)-1]+"g"), "malformed")
	f("twice", post("Hello, World!", example, example), "bad_credential")
	// It says nothing of time, so that it can be sent again, as GitHub does where one asks for it.
	r := world(t).Policy(kind(clock), options)
	for range 2 {
		if got := outcome(r.Ask(post("Hello, World!", example))); got != "shop github" {
			t.Error(got)
		}
	}
}

func TestStripe(t *testing.T) {
	f := func(name, header, want string) {
		t.Helper()
		check(t, name, fmt.Sprintf(`{scheme: stripe, secrets: [%q, %q]}`, secret, other), post(`{"id": 1}`, "Stripe-Signature: "+header), want)
	}
	v1 := func(at int) string { return hex256(secret, fmt.Sprintf(`%d.{"id": 1}`, at)) }
	t0 := fmt.Sprint("t=", start, ",")
	f("good", t0+"v1="+v1(start), name)
	f("the other secret", t0+"v1="+hex256(other, fmt.Sprintf(`%d.{"id": 1}`, start)), name)
	f("two of which one is good", t0+"v1="+strings.Repeat("0", 64)+",v1="+v1(start)+",v0=x", name)
	f("white space", t0+" v1="+v1(start), name)
	f("as old as may be", fmt.Sprint("t=", start-300, ",v1=", v1(start-300)), name)
	f("older", fmt.Sprint("t=", start-301, ",v1=", v1(start-301)), "stale")
	f("ahead", fmt.Sprint("t=", start+301, ",v1=", v1(start+301)), "early")
	f("time", fmt.Sprint("t=", start-1, ",v1=", v1(start)), "bad_signature")
	f("no time", "v1="+v1(start), "malformed")
	f("two times", t0+t0+"v1="+v1(start), "malformed")
	f("no signature", t0+"v0="+v1(start), "malformed")
	f("nothing", "", "malformed")
	f("no pairs", "x", "malformed")
	f("signed time", "t=+"+fmt.Sprint(start)+",v1="+v1(start), "malformed")
	f("time with zeros", "t=0"+fmt.Sprint(start)+",v1="+v1(start), "malformed")
	f("huge time", "t=9999999999999,v1="+v1(start), "malformed")
	f("too many", t0+strings.Repeat("v1="+strings.Repeat("0", 64)+",", maxShown)+"v1="+v1(start), "malformed")
	f("too long", t0+"v1="+v1(start)+",x="+strings.Repeat("x", maxText), "malformed")
}

func TestStandardWebhooks(t *testing.T) {
	// The example of the specification's libraries.
	const (
		key  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		id   = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		body = `{"test": 2432232314}`
		v1   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	f := func(name, id, at, signature, want string) {
		t.Helper()
		check(t, name, fmt.Sprintf(`{scheme: standard_webhooks, secrets: %q}`, key), post(body, "webhook-id: "+id, "webhook-timestamp: "+at, "webhook-signature: "+signature), want)
	}
	at := fmt.Sprint(start)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	signed := func(text string) string {
		return "v1," + base64.StdEncoding.EncodeToString(sum(sha256.New, string(raw), text))
	}
	f("good", id, at, v1, name)
	f("among others", id, at, "v1a,xxx v1,"+strings.Repeat("A", 43)+"= "+v1, name)
	f("id", id+"x", at, v1, "bad_signature")
	f("time", id, fmt.Sprint(start+1), v1, "bad_signature")
	f("stale", id, fmt.Sprint(start-301), signed(id+"."+fmt.Sprint(start-301)+"."+body), "stale")
	f("no id", "", at, v1, "malformed")
	f("an id with a dot", "a.b", at, signed("a.b."+at+"."+body), "malformed")
	f("id too long", strings.Repeat("a", maxID+1), at, v1, "malformed")
	f("no time", id, "", v1, "malformed")
	f("no version", id, at, v1[3:], "malformed")
	f("not base64", id, at, "v1,"+strings.Repeat("!", 44), "malformed")
	f("too long", id, at, v1+" x,"+strings.Repeat("x", maxText), "malformed")
	f("others alone", id, at, "v1a,xxx", "malformed")
}

func TestGeneric(t *testing.T) {
	f := func(name, generic, request, want string) {
		t.Helper()
		check(t, name, fmt.Sprintf("scheme: generic\nsecrets: %q\ngeneric: {%s}", secret, generic), request, want)
	}
	at := fmt.Sprint(start)
	f("the least", "header: X-Signature", post("x", "X-Signature: "+hex256(secret, "x")), name)
	f("sha512, base64, prefix", "header: X-Signature, algorithm: sha512, encoding: base64, prefix: 'v1='", post("x", "X-Signature: v1="+base64.StdEncoding.EncodeToString(sum(sha512.New, secret, "x"))), name)
	f("the wrong hash", "header: X-Signature, algorithm: sha512", post("x", "X-Signature: "+hex256(secret, "x")), "bad_signature")
	f("the wrong encoding", "header: X-Signature, encoding: base64", post("x", "X-Signature: "+hex256(secret, "x")), "malformed")
	f("with time", "header: X-Signature, timestamp: X-Time", post("x", "X-Signature: "+hex256(secret, at+".x"), "X-Time: "+at), name)
	f("without the time", "header: X-Signature, timestamp: X-Time", post("x", "X-Signature: "+hex256(secret, at+".x")), "malformed")
	f("two times", "header: X-Signature, timestamp: X-Time", post("x", "X-Signature: "+hex256(secret, at+".x"), "X-Time: "+at, "X-Time: "+at), "malformed")
	f("Slack", "header: X-Slack-Signature, prefix: v0=, timestamp: X-Slack-Request-Timestamp, signed: 'v0:{timestamp}:{body}'",
		post("x", "X-Slack-Signature: v0="+hex256(secret, "v0:"+at+":x"), "X-Slack-Request-Timestamp: "+at), name)
	f("a known field", "header: Authorization, prefix: 'HMAC '", post("x", "Authorization: HMAC "+hex256(secret, "x")), name)
	f("a known field of another kind", "header: Authorization, prefix: 'HMAC '", post("x", "Authorization: Bearer x"), "malformed")
}

// A signature with a time is good once, also when it was shown together with another one that is good.
func TestOnce(t *testing.T) {
	r := world(t).Policy(kind(clock), fmt.Sprintf(`{scheme: stripe, secrets: [%q, %q]}`, secret, other))
	text := fmt.Sprintf(`%d.{"id": 1}`, start)
	f := func(want, header string) {
		t.Helper()
		if got := outcome(r.Ask(post(`{"id": 1}`, fmt.Sprint("Stripe-Signature: t=", start, ",", header)))); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
	f("bad_signature", "v1="+strings.Repeat("0", 64))
	f(name, "v1="+hex256(secret, text)+",v1="+hex256(other, text))
	f("replayed", "v1="+hex256(secret, text)+",v1="+hex256(other, text))
	f("replayed", "v1="+hex256(secret, text))
	f("replayed", "v1="+hex256(other, text))
	now = time.Unix(start+300, 0)
	f("replayed", "v1="+hex256(secret, text))

	r = world(t).Policy(kind(clock), fmt.Sprintf(`{scheme: stripe, secrets: %q, once: false}`, secret))
	f(name, "v1="+hex256(secret, text))
	f(name, "v1="+hex256(secret, text))
}

// What was used is known after the secrets or the tolerance changed, and on a route that has others.
func TestOnceAcrossRevisions(t *testing.T) {
	w := world(t)
	text := fmt.Sprintf(`%d.{"id": 1}`, start)
	f := func(options, want, key string) {
		t.Helper()
		r := w.Policy(kind(clock), options)
		if got := outcome(r.Ask(post(`{"id": 1}`, fmt.Sprint("Stripe-Signature: t=", start, ",v1=", hex256(key, text))))); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
	f(fmt.Sprintf(`{scheme: stripe, secrets: [%q, %q], tolerance: 10s}`, secret, other), name, other)
	f(fmt.Sprintf(`{scheme: stripe, secrets: [%q, %q], tolerance: 1h}`, secret, other), "replayed", other)
	f(fmt.Sprintf(`{scheme: stripe, secrets: %q, remember: 4096}`, other), "replayed", other)
	f(fmt.Sprintf(`{scheme: stripe, secrets: ["a third secret of some length", %q], consumer: shop}`, other), "replayed", other)
	now = now.Add(50 * time.Minute)
	f(fmt.Sprintf(`{scheme: stripe, secrets: %q, tolerance: 1h}`, other), "replayed", other)
}

// Each part of what is signed makes another request of it, and nothing else does.
func TestName(t *testing.T) {
	names := map[[32]byte]string{}
	for _, s := range []shown{{}, {id: "a"}, {id: "a1"}, {time: "1"}, {id: "a", time: "1"}, {id: "a1", time: "1"}, {id: "a", time: "11"}, {id: strings.Repeat("a", maxID), time: "111111111111"}} {
		for _, body := range []string{"", "a", ".1."} {
			of := fmt.Sprintf("%q %q %q", s.id, s.time, body)
			n := s.name([]byte(body))
			if names[n] != "" {
				t.Errorf("%s has the name of %s", of, names[n])
			}
			names[n] = of
			s.n = 1
			s.macs[0][0]++
			if s.name([]byte(body)) != n {
				t.Errorf("%s has another name with another signature", of)
			}
		}
	}
}

// Somebody who was not found to be good by it has no signature that an endpoint would take for checked.
func TestHide(t *testing.T) {
	other := policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return yes{}, nil }}
	f := func(generic, field, want string) {
		t.Helper()
		w := world(t)
		options := fmt.Sprintf("scheme: generic\nsecrets: %q\ngeneric: {%s}", secret, generic)
		for _, uses := range [][]policytest.Use{{{Kind: other, YAML: "{}"}, {Kind: kind(clock), YAML: options}}, {{Kind: kind(clock), YAML: options}, {Kind: other, YAML: "{}"}}} {
			x := w.Policies(uses...).Ask(post("x", field))
			var got []string
			for _, line := range x.Request.Header.All() {
				if strings.HasPrefix(field, line.Name+":") {
					got = append(got, line.Value)
				}
			}
			if fmt.Sprint(got) != want || x.Caller.Method != "other" {
				t.Errorf("%s: %s gets %q, want %s", field, x.Caller.Method, got, want)
			}
		}
	}
	f("header: X-Signature", "X-Signature: "+hex256("unknown", "x"), "[]")
	f("header: X-Signature", "X-Signature: x", "[]")
	f("header: Authorization, prefix: 'HMAC '", "Authorization: HMAC x", "[]")
	f("header: Authorization, prefix: 'HMAC '", "Authorization: Bearer good", "[Bearer good]")
}

// yes accepts everybody, by a token that it vouches for.
type yes struct{}

func (yes) Authenticate(x *exchange.Exchange) policy.Finding {
	x.Vouched = "good"
	return policy.Accepted
}
func (yes) Challenge(*exchange.Exchange, policy.Finding) {}
func (yes) Hide(*exchange.Exchange, policy.Finding)      {}

// What is held of one who turned out to be good does not count for its address any more; until then it does, and only for so long.
func TestHolds(t *testing.T) {
	r := world(t).Policy(kind(clock), fmt.Sprintf(`{scheme: github, secrets: %q}`, secret))
	body := strings.Repeat("x", 1<<20)
	var all []*exchange.Exchange
	for i := range 2 * exchange.HoldShare >> 20 { // all from one address
		x := r.Ask(post(body, "X-Hub-Signature-256: sha256="+hex256(secret, body)))
		if all = append(all, x); x.Fault != nil {
			t.Fatalf("%d: %v", i, x.Fault)
		}
	}
	for _, x := range all {
		x.DropHeld()
	}
	x := r.Request(post("", "X-Hub-Signature-256: sha256="+hex256(secret, "x")))
	s := &stalled{stopped: make(chan struct{})}
	synctest.Test(t, func(t *testing.T) {
		s.stopped = make(chan struct{})
		x.Request.Body, x.Request.Length, x.Flow = s, 1, s
		began := time.Now()
		r.Chain.Request(x)
		if x.Fault == nil || x.Fault.Kind != fault.BodyTimeout || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", x.Fault, time.Since(began))
		}
	})
}

// stalled is a body that never comes.
type stalled struct{ stopped chan struct{} }

func (s *stalled) Next() ([]byte, error) {
	<-s.stopped
	return nil, fault.New(fault.Internal, nil)
}

func (s *stalled) Buffered() bool { return false }
func (s *stalled) StopBody()      { close(s.stopped) }

// When no more can be remembered, requests are refused, the operator is told, and it ends by itself.
func TestFull(t *testing.T) {
	w := world(t)
	r := w.Policy(kind(clock), fmt.Sprintf(`{scheme: stripe, secrets: %q, remember: 1024}`, secret))
	taken, refused := 0, 0
	for i := range 2000 {
		body := fmt.Sprint(i)
		head := fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: %d\nStripe-Signature: t=%d,v1=%s\n\n", len(body), start, hex256(secret, fmt.Sprint(start, ".", body)))
		switch x := r.Ask(head + body); {
		case x.Fault == nil:
			taken++
		case x.Fault.Kind == fault.AuthUnavailable:
			refused++
		default:
			t.Fatal(x.Fault)
		}
	}
	if taken == 0 || taken > 1024/2 || refused != 2000-taken {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	if all := w.State.Attention(); len(all) != 1 || !strings.HasPrefix(all[0], "policy webhook_signature remembers as many used signatures of callers that are no consumers as it may") {
		t.Errorf("attention for %q", all)
	}
	now = now.Add(time.Hour)
	if all := w.State.Attention(); len(all) != 0 {
		t.Errorf("attention for %q", all)
	}
}

func TestTooLarge(t *testing.T) {
	options := fmt.Sprintf(`{scheme: github, secrets: %q, max_body: 10}`, secret)
	check(t, "fits", options, post("0123456789", "X-Hub-Signature-256: sha256="+hex256(secret, "0123456789")), name)
	check(t, "too large", options, post("0123456789a", "X-Hub-Signature-256: sha256="+hex256(secret, "0123456789a")), "hold_too_large")
	check(t, "too large, without a signature", options, post("0123456789a"), "nothing")
}

func TestOptions(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		got := world(t).Refused(kind(clock), options)
		if !strings.Contains(got, want) || strings.Contains(got, "0123456789") {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	const key = "secrets: '0123456789abcdef'"
	f("{scheme: github}", "secrets")
	f("{"+key+"}", "scheme")
	f("{scheme: gitlab, "+key+"}", "scheme")
	f("{scheme: github, secrets: []}", "secrets")
	f("{scheme: github, secrets: '0123456789'}", "secret 1 has 10 bytes")
	f("{scheme: standard_webhooks, secrets: 'whsec_0123456789abcd!'}", "no base64")
	f("{scheme: standard_webhooks, secrets: 'whsec_0123456789abcdef'}", "secret 1 has 12 bytes")
	f("{scheme: generic, "+key+"}", "generic")
	f("{scheme: github, "+key+", generic: {header: X}}", "github has a way of its own")
	f("{scheme: github, "+key+", consumer: nobody}", `"nobody"`)
	for _, c := range [][2]string{
		{"signed: 'x'", "{body} has to stand"}, {"signed: '{body}{body}'", "{body} has to stand"}, {"signed: '{bodi}'", "allowed in braces"}, {"signed: '{body'", "allowed in braces"},
		{"signed: 'a}{body}'", "closes nothing"}, {"signed: '{timestamp}.{body}'", "timestamp has to name"}, {"timestamp: X-T, signed: '{body}'", "{timestamp} has to stand"},
		{"timestamp: X-T, signed: '{timestamp}{body}'", "no digit"}, {"timestamp: X-T, signed: '{body}{timestamp}'", "no digit"}, {"timestamp: X-T, signed: '{body}.1{timestamp}'", "no digit"},
		{"encoding: raw", "encoding"}, {"algorithm: sha1", "algorithm"},
	} {
		f("{scheme: generic, "+key+", generic: {header: X, "+c[0]+"}}", c[1])
	}
}

// TestSigned signs contents of all sorts, takes them, and takes none that has another byte.
func TestSigned(t *testing.T) {
	w := world(t)
	r := w.Policy(kind(clock), fmt.Sprintf("{scheme: github, secrets: %q}", secret))
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.StringMatching(`[!-~]{1,200}`).Draw(t, "body")
		header := "X-Hub-Signature-256: sha256=" + hex256(secret, body)
		if got := outcome(r.Ask(post(body, header))); got != name {
			t.Fatal(got)
		}
		spoiled := []byte(body)
		spoiled[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= 1
		if got := outcome(r.Ask(post(string(spoiled), header))); got != "bad_signature" {
			t.Fatal(got)
		}
	})
}

// TestDocs runs the example of the page: a request signed by a shell with OpenSSL.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/policies/webhook_signature.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```sh\n")
	script, _, closed := strings.Cut(rest, "curl ")
	if !ok || !closed {
		t.Fatal("the page has no example of a shell")
	}
	command := exec.Command("sh", "-eu")
	command.Stdin = strings.NewReader(script + `printf 'POST /hooks HTTP/1.1\nHost: a\nX-Hub-Signature-256: %s\n\n%s' "$signature" "$body"`)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "the example of the page", "{scheme: github, secrets: 'an example of a shared secret'}", string(out), name)
}

// FuzzRead throws anything at the readers of all schemes.
func FuzzRead(f *testing.F) {
	f.Add("sha256=00", "a", "1")
	f.Add("t=1,v1=00,v0=x", "", "")
	f.Add("v1,AAAA v1a,x", "msg_1", "1614265330")
	own, err := generic(&Generic{Header: "X", Timestamp: "webhook-timestamp", Encoding: "base64"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, id, at string) {
		var header exchange.Fields
		header.Add("webhook-id", id)
		header.Add("webhook-timestamp", at)
		for _, c := range []scheme{github(), stripe(), standard(), own} {
			var s shown
			if c.read(&s, text, &header) && (s.n == 0 || s.n > maxShown || s.sizes[s.n-1] == 0 || c.timed && (s.time == "" || s.at < 0) || len(s.id) > maxID) {
				t.Errorf("%s: %q gives %d signatures, time %q, id %q", c.header, text, s.n, s.time, s.id)
			}
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r := world(b).Policy(kind(clock), fmt.Sprintf("{scheme: github, secrets: %q}", secret))
			content := []byte(strings.Repeat("x", size))
			x := r.Request(post("", "X-Hub-Signature-256: sha256="+hex256(secret, string(content))))
			body := &one{}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				x.DropHeld()
				x.Caller, x.Verdicts = exchange.Caller{}, x.Verdicts[:0]
				x.Request.Header.Del(exchange.XAuthMethod)
				body.rest = content
				x.Request.Body, x.Request.Length = body, int64(size)
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

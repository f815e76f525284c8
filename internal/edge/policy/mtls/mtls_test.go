package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// openssl makes a certificate with OpenSSL, self-signed: whom it is signed by is the listener's business.
func openssl(t testing.TB, subject string, extensions ...string) *x509.Certificate {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cert.pem")
	args := []string{"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.DevNull, "-out", file, "-days", "30", "-utf8", "-subj", subject}
	for _, e := range extensions {
		args = append(args, "-addext", e)
	}
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// world has a consumer for each mark of a certificate.
func world(t testing.TB, specs map[string]consumer.CertificateSpec) *policytest.World {
	w := policytest.New(t)
	b := consumer.NewBuilder()
	for id, s := range specs {
		s.ID = "of-" + id
		if err := b.Consumer(consumer.Consumer{ID: id}); err != nil {
			t.Fatal(err)
		}
		if err := b.Certificate(id, s); err != nil {
			t.Fatal(err)
		}
	}
	w.Consumers = b.Build()
	return w
}

func ask(r *policytest.Running, c *x509.Certificate, lines ...string) *exchange.Exchange {
	r.Conn.Secure, r.Conn.TLS = true, &exchange.TLS{Client: c}
	return r.Ask("GET / HTTP/1.1\nHost: a\n" + strings.Join(lines, "\n") + "\n\n")
}

func outcome(x *exchange.Exchange) string {
	switch {
	case x.Fault == nil && x.Caller.Consumer != nil:
		return x.Caller.Consumer.ID + " " + x.Caller.Credential
	case x.Fault == nil:
		return "nobody " + x.Caller.Credential
	case x.Fault.Kind == fault.NotAuthenticated:
		if v := policytest.Verdict(x, name); v != "" {
			return v
		}
		return "nothing"
	}
	return x.Fault.Kind.Word
}

func TestAuthenticate(t *testing.T) {
	acme := openssl(t, "/O=Acme Corp/CN=orders", "subjectAltName=DNS:Orders.Acme.example,email:Ops@ACME.example,URI:spiffe://acme.example/orders")
	spiffe := openssl(t, "/", "subjectAltName=URI:spiffe://acme.example/stock")
	other := openssl(t, "/O=Other/CN=x")
	bare := openssl(t, "/")
	comma := openssl(t, "/O=Acme, Inc/CN=a")
	utf8 := openssl(t, "/CN=Blåbær")
	w := world(t, map[string]consumer.CertificateSpec{
		"acme":  {Subject: "CN=orders,O=Acme Corp", Terms: consumer.Terms{Scopes: []string{"orders:read"}}},
		"stock": {URI: "spiffe://acme.example/stock"},
		"print": {Fingerprint: fingerprint(utf8)},
	})
	f := func(options string, c *x509.Certificate, want string) {
		t.Helper()
		r := w.Policy(Kind, options)
		for range 2 { // once judged, once remembered
			x := ask(r, c)
			if got := outcome(x); got != want {
				t.Errorf("%s: %s, want %s", options, got, want)
			}
			if x.Fault != nil && (len(x.Challenges) != 1 || x.Challenges[0] != `ClientCertificate realm="api"`) {
				t.Errorf("challenges %q", x.Challenges)
			}
		}
	}
	f("{}", acme, "acme of-acme")
	f("{}", spiffe, "stock of-stock")
	f("{}", utf8, "print of-print")
	f("{}", nil, "nothing")
	f("{}", other, "unknown")
	f("{consumer_required: false}", other, "nobody sha256:"+fingerprint(other)[:16])
	f("{consumer_required: false}", bare, "unfit_subject")
	// What a route takes.
	f("{subjects: 'CN=orders, O=Acme Corp'}", acme, "acme of-acme")
	f("{subjects: ['CN=x', 'CN=orders,O=Acme Corp']}", acme, "acme of-acme")
	f("{subjects: 'CN=orders'}", acme, "wrong_subject")
	f("{names: orders.ACME.example}", acme, "acme of-acme")
	f("{names: Ops@acme.example}", acme, "acme of-acme")
	f("{names: ops@acme.example}", acme, "wrong_name")
	f("{names: 'spiffe://acme.example/orders'}", acme, "acme of-acme")
	f("{names: 'spiffe://acme.example/Orders'}", acme, "wrong_name")
	f("{names: x.acme.example}", acme, "wrong_name")
	f("{issuers: 'CN=orders,O=Acme Corp'}", acme, "acme of-acme")
	f("{issuers: 'CN=root'}", acme, "wrong_issuer")
	f("{names: orders.acme.example, subjects: 'CN=x'}", acme, "wrong_subject")

	f("{consumer_required: false, subjects: 'CN=a, O=Acme\\, Inc'}", comma, "nobody sha256:"+fingerprint(comma)[:16])
	f("{consumer_required: false, subjects: 'CN=a,O=Acme\\,Inc'}", comma, "wrong_subject")

	x := ask(w.Policy(Kind, "{}"), acme)
	if c := x.Caller; c.Subject != "CN=orders,O=Acme Corp" || c.Issuer != c.Subject || c.ScopeList != "orders:read" || c.Method != "mtls" {
		t.Errorf("%+v", c)
	}
	if x := ask(w.Policy(Kind, "{}"), spiffe); x.Caller.Subject != "spiffe://acme.example/stock" {
		t.Errorf("%+v", x.Caller)
	}
	// A plain connection, whatever a field says.
	r := w.Policy(Kind, "{}")
	if got := outcome(r.Ask("GET / HTTP/1.1\nHost: a\nClient-Cert: " + field(acme) + "\n\n")); got != "nothing" {
		t.Error(got)
	}
}

// What endpoints are told of the certificate is told by us alone.
func TestForward(t *testing.T) {
	acme := openssl(t, "/CN=acme")
	w := world(t, map[string]consumer.CertificateSpec{"acme": {Subject: "CN=acme"}})
	f := func(options string, c *x509.Certificate, want string) {
		t.Helper()
		x := ask(w.Policy(Kind, options), c, "client-cert: :AAAA:", "Client-Cert-Chain: :AAAA:", "Client-Cert: :BBBB:", "Client_Cert: :CCCC:", "CLIENT_CERT-chain: :DDDD:")
		for _, trailer := range []string{"Client-Cert", "client_cert", "Client-Cert-Chain"} {
			if !x.Request.Reserved(trailer) {
				t.Errorf("%s: a trailer %s goes on", options, trailer)
			}
		}
		var got []string
		for _, line := range x.Request.Header.All() {
			if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(line.Name), "_", "-"), "client-cert") {
				got = append(got, line.Name+": "+line.Value)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %q, want %s", options, got, want)
		}
	}
	f("{}", acme, "[]")
	f("{consumer_required: false}", nil, "[]")
	f("{forward: true}", acme, "[Client-Cert: :"+base64.StdEncoding.EncodeToString(acme.Raw)+":]")
}

// Where another method accepts, endpoints are not told of a certificate that this route does not take.
func TestForwardBesides(t *testing.T) {
	w := world(t, nil)
	r := w.Policies(policytest.Use{Kind: Kind, YAML: "{forward: true}"}, policytest.Use{Kind: policy.Kind{Name: "other", Build: func(policy.Options) (any, error) { return yes{}, nil }}, YAML: "{}"})
	x := ask(r, openssl(t, "/CN=acme"), "Client-Cert: :AAAA:")
	if got, ok := x.Request.Header.Header(clientCert); ok || x.Fault != nil || x.Caller.Method != "other" {
		t.Errorf("%q, %+v", got, x.Caller)
	}
}

// yes accepts everybody.
type yes struct{}

func (yes) Authenticate(*exchange.Exchange) policy.Finding { return policy.Accepted }
func (yes) Challenge(*exchange.Exchange, policy.Finding)   {}
func (yes) Hide(*exchange.Exchange, policy.Finding)        {}

// A certificate, or what the consumer may show it for, can be over while its connection lives.
func TestExpires(t *testing.T) {
	acme := openssl(t, "/CN=acme")
	now := time.Now()
	clock := func() time.Time { return now }
	w := world(t, map[string]consumer.CertificateSpec{"acme": {Subject: "CN=acme", Terms: consumer.Terms{Expires: now.Unix() + 100}}})
	r := w.Policy(kind(clock), "{}")
	f := func(at time.Time, want string) {
		t.Helper()
		now = at
		if got := outcome(ask(r, acme)); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
	f(now, "acme of-acme")
	f(now.Add(101*time.Second), "expired_credential")
	f(acme.NotAfter.Add(time.Second), "expired")
}

// A certificate that the next revision gives to nobody is nobody's, on connections that stand too.
func TestRevision(t *testing.T) {
	acme := openssl(t, "/CN=acme")
	w := world(t, map[string]consumer.CertificateSpec{"acme": {Subject: "CN=acme"}})
	if got := outcome(ask(w.Policy(Kind, "{}"), acme)); got != "acme of-acme" {
		t.Error(got)
	}
	w.Consumers = consumer.Empty()
	if got := outcome(ask(w.Policy(Kind, "{}"), acme)); got != "unknown" {
		t.Error(got)
	}
}

// More certificates than there are places are all told apart.
func TestCrowd(t *testing.T) {
	acme, other := openssl(t, "/CN=acme"), openssl(t, "/CN=other")
	w := world(t, map[string]consumer.CertificateSpec{"acme": {Subject: "CN=acme"}})
	r := w.Policy(Kind, "{forward: true}")
	conns := make([]*x509.Certificate, 3*places)
	for i := range conns { // a certificate of each connection's own
		c := *acme
		if i%2 == 1 {
			c = *other
		}
		conns[i] = &c
	}
	for range 2 {
		for i, c := range conns {
			want := map[int]string{0: "acme of-acme", 1: "unknown"}[i%2]
			if got := outcome(ask(r, c)); got != want {
				t.Fatalf("%d: %s, want %s", i, got, want)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		if got := policytest.New(t).Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f("{subjects: []}", "subjects")
	f("{names: ['']}", "names")
	f("{issuers: [' x']}", "issuers")
	f("{realm: 'a\"b'}", "realm")
	f("{subject: x}", "subject")
}

// ready is the policy with a certificate that it has judged.
func ready(t testing.TB) (policy.Authenticator, *exchange.Exchange) {
	acme := openssl(t, "/CN=acme")
	w := world(t, map[string]consumer.CertificateSpec{"acme": {Subject: "CN=acme"}})
	r := &running{settings: &settings{terms: terms{required: true}, forward: true, now: time.Now}, consumers: w.Consumers}
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{TLS: &exchange.TLS{Client: acme}}, 1)
	if r.Authenticate(x) != policy.Accepted {
		t.Fatal(x.Verdicts)
	}
	r.Hide(x, policy.Unasked)
	return r, x
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r, x := ready(t)
	if got := testing.AllocsPerRun(1000, func() {
		if r.Authenticate(x) != policy.Accepted {
			t.Error(x.Verdicts)
		}
		x.Request.Header.Reset()
		r.Hide(x, policy.Unasked)
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	r, x := ready(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Authenticate(x)
		x.Request.Header.Reset()
		r.Hide(x, policy.Unasked)
	}
}

package consumer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func certificate(t *testing.T, template x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template.SerialNumber, template.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

func TestCertificate(t *testing.T) {
	spiffe, err := url.Parse("spiffe://example.com/orders")
	check(t, err)
	full := certificate(t, x509.Certificate{
		Subject:  pkix.Name{CommonName: "orders", Organization: []string{"Acme, Inc."}, Country: []string{"NO"}},
		DNSNames: []string{"a.example.com", "B.example.com"}, EmailAddresses: []string{"Ops@Example.com"}, URIs: []*url.URL{spiffe},
	})
	sum := sha256.Sum256(full.Raw)
	fingerprint := CertificateSpec{Fingerprint: strings.ToUpper(hex.EncodeToString(sum[:]))}
	subject := CertificateSpec{Subject: `CN=orders,O=Acme\, Inc.,C=NO`}
	uri := CertificateSpec{URI: "spiffe://example.com/orders"}
	dns := CertificateSpec{DNS: "b.Example.com"}
	email := CertificateSpec{Email: "Ops@example.COM"}
	f := func(want string, specs ...CertificateSpec) {
		t.Helper()
		b := NewBuilder()
		for i, s := range specs {
			id := string(rune('a' + i))
			check(t, b.Consumer(Consumer{ID: id}))
			check(t, b.Certificate(id, s))
		}
		got := ""
		if c, ok := b.Build().Certificate(full); ok {
			got = c.Consumer.ID
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", specs, got, want)
		}
	}
	f("")
	for _, s := range []CertificateSpec{fingerprint, subject, uri, dns, email} {
		f("a", s)
	}
	// The most particular mark counts.
	f("e", email, dns, uri, subject, fingerprint)
	f("d", email, dns, uri, subject)
	f("c", email, dns, uri)
	f("b", email, dns)
	// Two names for two consumers are nobody's.
	f("", dns, CertificateSpec{DNS: "a.example.com"}, email)
	f("b", CertificateSpec{DNS: "c.example.com"}, dns)
	// A subject may be written with spaces, in another case of its types, and with other escapes.
	f("a", CertificateSpec{Subject: `cn=orders, o = Acme\2C Inc. , C=NO`})
	// What only looks alike.
	f("", CertificateSpec{Subject: `CN=Orders,O=Acme\, Inc.,C=NO`})
	f("", CertificateSpec{Subject: "CN=orders"})
	f("", CertificateSpec{Subject: `C=NO,O=Acme\, Inc.,CN=orders`})
	f("", CertificateSpec{DNS: "example.com"})
	f("", CertificateSpec{DNS: "ops@example.com"})
	f("", CertificateSpec{Email: "ops@example.com"})
	f("", CertificateSpec{URI: "spiffe://example.com/Orders"})
	f("", CertificateSpec{Fingerprint: strings.Repeat("00", 32)})

	// A certificate without any of these, and one with too many.
	b := NewBuilder()
	check(t, b.Consumer(Consumer{ID: "a"}))
	for _, s := range []CertificateSpec{fingerprint, subject, uri, dns, email} {
		check(t, b.Certificate("a", s))
	}
	d := b.Build()
	if c, ok := d.Certificate(certificate(t, x509.Certificate{})); ok {
		t.Errorf("%+v", c)
	}
	var many []string
	for range maxNames {
		many = append(many, "x.example.com")
	}
	if c, ok := d.Certificate(certificate(t, x509.Certificate{DNSNames: append(many, "b.example.com")})); ok {
		t.Errorf("%+v", c)
	}
	if _, ok := d.Certificate(certificate(t, x509.Certificate{DNSNames: append(many[1:], "b.example.com")})); !ok {
		t.Error("the 64th name was not looked at")
	}
}

func TestCertificateRefused(t *testing.T) {
	f := func(want string, s CertificateSpec) {
		t.Helper()
		b := NewBuilder()
		check(t, b.Consumer(Consumer{ID: "a"}))
		check(t, b.Certificate("a", CertificateSpec{DNS: "taken.example.com"}))
		if err := b.Certificate("a", s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
	f("exactly one", CertificateSpec{})
	f("exactly one", CertificateSpec{DNS: "a", URI: "b"})
	f("dns:taken.example.com is there twice", CertificateSpec{DNS: "Taken.example.com"})
	f("64 hexadecimal", CertificateSpec{Fingerprint: "aa"})
	f("64 hexadecimal", CertificateSpec{Fingerprint: strings.Repeat("zz", 32)})
	f("name@domain", CertificateSpec{Email: "@example.com"})
	f("allowed", CertificateSpec{Subject: "CN=a\nb"})
	for _, bad := range []string{"CN", "=a", "CN=a,", "CN=a+", "CN=a,O", `CN=a\`, `CN="a"`, "CN=a;O=b", "CN=#1", "CN=#01x", "/CN=a/O=b", `CN=\ff`} {
		f("subject that cannot be read", CertificateSpec{Subject: bad})
	}
	f("allowed", CertificateSpec{URI: strings.Repeat("a", 3000)})
}

// What openssl prints is what the configuration takes.
func TestSubjectAsOpenSSLPrintsIt(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	c := certificate(t, x509.Certificate{Subject: pkix.Name{
		CommonName: "ann + bøb", Organization: []string{"Acme, Inc."}, OrganizationalUnit: []string{"R&D", "#1"}, Country: []string{"NO"}, Locality: []string{`a"b\c;d<e>`}, SerialNumber: "7",
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b.c"}, {Type: []int{0, 9, 2342, 19200300, 100, 1, 25}, Value: " x "}},
	}})
	run := exec.Command(openssl, "x509", "-noout", "-subject", "-nameopt", "RFC2253")
	run.Stdin = strings.NewReader(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	out, err := run.Output()
	check(t, err)
	want, err := canonicalSubject(strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n"))
	check(t, err)
	if got, err := canonicalSubject(Subject(c)); err != nil || got != want {
		t.Errorf("%s, %v\nopenssl: %s", got, err, want)
	}
	t.Log(string(out), Subject(c))
}

package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serials big.Int

// order is what a certificate is to be like. What is left out is ordinary.
type order struct {
	names     []string
	key       crypto.Signer
	from      time.Time
	until     time.Time
	issuer    bool
	responder string
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var newRSA = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	a.cert = a.issue(t, order{names: []string{"authority"}, key: a.key, issuer: true})
	return a
}

// issue makes a certificate; the first one of an authority is its own.
func (a *authority) issue(t testing.TB, o order) *x509.Certificate {
	t.Helper()
	if o.from.IsZero() {
		o.from = time.Now().Add(-time.Hour)
	}
	if o.until.IsZero() {
		o.until = o.from.Add(90 * 24 * time.Hour)
	}
	serial := serials.Add(&serials, big.NewInt(1))
	c := &x509.Certificate{
		SerialNumber: new(big.Int).Set(serial), NotBefore: o.from, NotAfter: o.until, DNSNames: o.names,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: o.issuer,
	}
	if o.responder != "" {
		c.OCSPServer = []string{o.responder}
	}
	if len(o.names) > 0 {
		c.Subject = pkix.Name{CommonName: o.names[0]}
	}
	if o.issuer {
		c.DNSNames = nil
		c.KeyUsage |= x509.KeyUsageCertSign
	}
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, o.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// texts are the two files of a pair: a certificate as ordered with the authority's, and its key.
func (a *authority) texts(t testing.TB, o order) (cert, key string) {
	t.Helper()
	if o.key == nil {
		o.key = newKey(t)
	}
	return pemCerts(a.issue(t, o), a.cert), pemKey(t, o.key)
}

func pemCerts(all ...*x509.Certificate) string {
	var b bytes.Buffer
	for _, c := range all {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.String()
}

func pemKey(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files writes a pair as ordered into dir.
func (a *authority) files(t testing.TB, dir, name string, o order) Pair {
	t.Helper()
	p := Pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
	a.renew(t, p, o)
	return p
}

// renew writes a pair anew in its place.
func (a *authority) renew(t testing.TB, p Pair, o order) {
	t.Helper()
	cert, key := a.texts(t, o)
	write(t, p.Cert, cert)
	write(t, p.Key, key)
}

// logs collects what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func newStore(o Options) (*Store, *logs) {
	out := new(logs)
	o.Log = slog.New(slog.NewTextHandler(out, nil))
	return NewStore(o), out
}

func prepare(t testing.TB, s *Store, settings Settings) *Choice {
	t.Helper()
	c, err := s.Prepare(settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits until a condition holds that nothing announces.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

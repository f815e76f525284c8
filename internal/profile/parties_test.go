package profile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// party is a certificate and its key.
type party struct {
	cert *x509.Certificate
	key  crypto.Signer
	by   *party
}

// issue makes a party; by is nil for a root. change may alter what is ordinary.
func issue(t testing.TB, by *party, name string, change func(*x509.Certificate)) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(c)
	}
	parent, signer := c, crypto.Signer(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	p := &party{key: key, by: by}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

func authority(c *x509.Certificate) {
	c.IsCA = true
	c.KeyUsage = x509.KeyUsageCertSign
}

func forServer(c *x509.Certificate) {
	c.DNSNames = []string{"a.example"}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func forClient(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// chain is the party with all above it but the root.
func (p *party) chain() *tls.Certificate {
	c := &tls.Certificate{PrivateKey: p.key, Leaf: p.cert}
	for each := p; each == p || each != nil && each.by != nil; each = each.by {
		c.Certificate = append(c.Certificate, each.cert.Raw)
	}
	return c
}

func (p *party) authorities(t testing.TB) *Authorities {
	t.Helper()
	all, err := parse(pemCerts(p.cert), false)
	if err != nil {
		t.Fatal(err)
	}
	return gather(all)
}

// files writes the certificate and the key for programs that want files.
func (p *party) files(t testing.TB) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, "crt"), pemCerts(p.cert)), write(t, filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func pemCerts(all ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range all {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// outcome is how a handshake went on our side.
type outcome struct {
	state tls.ConnectionState
	err   error
}

// served shakes hands as a listener with the config would, and hands out how it went.
func served(t testing.TB, config *tls.Config) (address string, outcomes <-chan outcome) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all, done := make(chan outcome, 16), make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			c := tls.Server(nc, config)
			err = c.Handshake()
			all <- outcome{c.ConnectionState(), err}
			if err == nil {
				c.CloseWrite()
			}
			// Who closes with something unread resets, and the other side would lose the alert.
			var rest [256]byte
			for err = nil; err == nil; {
				_, err = nc.Read(rest[:])
			}
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), all
}

func server(t testing.TB, s Settings) *tls.Config {
	t.Helper()
	if s.Certificate == nil {
		p := issue(t, issue(t, nil, "authority", authority), "a.example", forServer)
		c := p.chain()
		s.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c, nil }
	}
	config, err := Server(s)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

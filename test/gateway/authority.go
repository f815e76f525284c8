package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// Authority signs certificates for a test. Nobody trusts it but those who are given its Pool or File.
type Authority struct {
	File string // PEM of its own certificate
	Pool *x509.CertPool
	Cert *x509.Certificate

	t   testing.TB
	dir string
	key *ecdsa.PrivateKey
	mu  sync.Mutex
	n   int64 // certificates so far
}

// NewAuthority makes an authority with files of its own that are removed after the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir(), Pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Straum test authority", Organization: []string{a.dir}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, self, self, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool.AddCert(a.Cert)
	a.File = filepath.Join(a.dir, "authority.pem")
	a.write(a.File, block("CERTIFICATE", der))
	a.write(filepath.Join(a.dir, "authority.key"), a.pkcs8(a.key))
	return a
}

// KeyFile is the file of its private key, for the responder of `openssl ocsp`.
func (a *Authority) KeyFile() string { return filepath.Join(a.dir, "authority.key") }

// Pair is a certificate with its private key in PEM files.
type Pair struct {
	Cert, Key string // paths
	Serial    string // hexadecimal, in capitals, as openssl prints it
	TLS       tls.Certificate
}

// YAML is the pair as one of a listener's certificates.
func (p *Pair) YAML() string { return fmt.Sprintf("{ cert: %q, key: %q }", p.Cert, p.Key) }

// Want changes what is issued.
type Want func(*x509.Certificate, *crypto.Signer)

// RSA asks for a key of that kind. The ordinary one is ECDSA P-256.
func RSA(_ *x509.Certificate, key *crypto.Signer) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // the machine has no randomness
	}
	*key = k
}

// Until sets when it ends: Expired in the past.
func Until(end time.Time) Want {
	return func(c *x509.Certificate, _ *crypto.Signer) {
		c.NotAfter = end
		if !end.After(c.NotBefore) {
			c.NotBefore = end.Add(-24 * time.Hour)
		}
	}
}

// Responder names an OCSP responder.
func Responder(url string) Want {
	return func(c *x509.Certificate, _ *crypto.Signer) { c.OCSPServer = []string{url} }
}

// Issue makes a pair for names and addresses, good for both ends of a connection. The first name is its common name too.
func (a *Authority) Issue(names []string, wants ...Want) *Pair {
	a.t.Helper()
	a.mu.Lock()
	a.n++
	n := a.n
	a.mu.Unlock()
	p := &Pair{Cert: filepath.Join(a.dir, fmt.Sprintf("%d.pem", n)), Key: filepath.Join(a.dir, fmt.Sprintf("%d.key", n))}
	a.IssueTo(p, names, wants...)
	return p
}

// IssueTo issues into the files of p, each replaced by a rename, the key first.
func (a *Authority) IssueTo(p *Pair, names []string, wants ...Want) {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		a.t.Fatal(err)
	}
	serial.SetBit(serial, 100, 1)
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	var key crypto.Signer
	for _, want := range wants {
		want(c, &key)
	}
	if key == nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			a.t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.Cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	chain, secret := slices.Concat(block("CERTIFICATE", der), block("CERTIFICATE", a.Cert.Raw)), a.pkcs8(key)
	a.write(p.Key, secret)
	a.write(p.Cert, chain)
	p.Serial = fmt.Sprintf("%X", serial)
	if p.TLS, err = tls.X509KeyPair(chain, secret); err != nil {
		a.t.Fatal(err)
	}
}

// Trusting is the TLS of a client that trusts the authority alone and asks for a name.
func (a *Authority) Trusting(name string, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: a.Pool, ServerName: name, NextProtos: protocols}
}

func (a *Authority) pkcs8(key crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

// write replaces a file as a whole.
func (a *Authority) write(path string, text []byte) {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"straum.dev/straum/internal/wording"
)

// Pair names the two PEM files of a certificate. They may be the same file.
type Pair struct {
	Cert string // the certificate, followed by the intermediates that lead to a root
	Key  string // its private key, not encrypted
}

// ID stands for a pair where a string is needed.
func (p Pair) ID() string { return p.Cert + "\x00" + p.Key }

// maxFile bounds a PEM file, in bytes. The longest chains in use are some 20 KB.
const maxFile = 1 << 20

// kind is how a certificate's key signs, in the order we prefer them: what costs least first.
type kind uint8

const (
	kindECDSA kind = iota
	kindEd25519
	kindRSA
	kinds
)

// loaded is a pair as it was read. It is immutable.
type loaded struct {
	certificate *tls.Certificate // Leaf is set
	kind        kind
	demand      demand
	key         string   // such as ECDSA P-256
	names       []string // lower case, as in the certificate
	digest      [sha256.Size]byte
	warnings    []string // what is wrong with it and does not keep it from being shown
	at          time.Time
}

// contents are the bytes of a pair's files.
type contents struct {
	cert, key []byte
	open      os.FileMode // the permissions of the key file
	digest    [sha256.Size]byte
}

// read reads both files of a pair.
func (p Pair) read() (contents, error) {
	var c contents
	var err error
	if c.cert, _, err = readFile(p.Cert); err != nil {
		return c, problem("certificate", p.Cert, err.Error(), "a readable file with PEM blocks of type CERTIFICATE", "check the path and the permissions of the file and its directories")
	}
	if c.key, c.open, err = readFile(p.Key); err != nil {
		return c, problem("key", p.Key, err.Error(), "a readable file with a PEM block of type PRIVATE KEY", "check the path and that the user straum runs as may read it")
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %o\n", len(c.cert), c.open)
	h.Write(c.cert)
	h.Write(c.key)
	h.Sum(c.digest[:0])
	return c, nil
}

func readFile(name string) ([]byte, os.FileMode, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody to write
	if err != nil {
		return nil, 0, wording.Cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, wording.Cause(err)
	}
	switch {
	case info.IsDir():
		return nil, 0, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return nil, 0, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, 0, wording.Cause(err)
	case len(data) > maxFile:
		return nil, 0, fmt.Errorf("is larger than %d bytes", maxFile)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, 0, errors.New("is empty")
	}
	return data, info.Mode().Perm(), nil
}

// problem words what is wrong with a file: place, found, wanted, remedy.
func problem(what, file, found, wanted, remedy string) error {
	return fmt.Errorf("%s file %s: %s; wanted %s; %s", what, file, found, wanted, remedy)
}

// load makes of the contents what can be shown in a handshake at the time now. An error says why it cannot.
func (p Pair) load(c contents, now time.Time) (*loaded, error) {
	chain, err := p.chain(c.cert)
	if err != nil {
		return nil, err
	}
	key, err := p.privateKey(c.key)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !belongs(key, leaf) {
		return nil, p.mismatch(key, chain)
	}
	l := &loaded{certificate: &tls.Certificate{PrivateKey: key, Leaf: leaf}, digest: c.digest, at: now}
	for _, each := range chain {
		l.certificate.Certificate = append(l.certificate.Certificate, each.Raw)
	}
	switch k := leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		l.kind, l.key = kindECDSA, "ECDSA "+k.Curve.Params().Name
	case ed25519.PublicKey:
		l.kind, l.key = kindEd25519, "Ed25519"
	case *rsa.PublicKey:
		l.kind, l.key = kindRSA, fmt.Sprintf("RSA %d", k.N.BitLen())
	default:
		return nil, problem("certificate", p.Cert, fmt.Sprintf("its key is of the kind %s", leaf.PublicKeyAlgorithm), "ECDSA, RSA or Ed25519", "have it issued for such a key")
	}
	var ok bool
	if l.demand, ok = demands(leaf.PublicKey); !ok {
		return nil, problem("certificate", p.Cert, "its key is "+l.key, "a key on the curve P-256, P-384 or P-521", "have it issued for such a key")
	}
	for _, name := range leaf.DNSNames {
		l.names = append(l.names, strings.ToLower(name))
	}
	l.warnings = p.warnings(c, chain, l)
	return l, nil
}

// chain reads all certificates of a file.
func (p Pair) chain(data []byte) ([]*x509.Certificate, error) {
	const wanted = "the certificate, followed by its intermediates, as PEM blocks of type CERTIFICATE"
	var chain []*x509.Certificate
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue // some tools write the key into the same file
		}
		each, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, problem("certificate", p.Cert, fmt.Sprintf("block %d cannot be read: %v", n, err), wanted, "write the file anew")
		}
		chain = append(chain, each)
	}
	// An END that is missing leaves its block unread: the file was caught while it was being written.
	if bytes.Contains(data, []byte("-----BEGIN CERTIFICATE")) {
		return nil, problem("certificate", p.Cert, "its last block has no end", wanted, "write the file completely; it is read again when it changes")
	}
	if len(chain) == 0 {
		return nil, problem("certificate", p.Cert, "holds no block of type CERTIFICATE", wanted, "convert it with: openssl x509 -inform der -in FILE -out NEW")
	}
	return chain, nil
}

// privateKey reads the first private key of a file.
func (p Pair) privateKey(data []byte) (crypto.Signer, error) {
	const wanted = "a private key, not encrypted, as a PEM block of type PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"
	fail := func(found, remedy string) error { return problem("key", p.Key, found, wanted, remedy) }
	const decrypt = "decrypt it with: openssl pkey -in FILE -out NEW"
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			if bytes.Contains(data, []byte("-----BEGIN")) {
				return nil, fail("its last block has no end", "write the file completely; it is read again when it changes")
			}
			return nil, fail("holds no private key", "check that certificate and key are not swapped")
		}
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, fail("its key is encrypted", decrypt)
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fail("its key is encrypted", decrypt)
		default:
			continue
		}
		if err != nil {
			// Its text could hold parts of the key's encoding.
			return nil, fail("its key cannot be read", "write the file anew")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fail("its key cannot sign", "use an ECDSA, RSA or Ed25519 key")
		}
		return signer, nil
	}
}

// belongs says whether a certificate is for the public half of key.
func belongs(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// mismatch says what became of a key that is not the first certificate's.
func (p Pair) mismatch(key crypto.Signer, chain []*x509.Certificate) error {
	for i, c := range chain {
		if belongs(key, c) {
			return problem("certificate", p.Cert, fmt.Sprintf("the certificate the key belongs to is number %d of %d", i+1, len(chain)),
				"it to be the first, followed by the one that issued it, and so on", "put it in front")
		}
	}
	return problem("key", p.Key, fmt.Sprintf("it is not the key of the certificate in %s, whose subject is %s", p.Cert, subject(chain[0])),
		"the key the certificate was issued for", "compare the outputs of: openssl pkey -pubout -in KEY and openssl x509 -pubkey -noout -in CERT")
}

func subject(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return "empty"
}

// warnings are what is wrong with a pair that can nevertheless be shown.
func (p Pair) warnings(c contents, chain []*x509.Certificate, l *loaded) (all []string) {
	warn := func(form string, arguments ...any) { all = append(all, fmt.Sprintf(form, arguments...)) }
	for i, each := range chain[:len(chain)-1] {
		if err := each.CheckSignatureFrom(chain[i+1]); err != nil {
			warn("certificate file %s: number %d (%s) is not issued by number %d (%s); many clients will not trust it; wanted is each followed by its issuer",
				p.Cert, i+1, subject(each), i+2, subject(chain[i+1]))
			break
		}
	}
	if len(chain) == 1 && !bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject) {
		warn("certificate file %s: it holds no issuer; clients that do not know %s will not trust it; append the intermediates (fullchain.pem rather than cert.pem)",
			p.Cert, chain[0].Issuer)
	}
	if len(l.names) == 0 && len(chain[0].IPAddresses) == 0 {
		warn("certificate file %s: it holds no names (subjectAltName); no client of today accepts it, and it is only shown when no other fits", p.Cert)
	}
	if c.open&0o007 != 0 {
		warn("key file %s: everybody on the box may use it (permissions %04o); wanted is 0600 or 0640; run: chmod o= %s", p.Key, c.open, p.Key)
	}
	return all
}

// validity says what is wrong with the dates of a certificate at the time now, or nothing.
func (l *loaded) validity(now time.Time) string {
	leaf := l.certificate.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return "it expired at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(leaf.NotBefore):
		return "it is valid only from " + leaf.NotBefore.UTC().Format(time.RFC3339) + " on"
	}
	return ""
}

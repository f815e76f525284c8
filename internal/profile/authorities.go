package profile

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"straum.dev/straum/internal/wording"
)

// Authorities are certificates that vouch for others. They are immutable.
type Authorities struct {
	pool   *x509.CertPool
	digest string
}

// maxAuthorities bounds a file of them, in bytes. The list of a browser has 200 KB.
const maxAuthorities = 4 << 20

// LoadAuthorities reads the CERTIFICATE blocks of a PEM file. Other blocks are passed over. A certificate that says of itself that it
// is no authority's (CA:FALSE) is refused: it vouches for nobody, so it does not belong among those who say which clients may come in.
func LoadAuthorities(file string) (*Authorities, error) { return load(file, false) }

// LoadRoots is LoadAuthorities for those whom we call, such as the directory of a private authority. It also takes a certificate with
// CA:FALSE that is signed by its own key: many a private service shows one that it has made itself, and who lists it here trusts that
// service and no other. One that somebody else has signed is refused; what is wanted then is the signer's.
func LoadRoots(file string) (*Authorities, error) { return load(file, true) }

func load(file string, own bool) (*Authorities, error) {
	data, err := readAll(file)
	if err != nil {
		return nil, problem(file, err.Error(), "check the path and that the user straum runs as may read it")
	}
	all, err := parse(data, own)
	if err != nil {
		return nil, problem(file, err.Error(), "write the file anew; DER is converted with: openssl x509 -inform der -in FILE -out NEW")
	}
	return gather(all), nil
}

func problem(file, found, remedy string) error {
	return fmt.Errorf("file of authorities %s: %s; wanted are certificates of authorities as PEM blocks of type CERTIFICATE; %s", file, found, remedy)
}

func readAll(file string) ([]byte, error) {
	data, err := readRegular(file)
	return data, wording.Cause(err)
}

func readRegular(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody to write
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAuthorities+1))
	if len(data) > maxAuthorities {
		return nil, fmt.Errorf("it is larger than %d bytes", maxAuthorities)
	}
	return data, err
}

// parse reads the text of a file. own takes what LoadRoots does.
func parse(data []byte, own bool) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		each, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d cannot be read: %v", n, err)
		}
		if each.BasicConstraintsValid && !each.IsCA && !(own && signsItself(each)) {
			return nil, fmt.Errorf("block %d is the certificate of %s, who is no authority; its signer is %s", n, each.Subject, each.Issuer)
		}
		all = append(all, each)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, errors.New("its last block has no end")
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return all, nil
}

// signsItself says whether a certificate is signed by the key it is for.
func signsItself(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func gather(all []*x509.Certificate) *Authorities {
	// The order in the file says nothing, so it must not end sessions.
	slices.SortFunc(all, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	a := &Authorities{pool: x509.NewCertPool()}
	h := sha256.New()
	for _, each := range all {
		a.pool.AddCert(each)
		h.Write(each.Raw)
	}
	a.digest = hex.EncodeToString(h.Sum(nil))
	return a
}

// Pool is for whoever verifies. It is not to be changed.
func (a *Authorities) Pool() *x509.CertPool { return a.pool }

// Digest stands for the set of certificates.
func (a *Authorities) Digest() string { return a.digest }

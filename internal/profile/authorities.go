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
	"time"
)

// Authorities are certificates that vouch for others. They are immutable.
type Authorities struct {
	pool   *x509.CertPool
	all    []*x509.Certificate
	digest string
}

// maxAuthorities bounds a file of them, in bytes. The list of a browser has 200 KB.
const maxAuthorities = 4 << 20

// LoadAuthorities reads the CERTIFICATE blocks of a PEM file. Other blocks are passed over.
func LoadAuthorities(file string) (*Authorities, error) {
	data, err := readAll(file)
	if err != nil {
		return nil, problem(file, err.Error(), "check the path and that the user straum runs as may read it")
	}
	a, err := ParseAuthorities(data)
	if err != nil {
		return nil, problem(file, err.Error(), "write the file anew; DER is converted with: openssl x509 -inform der -in FILE -out NEW")
	}
	return a, nil
}

func problem(file, found, remedy string) error {
	return fmt.Errorf("file of authorities %s: %s; wanted are certificates of authorities as PEM blocks of type CERTIFICATE; %s", file, found, remedy)
}

func readAll(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(f, maxAuthorities+1)); len(data) > maxAuthorities {
			return nil, fmt.Errorf("it is larger than %d bytes", maxAuthorities)
		}
		if err == nil {
			return data, nil
		}
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return nil, err
}

// ParseAuthorities is LoadAuthorities for text that is at hand.
func ParseAuthorities(data []byte) (*Authorities, error) {
	a := &Authorities{pool: x509.NewCertPool()}
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
		if each.BasicConstraintsValid && !each.IsCA {
			return nil, fmt.Errorf("block %d is the certificate of %s, who is no authority", n, each.Subject)
		}
		a.pool.AddCert(each)
		a.all = append(a.all, each)
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, errors.New("its last block has no end")
	}
	if len(a.all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	// The order in the file says nothing, so it must not end sessions.
	slices.SortFunc(a.all, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	h := sha256.New()
	for _, each := range a.all {
		h.Write(each.Raw)
	}
	a.digest = hex.EncodeToString(h.Sum(nil))
	return a, nil
}

// Pool is for whoever verifies. It is not to be changed.
func (a *Authorities) Pool() *x509.CertPool { return a.pool }

// Digest stands for the set of certificates.
func (a *Authorities) Digest() string { return a.digest }

// Count is how many certificates there are.
func (a *Authorities) Count() int { return len(a.all) }

// Ends is when the first of them ends.
func (a *Authorities) Ends() time.Time {
	return slices.MinFunc(a.all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

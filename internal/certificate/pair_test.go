package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is wrong with a pair is said with the file, what was found, what is wanted, and what to do.
func TestPrepareRefuses(t *testing.T) {
	a := newAuthority(t)
	own := newKey(t)
	leaf := a.issue(t, order{names: []string{"a.example"}, key: own})
	cert, key := pemCerts(leaf, a.cert), pemKey(t, own)
	ec, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: ec}))
	legacy := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: ec}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ec[:40]}))
	for _, c := range []struct {
		name, cert, key string
		want            []string
	}{
		{"no certificate file", "-", key, []string{"certificate file", "a.crt", "no such file", "check the path"}},
		{"no key file", cert, "-", []string{"key file", "a.key", "no such file", "check the path"}},
		{"empty", " \n", key, []string{"a.crt", "is empty"}},
		{"not PEM", "\x30\x82", key, []string{"holds no block of type CERTIFICATE", "-inform der"}},
		{"half written", cert[:len(cert)-100], key, []string{"its last block has no end", "write the file completely"}},
		{"half a key", cert, key[:len(key)-20], []string{"a.key", "its last block has no end"}},
		{"not a certificate", strings.Replace(cert, "MII", "AAA", 1), key, []string{"block 1 cannot be read"}},
		{"swapped", key, cert, []string{"a.crt", "holds no block of type CERTIFICATE"}},
		{"certificate as key", cert, cert, []string{"a.key", "holds no private key", "not swapped"}},
		{"encrypted", cert, encrypted, []string{"its key is encrypted", "openssl pkey"}},
		{"encrypted the old way", cert, legacy, []string{"its key is encrypted", "openssl pkey"}},
		{"broken key", cert, broken, []string{"its key cannot be read"}},
		{"other key", cert, pemKey(t, newKey(t)), []string{"it is not the key of the certificate", "CN=a.example", "openssl pkey -pubout"}},
		{"order", pemCerts(a.cert, leaf), key, []string{"number 2 of 2", "put it in front"}},
		{"too large", cert + strings.Repeat("#", maxFile), key, []string{"larger than 1048576 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			good := a.files(t, dir, "good", order{names: []string{"b.example"}})
			p := Pair{filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")}
			for file, text := range map[string]string{p.Cert: c.cert, p.Key: c.key} {
				if text != "-" {
					write(t, file, text)
				}
			}
			s, _ := newStore(Options{})
			_, err := s.Prepare(Settings{Pairs: []Pair{good, p}})
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, want := range append(c.want, "wanted") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("said %q; want %q in it", err, want)
				}
			}
			if len(s.Status()) != 0 {
				t.Error("a refused choice left a pair behind")
			}
			if strings.Contains(err.Error(), key[30:60]) {
				t.Error("the error tells of the key")
			}
		})
	}
}

func TestPrepareWithNothingToShow(t *testing.T) {
	s, _ := newStore(Options{})
	if _, err := s.Prepare(Settings{}); err == nil {
		t.Error("was accepted")
	}
}

// What is odd and can be shown is shown, with a warning.
func TestWarnings(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	key := newKey(t)
	names := []string{"a.example"}
	leaf := a.issue(t, order{names: names, key: key})
	for _, c := range []struct {
		name string
		cert string
		mode os.FileMode
		want string // "" is none
	}{
		{"nothing", pemCerts(leaf, a.cert), 0o600, ""},
		{"group may read", pemCerts(leaf, a.cert), 0o640, ""},
		{"all may read", pemCerts(leaf, a.cert), 0o644, "everybody on the box may use it (permissions 0644)"},
		{"alone", pemCerts(leaf), 0o600, "it holds no issuer"},
		{"wrong issuer", pemCerts(leaf, other.cert), 0o600, "number 1 (CN=a.example) is not issued by number 2"},
		{"no names", pemCerts(a.issue(t, order{key: key}), a.cert), 0o600, "it holds no names"},
		{"expired", pemCerts(a.issue(t, order{names: names, key: key, from: time.Now().Add(-200 * 24 * time.Hour)}), a.cert), 0o600, "it expired at"},
		{"not yet", pemCerts(a.issue(t, order{names: names, key: key, from: time.Now().Add(time.Hour)}), a.cert), 0o600, "it is valid only from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := Pair{filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")}
			write(t, p.Cert, c.cert)
			write(t, p.Key, pemKey(t, key))
			if err := os.Chmod(p.Key, c.mode); err != nil {
				t.Fatal(err)
			}
			s, out := newStore(Options{})
			prepare(t, s, Settings{Pairs: []Pair{p}})
			got := strings.Join(s.Status()[0].Warnings, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("warned of %q; want %q", got, c.want)
			}
			if c.want != "" && out.count(c.want) != 1 {
				t.Errorf("the log has it %d times", out.count(c.want))
			}
		})
	}
}

func TestOneFileForBoth(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.texts(t, order{names: []string{"a.example"}})
	name := filepath.Join(t.TempDir(), "both.pem")
	write(t, name, key+cert)
	s, _ := newStore(Options{})
	prepare(t, s, Settings{Pairs: []Pair{{name, name}}})
}

// What is no file is refused, and nobody waits for a pipe to be written to.
func TestNoRegularFile(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	p := a.files(t, dir, "a", order{names: []string{"a.example"}})
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	for _, c := range []struct {
		pair Pair
		want string
	}{
		{Pair{pipe, p.Key}, "certificate file " + pipe + ": is not a regular file; wanted"},
		{Pair{p.Cert, pipe}, "key file " + pipe + ": is not a regular file; wanted"},
		{Pair{p.Cert, "/dev/null"}, "key file /dev/null: is not a regular file; wanted"},
		{Pair{dir, p.Key}, "is a directory; wanted"},
	} {
		s, _ := newStore(Options{})
		got := make(chan error)
		go func() { _, err := s.Prepare(Settings{Pairs: []Pair{c.pair}}); got <- err }()
		select {
		case err := <-got:
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v; want %q", err, c.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("waits for somebody to write")
		}
	}
}

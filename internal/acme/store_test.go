package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/sys/unix"
)

// A lock keeps others out, here and in other processes, and is free when its holder dies, whatever the file holds.
func TestLocks(t *testing.T) {
	s := newStore(t.TempDir())
	ctx := context.Background()
	if err := s.Lock(ctx, "issue_cert_*.example.com"); err != nil {
		t.Fatal(err)
	}
	other := newStore(s.Path)
	for _, o := range []*store{s, other} {
		if ok, err := o.TryLock(ctx, "issue_cert_*.example.com"); ok || err != nil {
			t.Errorf("a held lock is given: %v, %v", ok, err)
		}
	}
	brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := other.Lock(brief, "issue_cert_*.example.com"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting ends with %v", err)
	}
	if err := s.Unlock(ctx, "issue_cert_*.example.com"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(ctx, "issue_cert_*.example.com"); err == nil {
		t.Error("a lock that is not held is freed")
	}

	// A process holds it, is killed, and has left half a line in the file.
	held := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	held.Env = append(os.Environ(), "STRAUM_TEST_HOLD="+s.Path)
	out, err := held.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line) != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if ok, _ := s.TryLock(ctx, "crashed"); ok {
		t.Error("another process's lock is given")
	}
	_ = held.Process.Kill()
	_ = held.Wait()
	if err := os.WriteFile(filepath.Join(s.Path, "locks", "crashed.lock"), []byte(`{"created":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.TryLock(ctx, "crashed"); !ok || err != nil {
		t.Errorf("the lock of a dead process: %v, %v", ok, err)
	}
}

// TestHoldLock is the other process of TestLocks.
func TestHoldLock(t *testing.T) {
	path := os.Getenv("STRAUM_TEST_HOLD")
	if path == "" {
		t.Skip("run by TestLocks")
	}
	if err := newStore(path).Lock(context.Background(), "crashed"); err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	time.Sleep(time.Minute) // until it is killed
}

// pairFor makes a key and a chain of one.
func pairFor(t *testing.T) (keyPEM, chainPEM []byte) {
	t.Helper()
	cert, file := selfSigned(t)
	keyPEM, err := certmagic.PEMEncodePrivateKey(cert.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	chainPEM, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return keyPEM, chainPEM
}

// put stores a certificate as certmagic does, which takes back what it stored when a later part fails.
func (s *store) put(keyPEM, chainPEM []byte) error {
	ctx := context.Background()
	keys := []string{
		certmagic.StorageKeys.SitePrivateKey("ca", "one.example.com"), certmagic.StorageKeys.SiteCert("ca", "one.example.com"),
		certmagic.StorageKeys.SiteMeta("ca", "one.example.com"),
	}
	for i, value := range [][]byte{keyPEM, chainPEM, []byte("{}")} {
		if err := s.Store(ctx, keys[i], value); err != nil {
			for _, key := range keys[:i] {
				_ = s.Delete(ctx, key)
			}
			return err
		}
	}
	return nil
}

// Whatever moment a crash or a full disk chooses, there is a certificate with its own key: the old or the new one.
func TestStoredAsOne(t *testing.T) {
	ctx := context.Background()
	oldKey, oldChain := pairFor(t)
	newKey, newChain := pairFor(t)
	base := func(s *store) string {
		return strings.TrimSuffix(s.Filename(certmagic.StorageKeys.SiteCert("ca", "one.example.com")), ".crt")
	}
	is := func(t *testing.T, s *store, chain []byte) {
		t.Helper()
		if _, err := newStore(s.Path).holding(ctx, "ca", "one.example.com"); err != nil {
			t.Errorf("not usable: %v", err)
		}
		got, err := s.Load(ctx, certmagic.StorageKeys.SiteCert("ca", "one.example.com"))
		if err != nil || string(got) != string(chain) {
			t.Errorf("another chain than wanted, %v", err)
		}
		if left, _ := filepath.Glob(base(s) + "*" + fresh); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	start := func(t *testing.T) *store {
		s := newStore(t.TempDir())
		if err := s.put(oldKey, oldChain); err != nil {
			t.Fatal(err)
		}
		return s
	}

	t.Run("renewed", func(t *testing.T) {
		s := start(t)
		if err := s.put(newKey, newChain); err != nil {
			t.Fatal(err)
		}
		is(t, s, newChain)
		if len(s.pending) != 0 {
			t.Error("something is still held back")
		}
	})
	t.Run("disk full", func(t *testing.T) {
		s := start(t)
		// The last of the three cannot be written.
		if err := os.Mkdir(base(s)+".json"+fresh, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base(s)+".json"+fresh, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.put(newKey, newChain); err == nil {
			t.Error("no error")
		}
		if len(s.pending) != 0 {
			t.Error("something is still held back")
		}
		if err := os.RemoveAll(base(s) + ".json" + fresh); err != nil {
			t.Fatal(err)
		}
		is(t, s, oldChain)
	})
	files := map[string][]byte{".key": newKey, ".crt": newChain, ".json": []byte("{}")}
	for written := 1; written <= 3; written++ {
		t.Run(fmt.Sprintf("crash with %d written", written), func(t *testing.T) {
			s := start(t)
			for _, kind := range kinds[:written] {
				if err := write(base(s)+kind+fresh, files[kind]); err != nil {
					t.Fatal(err)
				}
			}
			is(t, s, oldChain)
		})
	}
	for placed := 1; placed <= 3; placed++ {
		t.Run(fmt.Sprintf("crash with %d placed", placed), func(t *testing.T) {
			s := start(t)
			for i, kind := range kinds {
				path := base(s) + kind
				if i >= placed {
					path += fresh
				}
				if err := write(path, files[kind]); err != nil {
					t.Fatal(err)
				}
			}
			is(t, s, newChain)
		})
	}
	t.Run("none", func(t *testing.T) {
		if _, err := newStore(t.TempDir()).holding(ctx, "ca", "one.example.com"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		s := start(t)
		if err := s.Delete(ctx, certmagic.StorageKeys.SitePrivateKey("ca", "one.example.com")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.holding(ctx, "ca", "one.example.com"); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("error %v", err)
		}
	})
}

// A stored pair that does not fit is ordered anew, and said so.
func TestUnusableOnDisk(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	key, _ := pairFor(t)
	_, chain := pairFor(t)
	for file, value := range map[string][]byte{
		certmagic.StorageKeys.SitePrivateKey(issuerKey(a.directory()), "one.example.com"): key,
		certmagic.StorageKeys.SiteCert(issuerKey(a.directory()), "one.example.com"):       chain,
		certmagic.StorageKeys.SiteMeta(issuerKey(a.directory()), "one.example.com"):       []byte("{}"),
	} {
		if err := m.store.FileStorage.Store(t.Context(), file, value); err != nil {
			t.Fatal(err)
		}
	}
	g.apply(a.settings(HTTP01, "one.example.com"))
	g.until("one.example.com", "issued", issued)
	g.mustShow("one.example.com", a.roots())
	if !strings.Contains(g.logged.text(), "cannot be used and is ordered anew") {
		t.Error("the log does not say why")
	}
}

// keep stores a certificate for one.example.com that names a responder, as if it had been issued by the authority of a directory.
func keep(t *testing.T, m *Manager, directory string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"one.example.com"}, OCSPServer: []string{"http://127.0.0.1:1/ocsp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(month)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, value := range map[string][]byte{
		certmagic.StorageKeys.SitePrivateKey(issuerKey(directory), "one.example.com"): keyPEM,
		certmagic.StorageKeys.SiteCert(issuerKey(directory), "one.example.com"):       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	} {
		if err := m.store.FileStorage.Store(t.Context(), file, value); err != nil {
			t.Fatal(err)
		}
	}
}

// hung is a stapler whose disk does not answer.
type hung struct{ called, goOn chan struct{} }

func (h *hung) Follow(string, *tls.Certificate, func([]byte)) {
	h.called <- struct{}{}
	<-h.goOn
}

func (h *hung) Drop(string) {}

// Whoever asks how it stands does not wait for what Apply reads; nor does Close, after which nothing comes into force.
func TestSlowDisk(t *testing.T) {
	directory := "https://" + freeAddress() + "/dir"
	s := Settings{Names: []string{"one.example.com"}, Challenges: []string{HTTP01}, Directory: directory}
	for _, closes := range []bool{false, true} {
		h := &hung{make(chan struct{}), make(chan struct{})}
		m, err := New(Options{Directory: t.TempDir(), Stapler: h})
		if err != nil {
			t.Fatal(err)
		}
		keep(t, m, directory)
		applied, answered := make(chan error, 1), make(chan int, 1)
		go func() { applied <- m.Apply(s) }()
		<-h.called
		go func() {
			n := len(m.Status())
			if closes {
				m.Close()
			}
			answered <- n
		}()
		select {
		case n := <-answered:
			if n != 0 {
				t.Errorf("the status tells of %d names before they are in force", n)
			}
		case <-time.After(20 * time.Second):
			t.Error("waits for the disk")
		}
		close(h.goOn)
		if err := <-applied; (err != nil) != closes {
			t.Errorf("Apply, closed meanwhile: %v: %v", closes, err)
		}
		if shows := m.served.Load().byName["one.example.com"] != nil; shows == closes {
			t.Errorf("closed meanwhile: %v; shows a certificate: %v", closes, shows)
		}
		m.Close()
	}
}

// What is no file is refused, and nobody waits for a pipe to be written to.
func TestNoRegularFile(t *testing.T) {
	s := newStore(t.TempDir())
	if err := unix.Mkfifo(s.Filename("pipe"), 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	if err := os.WriteFile(s.Filename("large"), make([]byte, fileMost+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"pipe": "pipe is not a regular file; remove it", "large": "large is larger than 1048576 bytes"} {
		got := make(chan error)
		go func() { _, err := s.Load(t.Context(), key); got <- err }()
		select {
		case err := <-got:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("said %v; want %q", err, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("waits for somebody to write")
		}
	}
	if _, err := s.Load(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

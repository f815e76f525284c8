package acme

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const month = 30 * 24 * time.Hour

// A challenge by HTTP, two names: each gets a certificate of its own, and what is on disk is for us alone.
func TestIssueOverHTTP01(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	g.apply(a.settings(HTTP01, "one.example.com", "Two.Example.com."))

	one := g.until("one.example.com", "issued", issued)
	two := g.until("two.example.com", "issued", issued)
	if one.Serial == two.Serial || one.Serial == "" {
		t.Errorf("serials %q and %q: want one certificate a name", one.Serial, two.Serial)
	}
	for _, name := range []string{"one.example.com", "two.example.com"} {
		c := g.mustShow(name, a.roots())
		if len(c.DNSNames) != 1 || c.DNSNames[0] != name || c.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("%s is shown a certificate for %v with a key of %v", name, c.DNSNames, c.PublicKeyAlgorithm)
		}
	}
	if n := len(m.served.Load().byName["one.example.com"].Certificate); n != 2 || !strings.Contains(one.Issuer, "Intermediate") || one.Key != "ECDSA P-256" {
		t.Errorf("a chain of %d, status %+v", n, one)
	}
	if !strings.Contains(one.OCSP, "names no OCSP responder") {
		t.Errorf("ocsp: %q", one.OCSP)
	}
	if got := g.mustShow("", nil); serial(got) != one.Serial {
		t.Error("a client that names nobody is not shown the first name's certificate")
	}
	if _, err := g.shown("other.example.com", nil); err == nil {
		t.Error("a name nobody configured is shown a certificate")
	}
	if s := m.Stats(); s.Obtained != 2 || s.AnsweredHTTP01 < 2 || s.Names != 2 || s.Served != 2 || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
	if p := m.Protos(); len(p) != 0 {
		t.Errorf("protocols %q are offered without tls-alpn-01", p)
	}
	if files := *m.challenges.files.Load(); len(files) != 0 {
		t.Errorf("%d answers are left", len(files))
	}
	if log := g.logged.text(); strings.Count(log, "terms of service were agreed to") != 1 || !strings.Contains(log, "Do%20what%20thou%20wilt") {
		t.Error("the log does not say once what was agreed to")
	}
	modes(t, m.options.Directory)
}

// modes checks that nobody else can read the state directory.
func modes(t *testing.T, directory string) {
	t.Helper()
	files := 0
	err := filepath.Walk(directory, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files in the state directory, %v", files, err)
	}
}

func TestIssueOverTLSALPN01(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month, func(a *authority) { a.brief = true })
	m := g.manage("")
	s := a.settings(TLSALPN01, "one.example.com", "two.example.com")
	s.Key = rsa2048
	s.Profile = "brief"
	g.apply(s)
	if p := m.Protos(); len(p) != 1 || p[0] != "acme-tls/1" {
		t.Errorf("protocols %q, want acme-tls/1", p)
	}
	one := g.until("one.example.com", "issued", issued)
	g.until("two.example.com", "issued", issued)
	c := g.mustShow("one.example.com", a.roots())
	g.mustShow("two.example.com", a.roots())
	if c.PublicKeyAlgorithm != x509.RSA || one.Key != "RSA 2048" {
		t.Errorf("the key is of %v, the status says %q; want RSA 2048", c.PublicKeyAlgorithm, one.Key)
	}
	if life := c.NotAfter.Sub(c.NotBefore); life > 25*time.Hour {
		t.Errorf("the certificate lives %v: the profile was not asked for", life)
	}
	if s := m.Stats(); s.AnsweredTLS01 < 2 || s.AnsweredHTTP01 != 0 {
		t.Errorf("stats %+v", s)
	}
}

// An authority may want the account bound to another one.
func TestExternalAccount(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month, func(a *authority) {
		a.eab = map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
	})
	g.manage("")
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	st := g.until("one.example.com", "failed", func(s Status) bool { return s.State == Failed })
	if !strings.Contains(st.Error, "key id and HMAC key") {
		t.Errorf("error %q", st.Error)
	}
	s.Binding = Binding{"kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
	g.apply(s)
	g.until("one.example.com", "issued", issued)
}

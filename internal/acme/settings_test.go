package acme

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSettingsRefused(t *testing.T) {
	good := func() Settings { return Settings{Names: []string{"api.example.com"}, Challenges: []string{HTTP01}} }
	if _, _, err := check(good()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Settings){
		"exclude each other":           func(s *Settings) { s.Staging, s.Directory = true, "https://x/dir" },
		"not an https URL":             func(s *Settings) { s.Directory = "http://ca.example.com/dir" },
		"is not an address":            func(s *Settings) { s.Email = "a@b, c@d" },
		"allowed are p256 and rsa2048": func(s *Settings) { s.Key = "p512" },
		"both its key id":              func(s *Settings) { s.Binding.KeyID = "x" },
		"not base64url":                func(s *Settings) { s.Binding = Binding{"x", "a+b/"} },
		"need a digest":                func(s *Settings) { s.Roots = x509.NewCertPool() },
		"a digest needs roots":         func(s *Settings) { s.RootsDigest = "x" },
		"no challenge can be answered": func(s *Settings) { s.Challenges = nil },
		"allowed are http-01":          func(s *Settings) { s.Challenges = []string{"tls-sni-01"} },
		"is an IP address":             func(s *Settings) { s.Names = []string{"192.0.2.1"} },
		"[2001:db8::1]":                func(s *Settings) { s.Names = []string{"[2001:db8::1]"} },
		"not a full host name":         func(s *Settings) { s.Names = []string{"localhost"} },
		"\"a b.example.com\"":          func(s *Settings) { s.Names = []string{"a b.example.com"} },
		"\"../../etc.example.com\"":    func(s *Settings) { s.Names = []string{"../../etc.example.com"} },
		"wildcard, which takes":        func(s *Settings) { s.Names = []string{"*.example.com"} },
		"at most 1000":                 func(s *Settings) { s.Names = make([]string, 1001) },
		"nothing says how to write":    func(s *Settings) { s.Challenges = []string{DNS01} },
		"not both":                     func(s *Settings) { s.Challenges = []string{DNS01}; s.DNS = DNS{Update: &Update{}, Program: &Program{}} },
		"need the address of a server": func(s *Settings) { s.Challenges = []string{DNS01}; s.DNS = DNS{Update: &Update{}} },
		"algorithm \"md5\"": func(s *Settings) {
			s.Challenges = []string{DNS01}
			s.DNS = DNS{Update: &Update{Server: "x", Algorithm: "md5"}}
		},
		"name and its secret": func(s *Settings) {
			s.Challenges = []string{DNS01}
			s.DNS = DNS{Update: &Update{Server: "x", KeyName: "k"}}
		},
		"secret of key \"k\" is not": func(s *Settings) {
			s.Challenges = []string{DNS01}
			s.DNS = DNS{Update: &Update{Server: "x", KeyName: "k", Secret: "?"}}
		},
		"not an absolute path": func(s *Settings) { s.Challenges = []string{DNS01}; s.DNS = DNS{Program: &Program{Path: "hook"}} },
		"allowed is up to 10m": func(s *Settings) {
			s.Challenges = []string{DNS01}
			s.DNS = DNS{Program: &Program{Path: "/hook", Timeout: time.Hour}}
		},
	} {
		s := good()
		change(&s)
		if _, _, err := check(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestSettingsFilled(t *testing.T) {
	for _, c := range []struct {
		s         Settings
		directory string
	}{
		{Settings{}, letsEncrypt},
		{Settings{Staging: true}, letsEncryptStaging},
		{Settings{Directory: "https://ca.internal:9000/acme/dir"}, "https://ca.internal:9000/acme/dir"},
	} {
		c.s.Names = []string{"API.Example.com.", "bücher.example.com", "api.example.com"}
		c.s.Challenges = []string{TLSALPN01, HTTP01, TLSALPN01}
		got, names, err := check(c.s)
		if err != nil || got.directory != c.directory || got.key != p256 {
			t.Errorf("%+v, %v", got, err)
		}
		if fmt.Sprint(names) != "[api.example.com xn--bcher-kva.example.com]" || fmt.Sprint(got.challenges) != "[http-01 tls-alpn-01]" {
			t.Errorf("names %q, challenges %q", names, got.challenges)
		}
		again, _, _ := check(c.s)
		if !got.same(again) {
			t.Error("the same settings give other terms")
		}
		c.s.Roots, c.s.RootsDigest = x509.NewCertPool(), "a"
		rooted, _, _ := check(c.s)
		c.s.Roots = x509.NewCertPool() // the same file, read again
		reread, _, _ := check(c.s)
		c.s.RootsDigest = "b"
		if other, _, _ := check(c.s); rooted.same(got) || !rooted.same(reread) || rooted.same(other) {
			t.Error("terms are told apart by something else than what the roots are")
		}
	}
	if got := issuerKey("https://ca.internal:9000/acme/dir"); got != "ca.internal:9000-acme-dir" {
		t.Errorf("key %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a manager without a directory")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Directory: filepath.Join(file, "acme")}); err == nil {
		t.Error("a directory below a file")
	}
}

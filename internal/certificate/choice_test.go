package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// able is a client of today.
func able(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedProtos:   []string{"h2", "http/1.1"},
	}
}

// shown tells a certificate by its subject and the kind of its key.
func shown(c *tls.Certificate) string {
	if c == nil {
		return "none"
	}
	return c.Leaf.Subject.CommonName + " " + c.Leaf.PublicKeyAlgorithm.String()
}

func TestChoice(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	first := a.files(t, dir, "first", order{names: []string{"first.example"}, key: newRSA()})
	firstEC := a.files(t, dir, "firstEC", order{names: []string{"first.example"}})
	both := a.files(t, dir, "both", order{names: []string{"Both.example", "*.both.example"}})
	bothRSA := a.files(t, dir, "bothRSA", order{names: []string{"both.example"}, key: newRSA()})
	again := a.files(t, dir, "again", order{names: []string{"again.example", "both.example"}})
	wild := a.files(t, dir, "wild", order{names: []string{"*.example"}})
	ed := a.files(t, dir, "ed", order{names: []string{"ed.example"}, key: newEd25519()})

	issued := a.issue(t, order{names: []string{"issued.example"}, key: newKey(t)})
	broken := errors.New("not issued yet")
	fallback := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		switch hello.ServerName {
		case "issued.example", "first.example":
			return &tls.Certificate{Leaf: issued}, nil
		case "late.example":
			return nil, broken
		}
		return nil, nil
	}
	old := able("both.example")
	old.SignatureSchemes = []tls.SignatureScheme{tls.PSSWithSHA256}
	challenge := able("first.example")
	challenge.SupportedProtos = []string{acmeTLS}
	oldNobody := able("")
	oldNobody.SignatureSchemes = old.SignatureSchemes

	all := []Pair{first, firstEC, both, bothRSA, again, wild, ed}
	for _, c := range []struct {
		name     string
		settings Settings
		hello    *tls.ClientHelloInfo
		want     string
	}{
		{"exact", Settings{Pairs: all}, able("again.example"), "again.example ECDSA"},
		{"any case", Settings{Pairs: all}, able("AGAIN.Example"), "again.example ECDSA"},
		{"the certificate's case", Settings{Pairs: all}, able("both.example"), "Both.example ECDSA"},
		{"exact before wildcard", Settings{Pairs: all}, able("ed.example"), "ed.example Ed25519"},
		{"wildcard", Settings{Pairs: all}, able("other.example"), "*.example ECDSA"},
		{"wildcard of a name", Settings{Pairs: all}, able("x.both.example"), "Both.example ECDSA"},
		{"a wildcard is one label", Settings{Pairs: all}, able("x.y.both.example"), "first.example ECDSA"},
		{"a wildcard is a label", Settings{Pairs: all}, able(".example"), "first.example ECDSA"},
		{"the star is no name", Settings{Pairs: []Pair{first, wild}, Strict: true}, able("example"), "none"},
		{"RSA for who knows no other", Settings{Pairs: all}, old, "both.example RSA"},
		{"the earlier of two alike", Settings{Pairs: []Pair{again, both}}, able("both.example"), "again.example ECDSA"},
		{"default", Settings{Pairs: all}, able("elsewhere.test"), "first.example ECDSA"},
		{"default in RSA", Settings{Pairs: all}, oldNobody, "first.example RSA"},
		{"no name", Settings{Pairs: all}, able(""), "first.example ECDSA"},
		{"strict", Settings{Pairs: all, Strict: true}, able("elsewhere.test"), "none"},
		{"strict and no name", Settings{Pairs: all, Strict: true}, able(""), "first.example ECDSA"},
		{"longer than any name", Settings{Pairs: all}, able(strings.Repeat("a", 300)), "first.example ECDSA"},
		{"pair before fallback", Settings{Pairs: all, Fallback: fallback}, able("first.example"), "first.example ECDSA"},
		{"fallback", Settings{Pairs: []Pair{first}, Fallback: fallback}, able("issued.example"), "issued.example ECDSA"},
		{"fallback, strict", Settings{Pairs: []Pair{first}, Fallback: fallback, Strict: true}, able("issued.example"), "issued.example ECDSA"},
		{"nobody's", Settings{Pairs: []Pair{first}, Fallback: fallback}, able("elsewhere.test"), "first.example RSA"},
		{"fallback failed", Settings{Pairs: []Pair{first}, Fallback: fallback}, able("late.example"), "first.example RSA"},
		{"fallback failed, strict", Settings{Pairs: []Pair{first}, Fallback: fallback, Strict: true}, able("late.example"), "not issued yet"},
		{"fallback failed alone", Settings{Fallback: fallback}, able("late.example"), "not issued yet"},
		{"fallback alone", Settings{Fallback: fallback}, able("issued.example"), "issued.example ECDSA"},
		{"fallback alone, nobody's", Settings{Fallback: fallback}, able("elsewhere.test"), "none"},
		{"fallback alone, no name", Settings{Fallback: fallback}, able(""), "none"},
		{"challenge", Settings{Pairs: all, Fallback: fallback}, challenge, "issued.example ECDSA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newStore(Options{})
			found, err := prepare(t, s, c.settings).GetCertificate(c.hello)
			got := shown(found)
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whenever crypto/tls says that one of the certificates can be used, ours picks one that can, and the preferred of those.
func TestDemandAgreesWithCryptoTLS(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	names := []string{"a.example"}
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{
		a.files(t, dir, "rsa", order{names: names, key: newRSA()}),
		a.files(t, dir, "ed", order{names: names, key: newEd25519()}),
		a.files(t, dir, "ec", order{names: names}),
	}})
	all := c.table.Load().exact["a.example"]
	schemes := []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519, tls.PSSWithSHA256, tls.PKCS1WithSHA256,
	}
	suites := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_AES_128_GCM_SHA256, 0x00ff,
	}
	curves := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	rapid.Check(t, func(t *rapid.T) {
		hello := &tls.ClientHelloInfo{
			SupportedVersions: rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{tls.VersionTLS13, tls.VersionTLS12}), 1, 2, rapid.ID).Draw(t, "versions"),
			SignatureSchemes:  rapid.SliceOfNDistinct(rapid.SampledFrom(schemes), 1, -1, rapid.ID).Draw(t, "schemes"),
			CipherSuites:      rapid.SliceOfDistinct(rapid.SampledFrom(suites), rapid.ID).Draw(t, "suites"),
			SupportedCurves:   rapid.SliceOfDistinct(rapid.SampledFrom(curves), rapid.ID).Draw(t, "curves"),
			SupportedPoints:   []uint8{0},
		}
		var want *tls.Certificate
		for _, each := range all {
			if hello.SupportsCertificate(each.certificate) == nil {
				want = each.certificate
				break
			}
		}
		if got := all.pick(hello); want != nil && got != want {
			t.Fatalf("picked %s, want %s", shown(got), shown(want))
		}
	})
}

// served is a listener that shows what a choice picks, and counts nothing.
func served(t *testing.T, c *Choice) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: c.GetCertificate})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			// One at a time will do: clients say what they have to say at once.
			nc.(*tls.Conn).Handshake()
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// openssl runs a client that shakes hands and leaves.
func openssl(t *testing.T, address string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", address}, arguments...)...)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.CombinedOutput() // its code says little
	return string(out)
}

func TestWithARealClient(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	s, _ := newStore(Options{})
	pairs := []Pair{
		a.files(t, dir, "rsa", order{names: []string{"a.example"}, key: newRSA()}),
		a.files(t, dir, "ec", order{names: []string{"a.example"}}),
	}
	address := served(t, prepare(t, s, Settings{Pairs: pairs, Strict: true}))
	for _, c := range []struct {
		name, want string
		arguments  []string
	}{
		{"prefers ECDSA", "Peer signature type: ECDSA", []string{"-servername", "a.example"}},
		{"has RSA only", "Peer signature type: RSA-PSS", []string{"-servername", "a.example", "-sigalgs", "RSA-PSS+SHA256"}},
		{"has RSA only, 1.2", "Cipher is ECDHE-RSA-AES128-GCM-SHA256", []string{"-servername", "a.example", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}},
		{"has both, 1.2", "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", []string{"-servername", "a.example", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256"}},
		{"wants another", "unrecognized name", []string{"-servername", "b.example"}},
		{"wants another, 1.2", "unrecognized name", []string{"-servername", "b.example", "-tls1_2"}},
		{"names nobody", "Peer signature type: ECDSA", []string{"-noservername"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := openssl(t, address, c.arguments...); !strings.Contains(out, c.want) {
				t.Errorf("want %q in:\n%s", c.want, out)
			}
		})
	}
}

// many makes a choice of n names, each with certificates of two kinds.
func many(t testing.TB, n int) *Choice {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("n%d.example", i), fmt.Sprintf("*.w%d.example", i))
	}
	a := newAuthority(t)
	dir := t.TempDir()
	s, _ := newStore(Options{})
	return prepare(t, s, Settings{Pairs: []Pair{
		a.files(t, dir, "ec", order{names: names}), a.files(t, dir, "rsa", order{names: names, key: newRSA()}),
	}})
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := many(t, 100)
	old := able("N50.Example")
	old.SignatureSchemes = []tls.SignatureScheme{tls.PSSWithSHA256}
	for _, hello := range []*tls.ClientHelloInfo{able("n50.example"), old, able("x.w7.example"), able("elsewhere.test"), able("")} {
		if n := testing.AllocsPerRun(100, func() {
			if found, err := c.GetCertificate(hello); found == nil || err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%q: %v allocations", hello.ServerName, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		c := many(b, n)
		hello := able(fmt.Sprintf("x.w%d.example", n/2))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.GetCertificate(hello)
			}
		})
	}
}

package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func newPool(a *authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// A bad new pair leaves the old one in place and raises an alarm, which ends when the files are good again.
func TestABadPairKeepsTheOld(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"old"}})
	good := map[string]string{}
	for _, name := range []string{p.Cert, p.Key} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		good[name] = string(text)
	}
	cert, key := a.texts(t, order{names: []string{"new"}})
	expired, expiredKey := a.texts(t, order{names: []string{"new"}, from: time.Now().Add(-100 * 24 * time.Hour)})
	for i, c := range []struct{ name, cert, key, want string }{
		{"the certificate alone is new", cert, good[p.Key], "it is not the key of the certificate"},
		{"half written", cert[:300], key, "has no end"},
		{"emptied", "", key, "is empty"},
		{"gone", "-", key, "no such file"},
		{"expired", expired, expiredKey, "it expired at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, out := newStore(Options{})
			for name, text := range good {
				write(t, name, text)
			}
			choice := prepare(t, s, Settings{Pairs: []Pair{p}})
			if err := os.Remove(p.Cert); err != nil {
				t.Fatal(err)
			}
			if c.cert != "-" {
				write(t, p.Cert, c.cert)
			}
			write(t, p.Key, c.key)
			for range 3 { // it is told once
				s.Check()
			}
			got := s.Status()[0]
			if !strings.Contains(got.Problem, c.want) || !strings.Contains(got.Problem, "wanted") || got.Refusals != 1 || got.Swaps != 0 {
				t.Errorf("status is %+v", got)
			}
			if shown(choice.Default()) != "old ECDSA" {
				t.Errorf("shows %s", shown(choice.Default()))
			}
			if n := out.count("a new certificate is refused"); n != 1 {
				t.Errorf("the log tells it %d times", n)
			}

			// A reload meanwhile goes on with the good one, too.
			second := prepare(t, s, Settings{Pairs: []Pair{p}})
			if shown(second.Default()) != "old ECDSA" {
				t.Errorf("after a reload it shows %s", shown(second.Default()))
			}

			if i%2 == 0 { // the old files come back
				write(t, p.Cert, good[p.Cert])
				write(t, p.Key, good[p.Key])
			} else {
				write(t, p.Cert, cert)
				write(t, p.Key, key)
			}
			s.Check()
			if got := s.Status()[0]; got.Problem != "" {
				t.Errorf("mended, and still %q", got.Problem)
			}
			want := []string{"old ECDSA", "new ECDSA"}[i%2]
			if shown(choice.Default()) != want || shown(second.Default()) != want {
				t.Errorf("shows %s and %s, want %s", shown(choice.Default()), shown(second.Default()), want)
			}
		})
	}
}

// One that is not valid yet is taken when it is, though its files do not change any more.
func TestTakenWhenValid(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	p := a.files(t, t.TempDir(), "a", order{names: []string{"old"}})
	s, _ := newStore(Options{Now: func() time.Time { return now }})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	a.renew(t, p, order{names: []string{"new"}, from: now.Add(time.Hour)})
	s.Check()
	if got := s.Status()[0]; !strings.Contains(got.Problem, "it is valid only from") || shown(c.Default()) != "old ECDSA" {
		t.Errorf("shows %s; status is %+v", shown(c.Default()), got)
	}
	now = now.Add(time.Hour + time.Second)
	s.Check()
	if got := s.Status()[0]; got.Problem != "" || shown(c.Default()) != "new ECDSA" {
		t.Errorf("shows %s; status is %+v", shown(c.Default()), got)
	}
}

// One that has expired is replaced by another that has: there is nothing to lose.
func TestExpiredForExpired(t *testing.T) {
	a := newAuthority(t)
	past := time.Now().Add(-100 * 24 * time.Hour)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}, from: past})
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	a.renew(t, p, order{names: []string{"two"}, from: past})
	s.Check()
	if shown(c.Default()) != "two ECDSA" {
		t.Errorf("shows %s", shown(c.Default()))
	}
}

// A revision that is being prepared changes nothing; what is retired follows nothing.
func TestPrepareAndRetire(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	one, two := a.files(t, dir, "one", order{names: []string{"one"}}), a.files(t, dir, "two", order{names: []string{"two"}})
	var events []string
	s, out := newStore(Options{
		Follow: func(id string, c *tls.Certificate, _ func([]byte)) {
			events = append(events, "follow "+id[strings.LastIndexByte(id, '/')+1:]+" "+c.Leaf.Subject.CommonName)
		},
		Drop: func(id string) { events = append(events, "drop "+id[strings.LastIndexByte(id, '/')+1:]) },
	})
	first := prepare(t, s, Settings{Pairs: []Pair{one}})
	second := prepare(t, s, Settings{Pairs: []Pair{one, one}}) // the same twice is once
	s.Retire(first, second)
	if n := out.count("certificate loaded"); n != 1 {
		t.Errorf("a pair that two listeners share was loaded %d times", n)
	}
	next := prepare(t, s, Settings{Pairs: []Pair{two, one}})
	if shown(first.Default()) != "one ECDSA" || len(s.Status()) != 2 {
		t.Error("preparing has changed what is in force")
	}
	a.renew(t, one, order{names: []string{"uno"}})
	s.Check()
	for _, c := range []*Choice{first, second, next} {
		if found, _ := c.GetCertificate(able("uno")); shown(found) != "uno ECDSA" {
			t.Errorf("shows %s", shown(found))
		}
	}
	s.Retire(next)
	a.renew(t, one, order{names: []string{"eins"}})
	s.Check()
	if shown(first.Default()) != "uno ECDSA" {
		t.Errorf("a retired choice shows %s", shown(first.Default()))
	}
	if found, _ := next.GetCertificate(able("eins")); shown(found) != "eins ECDSA" {
		t.Errorf("shows %s", shown(found))
	}
	s.Retire()
	if n := len(s.Status()); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	slices.Sort(events[len(events)-2:])
	if got, want := fmt.Sprint(events), "[follow one.key one follow two.key two follow one.key uno follow one.key eins drop one.key drop two.key]"; got != want {
		t.Errorf("outsiders heard\n%s, want\n%s", got, want)
	}
}

// What is stapled goes to a copy: handshakes may be reading the certificate.
func TestStapled(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}})
	var puts []func([]byte)
	s, _ := newStore(Options{
		Follow: func(_ string, _ *tls.Certificate, put func([]byte)) {
			if len(puts) == 0 {
				put([]byte("kept")) // at once
			}
			puts = append(puts, put)
		},
		Stapling: func(id string) string { return "sentence about " + id },
	})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	want := func(staple string) *tls.Certificate {
		t.Helper()
		got, _ := c.GetCertificate(able("one"))
		if string(got.OCSPStaple) != staple {
			t.Errorf("stapled is %q, want %q", got.OCSPStaple, staple)
		}
		return got
	}
	before := want("kept")
	puts[0]([]byte("newer"))
	want("newer")
	if string(before.OCSPStaple) != "kept" {
		t.Error("a certificate in use was changed")
	}
	puts[0](nil)
	want("")
	a.renew(t, p, order{names: []string{"one"}})
	s.Check()
	puts[0]([]byte("of the old one"))
	want("")
	puts[1]([]byte("of the new one"))
	want("of the new one")
	if got := s.Status()[0].Stapling; got != "sentence about "+p.ID() {
		t.Errorf("status says %q", got)
	}
}

func TestStatus(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"One.example", "*.one.example"}, key: newRSA()})
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	got, leaf := s.Status()[0], c.Default().Leaf
	if got.Pair != p || fmt.Sprint(got.Names) != "[one.example *.one.example]" || got.Issuer != "CN=authority" || got.Serial != fmt.Sprintf("%x", leaf.SerialNumber) ||
		!got.NotBefore.Equal(leaf.NotBefore) || !got.NotAfter.Equal(leaf.NotAfter) || got.Key != "RSA 2048" || got.Loaded.IsZero() || got.Expiring {
		t.Errorf("status is %+v", got)
	}
}

// Whoever asks how it stands, and whoever staples, does not wait for a disk on which a revision's files are.
func TestSlowDisk(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	one, two := a.files(t, dir, "one", order{names: []string{"one"}}), a.files(t, dir, "two", order{names: []string{"two"}})
	var put func([]byte)
	reads, goOn := make(chan struct{}), make(chan struct{})
	var slow atomic.Bool
	s, _ := newStore(Options{
		Follow: func(_ string, _ *tls.Certificate, p func([]byte)) { put = p },
		slow: func() {
			if slow.Load() {
				reads <- struct{}{}
				<-goOn
			}
		},
	})
	prepare(t, s, Settings{Pairs: []Pair{one}})
	slow.Store(true)
	prepared := make(chan struct{})
	go func() { defer close(prepared); prepare(t, s, Settings{Pairs: []Pair{two}}) }()
	<-reads
	answered, first := make(chan int), put
	go func() {
		first([]byte("staple"))
		answered <- len(s.Status())
	}()
	select {
	case n := <-answered:
		if n != 1 {
			t.Errorf("the status tells of %d pairs while one is being read", n)
		}
	case <-time.After(20 * time.Second):
		t.Error("waits for the disk")
	}
	close(goOn)
	<-prepared
}

package acme

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// keepShaking makes handshakes for a name until the function it returns is called, which tells how many there were and how many
// different certificates they showed. Each must succeed, with a chain that leads to the authority and a certificate that is valid.
func (g *gateway) keepShaking(name string, roots *x509.CertPool) (stop func() (handshakes, certificates int), shown func() int) {
	end := make(chan struct{})
	var done sync.WaitGroup
	var mu sync.Mutex
	count, serials := 0, map[string]bool{}
	for range 2 {
		done.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond) // two cores are shared by all tests
			defer pace.Stop()
			for {
				select {
				case <-end:
					return
				case <-pace.C:
				}
				c, err := g.shown(name, roots)
				mu.Lock()
				if count++; err != nil {
					g.t.Errorf("handshake %d: %v", count, err)
				} else {
					serials[serial(c)] = true
				}
				mu.Unlock()
			}
		})
	}
	stop = sync.OnceValues(func() (int, int) {
		close(end)
		done.Wait()
		return count, len(serials)
	})
	g.t.Cleanup(func() { stop() })
	return stop, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(serials)
	}
}

// soon has certificates renewed after the first tenth of their life.
func soon(o *Options) { o.timing.share = 0.9 }

// knowsWindow says whether the authority's window for one.example.com is known.
func (g *gateway) knowsWindow() bool {
	m := g.manager.Load()
	m.mu.Lock()
	s := m.subjects["one.example.com"]
	m.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.window.start.IsZero()
}

// A certificate is renewed before it ends, again and again, and no handshake notices. Once by our own window, once by the
// authority's.
func TestRenewalUnderHandshakes(t *testing.T) {
	for name, hide := range map[string]bool{"by our window": true, "by the authority's": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			// Ten times the life it is renewed at leaves a busy machine its time.
			a := newAuthority(t, g, 20*time.Second, func(a *authority) {
				a.windows = func() string {
					now := time.Now().UTC()
					return fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, now.Add(-time.Minute).Format(time.RFC3339), now.Format(time.RFC3339))
				}
			})
			a.noWindow.Store(hide)
			m := g.manage("", soon)
			g.apply(a.settings(HTTP01, "one.example.com"))
			first := g.until("one.example.com", "issued", issued)
			stop, shown := g.keepShaking("one.example.com", a.roots())
			g.until("one.example.com", "renewed twice", func(Status) bool { return m.Stats().Renewed >= 2 && shown() >= 3 })
			last := g.until("one.example.com", "issued, window known", func(s Status) bool { return s.State == Issued && hide != g.knowsWindow() })
			if n, certs := stop(); n < 10 || certs < 3 {
				t.Errorf("%d handshakes showed %d certificates, want 3", n, certs)
			}
			if last.Serial == first.Serial || m.Stats().Obtained != 1 || m.Stats().Failed != 0 {
				t.Errorf("first %+v, last %+v, stats %+v", first, last, m.Stats())
			}
			if hide != (a.replaced.Load() == 0) {
				t.Errorf("%d orders name what they replace", a.replaced.Load())
			}
		})
	}
}

// The authority says by its renewal window that a certificate it has revoked is to be replaced at once.
func TestRevokedIsReplaced(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	g.apply(a.settings(HTTP01, "one.example.com"))
	g.until("one.example.com", "window known", func(s Status) bool { return s.State == Issued && g.knowsWindow() })
	held := m.subjects["one.example.com"].held
	first := serial(held.leaf())

	client := m.terms.Load().issuer.client
	if err := client.RevokeCertificate(context.Background(), acme.Account{}, held.leaf(), held.pair.PrivateKey.(crypto.Signer), acme.ReasonKeyCompromise); err != nil {
		t.Fatal(err)
	}
	stop, shown := g.keepShaking("one.example.com", a.roots())
	// Just issued: a tenth of an hour's patience would be right, and is taken away.
	m.subjects["one.example.com"].mu.Lock()
	m.subjects["one.example.com"].issuedAt = time.Time{}
	m.subjects["one.example.com"].mu.Unlock()
	last := g.until("one.example.com", "replaced", func(s Status) bool { return s.State == Issued && s.Serial != first && shown() == 2 })
	stop()
	if m.Stats().Renewed != 1 || last.Failures != 0 {
		t.Errorf("stats %+v, status %+v", m.Stats(), last)
	}
	if !strings.Contains(g.logged.text(), string(reasonAuthority)) {
		t.Error("the log does not say why")
	}
	old, err := x509.ParsePKIXPublicKey(held.leaf().RawSubjectPublicKeyInfo)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := g.mustShow("one.example.com", a.roots()).PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || k.Equal(old) {
		t.Error("the key that may be known to others is used again")
	}
}

// stapler answers for what looks after OCSP responses.
type stapler struct {
	mu       sync.Mutex
	follows  map[string]string // serials by id
	puts     map[string]func([]byte)
	revoked  string // a serial
	followed int
}

func (s *stapler) Follow(id string, c *tls.Certificate, put func([]byte)) {
	s.mu.Lock()
	s.follows[id], s.puts[id] = serial(c.Leaf), put
	s.followed++
	s.mu.Unlock()
	put([]byte("first for " + serial(c.Leaf)))
}

func (s *stapler) Drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.follows, id)
	delete(s.puts, id)
}

func (s *stapler) status(id string) (string, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows[id] == s.revoked {
		return "revoked", time.Now()
	}
	return "follows " + s.follows[id], time.Time{}
}

// What a responder says is stapled, at once and later, and a certificate it calls revoked is replaced.
func TestStapled(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month, func(a *authority) { a.responder = "http://127.0.0.1:1/ocsp" })
	a.noWindow.Store(true)
	st := &stapler{follows: map[string]string{}, puts: map[string]func([]byte){}}
	m := g.manage("", func(o *Options) { o.Stapler, o.Stapled = st, st.status })
	g.apply(a.settings(HTTP01, "one.example.com"))
	first := g.until("one.example.com", "issued", issued)
	served := func() string { return string(m.served.Load().byName["one.example.com"].OCSPStaple) }
	if served() != "first for "+first.Serial || first.OCSP != "follows "+first.Serial {
		t.Errorf("stapled is %q, status %q", served(), first.OCSP)
	}
	st.mu.Lock()
	var stale func([]byte)
	for _, put := range st.puts {
		stale = put
	}
	st.mu.Unlock()
	stale([]byte("second"))
	await(t, "the second response", func() bool { return served() == "second" }, func() any { return served() })

	s := m.subjects["one.example.com"]
	s.mu.Lock()
	s.issuedAt = time.Time{} // an hour's patience after an issuance is right, and in our way
	s.mu.Unlock()
	st.mu.Lock()
	st.revoked = first.Serial
	st.mu.Unlock()
	last := g.until("one.example.com", "replaced", func(s Status) bool { return s.State == Issued && s.Serial != first.Serial })
	stale([]byte("for the one that is gone"))
	s.mu.Lock()
	if string(s.staple.response) == "for the one that is gone" {
		t.Error("a response for another certificate is taken")
	}
	s.mu.Unlock()
	if m.Stats().Revoked != 1 || m.Stats().Renewed != 1 || !last.RevokedAt.IsZero() || served() != "first for "+last.Serial {
		t.Errorf("stats %+v, status %+v, stapled %q", m.Stats(), last, served())
	}
	g.apply(a.settings(HTTP01))
	await(t, "nothing followed", func() bool { st.mu.Lock(); defer st.mu.Unlock(); return len(st.follows) == 0 }, func() any { return st.follows })
	if st.followed != 2 {
		t.Errorf("%d certificates were followed, want 2", st.followed)
	}
}

// The authority is gone when a certificate is due: it is served on, the status says what is wrong, and all is well when the
// authority is back.
func TestAuthorityDownAtRenewal(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, 20*time.Second)
	a.noWindow.Store(true)
	m := g.manage("", soon)
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	first := g.until("one.example.com", "issued", issued)
	a.stop()
	due := first.NextTry
	stop, shown := g.keepShaking("one.example.com", a.roots())
	failed := g.until("one.example.com", "failed twice", func(s Status) bool { return s.State == Failed && s.Failures >= 2 })
	if failed.Serial != first.Serial || !strings.Contains(failed.Error, "refuses connections") || failed.NextTry.Before(due) {
		t.Errorf("status %+v", failed)
	}
	a.start()
	last := g.until("one.example.com", "renewed", func(s Status) bool { return s.State == Issued && s.Serial != first.Serial && shown() == 2 })
	if n, certs := stop(); n < 5 || certs != 2 {
		t.Errorf("%d handshakes showed %d certificates, want 2", n, certs)
	}
	if last.Error != "" || last.Failures != 0 || m.Stats().Renewed != 1 {
		t.Errorf("status %+v, stats %+v", last, m.Stats())
	}
	if log := g.logged.text(); !strings.Contains(log, "the old one is served on") {
		t.Error("the log does not say that the old certificate is served")
	}
}

// A restart takes what is on disk and asks the authority for nothing but the renewal window; certificates are there before
// Apply returns, also when the authority is down.
func TestRestart(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	first := g.manage("")
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	before := g.until("one.example.com", "issued", issued)
	first.Close()
	for _, down := range []bool{false, true} {
		if down {
			a.stop()
		}
		orders := a.orders.Load()
		m := g.manage(first.options.Directory)
		g.apply(s)
		if c := g.mustShow("one.example.com", a.roots()); serial(c) != before.Serial {
			t.Errorf("after a restart %s is shown, want %s", serial(c), before.Serial)
		}
		if !down {
			g.until("one.example.com", "window known", func(Status) bool { return g.knowsWindow() })
		}
		if st := m.Status()[0]; st.State != Issued || a.orders.Load() != orders {
			t.Errorf("%d orders, status %+v", a.orders.Load()-orders, st)
		}
		m.Close()
	}
}

// An authority that calls every certificate overdue is asked for one an hour, and one that talks nonsense is not listened to.
func TestWindowsOfAFool(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		text string
		due  func(s Status) time.Duration // how far from what is right
	}{
		"always overdue": {`{"suggestedWindow":{"start":"` + past + `","end":"` + time.Now().UTC().Format(time.RFC3339) + `"}}`,
			func(s Status) time.Duration { return time.Until(s.NextTry) - time.Hour }},
		"backwards": {`{"suggestedWindow":{"start":"2100-01-01T00:00:00Z","end":"` + past + `"}}`,
			func(s Status) time.Duration { return s.NextTry.Sub(s.NotBefore) - month*2/3 }},
		"not JSON": {`<html>`, func(s Status) time.Duration { return s.NextTry.Sub(s.NotBefore) - month*2/3 }},
		"never":    {`{"suggestedWindow":{"start":"2100-01-01T00:00:00Z","end":"2100-01-02T00:00:00Z"}}`, func(s Status) time.Duration { return s.NextTry.Sub(s.NotBefore) - month*19/20 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			asked := &atomic.Int64{}
			a := newAuthority(t, g, month, func(a *authority) {
				a.windows = func() string { asked.Add(1); return c.text }
			})
			m := g.manage("")
			g.apply(a.settings(HTTP01, "one.example.com"))
			g.until("one.example.com", "the window was asked for often", func(s Status) bool { return s.State == Issued && asked.Load() > 5 })
			if s := m.Status()[0]; a.orders.Load() != 1 || c.due(s).Abs() > time.Minute {
				t.Errorf("%d orders, off by %v: %+v", a.orders.Load(), c.due(s), s)
			}
		})
	}
}

// A directory whose certificate leads to no root we know is named as what it is.
func TestWrongRoots(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	// What an operator mends is tried at once, however long the pause would be.
	g.manage("", func(o *Options) { o.timing.retryFirst, o.timing.retryMost = time.Hour, time.Hour })
	s := a.settings(HTTP01, "one.example.com")
	other, _ := selfSigned(t)
	right := s.Roots
	for i, roots := range []*x509.CertPool{poolOf(t, other), nil} {
		s.Roots, s.RootsDigest = roots, map[int]string{0: "other"}[i]
		g.apply(s)
		st := g.until("one.example.com", "failed", func(s Status) bool { return s.State == Failed && s.Failures == i+1 })
		if !strings.Contains(st.Error, a.address+" shows a certificate that no known authority has signed") || !strings.Contains(st.Error, "acme.ca") {
			t.Errorf("error %q", st.Error)
		}
	}
	if _, err := g.shown("one.example.com", nil); err == nil {
		t.Error("a handshake succeeds without a certificate")
	}
	s.Roots, s.RootsDigest = right, "right"
	g.apply(s)
	g.until("one.example.com", "issued", issued)
	if !strings.Contains(g.logged.text(), "handshakes for the name fail") {
		t.Error("the log does not say what it means for clients")
	}
}

// Names come and go at reloads; those that stay are not touched.
func TestNamesChange(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	g.apply(a.settings(HTTP01, "one.example.com"))
	one := g.until("one.example.com", "issued", issued)

	both := a.settings(HTTP01, "one.example.com", "two.example.com")
	g.apply(both)
	g.until("two.example.com", "issued", issued)
	orders := a.orders.Load()
	for range 3 {
		g.apply(both)
	}
	g.apply(a.settings(HTTP01, "two.example.com"))
	if _, err := g.shown("one.example.com", nil); err == nil {
		t.Error("a removed name is still served")
	}
	if s := m.Status(); len(s) != 1 || s[0].Name != "two.example.com" || s[0].State != Issued {
		t.Errorf("status %+v", s)
	}
	// Back again: from disk, at once.
	g.apply(both)
	if c := g.mustShow("one.example.com", a.roots()); serial(c) != one.Serial {
		t.Errorf("%s is shown, want the stored %s", serial(c), one.Serial)
	}
	if a.orders.Load() != orders {
		t.Errorf("%d orders for names that have certificates", a.orders.Load()-orders)
	}
	if err := m.Apply(Settings{Names: []string{"one.example.com"}, Directory: "http://plain", Challenges: []string{HTTP01}}); err == nil {
		t.Error("a directory without TLS is taken")
	}
	if len(m.Status()) != 2 {
		t.Error("refused settings changed something")
	}
}

// A name is removed while its order is under way: the order ends, and the next start of the name is undisturbed.
func TestRemovedWhileOrdering(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	asked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.asked = func() {
		once.Do(func() { close(asked); <-goOn })
	}
	g.apply(a.settings(HTTP01, "one.example.com"))
	<-asked
	g.apply(a.settings(HTTP01))
	await(t, "answers taken away", func() bool { return len(*m.challenges.files.Load()) == 0 }, func() any { return *m.challenges.files.Load() })
	close(goOn)
	if m.Stats().Failed != 0 || len(m.Status()) != 0 {
		t.Errorf("stats %+v, status %+v", m.Stats(), m.Status())
	}
	g.apply(a.settings(HTTP01, "one.example.com"))
	g.until("one.example.com", "issued", issued)
}

// Another authority is configured: its certificate replaces the old one, which is served until then.
func TestAuthorityChanges(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a, b := newAuthority(t, g, month), newAuthority(t, g, month)
	m := g.manage("")
	g.apply(a.settings(HTTP01, "one.example.com"))
	old := g.until("one.example.com", "issued", issued)
	b.broken.Store(true)
	g.apply(b.settings(HTTP01, "one.example.com"))
	st := g.until("one.example.com", "refused", func(s Status) bool { return s.State == Failed })
	if !strings.Contains(st.Error, "too many certificates (rateLimited): it will be tried again") || st.Serial != old.Serial {
		t.Errorf("status %+v", st)
	}
	g.mustShow("one.example.com", a.roots())
	b.broken.Store(false)
	g.until("one.example.com", "issued", func(s Status) bool { return s.State == Issued && s.Serial != old.Serial })
	g.mustShow("one.example.com", b.roots())
	if s := m.Stats(); s.Obtained != 2 || s.Renewed != 0 {
		t.Errorf("stats %+v", s)
	}
	orders := a.orders.Load()
	g.apply(a.settings(HTTP01, "one.example.com"))
	g.until("one.example.com", "the old one", func(s Status) bool { return s.Serial == old.Serial })
	g.mustShow("one.example.com", a.roots())
	if a.orders.Load() != orders {
		t.Error("a certificate that lies on disk was ordered")
	}
}

// A private authority that was set up anew knows neither account nor certificate.
func TestAccountForgotten(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, 20*time.Second)
	a.noWindow.Store(true)
	m := g.manage("", soon)
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	g.until("one.example.com", "issued", issued)
	a.reset()
	g.until("one.example.com", "renewed", func(Status) bool { return m.Stats().Renewed >= 1 })
	g.mustShow("one.example.com", a.roots())
	if !strings.Contains(g.logged.text(), "does not know our account any more") {
		t.Error("the log does not say that the account was made again")
	}
}

// A changed address of contact is told to the authority with the same account.
func TestContactChanges(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	g.until("one.example.com", "issued", issued)
	was := *m.terms.Load().issuer.account
	s.Email, s.Names = "new@example.com", append(s.Names, "two.example.com")
	g.apply(s)
	g.until("two.example.com", "issued", issued)
	is := *m.terms.Load().issuer.account
	if is.Location != was.Location || len(is.Contact) != 1 || is.Contact[0] != "mailto:new@example.com" {
		t.Errorf("account %s %v, was %s", is.Location, is.Contact, was.Location)
	}
	known, err := m.terms.Load().issuer.client.GetAccount(context.Background(), acme.Account{PrivateKey: is.PrivateKey})
	if err != nil || len(known.Contact) != 1 || known.Contact[0] != "mailto:new@example.com" {
		t.Errorf("the authority knows %v, %v", known.Contact, err)
	}
}

// Two processes share a directory, as they do during an upgrade: a due certificate is ordered once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	a := newAuthority(t, g, 40*time.Second)
	a.noWindow.Store(true)
	first := g.manage("", soon)
	s := a.settings(HTTP01, "one.example.com")
	g.apply(s)
	g.until("one.example.com", "issued", issued)
	second := g.manage(first.options.Directory, soon) // questions are answered by this one
	if err := second.Apply(s); err != nil {
		t.Fatal(err)
	}
	// Both hold the same certificate, and both find it due.
	attempts := func() uint64 {
		return first.Stats().Renewed + second.Stats().Renewed
	}
	await(t, "both have the next", func() bool { return attempts() >= 2 && first.Status()[0].Serial == second.Status()[0].Serial }, func() any {
		return []any{first.Status(), second.Status()}
	})
	if n := a.orders.Load(); n < 2 {
		t.Errorf("%d orders", n)
	}
	issuedBy := fmt.Sprint(first.Stats(), second.Stats())
	// An order of the first process while the second answers questions fails and is tried again, so only certificates are counted.
	if certs := serials(t, a); certs > 2 {
		t.Errorf("%d certificates for two rounds of two processes: %s", certs, issuedBy)
	}
}

func serials(t *testing.T, a *authority) int {
	t.Helper()
	return int(a.issued.Load())
}

// No port is opened but those of the test: neither while a question is open nor after.
func TestNoListenersOfItsOwn(t *testing.T) {
	for _, challenge := range []string{HTTP01, TLSALPN01} {
		t.Run(challenge, func(t *testing.T) {
			g := newGateway(t)
			a := newAuthority(t, g, month)
			m := g.manage("")
			before := listening(t)
			var during atomic.Pointer[map[string]bool]
			look := func() { l := listening(t); during.Store(&l) }
			g.asked = look
			if challenge == TLSALPN01 {
				g.apply(Settings{Challenges: []string{TLSALPN01}})
				a.onQuestion = look
			}
			g.apply(a.settings(challenge, "one.example.com"))
			g.until("one.example.com", "issued", issued)
			if during.Load() == nil {
				t.Fatal("no question was seen")
			}
			for when, now := range map[string]map[string]bool{"during a question": *during.Load(), "afterwards": listening(t)} {
				for socket := range now {
					if !before[socket] {
						t.Errorf("%s a socket listens that did not before: %s", when, socket)
					}
				}
			}
			_ = m
		})
	}
}

// listening are the local addresses of this process's listening TCP sockets.
func listening(t *testing.T) map[string]bool {
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here:", err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:[") {
			mine[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	found := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join("/proc/self/net", table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// sl local remote st ... inode is the tenth
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine[f[9]] {
				found[table+" "+f[1]] = true
			}
		}
	}
	return found
}

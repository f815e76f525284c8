package acme

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// Left to itself, tls: auto takes the hosts of the routes. A reload that brings one more orders that one alone.
func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	hosts := []string{one, "TWO.example.com", "localhost"}
	s.run(s.yaml("", "auto", "tls-alpn-01", hosts...))
	s.until("good", one, two)
	if all := s.names(); len(all) != 2 {
		t.Errorf("got the names %+v, want two", all)
	}
	first, second := s.shown(one), s.shown(two)
	s.mustServe(one)
	s.mustServe("two.example.com")

	if err := s.Reload(s.yaml("", "auto", "tls-alpn-01", append(hosts, three)...)); err != nil {
		t.Fatal(err)
	}
	s.mustServe(one) // at once
	s.until("good", one, two, three)
	s.mustServe(three)
	if !s.shown(one).Equal(first) || !s.shown(two).Equal(second) {
		t.Error("a reload changed certificates of names that stay")
	}
	s.number(3, "straum_acme_orders_total", `outcome="obtained"`)
	s.number(3, "straum_acme_names", `state="issued"`)

	// A wildcard takes a challenge that is not to be had here. What is refused changes nothing.
	if err := s.Reload(s.yaml("", "auto", "tls-alpn-01", "*.wild.example.com", one)); err == nil || !strings.Contains(err.Error(), "dns-01") {
		t.Errorf("got %v, want to be told of dns-01", err)
	}
	s.mustServe(two)

	// A name that goes is not shown any more, and comes back from the disk.
	if err := s.Reload(s.yaml("", "auto", "tls-alpn-01", one, three)); err != nil {
		t.Fatal(err)
	}
	s.refused(s.trusting(two))
	if all := s.names(); len(all) != 2 {
		t.Errorf("got the names %+v, want two", all)
	}
	if err := s.Reload(s.yaml("", "auto", "tls-alpn-01", one, two, three)); err != nil {
		t.Fatal(err)
	}
	if !s.shown(two).Equal(second) {
		t.Error("a name that came back has another certificate")
	}
	if n, accounts := s.ca.orders.Load(), s.ca.accounts.Load(); n != 3 || accounts != 1 {
		t.Errorf("the authority has got %d orders from %d accounts, want 3 from 1", n, accounts)
	}
}

// A gateway without TLS is given tls: auto by a reload: the plain listener it has had all the while answers the authority.
func TestReloadBringsAuto(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	s.run(s.yaml("", "", "http-01", one))
	if r := s.plainly(one, "/"); r.StatusCode != 200 {
		t.Fatalf("got %d", r.StatusCode)
	}
	if n := s.ca.asked.Load(); n != 0 {
		t.Errorf("the authority was asked %d times without a need", n)
	}
	if err := s.Reload(s.yaml(s.redirecting(), "auto", "http-01", one)); err != nil {
		t.Fatal(err)
	}
	s.until("good", one)
	s.mustServe(one)
	if r := s.plainly(one, "/"); r.StatusCode != 308 {
		t.Errorf("got %d, want a redirect", r.StatusCode)
	}
	// What is refused changes nothing: neither names nor orders.
	if err := s.Reload(s.yaml("", fmt.Sprintf("{ auto: { names: [%s, %s] }, certificates: [{ cert: none.crt, key: none.key }] }", one, two), "http-01")); err == nil {
		t.Error("a certificate that is not there was accepted")
	}
	s.mustServe(one)
	if all := s.names(); len(all) != 1 {
		t.Errorf("got the names %+v, want one", all)
	}
}

// After a restart on the same state everything is there at once, and nothing is ordered; the authority need not even be there.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	config := s.yaml("", fmt.Sprintf("{ auto: { names: [%s, %s] } }", one, two), "tls-alpn-01")
	s.run(config)
	s.until("good", one, two)
	first, second := s.shown(one), s.shown(two)
	asked := s.ca.asked.Load()

	for _, down := range []bool{false, true} {
		if down {
			s.ca.stop()
		}
		s.restart(config)
		if !s.shown(one).Equal(first) || !s.shown(two).Equal(second) {
			t.Error("after a restart other certificates are shown")
		}
		s.mustServe(one)
		s.mustServe(two)
		soon := time.Now().Add(life / 2)
		gateway.Await(t, "the next orders are planned, far off", func() bool {
			all := s.names()
			for _, name := range []string{one, two} {
				if c := all[name]; c.State != "good" || c.NextTry == nil || c.NextTry.Before(soon) || c.Failures != 0 {
					return false
				}
			}
			return true
		})
		if out := s.told(); strings.Contains(out, "attention") {
			t.Errorf("all is well, and somebody is wanted:\n%s", out)
		}
		s.number(2, "straum_acme_names", `state="issued"`)
		s.number(0, "straum_acme_orders_total")
		if now := s.ca.asked.Load(); !down && now == asked {
			t.Error("the authority was not asked for the renewal window, so this proves nothing of what it is asked")
		}
	}
	if n, accounts := s.ca.orders.Load(), s.ca.accounts.Load(); n != 2 || accounts != 1 {
		t.Errorf("the authority has got %d orders from %d accounts, want 2 from 1", n, accounts)
	}

	// Keys are for the owner's eyes.
	found := 0
	err := filepath.WalkDir(s.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "PRIVATE KEY") {
			found++
		}
		return err
	})
	if err != nil || found < 3 {
		t.Errorf("found %d private keys in the state, want those of two names and an account; %v", found, err)
	}
}

// The authority is not there at the first start: plain HTTP serves, everybody can see what is wrong, and a restart tries at once.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	config := s.yaml("", "auto", "http-01", one)
	s.run(config) // waits until it is ready
	if r := s.plainly(one, "/"); r.StatusCode != 200 {
		t.Errorf("without the authority plain HTTP gets %d", r.StatusCode)
	}
	s.until("failed", one)
	s.failed(s.ca.address + " refuses connections")
	s.refused(s.trusting(one))
	if r := s.plainly(one, "/"); r.StatusCode != 200 || !s.Ready() {
		t.Errorf("after the failure plain HTTP gets %d; ready: %v", r.StatusCode, s.Ready())
	}

	s.ca.start()
	s.restart(config)
	s.until("good", one)
	s.mustServe(one)
	s.number(0, "straum_acme_names", `state="failed"`)
	if out := s.told(); strings.Contains(out, "attention") {
		t.Errorf("all is well, and somebody is wanted:\n%s", out)
	}
}

// failed checks that everybody is told of the failure of the one name, in the words of reason.
func (s *site) failed(reason string) {
	s.t.Helper()
	want := "there is no certificate for " + one + " yet: " + reason
	c := s.names()[one]
	if c.Failures != 1 || c.NextTry == nil || c.NextTry.Before(time.Now()) || len(c.Attention) != 1 || !strings.HasPrefix(c.Attention[0], want) {
		s.t.Errorf("told is %+v, want %q", c, want)
	}
	if out := s.told(); !strings.Contains(lineOf(out, one), " failed; next try ") || !strings.Contains(out, "attention: "+want) {
		s.t.Errorf("straum certificates does not tell %q:\n%s", want, out)
	}
	var status struct {
		Ready     bool
		Attention []struct{ Check, Reason string }
	}
	if !s.admin("/v1/status", &status) || !status.Ready || len(status.Attention) != 1 || !strings.HasPrefix(status.Attention[0].Reason, want) {
		s.t.Errorf("the status is %+v, want %q", status, want)
	}
	s.number(1, "straum_acme_names", `state="failed"`)
	s.number(1, "straum_acme_orders_total", `outcome="failed"`)
	if !s.Logged(reason) {
		s.t.Errorf("the log does not tell %q", reason)
	}
}

// The file of those who vouch for the authority holds the wrong ones, and everybody is told. A reload after it was mended tries at
// once, though the configuration reads as before.
func TestWrongRoots(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	right, err := os.ReadFile(s.ca.file)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(gateway.NewAuthority(t).File)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text []byte) {
		if err := os.WriteFile(s.ca.file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(wrong)
	config := s.yaml("", "auto", "http-01", one)
	s.run(config)
	s.until("failed", one)
	s.failed(s.ca.address + " shows a certificate that no known authority has signed")
	put(right)
	if err := s.Reload(config); err != nil {
		t.Fatal(err)
	}
	s.until("good", one)
	s.mustServe(one)
}

// A gateway that is killed while an order is under way leaves nothing behind that its successor stumbles over; one that is told to
// stop then does so at once.
func TestCutShort(t *testing.T) {
	t.Parallel()
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for _, where := range []string{newOrder, challenge} {
			t.Run(fmt.Sprintf("%v%s", how, where), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, where)
				s.ca.start()
				config := s.yaml("", "auto", "http-01", one)
				s.run(config)
				s.ca.reached(where)
				s.Signal(how)
				if code := s.Wait(); code != 0 && how == syscall.SIGTERM {
					t.Errorf("the program ended with code %d", code)
				}
				s.ca.release(where)
				s.run(config)
				s.until("good", one)
				s.mustServe(one)
				s.number(1, "straum_acme_orders_total")
			})
		}
	}
}

// When the authority asks for it, a certificate is renewed while clients come and go: none of them is without one.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := newSite(t, newOrder)
	s.ca.start()
	s.ca.release(newOrder)
	config := s.yaml("", "auto", "http-01", one)
	s.run(config)
	s.until("good", one)
	first := s.shown(one)

	s.ca.held[newOrder] = &gate{reached: make(chan struct{}), open: make(chan struct{})}
	s.ca.due.Store(true)
	s.restart(config)
	var stop atomic.Bool
	var shaken atomic.Int64
	var all sync.WaitGroup
	all.Go(func() {
		for !stop.Load() {
			if err := s.serves(s.trusting(one), "HTTP/2.0"); err != nil {
				t.Errorf("a client is lost: %v", err)
				return
			}
			shaken.Add(1)
		}
	})
	defer func() { stop.Store(true); all.Wait() }()
	s.ca.reached(newOrder)
	s.until("renewing", one)
	if !s.shown(one).Equal(first) {
		t.Error("another certificate is shown while its successor is on order")
	}
	before := shaken.Load()
	gateway.Await(t, "clients come meanwhile", func() bool { return shaken.Load() > before+3 || t.Failed() })
	s.ca.release(newOrder)
	s.until("good", one)
	second := s.shown(one)
	if second.Equal(first) || s.names()[one].Serial != second.SerialNumber.Text(16) {
		t.Errorf("shown is %x, told is %+v", second.SerialNumber, s.names()[one])
	}
	before = shaken.Load()
	gateway.Await(t, "clients come afterwards", func() bool { return shaken.Load() > before+3 || t.Failed() })
	// The authority wishes the new one gone too. It is not asked for the next at once.
	gateway.Await(t, "the next order is planned", func() bool {
		c := s.names()[one]
		return c.NextTry != nil && c.NextTry.After(time.Now().Add(time.Minute))
	})
	if n := s.ca.orders.Load(); n != 2 {
		t.Errorf("the authority has got %d orders, want 2", n)
	}
	s.number(1, "straum_acme_orders_total", `outcome="renewed"`)
	s.number(0, "straum_acme_orders_total", `outcome="obtained"`)
	s.number(float64(second.NotAfter.Unix()), "straum_tls_certificate_expiry_timestamp_seconds", fmt.Sprintf("certificate=%q", one))
}

// For a name that is in a certificate from files, that one is shown; auto is for the others.
func TestBesideFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	files := gateway.NewAuthority(t)
	pair := files.Issue([]string{one})
	s.run(s.yaml("", fmt.Sprintf("{ certificates: [%s], auto: {} }", pair.YAML()), "http-01", one, two))
	s.until("good", two)
	s.mustServe(two)
	if err := s.serves(files.Trusting(one), "HTTP/2.0"); err != nil {
		t.Error(err)
	}
}

package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/staple"
	"straum.dev/straum/internal/ticket"
)

const days = 24 * time.Hour

// How a certificate stands follows from what its keepers tell, and whoever reads it learns what to do.
func TestFileStates(t *testing.T) {
	f := func(change func(*CertificateFile), state string, attention ...string) {
		t.Helper()
		one := CertificateFile{
			Status: certificate.Status{Pair: certificate.Pair{Cert: "api.crt", Key: "api.key"}, Names: []string{"api.example.com"},
				NotBefore: start.Add(-60 * days), NotAfter: start.Add(300 * days), Key: "RSA 2048", Stapling: "stapled"},
			Staple: staple.Status{Followed: true, Stapled: true},
		}
		change(&one)
		got := ofFile(&one, start)
		if got.State != state || !slices.Equal(got.Attention, attention) {
			t.Errorf("got  %s %q\nwant %s %q", got.State, got.Attention, state, attention)
		}
	}
	f(func(c *CertificateFile) {}, "good")
	f(func(c *CertificateFile) { c.Warnings = []string{"the chain is incomplete"} }, "good", "the chain is incomplete")
	f(func(c *CertificateFile) { c.NotAfter, c.Expiring = start.Add(9*days), true }, "expiring",
		"the certificate of api.example.com (api.crt) expires 2026-11-10, in 9 days; write its successor into the files, and it is shown without a restart")
	f(func(c *CertificateFile) {
		c.NotAfter, c.Expiring, c.Warnings = start.Add(-25*time.Hour), true, []string{"certificate file api.crt: it expired"}
	}, "expired", "certificate file api.crt: it expired; clients refuse it; write its successor into the files, and it is shown without a restart")
	f(func(c *CertificateFile) { c.NotBefore, c.Warnings = start.Add(time.Hour), []string{"it is too early"} }, "not_yet_valid",
		"it is too early; clients refuse it; write its successor into the files, and it is shown without a restart")
	f(func(c *CertificateFile) { c.Problem = "api.key: half a key" }, "refused",
		"the files of api.example.com were changed and are refused; what they held before is shown on, and expires 2027-08-28, in 300 days: api.key: half a key")
	f(func(c *CertificateFile) {
		c.Problem, c.Expiring, c.NotAfter = "half a key", true, start.Add(30*time.Hour)
	}, "refused",
		"the files of api.example.com were changed and are refused; what they held before is shown on, and expires 2026-11-02, in 30 hours: half a key",
		"the certificate of api.example.com (api.crt) expires 2026-11-02, in 30 hours; write its successor into the files, and it is shown without a restart")
	f(func(c *CertificateFile) { c.Staple.Revoked, c.Stapling = start, "REVOKED: replace it" }, "revoked", "the certificate of api.example.com: REVOKED: replace it")
	f(func(c *CertificateFile) {
		c.Staple = staple.Status{Followed: true, Must: true}
		c.Stapling = "clients refuse it"
	}, "good",
		"the certificate of api.example.com: clients refuse it")
	f(func(c *CertificateFile) { c.Staple = staple.Status{Followed: true, Must: true}; c.ToEndpoints = true }, "good")
}

func TestNameStates(t *testing.T) {
	f := func(s acme.Status, state string, attention ...string) {
		t.Helper()
		s.Name = "a.example.com"
		got := ofName(&s, start)
		if got.State != state || !slices.Equal(got.Attention, attention) {
			t.Errorf("got  %s %q\nwant %s %q", got.State, got.Attention, state, attention)
		}
	}
	ends := start.Add(20 * days)
	f(acme.Status{State: acme.Waiting, NextTry: start}, "waiting")
	f(acme.Status{State: acme.Issued, NotAfter: ends}, "good")
	f(acme.Status{State: acme.Renewing, NotAfter: ends}, "renewing")
	f(acme.Status{State: acme.Failed, Error: "no way", Failures: 1, NextTry: start.Add(2 * time.Minute)}, "failed",
		"there is no certificate for a.example.com yet: no way; the next try is at 2026-11-01 08:02 UTC, in 2 minutes")
	f(acme.Status{State: acme.Failed, Error: "no way", Failures: 4, NotAfter: ends, NextTry: start.Add(3 * time.Hour)}, "failed",
		"the certificate of a.example.com could not be renewed: no way; 4 tries in a row failed; the next try is at 2026-11-01 11:00 UTC, in 3 hours; the one that is shown expires 2026-11-21, in 20 days")
	f(acme.Status{State: acme.Failed, Error: "no way", NotAfter: start.Add(-3 * days)}, "expired",
		"the certificate of a.example.com could not be renewed: no way; the one that is shown expired 2026-10-29, 3 days ago, and clients refuse it")
	f(acme.Status{State: acme.Renewing, NotAfter: start.Add(-time.Minute)}, "expired",
		"the certificate of a.example.com could not be renewed in time; the one that is shown expired 2026-11-01, 1 minute ago, and clients refuse it")
	f(acme.Status{State: acme.Renewing, NotAfter: ends, RevokedAt: start.Add(-time.Hour)}, "revoked",
		"the certificate of a.example.com was revoked at 2026-11-01 07:00 UTC; another is ordered")
}

func TestAttentionToUnverified(t *testing.T) {
	all := attention(Secure{Unverified: []string{"ledger"}}, time.Now())
	if len(all) != 1 || all[0].Check != "upstream" || !strings.Contains(all[0].Reason, "ledger") {
		t.Errorf("%+v", all)
	}
	if all := attention(Secure{}, time.Now()); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestAttentionToTickets(t *testing.T) {
	f := func(k *ticket.Status, want string) {
		t.Helper()
		all := attention(Secure{Tickets: k}, start)
		if len(all) > 1 || (len(all) == 1) != (want != "") || want != "" && all[0] != (Reason{"session tickets", want}) {
			t.Errorf("%v, want %q", all, want)
		}
	}
	f(nil, "")
	f(&ticket.Status{}, "")
	f(&ticket.Status{Problem: "the disk is full"}, "the disk is full")
}

func TestAway(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := away(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	f(0, "now")
	f(59*time.Second, "now")
	f(time.Minute, "in 1 minute")
	f(-119*time.Minute, "119 minutes ago")
	f(2*time.Hour, "in 2 hours")
	f(47*time.Hour, "in 47 hours")
	f(48*time.Hour, "in 2 days")
	f(-100*days, "100 days ago")
}

func TestHandshakes(t *testing.T) {
	if h := handshakesOf(listen.Stats{}, listen.Stats{Accepted: 5}); h != nil {
		t.Errorf("without TLS there are %+v", h)
	}
	h := handshakesOf(listen.Stats{HandshakeCeiling: 10, HandshakesUnderWay: 1, Handshakes: [...]uint64{listen.Full: 10, listen.Resumed: 20, listen.Gone: 3, listen.Failed: 0}},
		listen.Stats{}, listen.Stats{HandshakeCeiling: 5, Handshakes: [...]uint64{listen.Full: 10, listen.Gone: 1, listen.NoTLS: 4, listen.Failed: 0}})
	if h.Full != 20 || h.Resumed != 20 || h.ResumedShare != 0.5 || h.UnderWay != 1 || h.Ceiling != 15 || len(h.Failed) != 2 ||
		h.Failed[0].Reason != "client_gone" || h.Failed[0].Count != 4 || h.Failed[1].Reason != "not_tls" {
		t.Errorf("%+v", h)
	}
}

// The status has no part about TLS where there is none, and counts the certificates there are.
func TestSecured(t *testing.T) {
	a := newWorld(t).admin()
	if got := a.secured([]listen.Stats{{Accepted: 1}}, Secure{}); got != nil {
		t.Errorf("without TLS: %+v", got)
	}
	got := a.secured(nil, Secure{Names: []acme.Status{{Name: "a", State: acme.Waiting}}})
	if got == nil || got.Certificates != 0 || got.Ends != nil {
		t.Errorf("one is still to come: %+v", got)
	}
	got = a.secured([]listen.Stats{{HandshakeCeiling: 1}}, secured())
	if got == nil || got.Certificates != 2 || !got.Ends.Equal(start.Add(29*days)) || got.Handshakes.Ceiling != 1 || got.Tickets == nil {
		t.Errorf("%+v", got)
	}
}

// Every way for a handshake not to succeed has words.
func TestOutcomes(t *testing.T) {
	for o := range len(listen.Stats{}.Handshakes) {
		outcome := listen.Outcome(o)
		succeeded := outcome == listen.Full || outcome == listen.Resumed
		if known := strings.TrimSpace(outcomes[outcome.String()]) != ""; known == succeeded {
			t.Errorf("the outcome %s: meaning %q", outcome, outcomes[outcome.String()])
		}
	}
}

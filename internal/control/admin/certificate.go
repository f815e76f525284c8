package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/staple"
	"straum.dev/straum/internal/ticket"
)

// Secure is how what makes TLS stands, as its parts tell it.
type Secure struct {
	Files   []CertificateFile
	Names   []acme.Status  // certificates that are asked for
	Tickets *ticket.Status // nil until a listener spoke TLS
	// Unverified are the upstreams whose endpoints' certificates are taken as they are.
	Unverified []string
}

// CertificateFile is a certificate that was read from files.
type CertificateFile struct {
	certificate.Status
	Staple      staple.Status
	ToEndpoints bool // it is shown to the endpoints of an upstream
}

// CertificateList are all certificates.
type CertificateList struct {
	Certificates []Certificate `json:"certificates" nullable:"false" doc:"Those of files by file, then those of ACME in the order of the configuration."`
}

// Certificate is how one certificate stands.
type Certificate struct {
	Names       []string   `json:"names" nullable:"false" doc:"It is good for."`
	Kind        string     `json:"kind,omitempty" doc:"Of its key, such as ECDSA P-256. Absent, as all else of the certificate, while there is none yet."`
	Issuer      string     `json:"issuer,omitempty"`
	Serial      string     `json:"serial,omitempty" doc:"Hexadecimal."`
	Begins      *time.Time `json:"not_before,omitempty"`
	Ends        *time.Time `json:"not_after,omitempty"`
	Left        float64    `json:"expires_in_seconds,omitempty" doc:"Below 0 when it has expired."`
	Source      string     `json:"source" enum:"file,acme"`
	CertFile    string     `json:"cert_file,omitempty"`
	KeyFile     string     `json:"key_file,omitempty"`
	ToEndpoints bool       `json:"shown_to_endpoints" doc:"It is the client certificate for the endpoints of an upstream."`
	State       string     `json:"state" enum:"good,expiring,expired,not_yet_valid,refused,revoked,waiting,renewing,failed" doc:"refused: the files were changed and are not as they must be; what they held before is shown on. waiting: there is none yet. failed: the last order failed; a certificate may be shown all the same."`
	Stapling    string     `json:"stapling,omitempty" doc:"How it stands with the answer of its OCSP responder, in a sentence."`
	Loaded      *time.Time `json:"loaded,omitempty" doc:"Files: since when it is shown."`
	Swaps       uint64     `json:"swaps" doc:"Files: times a changed one was taken."`
	Refusals    uint64     `json:"refusals" doc:"Files: times a changed one was refused."`
	NextTry     *time.Time `json:"next_try,omitempty" doc:"ACME: when it will be ordered or renewed."`
	Why         string     `json:"why,omitempty" doc:"ACME: why then."`
	Failures    int        `json:"failures" doc:"ACME: orders in a row that failed."`
	Attention   []string   `json:"attention,omitempty" doc:"What somebody has to see to, in sentences."`
}

// The states of certificates.
const (
	stateGood        = "good"
	stateExpiring    = "expiring"
	stateExpired     = "expired"
	stateNotYetValid = "not_yet_valid"
	stateRefused     = "refused"
	stateRevoked     = "revoked"
	stateWaiting     = "waiting"
	stateRenewing    = "renewing"
	stateFailed      = "failed"
)

func (a *Admin) getCertificates(context.Context, *struct{}) (*struct{ Body CertificateList }, error) {
	return &struct{ Body CertificateList }{CertificateList{certificates(a.sources.Secure(), a.wall())}}, nil
}

func certificates(s Secure, now time.Time) []Certificate {
	all := []Certificate{}
	for i := range s.Files {
		all = append(all, ofFile(&s.Files[i], now))
	}
	for i := range s.Names {
		all = append(all, ofName(&s.Names[i], now))
	}
	return all
}

func ofFile(f *CertificateFile, now time.Time) Certificate {
	c := Certificate{
		Names: append([]string{}, f.Names...), Kind: f.Key, Issuer: f.Issuer, Serial: f.Serial, Begins: shown(f.NotBefore), Ends: shown(f.NotAfter),
		Left: f.NotAfter.Sub(now).Seconds(), Source: "file", CertFile: f.Pair.Cert, KeyFile: f.Pair.Key, ToEndpoints: f.ToEndpoints,
		Stapling: f.Stapling, Loaded: shown(f.Loaded), Swaps: f.Swaps, Refusals: f.Refusals, State: stateGood,
	}
	if f.ToEndpoints {
		c.Stapling = "" // only who is connected to staples
	}
	switch {
	case !f.Staple.Revoked.IsZero():
		c.State = stateRevoked
	case now.After(f.NotAfter):
		c.State = stateExpired
	case now.Before(f.NotBefore):
		c.State = stateNotYetValid
	case f.Problem != "":
		c.State = stateRefused
	case f.Expiring:
		c.State = stateExpiring
	}
	c.Attention = append(c.Attention, f.Warnings...)
	if n := len(c.Attention); n > 0 && (now.After(f.NotAfter) || now.Before(f.NotBefore)) {
		c.Attention[n-1] += "; clients refuse it; " + successor // the last warning says that it is not valid now
	}
	if f.Staple.Alarm() && !f.ToEndpoints {
		c.Attention = append(c.Attention, "the certificate of "+c.subject()+": "+f.Stapling)
	}
	if f.Problem != "" {
		c.Attention = append(c.Attention, fmt.Sprintf("the files of %s were changed and are refused; what they held before is shown on, and expires %s: %s",
			c.subject(), day(f.NotAfter, now), f.Problem))
	}
	if c.State == stateExpiring || c.State == stateRefused && f.Expiring {
		c.Attention = append(c.Attention, fmt.Sprintf("the certificate of %s (%s) expires %s; %s", c.subject(), f.Pair.Cert, day(f.NotAfter, now), successor))
	}
	return c
}

const successor = "write its successor into the files, and it is shown without a restart"

func ofName(s *acme.Status, now time.Time) Certificate {
	c := Certificate{
		Names: []string{s.Name}, Kind: s.Key, Issuer: s.Issuer, Serial: s.Serial, Begins: shown(s.NotBefore), Ends: shown(s.NotAfter), Source: "acme",
		Stapling: s.OCSP, NextTry: shown(s.NextTry), Why: s.Reason, Failures: s.Failures, State: stateGood,
	}
	held := !s.NotAfter.IsZero()
	if held {
		c.Left = s.NotAfter.Sub(now).Seconds()
	}
	switch {
	case !s.RevokedAt.IsZero():
		c.State = stateRevoked
		c.Attention = append(c.Attention, "the certificate of "+s.Name+" was revoked at "+minute(s.RevokedAt)+"; another is ordered")
	case held && now.After(s.NotAfter):
		c.State = stateExpired
	case s.State == acme.Failed:
		c.State = stateFailed
	case !held:
		c.State = stateWaiting
	case s.State == acme.Renewing:
		c.State = stateRenewing
	}
	var text string
	switch {
	case s.State == acme.Failed && !held:
		text = "there is no certificate for " + s.Name + " yet: " + s.Error
	case s.State == acme.Failed:
		text = "the certificate of " + s.Name + " could not be renewed: " + s.Error
	case c.State == stateExpired:
		text = "the certificate of " + s.Name + " could not be renewed in time"
	default:
		return c
	}
	if s.Failures > 1 {
		text += fmt.Sprintf("; %d tries in a row failed", s.Failures)
	}
	if !s.NextTry.IsZero() {
		text += "; the next try is at " + minute(s.NextTry) + ", " + away(s.NextTry.Sub(now))
	}
	switch {
	case c.State == stateExpired:
		text += "; the one that is shown expired " + day(s.NotAfter, now) + ", and clients refuse it"
	case held:
		text += "; the one that is shown expires " + day(s.NotAfter, now)
	}
	c.Attention = append(c.Attention, text)
	return c
}

// subject is the shortest that tells a certificate from others.
func (c *Certificate) subject() string {
	switch n := len(c.Names); n {
	case 0:
		return c.CertFile
	case 1:
		return c.Names[0]
	default:
		return fmt.Sprintf("%s and %d more", c.Names[0], n-1)
	}
}

// day says when something is, and how far that is.
func day(t, now time.Time) string { return t.UTC().Format("2006-01-02") + ", " + away(t.Sub(now)) }

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// away says how far something is, in the largest unit of which there are two.
func away(d time.Duration) string {
	ago := d < 0
	d = max(d, -d)
	n, unit := int64(d/time.Minute), "minute"
	switch {
	case d >= 48*time.Hour:
		n, unit = int64(d/(24*time.Hour)), "day"
	case d >= 2*time.Hour:
		n, unit = int64(d/time.Hour), "hour"
	case n == 0:
		return "now"
	}
	text := fmt.Sprintf("%d %s", n, unit)
	if n != 1 {
		text += "s"
	}
	if ago {
		return text + " ago"
	}
	return "in " + text
}

// attention is what works for now and needs somebody all the same.
func attention(s Secure, now time.Time) (all []Reason) {
	for _, c := range certificates(s, now) {
		for _, text := range c.Attention {
			all = append(all, Reason{Check: "certificate", Reason: text})
		}
	}
	if s.Tickets != nil && s.Tickets.Problem != "" {
		all = append(all, Reason{Check: "session tickets", Reason: strings.TrimSpace(s.Tickets.Problem)})
	}
	for _, name := range s.Unverified {
		all = append(all, Reason{Check: "upstream", Reason: "the endpoints of " + name + " are not verified (verify: false): whoever is on the way to them can " +
			"read and change everything; set tls.ca instead"})
	}
	return all
}

package acme

import (
	"crypto/x509"
	"sync/atomic"
	"time"
)

// State is how things stand with a name.
type State string

// The states.
const (
	Waiting  State = "waiting"  // no certificate yet; the first order has not failed
	Issued   State = "issued"   // a certificate is served
	Renewing State = "renewing" // a certificate is served, and its successor is on order
	Failed   State = "failed"   // the last order failed; NotAfter tells whether a certificate is served nevertheless
)

// Status is how things stand with one name. Times that are unknown are zero.
type Status struct {
	Name  string `json:"name"`
	State State  `json:"state"`

	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Serial    string    `json:"serial,omitempty"` // hexadecimal
	Issuer    string    `json:"issuer,omitempty"`
	Chain     []string  `json:"chain,omitempty"` // subjects, the name's own certificate first
	Key       string    `json:"key,omitempty"`   // ECDSA or RSA

	NextTry time.Time `json:"next_try,omitzero"` // when it will be ordered or renewed
	Reason  string    `json:"reason,omitempty"`  // why then

	// The authority's renewal window (RFC 9773), if it gives one.
	WindowStart       time.Time `json:"window_start,omitzero"`
	WindowEnd         time.Time `json:"window_end,omitzero"`
	WindowExplanation string    `json:"window_explanation,omitempty"`

	Failures int       `json:"failures,omitempty"` // in a row
	Error    string    `json:"error,omitempty"`    // the last one, in words; empty after a success
	FailedAt time.Time `json:"failed_at,omitzero"`

	OCSP      string    `json:"ocsp,omitempty"` // a sentence
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Status tells of every name, in the order of the settings.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.names))
	for _, name := range m.names {
		all = append(all, m.subjects[name].status())
	}
	return all
}

func (s *subject) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Status{
		Name: s.name, State: s.state, NextTry: s.dueAt, Reason: string(s.why), Failures: s.failures,
		WindowStart: s.window.start, WindowEnd: s.window.end, WindowExplanation: s.window.explanation,
		OCSP: s.staple.note, RevokedAt: s.staple.revoked,
	}
	if f := s.m.options.Stapled; f != nil && s.staple.id != "" {
		t.OCSP, _ = f(s.staple.id)
	}
	if s.failure != nil {
		t.Error, t.FailedAt = explain(s.failure), s.failedAt
	}
	if s.held != nil {
		leaf := s.held.leaf()
		t.NotBefore, t.NotAfter = leaf.NotBefore, leaf.NotAfter
		t.Serial, t.Issuer, t.Key = serial(leaf), leaf.Issuer.String(), leaf.PublicKeyAlgorithm.String()
		for _, c := range s.held.chain {
			t.Chain = append(t.Chain, subjectOf(c))
		}
	}
	return t
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// subjectOf names a certificate; authorities leave the subject of the first one empty these days.
func subjectOf(c *x509.Certificate) string {
	if text := c.Subject.String(); text != "" {
		return text
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return "serial " + serial(c)
}

// Stats count what happened since the manager was made, and how many names there are.
type Stats struct {
	Names, Served                 int    // configured, and with a certificate (valid or not)
	Obtained, Renewed, Failed     uint64 // orders
	Revoked                       uint64 // certificates found revoked by OCSP
	AnsweredHTTP01, AnsweredTLS01 uint64 // questions of the authority
}

type counts struct {
	obtained, renewed, failed, revoked atomic.Uint64
	answeredHTTP, answeredTLS          atomic.Uint64
}

// Stats are the present counts.
func (m *Manager) Stats() Stats {
	s := m.served.Load()
	return Stats{
		Names: len(s.managed), Served: len(s.byName),
		Obtained: m.counts.obtained.Load(), Renewed: m.counts.renewed.Load(), Failed: m.counts.failed.Load(), Revoked: m.counts.revoked.Load(),
		AnsweredHTTP01: m.counts.answeredHTTP.Load(), AnsweredTLS01: m.counts.answeredTLS.Load(),
	}
}

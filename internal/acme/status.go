package acme

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
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
	Name  string
	State State

	NotBefore time.Time
	NotAfter  time.Time
	Serial    string // hexadecimal
	Issuer    string
	Key       string // such as ECDSA P-256

	NextTry time.Time // when it will be ordered or renewed
	Reason  string    // why then

	Failures int    // in a row
	Error    string // the last one, in words; empty after a success

	OCSP      string // a sentence
	RevokedAt time.Time
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
		OCSP: s.staple.note, RevokedAt: s.staple.revoked,
	}
	if f := s.m.options.Stapled; f != nil && s.staple.id != "" {
		t.OCSP, _ = f(s.staple.id)
	}
	if s.failure != nil {
		t.Error = explain(s.failure)
	}
	if s.held != nil {
		leaf := s.held.leaf()
		t.NotBefore, t.NotAfter = leaf.NotBefore, leaf.NotAfter
		t.Serial, t.Issuer, t.Key = serial(leaf), leaf.Issuer.String(), kindOf(leaf)
	}
	return t
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// kindOf is what a certificate's key is called.
func kindOf(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return c.PublicKeyAlgorithm.String()
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

package profile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Profile is a set of versions and cipher suites that go together.
type Profile uint8

const (
	// Intermediate is TLS 1.3, and 1.2 with ECDHE and AEAD suites: all clients of the last ten years.
	Intermediate Profile = iota
	// Modern is TLS 1.3 alone.
	Modern
)

// ClientAuth is what a listener wants to know of a client.
type ClientAuth uint8

const (
	// ClientNone asks for no certificate.
	ClientNone ClientAuth = iota
	// ClientOptional asks for one; a client that shows none is let in, one that shows a bad one is not.
	ClientOptional
	// ClientRequired refuses clients without a good one.
	ClientRequired
)

// Settings of a listener.
type Settings struct {
	Profile Profile
	// PostQuantum adds X25519MLKEM768, which is then taken whenever the client has it. It costs a handshake about half as much again in
	// processor time and 2.3 KB on the wire; without it, sessions recorded today may be read once there are quantum computers.
	PostQuantum bool
	// Protocols are the names for ALPN (RFC 7301), the preferred first. A client that offers only others is refused; one that offers
	// none is not. A listener that answers challenges of ACME in the handshake needs acme-tls/1 among them (RFC 8737), and has to
	// close connections that chose it.
	Protocols []string
	// Certificate picks the certificate of a handshake. Nil without an error refuses with unrecognized_name.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Client and Authorities say which clients may come in. Authorities are needed unless Client is ClientNone.
	Client      ClientAuth
	Authorities *Authorities
	Now         func() time.Time // nil is time.Now
}

// suites are those of TLS 1.2; of 1.3 all three are strong and crypto/tls always offers them. It also decides the order, by whether
// the processors of both sides have AES instructions.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// curves are the groups of the key exchange.
func curves(postQuantum bool) []tls.CurveID {
	classical := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	if postQuantum {
		return append([]tls.CurveID{tls.X25519MLKEM768}, classical...)
	}
	return classical
}

// Server makes the config of a listener. Its session tickets have keys that crypto/tls draws for this config alone, until
// ticket.Keys.Use gives it others.
func Server(s Settings) (*tls.Config, error) {
	if s.Certificate == nil {
		return nil, errors.New("profile: a listener needs certificates")
	}
	c := &tls.Config{
		Time:             s.Now,
		GetCertificate:   s.Certificate,
		NextProtos:       slices.Clone(s.Protocols),
		MinVersion:       tls.VersionTLS12,
		CipherSuites:     suites,
		CurvePreferences: curves(s.PostQuantum),
		// One record, one write: crypto/tls hands each record to the connection on its own, and records that begin small and grow would
		// make five writes of a fresh connection's answer of 16 KB, where one does. What small records win is that a browser can begin
		// with the first packet of a long page when packets are lost; the answers of an API are short, and are of use only whole.
		DynamicRecordSizingDisabled: true,
		Renegotiation:               tls.RenegotiateNever,
	}
	if s.Profile == Modern {
		c.MinVersion = tls.VersionTLS13
	}
	if s.Client == ClientNone {
		return c, nil
	}
	if s.Authorities == nil {
		return nil, errors.New("profile: a listener that asks clients for certificates needs the authorities that sign them")
	}
	c.ClientCAs = s.Authorities.pool
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if s.Client == ClientRequired {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.VerifyConnection = s.verify
	return c, nil
}

// Context is the text for ticket.Keys.Use: sessions of one listener are not resumed at another, nor after its rules for clients
// have changed.
func (s *Settings) Context(listener string) string {
	text := strconv.Quote(listener) + " client " + strconv.Itoa(int(s.Client))
	if s.Client != ClientNone {
		text += " " + s.Authorities.Digest()
	}
	return text
}

// verify looks at a client's certificate again when a session is resumed. crypto/tls does not verify it then as it did when the
// session began: the certificate comes out of the ticket, and may have expired since.
func (s Settings) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		if s.Client == ClientRequired {
			return errors.New("the client shows no certificate; the listener requires one")
		}
		return nil
	}
	if !cs.DidResume {
		return nil // verified a moment ago
	}
	opts := x509.VerifyOptions{
		Roots:         s.Authorities.pool,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if s.Now != nil {
		opts.CurrentTime = s.Now()
	}
	for _, each := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(each)
	}
	if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
		return fmt.Errorf("the client's certificate of a resumed session is not good any more: %w", err)
	}
	return nil
}

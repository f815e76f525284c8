package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// The names of protocols in ALPN (RFC 7301).
const (
	alpnHTTP1 = "http/1.1"
	alpnHTTP2 = "h2"
)

// terms are what connections to an endpoint are made under. Two that are equal may share connections.
type terms struct {
	protocol Protocol
	secure   bool
	identity string // of the settings of TLS
	name     string // that the endpoint has to prove
}

// termsOf are the terms of an endpoint that was configured as address.
func (s *Settings) termsOf(address string) terms {
	t := terms{protocol: s.Protocol}
	if s.TLS == nil {
		if t.protocol == Auto {
			t.protocol = HTTP1
		}
		return t
	}
	t.secure, t.identity, t.name = true, s.TLS.Identity, s.TLS.ServerName
	if t.name == "" {
		t.name = nameToProve(address)
	}
	return t
}

// nameToProve is the host of a configured address: the name, and not what it resolves to.
func nameToProve(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return strings.TrimSuffix(host, ".")
}

// config is the TLS configuration for one endpoint, with the protocols to offer.
func (t terms) config(of *tls.Config, address string, protocols ...string) *tls.Config {
	c := of.Clone()
	c.ServerName, c.NextProtos = t.name, protocols
	if c.ClientSessionCache != nil {
		c.ClientSessionCache = sessions{c.ClientSessionCache, address + " "}
	}
	return c
}

// sessions is the part of a session cache that belongs to one endpoint. Endpoints of the same name need not know each other's tickets,
// and each would push out the other's.
type sessions struct {
	cache tls.ClientSessionCache
	of    string
}

// Get implements tls.ClientSessionCache.
func (s sessions) Get(key string) (*tls.ClientSessionState, bool) { return s.cache.Get(s.of + key) }

// Put implements tls.ClientSessionCache.
func (s sessions) Put(key string, state *tls.ClientSessionState) { s.cache.Put(s.of+key, state) }

var errNoHTTP2 = errors.New("the endpoint did not agree to speak HTTP/2 (ALPN); set the upstream's protocol to auto or http1")

// tlsFault says in plain words why a handshake failed, and what helps.
func tlsFault(err error, name string) *fault.Fault {
	if err == socket.ErrTimeout {
		return fault.At(fault.ConnectTimeout, fault.NotConnected, errors.New("the TLS handshake took too long"))
	}
	return fault.At(fault.UpstreamTLS, fault.NotConnected, &handshakeError{explain(err, name), err})
}

// handshakeError is a failed handshake in words for the operator.
type handshakeError struct {
	text  string
	cause error
}

func (e *handshakeError) Error() string { return e.text + " (" + e.cause.Error() + ")" }
func (e *handshakeError) Unwrap() error { return e.cause }

func explain(err error, name string) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "the endpoint's certificate is signed by nobody who is trusted; name the CA's certificate in the upstream's tls settings"
	case errors.As(err, &host):
		return fmt.Sprintf("the endpoint's certificate is not for %s; set the server name in the upstream's tls settings to one that it is for", name)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the endpoint's certificate has expired or is not valid yet; renew it, and check the clocks of both machines"
	case errors.As(err, &verification):
		return "the endpoint's certificate could not be verified"
	case errors.As(err, &record):
		return "what the endpoint answered is no TLS; check the port, or use http instead of https"
	case socket.Alert(err):
		return explainAlert(err.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the endpoint closed the connection in the TLS handshake; check that the port is one for TLS"
	}
	return "the TLS handshake failed"
}

// explainAlert says what to make of an alert (RFC 8446 §6.2).
func explainAlert(text string) string {
	switch {
	case strings.Contains(text, "no application protocol"):
		return "the endpoint speaks none of the protocols it was offered (ALPN); set the upstream's protocol to auto or http1"
	case strings.Contains(text, "protocol version"):
		return "the endpoint speaks none of the versions of TLS that it was offered; check the upstream's tls settings"
	case strings.Contains(text, "certificate"):
		return "the endpoint did not accept our certificate, or wants one; set the client certificate in the upstream's tls settings"
	case strings.Contains(text, "unrecognized name"):
		return "the endpoint does not know the name it was asked for; set the server name in the upstream's tls settings"
	}
	return "the endpoint refused the handshake: it may want a client certificate, or have no cipher in common with us"
}

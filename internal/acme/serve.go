package acme

import (
	"crypto/tls"
	"errors"
	"strings"
)

// What GetCertificate answers when a certificate should be there and is not. They are made once: a flood of handshakes allocates
// nothing for them.
var (
	errWaiting   = errors.New("acme: the certificate for the name has not been obtained yet")
	errChallenge = errors.New("acme: no challenge is open for the name")
)

// shelf is what handshakes read. It is replaced whole.
type shelf struct {
	byName  map[string]*tls.Certificate
	managed map[string]bool
	first   *tls.Certificate
	protos  []string
}

// GetCertificate is for tls.Config, or for a choice among several sources: it answers nil without an error for names that are not
// managed. It allocates nothing unless the name has capital letters. A client that names nobody gets the certificate of the first
// name. A handshake that offers "acme-tls/1" and nothing else is the authority's question; it gets the
// answer, and its connection is to be closed when the handshake is done.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := m.served.Load()
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnProtocol {
		return m.answer(hello.ServerName)
	}
	name := hello.ServerName
	if name == "" {
		if s.first != nil {
			return s.first, nil
		}
		return nil, nil
	}
	name = strings.ToLower(name)
	if c := s.byName[name]; c != nil {
		return c, nil
	}
	managed := s.managed[name]
	// RFC 9525 §6.3: an asterisk stands for exactly one label. Only names with one are looked up by it, and the key is put together
	// on the stack.
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		var room [256]byte
		key := append(append(room[:0], '*'), name[dot:]...)
		if c := s.byName[string(key)]; c != nil {
			return c, nil
		}
		managed = managed || s.managed[string(key)]
	}
	if managed {
		return nil, errWaiting
	}
	return nil, nil
}

// answer is the certificate for a tls-alpn-01 question.
func (m *Manager) answer(name string) (*tls.Certificate, error) {
	open := m.challenges.certs.Load()
	if open == nil {
		return nil, errChallenge
	}
	c := (*open)[strings.ToLower(name)]
	if c == nil {
		return nil, errChallenge
	}
	m.counts.answeredTLS.Add(1)
	return c, nil
}

// Protos are the protocols to be added to a TLS listener's ALPN list, behind its own: "acme-tls/1" while tls-alpn-01 is allowed,
// and none otherwise. The slice is shared; it is not to be changed.
func (m *Manager) Protos() []string { return m.served.Load().protos }

package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// alpnProtocol is what a tls-alpn-01 question offers, alone (RFC 8737 §3).
const alpnProtocol = acmez.ACMETLS1Protocol

// challengesMost bounds the questions open at a time. An order has one for its name, so it is never reached.
const challengesMost = 64

// challenges are the open questions and our answers. Readers look at maps that are replaced whole: a request that is none costs
// one atomic load.
type challenges struct {
	mu    sync.Mutex // writers
	files atomic.Pointer[map[string]file]
	certs atomic.Pointer[map[string]*tls.Certificate]
}

// file is the answer to http-01 under a token.
type file struct{ host, text string }

// Challenge answers the http-01 question for token at host (which may have a port): with the text to send, or not ok if the
// authority asked no such thing; then the request is like any other. The question comes by cleartext HTTP at port 80, the token is
// what follows /.well-known/acme-challenge/ in its path, and the answer has the status 200 (RFC 8555 §8.3). Whoever serves requests
// takes the path apart: internal/edge.
func (m *Manager) Challenge(host, token string) (keyAuthorization string, ok bool) {
	open := m.challenges.files.Load()
	if open == nil || len(*open) == 0 {
		return "", false
	}
	f, ok := (*open)[token]
	if !ok {
		return "", false
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if !strings.EqualFold(host, f.host) {
		return "", false
	}
	m.counts.answeredHTTP.Add(1)
	return f.text, true
}

// httpSolver and alpnSolver put answers out for acmez and take them away.
type (
	httpSolver challenges
	alpnSolver challenges
)

var errChallenges = errors.New("too many challenges are open")

// Present puts the answer out.
func (s *httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return put(&s.files, c.Token, file{c.Identifier.Value, c.KeyAuthorization})
}

// CleanUp takes the answer away.
func (s *httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop(&s.files, c.Token)
	return nil
}

// Present puts the answer out: a certificate that only a question gets to see.
func (s *alpnSolver) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return put(&s.certs, strings.ToLower(c.Identifier.Value), cert)
}

// CleanUp takes the answer away.
func (s *alpnSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop(&s.certs, strings.ToLower(c.Identifier.Value))
	return nil
}

func put[V any](at *atomic.Pointer[map[string]V], key string, value V) error {
	next := map[string]V{}
	if old := at.Load(); old != nil {
		next = maps.Clone(*old)
	}
	if len(next) >= challengesMost {
		return errChallenges
	}
	next[key] = value
	at.Store(&next)
	return nil
}

func drop[V any](at *atomic.Pointer[map[string]V], key string) {
	if old := at.Load(); old != nil {
		next := maps.Clone(*old)
		delete(next, key)
		at.Store(&next)
	}
}

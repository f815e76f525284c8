package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// ordersMost is how many orders are under way at a time; further names wait. It bounds what a start with many names asks of the
// authority, and how many challenges are open.
const ordersMost = 4

// Manager holds certificates for names and keeps them valid. All methods may be called at any time by anybody.
type Manager struct {
	options Options
	log     *slog.Logger
	zap     *zap.Logger
	store   *store
	cache   *certmagic.Cache // stopped at once: certmagic wants one, and nobody reads it

	challenges challenges
	served     atomic.Pointer[shelf]
	terms      atomic.Pointer[agreement]
	orders     chan struct{}
	counts     counts
	followed   atomic.Uint64 // numbers what the stapler follows

	mu       sync.Mutex // guards what follows, and one Apply at a time
	subjects map[string]*subject
	names    []string
	closed   bool
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// agreement is the terms in force with the issuer made from them. It is replaced whole.
type agreement struct {
	*terms
	issuer *issuer
	magic  *certmagic.Config
}

// New makes a manager that holds nothing yet. It makes and checks the directory.
func New(o Options) (*Manager, error) {
	if o.Directory == "" {
		return nil, errors.New("acme: a state directory is required: accounts and keys must outlive the process")
	}
	if err := os.MkdirAll(o.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("acme: state directory: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Timing = o.Timing.filled()

	m := &Manager{
		options: o, log: o.Log, zap: bridge(o.Log), store: newStore(filepath.Clean(o.Directory)),
		orders: make(chan struct{}, ordersMost), subjects: map[string]*subject{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.served.Store(&shelf{})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return nil, errors.New("acme: not used") },
		Logger:           zap.NewNop(),
	})
	m.cache.Stop()
	return m, nil
}

// Apply makes the settings the ones in force. Names that are new are looked for on disk, served from there if they are found, and
// ordered otherwise; names no longer listed are not served any more, and their orders are broken off, while their files stay.
// Nothing waits for the authority. Settings that are already in force change nothing, but a roots file that changed is a change.
// After an error everything is as it was.
func (m *Manager) Apply(s Settings) error {
	t, names, err := check(s)
	if err != nil {
		return err
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("acme: closed")
	}
	if now := m.terms.Load(); now == nil || !now.same(t) {
		made, err := m.agree(t)
		if err != nil {
			return err
		}
		m.terms.Store(made)
		if now != nil {
			now.issuer.close()
		}
		for _, s := range m.subjects {
			s.wake()
		}
	}

	keep := make(map[string]bool, len(names))
	for _, name := range names {
		keep[name] = true
	}
	for name, s := range m.subjects {
		if !keep[name] {
			s.cancel()
			delete(m.subjects, name)
		}
	}
	m.names = names
	fresh := []*subject(nil)
	for _, name := range names {
		if m.subjects[name] == nil {
			s := newSubject(m, name)
			m.subjects[name] = s
			fresh = append(fresh, s)
		}
	}
	// What lies on disk is served before Apply returns, so that listeners opened after it have certificates to show.
	for _, s := range fresh {
		s.load(m.terms.Load())
	}
	m.publish()
	for _, s := range fresh {
		m.running.Go(s.runSubject)
	}
	return nil
}

// agree builds what orders certificates on these terms.
func (m *Manager) agree(t *terms) (*agreement, error) {
	made := &agreement{terms: t}
	iss, err := newIssuer(m, t)
	if err != nil {
		return nil, err
	}
	made.issuer = iss

	keys := certmagic.StandardKeyGenerator{KeyType: certmagic.P256}
	if t.key == RSA2048 {
		keys.KeyType = certmagic.RSA2048
	}
	made.magic = certmagic.New(m.cache, certmagic.Config{
		Storage:   m.store,
		Issuers:   []certmagic.Issuer{iss},
		KeySource: keys,
		OnEvent:   iss.onEvent,
		// The timetable and the staples are ours.
		DisableARI: true,
		OCSP:       certmagic.OCSPConfig{DisableStapling: true},
		Logger:     m.zap,
	})
	return made, nil
}

// publish puts the certificates of all names on the shelf that handshakes read. The caller holds mu.
func (m *Manager) publish() {
	next := &shelf{byName: make(map[string]*tls.Certificate, len(m.subjects)), managed: make(map[string]bool, len(m.subjects))}
	for name, s := range m.subjects {
		next.managed[name] = true
		if c := s.certificate(); c != nil {
			next.byName[name] = c
		}
	}
	if len(m.names) > 0 {
		next.first = next.byName[m.names[0]]
	}
	if now := m.terms.Load(); now != nil && now.allows(TLSALPN01) {
		next.protos = []string{alpnProtocol}
	}
	m.served.Store(next)
}

// changed is called by a subject whose certificate is a new one.
func (m *Manager) changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.publish()
}

// Close breaks off what is under way and waits for it. What was obtained is on disk. Certificates are served on.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.cancel()
	m.mu.Unlock()
	m.running.Wait()
	if now := m.terms.Load(); now != nil {
		now.issuer.close()
	}
	return nil
}

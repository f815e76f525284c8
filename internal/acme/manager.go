package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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

	applying sync.Mutex // one Apply at a time; taken before mu

	// mu guards what follows. It is not held while files are read: Status does not wait for a disk.
	mu       sync.Mutex
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
	o.timing = o.timing.filled()

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
// Nothing waits for the authority. Settings that are already in force change nothing. After an error everything is as it was.
func (m *Manager) Apply(s Settings) error {
	t, names, err := check(s)
	if err != nil {
		return err
	}

	m.applying.Lock()
	defer m.applying.Unlock()
	before := m.terms.Load()
	now := before
	if before == nil || !before.same(t) {
		if now, err = m.agree(t); err != nil {
			return err
		}
	}
	// What lies on disk is served before Apply returns, so that listeners opened after it have certificates to show.
	added := m.missing(names)
	for _, s := range added {
		s.load(now)
	}
	if !m.putInForce(now, names, added) {
		for _, s := range added {
			s.cancel()
			s.unfollow()
		}
		return errors.New("acme: closed")
	}
	if before != nil && before != now {
		before.issuer.close()
	}
	return nil
}

// missing makes subjects for the names that have none. They do nothing yet. The caller holds applying.
func (m *Manager) missing(names []string) (added []*subject) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if m.subjects[name] == nil {
			added = append(added, newSubject(m, name))
		}
	}
	return added
}

// putInForce puts terms and names in force, unless the manager is closed.
func (m *Manager) putInForce(now *agreement, names []string, added []*subject) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if m.terms.Load() != now {
		m.terms.Store(now)
		for _, s := range m.subjects {
			s.wake()
		}
	}
	for name, s := range m.subjects {
		if !slices.Contains(names, name) {
			s.cancel()
			delete(m.subjects, name)
		}
	}
	m.names = names
	for _, s := range added {
		m.subjects[s.name] = s
	}
	m.publish()
	for _, s := range added {
		m.running.Go(s.runSubject)
	}
	return true
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
	if t.key == rsa2048 {
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
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.cancel()
	m.mu.Unlock()
	m.running.Wait()
	if now := m.terms.Load(); now != nil {
		now.issuer.close()
	}
}

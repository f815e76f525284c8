package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/profile"
	"straum.dev/straum/internal/staple"
	"straum.dev/straum/internal/ticket"
)

// secure is what of the gateway makes TLS: certificates, what is stapled to them, ticket keys, ACME. It outlives revisions. The
// directory of state is touched by the first revision that has something to keep there.
//
// It implements revision.Secure: what one revision needs is made beside what the one in force has, and takes its place or is given up
// as a whole.
type secure struct {
	log          *slog.Logger
	state        string
	certificates *certificate.Store
	staples      *staple.Stapler
	ctx          context.Context
	stop         context.CancelFunc
	running      sync.WaitGroup
	shown        atomic.Pointer[shown] // for whoever asks how it stands, also while a revision is prepared

	mu      sync.Mutex // guards what follows, and is held while files are read
	started bool
	keys    *ticket.Keys  // nil until a listener speaks TLS
	acme    *acme.Manager // nil until a listener has tls: auto
	now     *outfit       // of the revision in force; empty before the first
	next    *outfit       // of the one that is being put in force, nil when none is
}

// outfit is what one revision has of TLS.
type outfit struct {
	issued  acme.Settings
	configs []*tls.Config // of its listeners
	choices []*certificate.Choice
	trusts  map[compile.Trust]*trusted
}

// trusted is what was made of a Trust.
type trusted struct {
	digest string // of the files
	tls    *upstream.TLS
	own    *certificate.Choice // nil for none
}

// shown is what others may ask. It is immutable; its parts answer from memory.
type shown struct {
	keys        *ticket.Keys
	acme        *acme.Manager
	toEndpoints map[certificate.Pair]bool // the pairs that endpoints are shown
	unverified  []string                  // upstreams whose endpoints are taken as they are
}

func newSecure(log *slog.Logger, state string) *secure {
	s := &secure{log: log, state: state, now: &outfit{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.staples = staple.New(staple.Options{Dir: filepath.Join(state, "ocsp"), Log: log})
	s.certificates = certificate.NewStore(certificate.Options{Log: log, Follow: s.staples.Follow, Drop: s.staples.Drop,
		Stapling: func(id string) string { return s.staples.Status(id).String() }})
	s.show()
	return s
}

// show tells others what there is now. mu is held.
func (s *secure) show() {
	v := &shown{keys: s.keys, acme: s.acme, toEndpoints: map[certificate.Pair]bool{}}
	for t := range s.now.trusts {
		v.toEndpoints[t.Own] = true
		if t.Insecure {
			v.unverified = append(v.unverified, t.Upstream)
		}
	}
	slices.Sort(v.unverified)
	s.shown.Store(v)
}

// start makes the parts run that look after what they hold. mu is held.
func (s *secure) start() {
	if s.started {
		return
	}
	s.started = true
	s.running.Go(func() { s.certificates.Run(s.ctx) })
	s.running.Go(func() { s.staples.Run(s.ctx) })
}

// tickets makes the ticket keys when there are none. mu is held.
func (s *secure) tickets() (*ticket.Keys, error) {
	if s.keys == nil {
		file, err := ticket.NewFile(filepath.Join(s.state, "tickets"), ticket.Period(ticket.DefaultPeriod), s.log)
		if err != nil {
			return nil, err
		}
		s.keys = ticket.New(ticket.Options{Source: file, Log: s.log})
		s.running.Go(func() { s.keys.Run(s.ctx) })
		s.show()
	}
	return s.keys, nil
}

// Begin implements revision.Secure.
func (s *secure) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = &outfit{issued: s.now.issued, trusts: map[compile.Trust]*trusted{}}
}

// Trust implements revision.Secure. As long as a Trust and its files stay as they are, so does what is made of it: connections and
// sessions of its upstream live on.
func (s *secure) Trust(t *compile.Trust) (*upstream.TLS, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Insecure {
		s.log.Warn("the endpoints of an upstream are not verified: whoever is on the way to them can read and change everything; set tls.ca in place of verify: false",
			"upstream", t.Upstream)
	}
	settings := profile.ClientSettings{Insecure: t.Insecure}
	digest := ""
	if t.CA != "" {
		a, err := profile.LoadRoots(t.CA)
		if err != nil {
			return nil, err
		}
		settings.Authorities, digest = a, a.Digest()
	}
	if known := s.now.trusts[*t]; known != nil && known.digest == digest {
		s.next.trusts[*t] = known
		return known.tls, nil
	}
	fresh := &trusted{digest: digest}
	if t.Own.Cert != "" {
		s.start()
		choice, err := s.certificates.Prepare(certificate.Settings{Pairs: []certificate.Pair{t.Own}})
		if err != nil {
			return nil, err
		}
		fresh.own, settings.Certificate = choice, choice.Default
	}
	fresh.tls = &upstream.TLS{Config: profile.Client(settings), ServerName: t.ServerName, Identity: t.Identity(digest)}
	s.next.trusts[*t] = fresh
	return fresh.tls, nil
}

// doorway is the TLS of one listener.
type doorway struct {
	tls   *listen.TLS // nil for none
	rules string      // what stands for the rules its clients must fulfil
}

// listeners makes what the listeners of a revision need, by their index.
func (s *secure) listeners(c *compile.Compiled) ([]doorway, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.issue(c); err != nil {
		return nil, err
	}
	all := make([]doorway, len(c.Listeners))
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.TLS == nil {
			continue
		}
		var err error
		if all[i], err = s.listener(l); err != nil {
			return nil, problem(l.TLS.At, err)
		}
	}
	return all, nil
}

// problem is an error with its place in the configuration.
func problem(at document.Node, err error) error {
	var all document.Problems
	all.Add(at.Errorf("%s", err))
	return all.Err()
}

// issue tells ACME for which names certificates are wanted. mu is held.
func (s *secure) issue(c *compile.Compiled) error {
	want := c.ACME
	if c.ACMERoots != "" {
		roots, err := profile.LoadRoots(c.ACMERoots)
		if err != nil {
			return problem(c.ACMEAt.At("ca"), err)
		}
		want.Roots, want.RootsDigest = roots.Pool(), roots.Digest()
	}
	if s.acme == nil && len(want.Names) == 0 {
		return nil
	}
	if s.acme == nil {
		m, err := acme.New(acme.Options{Directory: filepath.Join(s.state, "acme"), Log: s.log, Stapler: s.staples,
			Stapled: func(id string) (string, time.Time) { st := s.staples.Status(id); return st.String(), st.Revoked }})
		if err != nil {
			return problem(c.ACMEAt, err)
		}
		s.acme = m
		s.show()
	}
	if err := s.acme.Apply(want); err != nil {
		return problem(c.ACMEAt, err)
	}
	s.next.issued = want
	return nil
}

// listener makes the TLS of one listener. mu is held.
func (s *secure) listener(l *compile.Listener) (doorway, error) {
	s.start()
	keys, err := s.tickets()
	if err != nil {
		return doorway{}, err
	}
	show := certificate.Settings{Pairs: l.TLS.Pairs, Strict: l.TLS.Strict}
	speak := profile.Settings{Profile: l.TLS.Profile, PostQuantum: l.TLS.PostQuantum, Client: l.TLS.Client}
	if !l.HTTP2.Off {
		speak.Protocols = append(speak.Protocols, "h2")
	}
	speak.Protocols = append(speak.Protocols, "http/1.1", "http/1.0")
	if l.TLS.Auto {
		show.Fallback = s.acme.GetCertificate
		speak.Protocols = append(speak.Protocols, s.acme.Protos()...)
	}
	choice, err := s.certificates.Prepare(show)
	if err != nil {
		return doorway{}, err
	}
	s.next.choices = append(s.next.choices, choice)
	speak.Certificate = choice.GetCertificate
	if l.TLS.ClientCA != "" {
		if speak.Authorities, err = profile.LoadAuthorities(l.TLS.ClientCA); err != nil {
			return doorway{}, err
		}
	}
	config, err := profile.Server(speak)
	if err != nil {
		return doorway{}, err
	}
	rules := speak.Context(l.Listen.Name)
	keys.Use(config, rules)
	s.next.configs = append(s.next.configs, config)
	return doorway{&listen.TLS{Config: config, Timeout: l.TLS.Timeout, Ceiling: l.TLS.Ceiling}, rules}, nil
}

// Keep implements revision.Secure.
func (s *secure) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.now
	s.now, s.next = s.next, nil
	s.retire(was)
	s.show()
}

// Drop implements revision.Secure.
func (s *secure) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acme != nil {
		if err := s.acme.Apply(s.now.issued); err != nil { // nothing, when they are in force
			s.log.Error("the names to hold certificates for could not be changed back", "error", err.Error())
		}
	}
	refused := s.next
	s.next = nil
	s.retire(refused)
}

// retire lets go of the ticket keys of an outfit that is over, and of certificates that the one in force does not show. mu is held.
func (s *secure) retire(over *outfit) {
	for _, config := range over.configs {
		s.keys.Drop(config)
	}
	keep := slices.Clone(s.now.choices)
	for _, t := range s.now.trusts {
		if t.own != nil {
			keep = append(keep, t.own)
		}
	}
	s.certificates.Retire(keep...)
}

// challenge is what an authority wants to read, if one has been asked for a certificate.
func (s *secure) challenge() func(host, token string) (string, bool) {
	if m := s.shown.Load().acme; m != nil {
		return m.Challenge
	}
	return nil
}

// close ends what runs.
func (s *secure) close() {
	s.stop()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acme != nil {
		s.acme.Close()
	}
}

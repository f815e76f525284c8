package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
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
type secure struct {
	log          *slog.Logger
	state        string
	certificates *certificate.Store
	staples      *staple.Stapler
	ctx          context.Context
	stop         context.CancelFunc
	running      sync.WaitGroup

	mu      sync.Mutex // guards what follows; one revision is put in force at a time, and others ask how it stands
	started bool
	keys    *ticket.Keys  // nil until a listener speaks TLS
	acme    *acme.Manager // nil until a listener has tls: auto
	issued  acme.Settings // those in force
	configs []*tls.Config // of the listeners in force
	choices []*certificate.Choice
	trusts  map[compile.Trust]*trusted
}

// trusted is what was made of a Trust.
type trusted struct {
	digest string // of the files
	tls    *upstream.TLS
	own    *certificate.Choice // nil for none
}

func newSecure(log *slog.Logger, state string) *secure {
	s := &secure{log: log, state: state, trusts: map[compile.Trust]*trusted{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.staples = staple.New(staple.Options{Dir: filepath.Join(state, "ocsp"), Log: log})
	s.certificates = certificate.NewStore(certificate.Options{Log: log, Follow: s.staples.Follow, Drop: s.staples.Drop,
		Stapling: func(id string) string { return s.staples.Status(id).String() }})
	return s
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

// rotation is how long a ticket key is the one that is used.
const rotation = ticket.Period(12 * time.Hour)

// tickets makes the ticket keys when there are none. mu is held.
func (s *secure) tickets() (*ticket.Keys, error) {
	if s.keys == nil {
		file, err := ticket.NewFile(filepath.Join(s.state, "tickets"), rotation, s.log)
		if err != nil {
			return nil, err
		}
		s.keys = ticket.New(ticket.Options{Source: file, Log: s.log})
		s.running.Go(func() { s.keys.Run(s.ctx) })
	}
	return s.keys, nil
}

// doorway is what a revision makes of TLS, from its preparation to its coming into force.
type doorway struct {
	listeners []*listen.TLS // by the index of the revision's listeners; nil for those without
	rules     []string      // likewise: what clients must fulfil
	configs   []*tls.Config
	choices   []*certificate.Choice
	before    acme.Settings
}

// prepare makes what a revision's listeners need. After an error nothing has changed. Otherwise keep or drop follows.
func (s *secure) prepare(c *compile.Compiled) (*doorway, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &doorway{listeners: make([]*listen.TLS, len(c.Listeners)), rules: make([]string, len(c.Listeners)), before: s.issued}
	if err := s.issue(&c.ACME); err != nil {
		return nil, problem(c.ACMEAt, err)
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.TLS == nil {
			continue
		}
		t, rules, err := s.listener(l, d)
		if err != nil {
			s.back(d)
			return nil, problem(l.TLS.At, err)
		}
		d.listeners[i], d.rules[i] = t, rules
	}
	return d, nil
}

// problem is an error with its place in the configuration.
func problem(at document.Node, err error) error {
	var all document.Problems
	all.Add(at.Errorf("%s", err))
	return all.Err()
}

// issue tells ACME for which names certificates are wanted. mu is held.
func (s *secure) issue(want *acme.Settings) (err error) {
	if s.acme == nil && len(want.Names) == 0 {
		return nil
	}
	if s.acme == nil {
		if s.acme, err = acme.New(acme.Options{Directory: filepath.Join(s.state, "acme"), Log: s.log, Stapler: s.staples,
			Stapled: func(id string) (string, time.Time) { st := s.staples.Status(id); return st.String(), st.Revoked }}); err != nil {
			return err
		}
	}
	if err := s.acme.Apply(*want); err != nil {
		return err
	}
	s.issued = *want
	return nil
}

// listener makes the TLS of one listener, and what stands for its rules. mu is held.
func (s *secure) listener(l *compile.Listener, d *doorway) (*listen.TLS, string, error) {
	s.start()
	keys, err := s.tickets()
	if err != nil {
		return nil, "", err
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
		return nil, "", err
	}
	d.choices = append(d.choices, choice)
	speak.Certificate = choice.GetCertificate
	if l.TLS.ClientCA != "" {
		if speak.Authorities, err = profile.LoadAuthorities(l.TLS.ClientCA); err != nil {
			return nil, "", err
		}
	}
	config, err := profile.Server(speak)
	if err != nil {
		return nil, "", err
	}
	rules := speak.Context(l.Listen.Name)
	keys.Use(config, rules)
	d.configs = append(d.configs, config)
	return &listen.TLS{Config: config, Timeout: l.TLS.Timeout, Ceiling: l.TLS.Ceiling}, rules, nil
}

// keep ends what the revision before had and this one does not.
func (s *secure) keep(d *doorway, c *compile.Compiled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, config := range s.configs {
		s.keys.Drop(config)
	}
	s.configs, s.choices = d.configs, d.choices
	wanted := c.Trusts()
	for t := range s.trusts {
		if !slices.ContainsFunc(wanted, func(w *compile.Trust) bool { return *w == t }) {
			delete(s.trusts, t)
		}
	}
	s.retire()
}

// drop forgets what was prepared for a revision that does not come into force.
func (s *secure) drop(d *doorway) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back(d)
}

func (s *secure) back(d *doorway) {
	for _, config := range d.configs {
		s.keys.Drop(config)
	}
	if s.acme != nil {
		if err := s.acme.Apply(d.before); err != nil {
			s.log.Error("the names to hold certificates for could not be changed back", "error", err.Error())
		}
		s.issued = d.before
	}
	s.retire()
}

// retire lets go of certificates that nobody shows any more. mu is held.
func (s *secure) retire() {
	keep := slices.Clone(s.choices)
	for _, t := range s.trusts {
		if t.own != nil {
			keep = append(keep, t.own)
		}
	}
	s.certificates.Retire(keep...)
}

// trust implements compile.Secure. As long as a Trust and its files stay as they are, so does what is made of it: connections and
// sessions of its upstream live on.
func (s *secure) trust(t *compile.Trust) (*upstream.TLS, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Insecure {
		s.log.Warn("the endpoints of an upstream are not verified: whoever is on the way to them can read and change everything; set tls.ca in place of verify: false",
			"upstream", t.Upstream)
	}
	settings := profile.ClientSettings{Insecure: t.Insecure}
	digest := ""
	if t.CA != "" {
		a, err := profile.LoadAuthorities(t.CA)
		if err != nil {
			return nil, err
		}
		settings.Authorities, digest = a, a.Digest()
	}
	if known := s.trusts[*t]; known != nil && known.digest == digest {
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
	s.trusts[*t] = fresh
	return fresh.tls, nil
}

// challenge is what an authority wants to read, if one has been asked for a certificate.
func (s *secure) challenge() func(host, token string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acme == nil {
		return nil
	}
	return s.acme.Challenge
}

// close ends what runs.
func (s *secure) close() {
	s.stop()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acme != nil {
		if err := s.acme.Close(); err != nil {
			s.log.Error(err.Error())
		}
	}
}

package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"
)

// subject is one name and the certificate it has. Its goroutine alone changes what is under mu, apart from the first load.
type subject struct {
	m      *Manager
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	nudge  chan struct{} // of one place: something changed, look again now

	mu       sync.Mutex
	held     *holding
	state    State
	failures int       // in a row
	retryAt  time.Time // not before then, after failures
	issuedAt time.Time // the last issuance by this process
	failure  error
	dueAt    time.Time // when it is to be replaced
	why      reason
	window   window
	windowAt time.Time // when to ask for the window again
	staple   stapling
}

// holding is a certificate with its key. It is never changed; a new staple makes a new one.
type holding struct {
	pair   *tls.Certificate // Leaf is set
	issuer string           // key of the issuer under which it is stored
}

func (h *holding) leaf() *x509.Certificate { return h.pair.Leaf }

func newSubject(m *Manager, name string) *subject {
	s := &subject{m: m, name: name, nudge: make(chan struct{}, 1), state: Waiting}
	s.ctx, s.cancel = context.WithCancel(m.ctx)
	return s
}

// wake makes the subject look at everything again, however long it was to wait after a failure.
func (s *subject) wake() {
	s.mu.Lock()
	s.retryAt, s.windowAt = time.Time{}, time.Time{}
	s.mu.Unlock()
	s.poke()
}

// poke ends the subject's sleep.
func (s *subject) poke() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

func (s *subject) certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil
	}
	return s.held.pair
}

// runSubject is the life of a name, until it is removed or the manager closes.
func (s *subject) runSubject() {
	defer s.unfollow()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.nudge:
		case <-timer.C:
		}
		next := s.step()
		timer.Reset(max(time.Until(next), time.Millisecond))
	}
}

// step does what there is to do now and says when to come again.
func (s *subject) step() time.Time {
	a := s.m.terms.Load()
	if s.held != nil && s.held.issuer != a.issuer.IssuerKey() {
		// The authority changed; perhaps there is a certificate of the new one from earlier days.
		if s.load(a) {
			s.m.changed()
		}
	}
	if s.held != nil && s.held.issuer == a.issuer.IssuerKey() {
		s.refreshWindow(a)
		s.refreshStaple()
	}

	at, why := s.plan(a)
	if !time.Now().Before(at) && s.ctx.Err() == nil {
		s.attempt(a, why)
		at, _ = s.plan(a)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range []time.Time{s.windowAt, s.staple.at} {
		if !other.IsZero() && other.Before(at) {
			at = other
		}
	}
	return at
}

// plan says when to order the next certificate, and why.
func (s *subject) plan(a *agreement) (time.Time, reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	var why reason
	switch {
	case s.held == nil:
		why = "there is none yet"
	case s.held.issuer != a.issuer.IssuerKey():
		why = "it is from another authority than the one configured now"
	default:
		leaf := s.held.leaf()
		at, why = renewal(leaf.NotBefore, leaf.NotAfter, s.m.options.timing.share, s.window.chosen, !s.staple.revoked.IsZero())
		if first := soonest(s.issuedAt, leaf.NotBefore, leaf.NotAfter); at.Before(first) {
			at = first
		}
	}
	if at.Before(s.retryAt) {
		at = s.retryAt
	}
	s.dueAt, s.why = at, why
	return at, why
}

// load takes the certificate that lies on disk for the issuer in force. Without a usable one what is held stays.
func (s *subject) load(a *agreement) bool {
	h, err := s.m.store.holding(s.ctx, a.issuer.IssuerKey(), s.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		s.m.log.Warn("a stored certificate cannot be used and is ordered anew", "name", s.name, "error", err.Error())
		return false
	}
	s.take(h)
	return true
}

// take makes h the certificate of the name.
func (s *subject) take(h *holding) {
	h = s.follow(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.state = h, Issued
	s.window, s.windowAt = window{}, time.Now()
}

// attempt orders a certificate and records the outcome.
func (s *subject) attempt(a *agreement, why reason) {
	select {
	case s.m.orders <- struct{}{}:
		defer func() { <-s.m.orders }()
	case <-s.ctx.Done():
		return
	}
	s.mu.Lock()
	had, failures := s.held, s.failures
	if had != nil {
		s.state = Renewing
	}
	s.mu.Unlock()
	renewing := had != nil && had.issuer == a.issuer.IssuerKey()
	if renewing {
		s.m.log.Info("renewing a certificate", "name", s.name, "reason", string(why), "not_after", had.leaf().NotAfter.UTC())
	} else {
		s.m.log.Info("ordering a certificate", "name", s.name, "reason", string(why), "directory", a.directory)
	}

	// certmagic keeps a certificate's files apart by issuer and name; forcing a renewal obtains a first certificate as well.
	ctx, cancel := context.WithTimeout(s.ctx, s.m.options.timing.attempt)
	defer cancel()
	job := &order{}
	if renewing {
		job.had = had.leaf()
		// A server that stumbles over the hint what is being replaced gets none the next time.
		job.hint = failures%2 == 0
	}
	err := a.magic.RenewCertSync(context.WithValue(ctx, orderKey{}, job), s.name, true)
	if errors.Is(err, errOvertaken) {
		err = nil
	}
	var h *holding
	if err == nil {
		h, err = s.m.store.holding(s.ctx, a.issuer.IssuerKey(), s.name)
	}
	if s.ctx.Err() != nil {
		return // removed or closing; nobody is to be told of the order we broke off
	}
	if err != nil {
		s.failed(err, renewing, ctx.Err() != nil)
		return
	}

	s.take(h)
	s.mu.Lock()
	s.failures, s.retryAt, s.failure, s.issuedAt = 0, time.Time{}, nil, time.Now()
	s.mu.Unlock()
	s.m.changed()
	line := "a certificate was obtained"
	if renewing {
		s.m.counts.renewed.Add(1)
		line = "a certificate was renewed"
	} else {
		s.m.counts.obtained.Add(1)
	}
	s.m.log.Info(line, "name", s.name, "issuer", h.leaf().Issuer.String(), "serial", serial(h.leaf()), "not_after", h.leaf().NotAfter.UTC())
}

// failed records a failed order and when to try again.
func (s *subject) failed(err error, renewing, late bool) {
	now := time.Now()
	if late {
		err = fmt.Errorf("not done within %v: %w", s.m.options.timing.attempt, err)
	}
	s.m.counts.failed.Add(1)
	s.mu.Lock()
	s.failures++
	s.state, s.failure = Failed, err
	left := time.Duration(0)
	if s.held != nil {
		left = max(0, s.held.leaf().NotAfter.Sub(now))
	}
	s.retryAt = now.Add(backoff(s.failures, left, s.m.options.timing, rand.Float64()))
	failures, retryAt, held := s.failures, s.retryAt, s.held
	s.mu.Unlock()

	log := s.m.log.With("name", s.name, "failures", failures, "next_try", retryAt.UTC(), "error", explain(err))
	switch {
	case held == nil:
		log.Error("no certificate could be obtained: handshakes for the name fail")
	case left == 0:
		log.Error("an expired certificate could not be renewed: clients refuse it")
	case renewing:
		log.Warn("a certificate could not be renewed: the old one is served on", "not_after", held.leaf().NotAfter.UTC())
	default:
		log.Warn("no certificate could be obtained from the new authority: the old one is served on", "not_after", held.leaf().NotAfter.UTC())
	}
}

// refreshWindow asks the authority when it would like the certificate to be renewed, if it is time to ask.
func (s *subject) refreshWindow(a *agreement) {
	s.mu.Lock()
	leaf, at, old := s.held.leaf(), s.windowAt, s.window
	s.mu.Unlock()
	if at.IsZero() || time.Now().Before(at) {
		return
	}
	w, wait, err := a.issuer.window(s.ctx, leaf)
	t := s.m.options.timing
	switch {
	case err != nil:
		// Our own window holds meanwhile, or the last one we were told.
		s.m.log.Debug("no renewal window", "name", s.name, "error", explain(err))
		w, wait = old, t.window
	case w.start.Equal(old.start) && w.end.Equal(old.end):
		w.chosen = old.chosen
	case !w.start.IsZero():
		w.chosen = pick(w.start, w.end, rand.Float64())
		if !old.start.IsZero() {
			s.m.log.Info("the authority moved the renewal window", "name", s.name, "start", w.start.UTC(), "end", w.end.UTC(), "explanation", w.explanation)
		}
	}
	if wait == 0 {
		wait = t.window
	}
	// RFC 9773 §4.3.2 wants both ends: we neither ask without pause nor forget to ask.
	wait = min(max(wait, min(t.window, time.Minute)), 4*t.window)
	s.mu.Lock()
	s.window, s.windowAt = w, time.Now().Add(wait)
	s.mu.Unlock()
}

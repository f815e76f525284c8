package acme

import (
	"crypto/tls"
	"fmt"
	"time"
)

// Stapler looks after the OCSP responses of certificates that name a responder; *staple.Stapler does.
type Stapler interface {
	// Follow begins with a certificate. put takes what is to be stapled from now on, nil for nothing, also before Follow returns.
	Follow(id string, c *tls.Certificate, put func(response []byte))
	// Drop ends what Follow began.
	Drop(id string)
}

// stapling is what is known of the OCSP response for the certificate that is held.
type stapling struct {
	id       string    // under which it is followed; empty is not
	note     string    // a sentence, if there is none to be had from Options.Stapled
	response []byte    // as it was last put; may differ from what is served until the next step
	at       time.Time // when to look again whether it is revoked; zero is never
	revoked  time.Time // since when it is; zero is not known to be
}

// follow begins to look after the response for h, and gives h with what there is at once.
func (s *subject) follow(h *holding) *holding {
	o := &s.m.options
	next := stapling{}
	switch {
	case len(h.leaf().OCSPServer) == 0:
		next.note = "the certificate names no OCSP responder: there is nothing to staple"
	case o.Stapler == nil:
		next.note = "OCSP responses are not fetched"
	default:
		// The number keeps a name that was removed and came back apart from its former self.
		next.id = fmt.Sprintf("acme/%s/%d", s.name, s.m.followed.Add(1))
		next.at = time.Now()
	}
	s.mu.Lock()
	old := s.staple.id
	s.staple = next
	s.mu.Unlock()
	if old != "" {
		o.Stapler.Drop(old)
	}
	if next.id == "" {
		return h
	}
	o.Stapler.Follow(next.id, h.pair, func(response []byte) {
		s.mu.Lock()
		if s.staple.id == next.id {
			s.staple.response = response
		}
		s.mu.Unlock()
		s.poke()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.stapled(s.staple.response)
}

// unfollow ends it.
func (s *subject) unfollow() {
	s.mu.Lock()
	id := s.staple.id
	s.mu.Unlock()
	if id != "" {
		s.m.options.Stapler.Drop(id)
	}
}

// refreshStaple serves the response that was put last, and looks whether the certificate is revoked.
func (s *subject) refreshStaple() {
	s.mu.Lock()
	st := s.staple
	fresh := string(s.held.pair.OCSPStaple) != string(st.response)
	if fresh {
		s.held = s.held.stapled(st.response)
	}
	s.mu.Unlock()
	if fresh {
		s.m.changed()
	}
	now := time.Now()
	if st.at.IsZero() || now.Before(st.at) || s.m.options.Stapled == nil {
		return
	}
	_, revoked := s.m.options.Stapled(st.id)
	s.mu.Lock()
	s.staple.revoked, s.staple.at = revoked, now.Add(s.m.options.timing.staple)
	if !revoked.IsZero() {
		s.staple.at = time.Time{}
	}
	leaf := s.held.leaf()
	s.mu.Unlock()
	if !revoked.IsZero() {
		s.m.counts.revoked.Add(1)
		s.m.log.Error("a certificate was revoked and is replaced", "name", s.name, "serial", serial(leaf), "revoked_at", revoked.UTC())
	}
}

// stapled is h with another OCSP response.
func (h *holding) stapled(response []byte) *holding {
	pair := *h.pair
	pair.OCSPStaple = response
	return &holding{pair: &pair, issuer: h.issuer}
}

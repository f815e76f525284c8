package main

import (
	"sync"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/edge/wire/http2"
	"straum.dev/straum/internal/observe/metrics"
)

// status is how what makes TLS stands, for people.
func (s *secure) status() admin.Secure {
	v := s.shown.Load()
	all := admin.Secure{Unverified: v.unverified}
	for _, one := range s.certificates.Status() {
		all.Files = append(all.Files, admin.CertificateFile{Status: one, Staple: s.staples.Status(one.Pair.ID()), ToEndpoints: v.toEndpoints[one.Pair]})
	}
	if v.acme != nil {
		all.Names = v.acme.Status()
	}
	if v.keys != nil {
		state := v.keys.Status()
		all.Tickets = &state
	}
	return all
}

// numbers are the same for monitors.
func (s *secure) numbers() metrics.TLS {
	v := s.shown.Load()
	var t metrics.TLS
	for _, one := range s.certificates.Status() {
		staple := s.staples.Status(one.Pair.ID())
		t.Certificates = append(t.Certificates, metrics.Certificate{
			Name: firstOf(one.Names, one.Pair.Cert), Key: one.Key, Expires: one.NotAfter, Swaps: one.Swaps, Refusals: one.Refusals, Problem: one.Problem != "",
			Staples: staple.Stapled || !staple.Next.IsZero() || !staple.Revoked.IsZero(), Stapled: staple.Stapled, Alarm: staple.Alarm(),
		})
	}
	if v.acme != nil {
		names := v.acme.Status()
		for i := range names {
			n := &names[i]
			if n.NotAfter.IsZero() {
				continue // there is none yet, which acme_names tells
			}
			t.Certificates = append(t.Certificates, metrics.Certificate{Name: n.Name, Key: n.Key, Expires: n.NotAfter, Alarm: !n.RevokedAt.IsZero()})
		}
		t.ACME = acmeNumbers(names, v.acme.Stats())
	}
	if v.keys != nil {
		state := v.keys.Status()
		t.Tickets = &metrics.Tickets{Rotated: state.Rotated, Problem: state.Problem != ""}
	}
	return t
}

func firstOf(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	return names[0]
}

func acmeNumbers(names []acme.Status, s acme.Stats) *metrics.ACME {
	a := &metrics.ACME{
		Orders:     []metrics.Count{{Reason: "obtained", N: s.Obtained}, {Reason: "renewed", N: s.Renewed}, {Reason: "failed", N: s.Failed}},
		Revoked:    s.Revoked,
		Challenges: []metrics.Count{{Reason: acme.HTTP01, N: s.AnsweredHTTP01}, {Reason: acme.TLSALPN01, N: s.AnsweredTLS01}},
	}
	for _, state := range []acme.State{acme.Waiting, acme.Issued, acme.Renewing, acme.Failed} {
		n := uint64(0)
		for i := range names {
			if names[i].State == state {
				n++
			}
		}
		a.Names = append(a.Names, metrics.Count{Reason: string(state), N: n})
	}
	return a
}

// streamCounts are the counts of HTTP/2 by the listener's name, for the life of the process.
type streamCounts struct {
	mu sync.Mutex
	of map[string]*http2.Stats
}

// get is where a listener counts.
func (c *streamCounts) get(listener string) *http2.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*http2.Stats{}
	}
	if c.of[listener] == nil {
		c.of[listener] = new(http2.Stats)
	}
	return c.of[listener]
}

// numbers are what a listener has counted, nil when it never spoke HTTP/2.
func (c *streamCounts) numbers(listener string) *metrics.HTTP2 {
	c.mu.Lock()
	s := c.of[listener]
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	n := &metrics.HTTP2{Streams: s.Streams.Load(), Refused: s.Refused.Load(), Malformed: s.Malformed.Load(), ResetsReceived: s.ResetsReceived.Load(), ResetsSent: s.ResetsSent.Load()}
	for _, code := range http2.Codes() {
		n.GoAways = append(n.GoAways, metrics.Count{Reason: code.String(), N: s.GoAways(code)})
	}
	for _, guard := range http2.Guards() {
		n.Guards = append(n.Guards, metrics.Count{Reason: guard.String(), N: s.Guarded(guard)})
	}
	return n
}

package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/listen"
)

// TLS is how the encryption of listeners stands.
type TLS struct {
	Handshakes   Handshakes `json:"handshakes" doc:"Over the listeners there are now."`
	Certificates int        `json:"certificates" doc:"There are, of listeners and upstreams, from files and from ACME."`
	Ends         *time.Time `json:"first_not_after,omitempty" doc:"When the first of them expires."`
	Tickets      *Tickets   `json:"tickets,omitempty" doc:"The keys of session tickets; absent until a listener spoke TLS."`
}

// Handshakes are the TLS handshakes of clients.
type Handshakes struct {
	Full         uint64    `json:"full"`
	Resumed      uint64    `json:"resumed" doc:"With a ticket of an earlier one, at a fraction of the work."`
	ResumedShare float64   `json:"resumed_share" doc:"Resumed of both, 0 to 1."`
	UnderWay     int       `json:"under_way"`
	Ceiling      int       `json:"ceiling" doc:"How many may be; for one more the oldest is cut."`
	Failed       []Failure `json:"failed" nullable:"false" doc:"Those that did not succeed, the most frequent first."`
}

// Failure counts handshakes that did not succeed for one reason.
type Failure struct {
	Reason  string `json:"reason"`
	Count   uint64 `json:"count"`
	Meaning string `json:"meaning" doc:"The reason in words."`
}

// Tickets are the keys of session tickets.
type Tickets struct {
	Rotated *time.Time `json:"rotated,omitempty" doc:"When they were last changed."`
	Next    *time.Time `json:"next,omitempty" doc:"When they will be."`
	Problem string     `json:"problem,omitempty" doc:"Why they will not outlive the process."`
}

// handshakesOf adds up the handshakes of listeners; nil when none of them speaks TLS or ever did.
func handshakesOf(all ...listen.Stats) *Handshakes {
	h := &Handshakes{Failed: []Failure{}}
	var counts [len(listen.Stats{}.Handshakes)]uint64
	any := false
	for i := range all {
		h.UnderWay += all[i].HandshakesUnderWay
		h.Ceiling += all[i].HandshakeCeiling
		any = any || all[i].HandshakeCeiling > 0
		for o, n := range all[i].Handshakes {
			counts[o] += n
			any = any || n > 0
		}
	}
	if !any {
		return nil
	}
	for o, n := range counts {
		switch outcome := listen.Outcome(o); {
		case outcome == listen.Full:
			h.Full = n
		case outcome == listen.Resumed:
			h.Resumed = n
		case n > 0:
			h.Failed = append(h.Failed, Failure{Reason: outcome.String(), Count: n, Meaning: outcomes[outcome.String()]})
		}
	}
	slices.SortFunc(h.Failed, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	if whole := h.Full + h.Resumed; whole > 0 {
		h.ResumedShare = float64(h.Resumed) / float64(whole)
	}
	return h
}

// outcomes says what each way not to succeed means.
var outcomes = map[string]string{
	listen.Late.String():    "it took longer than tls.handshake_timeout allows",
	listen.Cut.String():     "it was cut to make room for another: raise tls.handshakes, or find out who floods",
	listen.Gone.String():    "the client left",
	listen.Refused.String(): "the client did not like the certificate, or what is offered: look whether the certificate is expired or its chain incomplete",
	listen.NoTLS.String():   "the client spoke something else, such as HTTP without TLS",
	listen.Failed.String():  "the client offered too old a TLS, asked for a name without a certificate, or showed no certificate of its own that is accepted",
}

// secured is nil where there is no TLS and no certificate.
func (a *Admin) secured(all []listen.Stats, s Secure) *TLS {
	h, held := handshakesOf(all...), certificates(s, a.wall())
	if h == nil && len(held) == 0 {
		return nil
	}
	t := &TLS{Handshakes: Handshakes{Failed: []Failure{}}}
	if h != nil {
		t.Handshakes = *h
	}
	for _, c := range held {
		if c.Ends == nil {
			continue // it is still to come
		}
		t.Certificates++
		if t.Ends == nil || c.Ends.Before(*t.Ends) {
			t.Ends = c.Ends
		}
	}
	if k := s.Tickets; k != nil {
		t.Tickets = &Tickets{Rotated: shown(k.Rotated), Next: shown(k.Next), Problem: k.Problem}
	}
	return t
}

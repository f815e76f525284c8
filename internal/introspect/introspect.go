// Package introspect asks an authorization server what a token is worth (RFC 7662), and remembers what it said. It serves step 4, for the
// policy introspection.
//
// In reading order: introspect.go (a source and its one question), settings.go, answer.go (what a server may say), request.go (how it is
// asked), memory.go (what is remembered), shared.go (what the gateways of a fleet remember together), flood.go (who shows too many bad
// tokens; pure), rest.go (a server that fails is left alone; pure), figures.go.
//
// A token is asked about once, however many requests show it at a time. What was found is remembered under a keyed hash of the token, for
// a time that the token's own end bounds: after a token was revoked it may be accepted for that long. Good and bad ones are remembered
// apart, so that a flood of bad ones costs no good one its place.
//
// It refuses to take a token for good when it cannot know, to keep or print one, to send one over the wire unsealed but to the server that
// issued it, and to take a server's refusal of our own credential for a verdict on the token.
package introspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/fetch"
)

// What keeps a source from an answer. None is a verdict on the token.
var (
	// ErrUnavailable: the server did not answer in time, or not as RFC 7662 says, or has been failing and is left alone.
	ErrUnavailable = errors.New("the introspection endpoint is not available")
	// ErrMisconfigured: the server refuses our own credential or our request. Somebody has to look at the configuration.
	ErrMisconfigured = errors.New("the introspection endpoint refuses us")
	// ErrBusy: as many questions as allowed are under way.
	ErrBusy = errors.New("too many questions to the introspection endpoint are under way")
	// ErrFlood: the address has shown too many bad tokens lately, so nobody was asked about this one.
	ErrFlood = errors.New("too many bad tokens from this address")
)

// errOdd is the server's refusal to judge one token, such as 400 for what it cannot read.
var errOdd = fmt.Errorf("%w: it refuses the question about one token", ErrUnavailable)

// Shared is what the gateways of a fleet remember together, such as a redis.Client. It answers within milliseconds or fails.
type Shared interface {
	Get(key string) ([]byte, bool, error)
	Set(key string, value []byte, ttl time.Duration) error
	Delete(key string) error
}

// Asker sends requests, such as a fetch.Client.
type Asker interface {
	Do(ctx context.Context, r fetch.Request) (fetch.Response, error)
}

// Source knows what tokens are worth. Many use it at once; whoever made it stops it.
type Source struct {
	settings Settings
	asker    Asker
	shared   Shared // nil when there is none
	log      *slog.Logger
	now      func() time.Time

	names  names
	sealer *sealer
	memory *memory
	floods *floods
	rests  rests

	mu      sync.Mutex
	asking  map[name]*question
	figures counters
	broken  atomic.Bool // the server refused us last time
}

// question is one token being asked about. done is closed when the rest is there.
type question struct {
	done   chan struct{}
	answer *Answer
	err    error
}

// New makes a source. key is the secret its hashes and seals are made with; gateways that share answers have the same. It starts nothing.
func New(s Settings, key [32]byte, asker Asker, shared Shared, log *slog.Logger, now func() time.Time) *Source {
	s = s.filled()
	return &Source{settings: s, asker: asker, shared: shared, log: log, now: now,
		names: newNames(key, s.place()), sealer: newSealer(key, s.place()), memory: newMemory(s.Bytes, s.Inactive),
		floods: newFloods(s.FloodBurst, s.FloodRate), asking: map[name]*question{}}
}

// Stop gives up what runs beside. Questions still get answers.
func (s *Source) Stop() { s.memory.stop() }

// Look says what a token is worth: it returns an answer, active or not, or one of the errors above. from is who shows it; the zero address,
// who is not known, is never held for a flood. A remembered answer costs no allocation. Without one Look waits, at most for the time of
// the settings. It keeps nothing of token.
func (s *Source) Look(token string, from netip.Addr) (*Answer, error) {
	key := s.names.of(token)
	now := s.now().UnixNano()
	if a := s.memory.find(key, now); a != nil {
		return a, nil
	}
	// A token that was good once is no guess: whoever shares an address with a flood is not cut off by it.
	if s.floods.blocked(from, now) && !s.memory.seen(key) {
		s.figures.floods.Add(1)
		return nil, ErrFlood
	}
	q, mine, err := s.join(key)
	if err != nil {
		s.figures.busy.Add(1)
		return s.fallBack(key, err)
	}
	if mine {
		go s.runQuestion(key, strings.Clone(token), q)
	}
	<-q.done
	if mine && (errors.Is(q.err, errOdd) || q.err == nil && !q.answer.Active) {
		s.floods.spend(from, s.now().UnixNano())
	}
	if q.err != nil {
		return s.fallBack(key, q.err)
	}
	return q.answer, nil
}

// join finds the question about a token that is under way, or begins one.
func (s *Source) join(key name) (q *question, mine bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q = s.asking[key]; q != nil {
		return q, false, nil
	}
	if len(s.asking) >= s.settings.Questions {
		return nil, false, ErrBusy
	}
	q = &question{done: make(chan struct{})}
	s.asking[key] = q
	return q, true, nil
}

// runQuestion asks about one token and ends within the time of the settings. It goes on when the request that began it is gone, for
// others wait for it too.
func (s *Source) runQuestion(key name, token string, q *question) {
	q.answer, q.err = s.find(key, token)
	s.mu.Lock()
	delete(s.asking, key)
	s.mu.Unlock()
	close(q.done)
	s.memory.sweep(s.now().UnixNano())
}

// find looks at what the fleet remembers, then asks the server. A question that ended just before this one began may have been about the same
// token.
func (s *Source) find(key name, token string) (*Answer, error) {
	now := s.now()
	if a := s.memory.find(key, now.UnixNano()); a != nil {
		return a, nil
	}
	if a := s.recall(key, now); a != nil {
		s.memory.keep(key, a, now.UnixNano())
		if a.fresh(now.UnixNano()) {
			s.figures.shared.Add(1)
			return a, nil
		}
	}
	if !s.rests.may(now.UnixNano()) {
		s.figures.rested.Add(1)
		if s.broken.Load() {
			return nil, ErrMisconfigured
		}
		return nil, ErrUnavailable
	}
	body, err := s.ask(token)
	now = s.now()
	var a *Answer
	if err == nil {
		a, err = s.settings.read(body, now)
	}
	s.conclude(err, now)
	if err != nil {
		return nil, err
	}
	s.remember(key, a, body, now)
	return a, nil
}

// remember keeps an answer here and, when it is a good one, for the fleet. A token found bad is taken away from the fleet's memory.
func (s *Source) remember(key name, a *Answer, body []byte, now time.Time) {
	known := s.memory.keep(key, a, now.UnixNano())
	if a.Active {
		s.figures.active.Add(1)
	} else {
		s.figures.inactive.Add(1)
	}
	switch {
	case s.shared == nil:
	case a.Active:
		s.share(key, a, body, now)
	case known:
		_ = s.shared.Delete(key.text()) // its time ends soon in any case
	}
}

// conclude counts how the server did, and says so once when that changes.
func (s *Source) conclude(err error, now time.Time) {
	if errors.Is(err, errOdd) { // about one token, which anybody may have made up: the server is well
		s.figures.odd.Add(1)
		s.rests.release()
		return
	}
	endpoint := fetch.Place(s.settings.URL)
	refused := errors.Is(err, ErrMisconfigured)
	wasBroken := s.broken.Load()
	s.broken.Store(refused)
	change := s.rests.note(err == nil, now.UnixNano())
	switch {
	case refused:
		s.figures.refused.Add(1)
		if !wasBroken {
			s.log.Error("an introspection endpoint refuses us; check client_id, client_secret and auth of the policy introspection: until then tokens that are not remembered get 503",
				"endpoint", endpoint, "why", err.Error())
		}
	case err != nil:
		s.figures.failed.Add(1)
		if change == began {
			s.log.Warn("an introspection endpoint fails; tokens that are not remembered get 503", "endpoint", endpoint, "why", err.Error())
		}
	case change == ceased || wasBroken:
		s.log.Info("an introspection endpoint answers again", "endpoint", endpoint)
	}
}

// fallBack gives what was good a moment ago, when the settings allow that and nothing better is to be had.
func (s *Source) fallBack(key name, err error) (*Answer, error) {
	if s.settings.ServeStale > 0 {
		if a := s.memory.findStale(key, s.now().UnixNano()); a != nil {
			s.figures.stale.Add(1)
			return a, nil
		}
	}
	return nil, err
}

// unusable is an error of what a server said.
func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnavailable, fmt.Sprintf(format, args...))
}

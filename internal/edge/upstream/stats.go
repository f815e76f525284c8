package upstream

import (
	"slices"
	"strings"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/breaker"
)

// Stats is what can be told of an upstream at one moment.
type Stats struct {
	Name      string
	Balance   string
	Breaker   *breaker.Snapshot // nil when it has none
	Budget    float64           // retries that could be made now
	Endpoints []EndpointStats
}

// EndpointStats is what can be told of an endpoint.
type EndpointStats struct {
	Address  string
	Name     string // as configured
	Usable   bool
	Health   string // "unknown", "healthy", "unhealthy"
	Detail   string // of the last active check
	Ejected  bool
	Active   int64   // requests under way
	Latency  float64 // smoothed time to the head of an answer, in seconds
	Open     int64   // connections
	Idle     int
	Streams  int   // requests under way that share a connection (HTTP/2)
	Waiting  int64 // exchanges that wait for a connection
	Answered uint64
	Failed   uint64
	Reused   uint64
	Opened   map[string]uint64 // connections by the reason they were opened for
}

// Name is the upstream's name.
func (u *Upstream) Name() string { return u.name }

// Stats collects the figures of an upstream.
func (u *Upstream) Stats() Stats {
	now := clock.Now()
	v := u.view.Load()
	s := Stats{Name: u.name, Balance: v.settings.Balance.Kind.String(), Budget: u.budget.Balance(now)}
	if b := u.breaker.Load(); b != nil {
		snapshot := b.Snapshot(now)
		s.Breaker = &snapshot
	}
	for i, e := range v.endpoints {
		state := e.health.State()
		l := v.lines[i]
		idle, streams := l.shared.count()
		es := EndpointStats{
			Address: e.address, Name: v.names[i], Usable: e.load.Usable(now), Health: state.Judgement().String(), Ejected: state.IsEjected(now),
			Active: e.load.Active(), Latency: e.load.Latency(now) / 1e9,
			Open: l.pool.open.Load(), Idle: l.pool.idle() + idle, Streams: streams, Waiting: l.pool.waiting.Load() + l.shared.waiting.Load(),
			Answered: e.answered.Load(), Failed: e.failed.Load(), Reused: e.audit.reused.Load(), Opened: map[string]uint64{},
		}
		if d := e.detail.Load(); d != nil {
			es.Detail = *d
		}
		for r := range e.audit.opened {
			if n := e.audit.opened[r].Load(); n > 0 {
				es.Opened[Reason(r).String()] = n
			}
		}
		s.Endpoints = append(s.Endpoints, es)
	}
	return s
}

// Stats collects the figures of all upstreams, by name.
func (s *Set) Stats() []Stats {
	var out []Stats
	for _, u := range s.All() {
		out = append(out, u.Stats())
	}
	slices.SortFunc(out, func(a, b Stats) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Force opens or closes an upstream's breaker by hand until ReleaseBreaker. It returns false when there is no such upstream or it has
// no breaker.
func (s *Set) Force(name string, to breaker.State) bool {
	return s.withBreaker(name, func(b *breaker.Breaker) { b.Force(clock.Now(), to) })
}

// ReleaseBreaker lets a breaker decide for itself again.
func (s *Set) ReleaseBreaker(name string) bool {
	return s.withBreaker(name, func(b *breaker.Breaker) { b.Release(clock.Now()) })
}

func (s *Set) withBreaker(name string, do func(*breaker.Breaker)) bool {
	s.mu.Lock()
	u := s.live[name]
	s.mu.Unlock()
	if u == nil || u.breaker.Load() == nil {
		return false
	}
	do(u.breaker.Load())
	return true
}

package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/resolve"
)

// Set is all upstreams, across snapshots.
type Set struct {
	log      *slog.Logger
	resolver *resolve.Resolver

	mu   sync.Mutex
	live map[string]*Upstream
	stop chan struct{}
	done chan struct{}
}

// NewSet starts an empty set. Close ends it.
func NewSet(log *slog.Logger, resolver *resolve.Resolver) *Set {
	s := &Set{log: log, resolver: resolver, live: map[string]*Upstream{}, stop: make(chan struct{}), done: make(chan struct{})}
	go s.runSweep()
	return s
}

// runSweep looks after idle connections about once a second.
func (s *Set) runSweep() {
	defer close(s.done)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		if exhausted() {
			s.Relieve()
		}
		for _, u := range s.All() {
			v := u.view.Load()
			for _, l := range v.lines {
				l.pool.sweep(clock.Now(), v.settings.Pool.IdleTimeout)
				l.shared.sweep(clock.Now(), int64(v.settings.Pool.IdleTimeout))
			}
		}
	}
}

// exhausted says whether the process has no descriptor left. Idle connections to endpoints must not be what keeps a monitor or an
// operator out.
func exhausted() bool {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return health.Classify(err) == health.Own
	}
	f.Close()
	return false
}

// Relieve closes all idle connections, because descriptors ran out. Whoever needs one opens it again.
func (s *Set) Relieve() {
	for _, u := range s.All() {
		for _, l := range u.view.Load().lines {
			l.pool.drop(IdleTimeout)
			l.shared.drop(IdleTimeout)
		}
	}
}

// Check says whether all settings could be applied.
func (s *Set) Check(all []Settings) error {
	for i := range all {
		if err := all[i].valid(); err != nil {
			return fmt.Errorf("upstream %s: %w", all[i].Name, err)
		}
	}
	return nil
}

// firstLookup is how long Prepare waits for the first addresses of names, so that a new revision does not begin by refusing what
// comes for them. A name that takes longer, or does not resolve, holds nobody up any further.
const firstLookup = 2 * time.Second

// Prepare applies settings to the upstreams that have them and starts new ones, and returns all by name once the names among their
// endpoints have addresses, or after firstLookup. Those that are no longer wanted go on until Retire, because exchanges of the old
// snapshot still use them.
func (s *Set) Prepare(all []Settings) (map[string]*Upstream, error) {
	if err := s.Check(all); err != nil {
		return nil, err
	}
	missing := map[string][]string{}
	out, err := s.prepare(all, missing)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), firstLookup)
	defer cancel()
	for name, u := range out {
		u.awaitNames(ctx, missing[name])
	}
	return out, nil
}

// prepare is Prepare without the waiting. It notes in missing which names an upstream lacked before.
func (s *Set) prepare(all []Settings, missing map[string][]string) (map[string]*Upstream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]*Upstream, len(all))
	for _, settings := range all {
		u := s.live[settings.Name]
		fresh := u == nil
		if fresh {
			u = newUpstream(settings.Name, s.log, s.resolver, s.Relieve)
		} else {
			missing[settings.Name] = u.view.Load().missing
		}
		if err := u.apply(settings); err != nil {
			if fresh {
				u.close()
			}
			return nil, err
		}
		s.live[settings.Name] = u
		out[settings.Name] = u
	}
	return out, nil
}

// Retire ends the upstreams that are not among those to keep.
func (s *Set) Retire(keep map[string]*Upstream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, u := range s.live {
		if keep[name] == nil {
			u.close()
			delete(s.live, name)
		}
	}
}

// All returns the upstreams there are, in no order.
func (s *Set) All() []*Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Upstream, 0, len(s.live))
	for _, u := range s.live {
		out = append(out, u)
	}
	return out
}

// Close ends all upstreams.
func (s *Set) Close() {
	close(s.stop)
	<-s.done
	s.Retire(nil)
}

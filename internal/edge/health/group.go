package health

import (
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/balance"
)

// Group holds the endpoints of one upstream, so that no more of them are ejected than may be. Evidence that changes
// nothing, a success of an endpoint without failures, takes no lock. Safe for concurrent use.
type Group struct {
	settings atomic.Pointer[Settings]
	mu       sync.Mutex // guards endpoints and every Endpoint.state
	members  map[string]*Endpoint
}

// Endpoint is one endpoint under judgement. Its Load is changed by nobody else but who creates it.
type Endpoint struct {
	ID    string
	Load  *balance.Load
	group *Group
	alert atomic.Bool // there are failures or an ejection, so a success has something to tell
	state State
}

// NewGroup returns a group without endpoints.
func NewGroup(s Settings) (*Group, error) {
	g := &Group{members: map[string]*Endpoint{}}
	return g, g.Set(s)
}

// Set replaces the settings; what is known about the endpoints stays.
func (g *Group) Set(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	g.settings.Store(&s)
	return nil
}

// Join returns the endpoint of that ID, new and unknown if it was not in the group. load is used only if it is new.
func (g *Group) Join(id string, load *balance.Load) *Endpoint {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.members[id]
	if e == nil {
		e = &Endpoint{ID: id, Load: load, group: g}
		g.members[id] = e
	}
	return e
}

// Leave takes an endpoint out; evidence about it that still comes counts for nothing in the group.
func (g *Group) Leave(id string) {
	g.mu.Lock()
	delete(g.members, id)
	g.mu.Unlock()
}

// ForgetProbes makes all endpoints unknown again, and usable unless ejected; for when active checks are switched off.
func (g *Group) ForgetProbes(now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.members {
		if e.state.Judgement() == Unhealthy {
			e.Load.Up(now)
		}
		e.state.ForgetProbes()
	}
}

// mayEject needs mu. What keeps the candidate itself out already takes no room.
func (g *Group) mayEject(candidate *Endpoint, now int64, s *Settings) bool {
	out := 0
	for _, e := range g.members {
		if e != candidate && !e.state.Usable(now) {
			out++
		}
	}
	return MayEject(len(g.members), out, s.MaxShare)
}

// Probe takes the result of an active check.
func (e *Endpoint) Probe(now int64, o Outcome) Change {
	e.group.mu.Lock()
	defer e.group.mu.Unlock()
	wasEjected := e.state.IsEjected(now)
	change := e.state.Probe(now, o, e.group.settings.Load())
	switch {
	case change == BecameSick:
		e.Load.Down()
	case change == BecameOK && e.Load.IsDown():
		e.Load.Up(now)
	}
	if wasEjected && !e.state.IsEjected(now) {
		e.Load.Restore(now)
	}
	return change
}

// Attempt takes the result of an attempt that began at the given time.
func (e *Endpoint) Attempt(now, began int64, o Outcome) Change {
	if o == Own || o == Success && !e.alert.Load() {
		return None
	}
	e.group.mu.Lock()
	defer e.group.mu.Unlock()
	s := e.group.settings.Load()
	change := e.state.Attempt(now, began, o, s, func() bool { return e.group.mayEject(e, now, s) })
	switch change {
	case Ejected:
		e.Load.Eject(e.state.Until())
	case Restored:
		e.Load.Restore(now)
	}
	e.alert.Store(e.state.failures > 0 || e.state.IsEjected(now))
	return change
}

// State returns a copy of what is known about the endpoint.
func (e *Endpoint) State() State {
	e.group.mu.Lock()
	defer e.group.mu.Unlock()
	return e.state
}

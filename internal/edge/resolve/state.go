package resolve

import (
	"net/netip"
	"slices"
	"time"
)

// State is what is known about one name, for operators.
type State struct {
	Name      string
	Server    string       // empty: the system's
	Addresses []netip.Addr // must not be changed
	Watchers  int
	Failures  int           // look-ups in a row that brought no addresses
	Age       time.Duration // of the last look-up that brought some; negative when there was none
	Error     string        // of the last look-up; empty when it went well
}

// States returns the state of every watched name, in order.
func (r *Resolver) States() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	states := make([]State, 0, len(r.names))
	for k, e := range r.names {
		s := State{Name: k.name, Server: k.server, Addresses: e.addresses, Watchers: len(e.watchers), Failures: e.failures, Age: -1}
		if !e.success.IsZero() {
			s.Age = time.Since(e.success)
		}
		if e.err != nil {
			s.Error = e.err.Error()
		}
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b State) int { return key{a.Name, a.Server}.compare(key{b.Name, b.Server}) })
	return states
}

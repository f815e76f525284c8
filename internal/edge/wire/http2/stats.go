package http2

import "sync/atomic"

// Stats counts what happens on the sessions of a listener. Counts only grow.
type Stats struct {
	Streams        atomic.Uint64 // opened, also those that were refused
	Refused        atomic.Uint64 // streams refused because too many were open, or because the connection was ending
	Malformed      atomic.Uint64 // streams ended because their request was malformed
	ResetsReceived atomic.Uint64 // streams reset by clients before their response was complete
	ResetsSent     atomic.Uint64
	goAways        [numCodes]atomic.Uint64
	guards         [numGuards]atomic.Uint64
}

// GoAways is how many connections we ended, by the code that the client was told.
func (s *Stats) GoAways(c Code) uint64 { return s.goAways[c].Load() }

// Codes lists every code there can be, in the order of the standard.
func Codes() []Code {
	all := make([]Code, numCodes)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// Guarded is how many connections a guard has ended.
func (s *Stats) Guarded(g Guard) uint64 { return s.guards[g].Load() }

// Guards lists every guard.
func Guards() []Guard {
	all := make([]Guard, 0, numGuards-1)
	for g := NoGuard + 1; g < numGuards; g++ {
		all = append(all, g)
	}
	return all
}

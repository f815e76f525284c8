package introspect

import (
	"sync/atomic"

	"straum.dev/straum/internal/fetch"
)

type counters struct {
	active, inactive, odd, refused, failed, shared, unshared, forged, stale, floods, busy, rested atomic.Uint64
}

// Figures are counts since the source was made.
type Figures struct {
	Place    string // of the endpoint, as it may be shown
	Active   uint64 // questions answered: good
	Inactive uint64 // questions answered: not good
	Odd      uint64 // questions the server would not judge
	Refused  uint64 // the server refused us
	Failed   uint64 // no answer, or none that can be used
	Shared   uint64 // found in the shared store
	Unshared uint64 // the shared store did not answer
	Forged   uint64 // found in the shared store and not sealed by us
	Stale    uint64 // old answers that had to do
	Floods   uint64 // tokens refused unasked
	Busy     uint64 // not asked: too many under way
	Rested   uint64 // not asked: the server is left alone
	Good     int    // remembered
	Bad      int
	Asking   int // under way
	Resting  bool
	Broken   bool // the server refuses us
}

// Figures reads the counts.
func (s *Source) Figures() Figures {
	c := &s.figures
	s.mu.Lock()
	asking := len(s.asking)
	s.mu.Unlock()
	return Figures{fetch.Place(s.settings.URL), c.active.Load(), c.inactive.Load(), c.odd.Load(), c.refused.Load(), c.failed.Load(), c.shared.Load(),
		c.unshared.Load(), c.forged.Load(), c.stale.Load(), c.floods.Load(), c.busy.Load(), c.rested.Load(),
		s.memory.good.EstimatedSize(), s.memory.bad.EstimatedSize(), asking, s.rests.open(), s.broken.Load()}
}

package exchange

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// The room for bodies that are held, in bytes, by the buffers they lie in. Whoever is not proven could be anybody, and let its body take
// forever: neither one address nor all of them together may take the room of those who are proven.
const (
	// HoldBudget is for all exchanges of the process: an eighth of what a small machine can spare, and room for dozens of bodies of a
	// megabyte.
	HoldBudget = 64 << 20
	// HoldUnproven is how much of it callers that are not proven may take together.
	HoldUnproven = HoldBudget / 4 * 3
	// HoldShare is how much of that one address may take; of IPv6 one network of 64 bits, which is what one customer has. One body alone
	// may be larger, or no sender could have a large one checked.
	HoldShare = HoldBudget / 8
)

// holding is what is held at the moment.
var holding room

// Holding is how many bytes the request bodies held at the moment take.
func Holding() int64 { return holding.all.Load() }

// holder is who holds something.
type holder struct {
	proven bool
	by     place // who is counted, unless proven
}

// room counts bytes.
type room struct {
	all, unproven atomic.Int64
	places        [16]places
}

// places are addresses that hold something, and nobody else, so that there are no more of them than buffers have room.
type places struct {
	mu    sync.Mutex
	bytes map[place]int64
	_     [64]byte // keeps them off each other's cache lines
}

// place is an address or a network of IPv6; zero where the address is not known, as on a unix socket.
type place [16]byte

func placeOf(client netip.Addr) place {
	switch client = client.Unmap(); {
	case !client.IsValid():
		return place{}
	case client.Is4():
		return client.As16()
	}
	p := place(client.As16())
	clear(p[8:])
	return p
}

// of finds where a place is counted.
func (r *room) of(p *place) *places {
	n := byte(0)
	for _, b := range p {
		n = n*31 + b
	}
	return &r.places[n%byte(len(r.places))]
}

// take takes n bytes more for one that has taken some already, and says whether there was room.
func (r *room) take(n, has int64, h *holder) bool {
	if !h.proven && r.unproven.Add(n) > HoldUnproven {
		r.unproven.Add(-n)
		return false
	}
	if r.all.Add(n) <= HoldBudget {
		if h.proven || r.of(&h.by).take(n, has, h.by) {
			return true
		}
	}
	r.all.Add(-n)
	if !h.proven {
		r.unproven.Add(-n)
	}
	return false
}

// give gives n bytes back.
func (r *room) give(n int64, h *holder) {
	r.all.Add(-n)
	if !h.proven {
		r.prove(n, h)
	}
}

// prove counts n bytes no longer for an address.
func (r *room) prove(n int64, h *holder) {
	r.unproven.Add(-n)
	r.of(&h.by).give(n, h.by)
}

func (s *places) take(n, has int64, p place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.bytes[p]
	if held > has && held+n > HoldShare {
		return false
	}
	if s.bytes == nil {
		s.bytes = map[place]int64{}
	}
	s.bytes[p] = held + n
	return true
}

func (s *places) give(n int64, p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.bytes[p] - n; left > 0 {
		s.bytes[p] = left
	} else {
		delete(s.bytes, p)
	}
}

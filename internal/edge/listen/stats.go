package listen

// How TCP fast open stands on a listener.
const (
	FastOpenOff         = "off"         // not asked for
	FastOpenOn          = "on"          // in force
	FastOpenForbidden   = "forbidden"   // net.ipv4.tcp_fastopen lacks the bit for the accepting side (2)
	FastOpenUnsupported = "unsupported" // the kernel does not have it
)

// Stats are the figures of one listener. Counts grow for the life of the listener.
type Stats struct {
	Name       string
	Address    string // in use, with the port the kernel chose if none was asked for
	Draining   bool   // it was removed and still has connections
	Sockets    int
	Open       int64 // connections, parked ones included
	Parked     int
	Goroutines int64 // connections that hold a goroutine

	Accepted      uint64
	RefusedClient uint64 // answered 503 because their address had too many
	Dropped       uint64 // reset because their address is banned; those dropped before a PROXY header was read were not Accepted
	ProxyErrors   uint64 // closed because a trusted peer's PROXY header was missing, malformed or late
	Evicted       uint64 // parked connections closed to make room for new ones
	Expired       uint64 // parked connections closed because their idle time was over
	Unparkable    uint64 // idle connections closed because the kernel refused to watch them

	// Times accepting paused: because limits.connections was reached, because descriptors or kernel memory ran out, or otherwise.
	PausesLimit, PausesDescriptors, PausesOther uint64

	// Handshakes of TLS by how they ended, those under way, and how many more than that there may not be; 0 without TLS.
	Handshakes         [outcomes]uint64
	HandshakesUnderWay int
	HandshakeCeiling   int

	FastOpen string // one of the FastOpen constants
	Queued   int    // connections that wait in the kernel, over all sockets
	Backlog  int    // how many may, for each socket; 0 where the system does not tell
}

// Stats returns the figures of all listeners, those that are going away last.
func (s *Set) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetEnded()
	var all []Stats
	for _, l := range s.live {
		all = append(all, l.stats())
	}
	for _, l := range s.leaving {
		all = append(all, l.stats())
	}
	return all
}

func (l *listener) stats() Stats {
	s := Stats{
		Name:              l.settings.Load().Name,
		Draining:          l.draining.Load(),
		Sockets:           len(l.acceptors),
		Open:              l.open.Load(),
		Parked:            l.set.lot.parked(&l.row),
		Goroutines:        l.running.Load(),
		Accepted:          l.accepted.Load(),
		RefusedClient:     l.refused.Load(),
		Dropped:           l.dropped.Load(),
		ProxyErrors:       l.proxyErrors.Load(),
		Evicted:           l.evicted.Load(),
		Expired:           l.expired.Load(),
		Unparkable:        l.unparkable.Load(),
		PausesLimit:       l.pauses[pauseLimit].Load(),
		PausesDescriptors: l.pauses[pauseDescriptors].Load(),
		PausesOther:       l.pauses[pauseOther].Load(),
		FastOpen:          l.fastOpen,
	}
	if t := l.settings.Load().TLS; t != nil {
		s.HandshakesUnderWay, s.HandshakeCeiling = l.handshakes.underWay(), t.ceiling()
	}
	for o := range s.Handshakes {
		s.Handshakes[o] = l.handshakes.counts[o].Load()
	}
	if addr := l.addr(); addr != nil {
		s.Address = addr.String()
		if addr.Network() == "unix" {
			s.Address = "unix:" + s.Address
		}
	}
	for _, a := range l.acceptors {
		queued, backlog := lengths(a.ln)
		s.Queued += queued
		s.Backlog = backlog
	}
	return s
}

package upstream

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/wire/roundtrip"
)

var errNoStreams = errors.New("the endpoint takes no request on a connection it has just accepted " +
	"(GOAWAY, or SETTINGS_MAX_CONCURRENT_STREAMS of 0)")

// maxShared bounds the HTTP/2 connections to one endpoint. Each carries up to roundtrip.Streams exchanges.
const maxShared = 64

// shared is the HTTP/2 connections of a line. Each carries as many exchanges as the endpoint allows; when all are full another is
// opened, one at a time, and when there may be no more, exchanges wait. The first connections are filled first, so that those not
// needed run dry and are closed.
//
// They count as open connections of the pool, whose limit holds for both kinds together.
type shared struct {
	pool  *pool
	conns atomic.Pointer[[]*roundtrip.Conn] // changed by copying, with mu
	keep  atomic.Int64                      // how many may stay without an exchange

	mu      sync.Mutex // guards what follows; held while nothing waits
	opening *opening   // nil when none is being opened
	closed  bool
	why     Reason // of closed

	waiting atomic.Int64 // length of queue
	queueMu sync.Mutex   // guards queue; nothing else is locked while it is held
	queue   []chan struct{}
}

// opening is a connection on its way. Those who wait for it share its fate.
type opening struct {
	done  chan struct{} // closed at the end
	fault *fault.Fault  // why there is no connection; nil also when each has to see for itself
}

func newShared(p *pool) *shared {
	s := &shared{pool: p}
	s.conns.Store(&[]*roundtrip.Conn{})
	return s
}

// take reserves a place on a connection, or returns nil when there is none.
func (s *shared) take() *roundtrip.Conn {
	for _, c := range *s.conns.Load() {
		if c.Reserve() {
			return c
		}
	}
	return nil
}

// begin says how to get a further connection: mine is one that the caller is to open and finish with end, other one that somebody
// opens. With neither there is to be none for now.
func (s *shared) begin() (mine, other *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opening != nil {
		return nil, s.opening
	}
	s.prune()
	if len(*s.conns.Load()) >= maxShared || !s.pool.admit() {
		return nil, nil
	}
	s.opening = &opening{done: make(chan struct{})}
	return s.opening, nil
}

// full says that no further connection may be opened as things are.
func (s *shared) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	return s.opening == nil && (len(*s.conns.Load()) >= maxShared || s.pool.open.Load() >= s.pool.limit.Load())
}

// end tells those who wait for a connection what became of it. f is nil when there is one, or when the reason why not was the
// opener's own.
func (s *shared) end(o *opening, f *fault.Fault) {
	s.mu.Lock()
	o.fault = f
	s.opening = nil
	s.mu.Unlock()
	close(o.done)
}

// add lets others share a connection.
func (s *shared) add(c *roundtrip.Conn) {
	s.mu.Lock()
	closed, why := s.closed, s.why
	if !closed {
		conns := append(slices.Clone(*s.conns.Load()), c)
		s.conns.Store(&conns)
	}
	s.mu.Unlock()
	if closed { // made by an exchange that began before; it is the only one to use it
		c.Retire()
		s.pool.lose(why)
	}
}

// prune forgets connections that take no further exchange. It needs mu.
func (s *shared) prune() {
	s.remove(func(c *roundtrip.Conn) (Reason, bool) {
		switch {
		case c.Dead() && c.Ended() && c.Streams() == 0:
			return IdleClosed, true
		case c.Dead() && c.Ended():
			return Broken, true
		case c.Dead(), c.Leaving():
			return Closes, true
		}
		return 0, false
	})
}

// remove lets connections go, with the reasons that pick gives. It needs mu.
func (s *shared) remove(pick func(*roundtrip.Conn) (Reason, bool)) {
	var kept []*roundtrip.Conn
	all := *s.conns.Load()
	var lost []Reason
	for _, c := range all {
		why, gone := pick(c)
		if !gone {
			kept = append(kept, c)
			continue
		}
		c.Retire()
		lost = append(lost, why)
	}
	if len(lost) == 0 {
		return
	}
	s.conns.Store(&kept)
	for _, why := range lost {
		s.pool.lose(why)
	}
}

// sweep closes connections that were idle for too long, in nanoseconds, and forgets those that are gone. It is called about once a
// second.
func (s *shared) sweep(now, timeout int64) {
	s.mu.Lock()
	s.prune()
	idle := int64(0)
	s.remove(func(c *roundtrip.Conn) (Reason, bool) {
		if c.Streams() > 0 {
			return 0, false
		}
		idle++
		since := now - c.IdleSince()
		switch {
		case timeout > 0 && since > timeout:
			return IdleTimeout, true
		case idle > s.keep.Load() && since > idleGrace:
			return IdleFull, true
		}
		return 0, false
	})
	s.mu.Unlock()
	s.wake()
}

// drop closes the idle connections.
func (s *shared) drop(why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(func(c *roundtrip.Conn) (Reason, bool) { return why, c.Streams() == 0 })
}

// close lets no connection be used for anything new. Each ends with what is under way on it.
func (s *shared) close(why Reason) {
	s.mu.Lock()
	s.closed, s.why = true, why
	s.remove(func(*roundtrip.Conn) (Reason, bool) { return why, true })
	s.mu.Unlock()
	s.wake()
}

// discard lets go of a connection that a try found to be no good.
func (s *shared) discard(c *roundtrip.Conn, why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(func(other *roundtrip.Conn) (Reason, bool) { return why, other == c })
}

// enqueue lets an exchange wait, in a queue of so many. It must look once more for a place after this, and leave in the end.
func (s *shared) enqueue(queue int) (chan struct{}, bool) {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	if len(s.queue) >= queue {
		return nil, false
	}
	w := make(chan struct{}, 1)
	s.queue = append(s.queue, w)
	s.waiting.Add(1)
	return w, true
}

// leave ends waiting. One that was called and had no use for it calls the next.
func (s *shared) leave(w chan struct{}) {
	s.queueMu.Lock()
	if i := slices.Index(s.queue, w); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.waiting.Add(-1)
	}
	s.queueMu.Unlock()
	s.wake()
}

// wake calls the one that waits longest. It stays where it is until it leaves. Connections call it too, from any goroutine.
func (s *shared) wake() {
	if s.waiting.Load() == 0 {
		return
	}
	s.queueMu.Lock()
	if len(s.queue) > 0 {
		select {
		case s.queue[0] <- struct{}{}:
		default: // was called already
		}
	}
	s.queueMu.Unlock()
}

// count is how many connections are idle, and how many exchanges are on the others.
func (s *shared) count() (idle, streams int) {
	for _, c := range *s.conns.Load() {
		if n := c.Streams(); n > 0 {
			streams += n
		} else if !c.Dead() {
			idle++
		}
	}
	return idle, streams
}

package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// suspectAfter is how long a connection may lie idle before it is looked at when it is taken, so that those the endpoint has closed
// meanwhile are thrown away together. Every try looks once more before it writes, see http1.Try.
const suspectAfter = int64(5 * time.Millisecond)

// idleGrace is how long connections beyond the number to keep may lie idle before they are closed.
const idleGrace = int64(time.Second)

// idleConn is a connection that waits for its next request.
type idleConn struct {
	conn  *socket.Conn
	since int64
}

// pool keeps the connections of one endpoint: last in, first out, so that those not needed grow old and are closed. It is split
// into shards that exchanges from different listening sockets do not share; one that finds its shard empty looks into the others.
//
// Whoever frees something (an idle connection, or the place of one that is gone) first lets it be seen and then looks for waiters;
// whoever waits first lets itself be seen and then looks for what is free. So neither can miss the other.
type pool struct {
	shards  []shard
	limit   atomic.Int64 // on open
	keep    atomic.Int64 // on the idle ones of one shard
	open    atomic.Int64 // connections that exist, idle or in use, and those being opened
	waiting atomic.Int64 // length of waiters
	mu      sync.Mutex   // guards waiters
	waiters []chan *socket.Conn
	closed  atomic.Uint32 // 0 while the pool is open, else one more than the reason for which it was closed
	*audit
}

// audit is what is counted of all connections to one endpoint, whatever pools they were in.
type audit struct {
	lost   atomic.Uint32 // bit set of reasons for which connections went since the last was opened
	opened [numReasons]atomic.Uint64
	reused atomic.Uint64
}

type shard struct {
	mu   sync.Mutex
	idle []idleConn
	_    [64]byte // shards on lines of their own
}

// Reason is why a connection had to be opened: the reuse audit.
type Reason uint8

// The reasons. All but the first two name what became of an earlier connection.
const (
	Cold        Reason = iota // there was none
	Busy                      // all were in use
	IdleClosed                // the endpoint closed an idle one
	IdleTimeout               // we closed an idle one because it was not needed for long
	IdleFull                  // we closed one because enough were idle
	Stale                     // the endpoint closed one just when it was used
	Closes                    // the endpoint said Connection: close
	NoLength                  // the answer ended with the connection
	Broken                    // an error
	Early                     // the endpoint answered before it had the request
	NotRead                   // the answer was not read to its end, e.g. because the client left
	Surplus                   // the endpoint sent more than its answer
	Changed                   // it was made under settings of TLS or protocol that are no longer in force
	Tunnelled                 // it became a tunnel
	numReasons
)

var reasonWords = [numReasons]string{"cold", "busy", "idle_closed", "idle_timeout", "idle_full", "stale", "endpoint_closes",
	"no_length", "error", "early_answer", "answer_not_read", "surplus_bytes", "settings_changed", "tunnel"}

func (r Reason) String() string { return reasonWords[r] }

// reasonOf finds the reason that a try gave.
func reasonOf(why string) Reason {
	for r, word := range reasonWords {
		if word == why {
			return Reason(r)
		}
	}
	return Broken
}

func newPool(shards int, a *audit) *pool {
	return &pool{shards: make([]shard, max(shards, 1)), audit: a}
}

// set puts the limits in force. When there are more connections than may be, those that come back are closed.
func (p *pool) set(s Pool) {
	limit := s.Connections
	if limit == 0 {
		limit = MaxConnections
	}
	p.limit.Store(int64(limit))
	p.keep.Store(int64((s.Idle + len(p.shards) - 1) / len(p.shards)))
	p.offer()
}

// take returns an idle connection, or nil when there is none.
func (p *pool) take(at int, now int64) *socket.Conn {
	for i := range p.shards {
		s := &p.shards[(at+i)%len(p.shards)]
		for {
			s.mu.Lock()
			n := len(s.idle)
			if n == 0 {
				s.mu.Unlock()
				break
			}
			c := s.idle[n-1]
			s.idle[n-1] = idleConn{}
			s.idle = s.idle[:n-1]
			s.mu.Unlock()
			if now-c.since < suspectAfter || c.conn.Quiet() {
				return c.conn
			}
			p.discard(c.conn, IdleClosed)
		}
	}
	return nil
}

// put keeps a connection for the next exchange, or hands it to one that waits. now is when it was last used.
func (p *pool) put(at int, c *socket.Conn, now int64) {
	switch closed := p.closed.Load(); {
	case closed != 0:
		p.discard(c, Reason(closed-1))
		return
	case p.open.Load() > p.limit.Load():
		p.discard(c, IdleFull)
		return
	case p.waiting.Load() > 0 && p.hand(c):
		return
	}
	s := &p.shards[at%len(p.shards)]
	s.mu.Lock()
	// More than keep may lie idle for a moment: under load they are taken again at once, and closing them would mean opening as many.
	// sweep closes those that stay.
	full := p.keep.Load() == 0
	if !full {
		s.idle = append(s.idle, idleConn{c, now})
	}
	s.mu.Unlock()
	switch closed := p.closed.Load(); {
	case full:
		p.discard(c, IdleFull)
	case closed != 0:
		p.drop(Reason(closed - 1))
	case p.waiting.Load() > 0:
		p.offer()
	}
}

// offer gives what is free to those who wait.
func (p *pool) offer() {
	for p.waiting.Load() > 0 {
		c := p.take(0, clock.Now())
		switch {
		case c == nil && !p.admit():
			return
		case p.hand(c):
		case c == nil:
			p.open.Add(-1)
		default:
			p.put(0, c, clock.Now())
		}
	}
}

// hand gives a connection, or with nil the right to open one, to the exchange that waits longest.
func (p *pool) hand(c *socket.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiters) == 0 {
		return false
	}
	w := p.waiters[0]
	p.waiters = append(p.waiters[:0], p.waiters[1:]...)
	p.waiting.Add(-1)
	w <- c
	return true
}

// discard closes a connection for good.
func (p *pool) discard(c *socket.Conn, why Reason) {
	c.Close()
	p.lose(why)
}

// lose notes that a connection that counted as open is no more. Whoever waits may open another.
func (p *pool) lose(why Reason) {
	p.lost.Or(1 << why)
	if p.waiting.Load() > 0 && p.open.Load() <= p.limit.Load() && p.hand(nil) {
		return // the waiter took over the place
	}
	p.open.Add(-1)
	p.offer()
}

// admit reserves the right to open a connection, within the limit.
func (p *pool) admit() bool {
	for {
		n := p.open.Load()
		if n >= p.limit.Load() {
			return false
		}
		if p.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// reason is why a connection is being opened, to be asked once for each after admit.
func (p *pool) reason() Reason {
	for {
		set := p.lost.Load()
		if set == 0 {
			break
		}
		for r := Cold; r < numReasons; r++ {
			if set&(1<<r) != 0 {
				if p.lost.CompareAndSwap(set, set&^(1<<r)) {
					return r
				}
				break
			}
		}
	}
	if p.open.Load() <= 1 {
		return Cold
	}
	return Busy
}

// wait waits in a queue of so many for a connection that comes free, or for the right to open one (nil). An exchange that finds the
// queue full does not wait.
func (p *pool) wait(queue int, by int64, tick func(now int64) *fault.Fault) (*socket.Conn, *fault.Fault) {
	w := make(chan *socket.Conn, 1)
	p.mu.Lock()
	if len(p.waiters) >= queue {
		p.mu.Unlock()
		return nil, &fault.Fault{Kind: fault.Saturated, RetryAfter: 1}
	}
	p.waiters = append(p.waiters, w)
	p.waiting.Add(1)
	p.mu.Unlock()
	p.offer() // something may have come free just before
	now := clock.Now()
	timer := time.NewTimer(pause(now, by))
	defer timer.Stop()
	for {
		select {
		case c := <-w:
			return c, nil
		case <-timer.C:
		}
		now = clock.Now()
		f := tick(now)
		if f == nil && now >= by {
			f = &fault.Fault{Kind: fault.QueueTimeout, RetryAfter: 1}
		}
		if f != nil {
			return p.leave(w, f)
		}
		timer.Reset(pause(now, by))
	}
}

// pause is how long to wait at most from now on before looking again.
func pause(now, by int64) time.Duration { return min(queueTick, time.Duration(by-now)) }

// queueTick is how often one who waits looks whether it still makes sense.
const queueTick = 50 * time.Millisecond

// leave takes a waiter out of the queue. When something was handed to it meanwhile it goes on with that.
func (p *pool) leave(w chan *socket.Conn, f *fault.Fault) (*socket.Conn, *fault.Fault) {
	p.mu.Lock()
	for i := range p.waiters {
		if p.waiters[i] == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			p.waiting.Add(-1)
			p.mu.Unlock()
			return nil, f
		}
	}
	p.mu.Unlock()
	return <-w, nil
}

// sweep closes connections that were idle for too long and those that the endpoint has closed. It is called about once a second.
func (p *pool) sweep(now int64, timeout time.Duration) {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		kept := s.idle[:0]
		var old, gone, over []*socket.Conn
		excess := int64(len(s.idle)) - p.keep.Load()
		for _, c := range s.idle { // the longest idle first
			switch {
			case excess > 0 && now-c.since > idleGrace:
				over = append(over, c.conn)
				excess--
			case timeout > 0 && now-c.since > int64(timeout):
				old = append(old, c.conn)
			case now-c.since > suspectAfter && !c.conn.Quiet():
				gone = append(gone, c.conn)
			default:
				kept = append(kept, c)
			}
		}
		clear(s.idle[len(kept):])
		s.idle = kept
		s.mu.Unlock()
		for _, c := range old {
			p.discard(c, IdleTimeout)
		}
		for _, c := range gone {
			p.discard(c, IdleClosed)
		}
		for _, c := range over {
			p.discard(c, IdleFull)
		}
	}
}

// close lets no connection be kept any more and closes the idle ones. Those in use are closed as they come back.
func (p *pool) close(why Reason) {
	p.closed.Store(uint32(why) + 1)
	p.drop(why)
}

func (p *pool) drop(why Reason) {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		idle := s.idle
		s.idle = nil
		s.mu.Unlock()
		for _, c := range idle {
			p.discard(c.conn, why)
		}
	}
}

// idle counts the idle connections.
func (p *pool) idle() (n int) {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		n += len(s.idle)
		s.mu.Unlock()
	}
	return n
}

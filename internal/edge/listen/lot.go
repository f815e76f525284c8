package listen

import (
	"slices"
	"sync"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/socket"
)

// lot is where connections are parked: one for all listeners, so that "the longest parked" means something for the process.
//
// The lock guards the table, the rows and every connection's place. It is held for a few pointer moves only; system calls on
// connections are made outside, by whoever owns the connection then.
//
//	serving --park--> arming --> parked --wake, take--> serving --> (closed)
//	                     \--woken already--> serving
type lot struct {
	mu      sync.Mutex
	slots   []slot   // every connection, parked or not; the poller knows connections by their index here
	free    []uint32 // indexes not in use
	rows    []*row
	due     int64 // when the poller's timer strikes, 0 when it is off
	closing bool

	poller poller
	done   chan struct{} // closed when the attendant has left
}

// slot names a connection to the kernel. The generation changes with every use, so that a late event finds out it is stale.
type slot struct {
	conn       *conn
	generation uint32
}

// row holds the parked connections of one listener in the order of their parking, which is also that of their expiry.
type row struct {
	oldest, newest *conn
	n              int
	idle           int64 // nanoseconds a connection may stay
	closed         bool  // nobody parks here any more
}

// place is a connection's part in the lot.
type place struct {
	slot       uint32
	generation uint32
	state      placeState
	older      *conn
	newer      *conn
	since      int64 // when it was parked
}

type placeState uint8

const (
	serving placeState = iota
	arming             // the owner is telling the poller
	woken              // the poller spoke up while arming
	parked             // the lot owns the connection
)

func newLot() (*lot, error) {
	t := &lot{done: make(chan struct{})}
	if err := t.poller.open(); err != nil {
		return nil, err
	}
	go t.attend()
	return t, nil
}

// enter gives a new connection its slot.
func (t *lot) enter(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		c.place.slot = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		c.place.slot = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	s := &t.slots[c.place.slot]
	s.conn = c
	s.generation++
	c.place.generation = s.generation
}

// leave takes the slot back from a closed connection.
func (t *lot) leave(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.slots[c.place.slot]
	s.conn = nil
	s.generation++
	t.free = append(t.free, c.place.slot)
	t.closeWhenEmpty()
}

func (t *lot) addRow(r *row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// setIdle changes how long connections may stay in a row, those already there included.
func (t *lot) setIdle(r *row, idle time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.idle = int64(idle)
	if r.oldest != nil {
		t.strikeBy(r.oldest.place.since + r.idle)
	}
}

func (t *lot) parked(r *row) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.n
}

// outcome is what came of parking.
type outcome uint8

const (
	taken   outcome = iota // the lot owns the connection now
	ready                  // there is something to read already
	refused                // it cannot be parked; the caller still owns it
)

// push puts c at the end of its row. The lock is held.
func (t *lot) push(c *conn) {
	r := &c.l.row
	p := &c.place
	p.state = parked
	p.since = clock.Now()
	p.older, p.newer = r.newest, nil
	if r.newest != nil {
		r.newest.place.newer = c
	} else {
		r.oldest = c
	}
	r.newest = c
	r.n++
	t.strikeBy(p.since + r.idle)
}

// pull takes c out of its row and makes the caller its owner. The lock is held.
func (t *lot) pull(c *conn) {
	r := &c.l.row
	p := &c.place
	if p.older != nil {
		p.older.place.newer = p.newer
	} else {
		r.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.place.older = p.older
	} else {
		r.newest = p.older
	}
	p.older, p.newer = nil, nil
	p.state = serving
	r.n--
}

// grain is how exactly idle timeouts are kept: connections that expire close together are closed together.
const grain = int64(20 * time.Millisecond)

// strikeBy sees to it that the timer strikes soon after at. The lock is held.
func (t *lot) strikeBy(at int64) {
	if t.due == 0 || at+grain < t.due {
		t.due = at + grain
		t.poller.wakeAt(t.due)
	}
}

// makeRoom closes up to n of the longest parked connections of r, or of all rows when r is nil, and says how many. Fresh ones
// are spared.
func (t *lot) makeRoom(r *row, n int) (made int) {
	for tries := 2 * n; made < n && tries > 0; tries-- {
		c := t.takeOldest(r, true)
		if c == nil {
			return made
		}
		if c.retire() {
			c.l.evicted.Add(1)
			made++
		}
	}
	return made
}

// takeOldest takes the longest parked connection of r out of the lot, or of all rows when r is nil. choosy passes over fresh ones.
func (t *lot) takeOldest(r *row, choosy bool) (c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r != nil {
		c = r.first(choosy)
	} else {
		for _, r := range t.rows {
			if first := r.first(choosy); first != nil && (c == nil || first.place.since < c.place.since) {
				c = first
			}
		}
	}
	if c != nil {
		t.pull(c)
	}
	return c
}

// maxPassed bounds how many fresh connections are passed over. When more of them are first in a row, everything in it was parked
// a moment ago.
const maxPassed = 16

func (r *row) first(choosy bool) *conn {
	c := r.oldest
	for passed := 0; choosy && c != nil && c.fresh(); passed++ {
		if passed == maxPassed {
			return nil
		}
		c = c.place.newer
	}
	return c
}

// closeRow dismisses all connections of r; from now on parking there is refused.
func (t *lot) closeRow(r *row) {
	t.mu.Lock()
	r.closed = true
	t.rows = slices.DeleteFunc(t.rows, func(other *row) bool { return other == r })
	t.mu.Unlock()
	for {
		c := t.takeOldest(r, false)
		if c == nil {
			return
		}
		c.dismiss()
	}
}

// dismissOld dismisses the connections of r whose rules are not in force any more.
func (t *lot) dismissOld(r *row) {
	var old []*conn
	t.mu.Lock()
	for c := r.oldest; c != nil; {
		next := c.place.newer
		if c.settings.gate.old.Load() {
			t.pull(c)
			old = append(old, c)
		}
		c = next
	}
	t.mu.Unlock()
	for _, c := range old {
		c.dismiss()
	}
}

// killAll makes every connection fail under its owner's hands.
func (t *lot) killAll() {
	for _, s := range t.all() {
		s.Kill()
	}
}

// all lists the sockets, so that the system calls on them need not be made under the lock.
func (t *lot) all() (sockets []*socket.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.slots {
		if s.conn != nil {
			sockets = append(sockets, s.conn.sock)
		}
	}
	return sockets
}

// close ends the attendant and waits for it. All rows must be closed. The poller itself is closed when the last connection has
// left, because its owner may still be about to use it.
func (t *lot) close() {
	t.mu.Lock()
	t.closing = true
	t.poller.wakeAt(1)
	t.mu.Unlock()
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeWhenEmpty()
}

func (t *lot) closeWhenEmpty() {
	select {
	case <-t.done:
		if len(t.free) == len(t.slots) {
			t.poller.close()
		}
	default:
	}
}

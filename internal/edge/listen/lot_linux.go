package listen

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/clock"
)

// poller is an epoll instance that knows the parked connections. Its own descriptor is waited on through Go's poller, so that the
// attendant costs a goroutine and no thread.
type poller struct {
	file   *os.File
	raw    syscall.RawConn
	fd     int
	shut   bool
	onWait func(fd uintptr) bool
	n      int
	events [128]unix.EpollEvent
}

func (p *poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// Non-blocking means nothing to an epoll instance itself; it is what makes os.NewFile hand the file to Go's poller.
	if err = unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	p.fd = fd
	p.file = os.NewFile(uintptr(fd), "parked connections")
	p.raw, err = p.file.SyscallConn()
	if err != nil {
		p.file.Close()
		return err
	}
	p.onWait = p.look
	return nil
}

func (p *poller) close() {
	if !p.shut {
		p.shut = true
		p.file.Close()
	}
}

// ticket is what the poller keeps with a connection.
type ticket struct {
	fd         int32 // set with the first parking
	registered bool  // the poller knows the connection
}

// wait returns the connections that became readable or hung up, or os.ErrDeadlineExceeded when the timer struck.
func (p *poller) wait() ([]unix.EpollEvent, error) {
	p.n = 0
	err := p.raw.Read(p.onWait)
	return p.events[:p.n], err
}

func (p *poller) look(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), p.events[:], 0)
	p.n = max(n, 0)
	return p.n > 0 || err != nil && err != unix.EINTR
}

// wakeAt sets the timer to a reading of clock.Now; 0 turns it off.
func (p *poller) wakeAt(at int64) {
	var t time.Time
	if at != 0 {
		t = time.Now().Add(time.Duration(at - clock.Now()))
	}
	p.file.SetReadDeadline(t) // fails only when the file is closed, and then nobody waits
}

// watch asks for one event about c. The caller owns c, so its descriptor is open.
func (p *poller) watch(c *conn) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(c.place.slot),
		Pad:    int32(c.place.generation),
	}
	if c.ticket.registered {
		return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, int(c.ticket.fd), &event)
	}
	if err := c.sock.Raw().Control(func(fd uintptr) { c.ticket.fd = int32(fd) }); err != nil {
		return err
	}
	c.ticket.registered = true
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(c.ticket.fd), &event) // closing the descriptor undoes it
}

// park hands c over to the lot. After taken the caller must not touch c.
func (t *lot) park(c *conn) outcome {
	t.mu.Lock()
	if c.l.row.closed {
		t.mu.Unlock()
		return refused
	}
	c.place.state = arming
	t.mu.Unlock()

	err := t.poller.watch(c)

	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case c.place.state == woken:
		c.place.state = serving
		return ready
	case err != nil || c.l.row.closed:
		c.place.state = serving
		if err != nil {
			c.l.unparkable.Add(1)
		}
		return refused
	}
	t.push(c)
	return taken
}

// attend waits for parked connections until the lot closes.
func (t *lot) attend() {
	defer close(t.done)
	for {
		events, err := t.poller.wait()
		t.wake(events)
		if err != nil {
			t.mu.Lock()
			closing := t.closing
			t.mu.Unlock()
			if closing || !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			t.expire()
		}
	}
}

const hangup = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

// wake gives connections their goroutines back. Those that hung up and left nothing to read are closed right here.
func (t *lot) wake(events []unix.EpollEvent) {
	var batch [len(t.poller.events)]struct {
		c    *conn
		hung bool
	}
	n := 0
	t.mu.Lock()
	for _, e := range events {
		s := &t.slots[uint32(e.Fd)]
		if s.conn == nil || s.generation != uint32(e.Pad) {
			continue // closed while the event was on its way
		}
		switch s.conn.place.state {
		case arming:
			s.conn.place.state = woken
		case parked:
			t.pull(s.conn)
			batch[n].c, batch[n].hung = s.conn, e.Events&hangup != 0
			n++
		}
	}
	t.mu.Unlock()
	for _, woken := range batch[:n] {
		if woken.hung && !somethingToRead(woken.c.ticket.fd) {
			woken.c.end()
			continue
		}
		woken.c.resume()
	}
}

// maxExpired bounds the work between two looks at the poller.
const maxExpired = 64

// expire retires connections whose idle time is over and sets the timer for the next one.
func (t *lot) expire() {
	var batch [maxExpired]*conn
	expired := batch[:0]
	now := clock.Now()
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock() // the timer stays as close set it
		return
	}
	next := int64(0)
	for _, r := range t.rows {
		for r.oldest != nil && len(expired) < maxExpired && r.oldest.place.since+r.idle <= now {
			expired = append(expired, r.oldest)
			t.pull(r.oldest)
		}
		if r.oldest != nil && (next == 0 || r.oldest.place.since+r.idle < next) {
			next = r.oldest.place.since + r.idle
		}
	}
	t.due = 0
	if next != 0 {
		// Never at once, even when there is more to do: connections that became readable come first.
		t.due = max(next+grain, now+int64(time.Millisecond))
	}
	t.poller.wakeAt(t.due)
	t.mu.Unlock()
	for _, c := range expired {
		if c.retire() {
			c.l.expired.Add(1)
		}
	}
}

// resume gives a connection taken out of the lot a goroutine.
func (c *conn) resume() {
	c.l.running.Add(1)
	go c.serve()
}

// retire closes a connection taken out of the lot, unless its peer spoke up just now: then it is served. It says whether c is
// closed.
func (c *conn) retire() bool {
	if somethingToRead(c.ticket.fd) {
		c.resume()
		return false
	}
	c.end()
	return true
}

// dismiss retires a connection because its listener goes away.
func (c *conn) dismiss() {
	if c.fresh() {
		c.resume() // serve waits for its first words
		return
	}
	c.retire()
}

// somethingToRead says that fd has bytes to read; an end behind them does not matter.
func somethingToRead(fd int32) bool {
	var one [1]byte
	n, _, _ := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n > 0
}

package load

import (
	"crypto/tls"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// job is a request under way. It is its connection's (HTTP/1.1) or comes and goes with its stream (HTTP/2).
type job struct {
	waiting   waiting // for its answer
	conn      *conn   // nil while it waits to be sent again
	message   int
	due, sent int64
	counted   bool
	again     bool // it was sent once on a connection whose peer has not looked at it

	// HTTP/2
	stream   uint32
	status   int    // 0 before the head has come
	body     []byte // not yet sent
	window   int64  // of the peer, for the body
	received int64  // of the answer's body, not yet given back to the peer
}

// Where a connection stands.
const (
	closed = iota
	connecting
	shaking // hands, in a goroutine of its own
	open
	leaving // its last answer has come; the peer is to close it, so that this end has no TIME-WAIT
)

// conn is a connection of one loop.
type conn struct {
	waiting waiting // while it opens, and while it leaves
	tag, fd int
	state   int
	begun   int64
	expired bool // it was stopped for the time it took to open

	free  bool // it stands in the loop's list of those that can take a request
	dirty bool // it has something to write

	// HTTP/1.1
	job    job
	busy   bool // the job is under way
	out    []byte
	answer answer

	session *session // HTTP/2

	secure *tls.Conn // nil without TLS
	wire   *wire
}

// begin makes a connection that is being opened. The error is the socket's, and there is no connection then.
func (w *worker) begin() (*conn, error) {
	fd, done, err := openSocket(w.to)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, state: connecting, begun: w.now}
	c.waiting.conn, c.job.waiting.job, c.job.conn = c, &c.job, c
	c.answer.known = &w.known
	if n := len(w.tags); n > 0 {
		c.tag, w.tags = w.tags[n-1], w.tags[:n-1]
		w.conns[c.tag] = c
	} else {
		c.tag = len(w.conns)
		w.conns = append(w.conns, c)
	}
	w.live++
	w.openingNow++
	w.opening.join(&c.waiting, w.now+w.timeout)
	if err := w.poller.add(fd, c.tag); err != nil {
		w.fell(c, err)
		return c, nil
	}
	if done {
		w.connected(c)
	}
	return c, nil
}

// connected goes on with a connection that the peer's kernel has taken.
func (w *worker) connected(c *conn) {
	if w.plan.TLS == nil {
		w.opened(c)
		return
	}
	c.state = shaking
	c.wire = &wire{fd: c.fd, waits: true, wake: make(chan struct{}, 1)}
	c.secure = tls.Client(c.wire, w.plan.TLS)
	w.shakingNow++
	go w.runHandshake(c)
}

// runHandshake shakes hands and hands the connection back to the loop.
func (w *worker) runHandshake(c *conn) {
	err := c.secure.Handshake()
	if err == nil && w.plan.HTTP2 && c.secure.ConnectionState().NegotiatedProtocol != "h2" {
		err = errNoHTTP2
	}
	w.inboxGuard.Lock()
	defer w.inboxGuard.Unlock() // after the ring: who has taken the last connection closes the bell, and its number may be another file's then
	w.inbox = append(w.inbox, shaken{c, err})
	w.poller.ring()
}

var errNoHTTP2 = errors.New("HTTP/2 was not agreed on (ALPN)")

// shaken is a handshake that has ended.
type shaken struct {
	conn *conn
	err  error
}

// shook goes on with a connection after its handshake.
func (w *worker) shook(s shaken) {
	c := s.conn
	w.shakingNow--
	c.wire.waits, c.wire.dry, c.wire.over = false, false, true // an end may have been told of meanwhile
	w.note(c)
	if s.err != nil {
		w.fell(c, s.err)
		return
	}
	w.opened(c)
	if c.state == open {
		w.read(c, false) // something may have come in one packet with the handshake's end
	}
}

// opened makes a connection ready for requests.
func (w *worker) opened(c *conn) {
	c.waiting.leave()
	w.openingNow--
	w.tally.opened++
	c.state = open
	if w.plan.HTTP2 {
		c.session = newSession(len(w.messages), w.plan.Streams, w.ahead)
		c.session.finish, c.session.fail, c.session.again = w.finishStream, w.failStream, w.sendAgain
		w.touch(c)
	}
	w.release(c)
}

// fell ends a connection that never opened.
func (w *worker) fell(c *conn, err error) {
	why := refused
	switch {
	case c.expired || errors.Is(err, errStopped):
		why = timedOut
	case c.state == shaking:
		why = handshake
	}
	w.openingNow--
	begun := c.begun
	w.close(c)
	w.neverOpened(why, begun)
}

// close ends a connection and forgets it. Its requests have been seen to.
func (w *worker) close(c *conn) {
	if c.state == closed {
		return
	}
	if c.state != leaving {
		w.live--
	}
	c.waiting.leave()
	c.state = closed
	unix.Close(c.fd)
	w.conns[c.tag] = nil
	w.freedTags = append(w.freedTags, c.tag)
	if c.free {
		w.unfree(c)
	}
}

// leave lets the peer close a connection that serves no more requests.
func (w *worker) leave(c *conn) {
	if c.state != open {
		return
	}
	if c.free {
		w.unfree(c)
	}
	w.live--
	c.state = leaving
	c.waiting.conn = c
	w.leavers.join(&c.waiting, w.now+int64(patience))
	w.leaversNow++
	if w.leaversNow > mostLeavers {
		w.abort(w.leavers.first.conn)
	}
	w.readOut(c)
}

// readOut sees whether the peer has closed.
func (w *worker) readOut(c *conn) {
	for {
		n, err := unix.Read(c.fd, w.buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case n <= 0:
			w.leaversNow--
			w.close(c)
			return
		}
	}
}

// abort closes one that leaves with a reset: its peer has not closed in time.
func (w *worker) abort(c *conn) {
	w.leaversNow--
	w.conns[c.tag] = nil
	w.freedTags = append(w.freedTags, c.tag)
	c.waiting.leave()
	c.state = closed
	abort(c.fd)
}

// happened takes an event of a connection.
func (w *worker) happened(c *conn, e event) {
	switch c.state {
	case connecting:
		if err := connected(c.fd); err != nil {
			w.fell(c, err)
			return
		}
		if w.connected(c); c.state == open && (e.read || e.over) {
			w.read(c, e.over)
		}
	case shaking:
		c.wire.ring()
	case leaving:
		w.readOut(c)
	case open:
		if c.wire != nil {
			c.wire.dry, c.wire.over = false, e.over
		}
		if e.write && w.unsent(c) {
			w.touch(c)
		}
		if e.read || e.over {
			w.read(c, e.over)
		}
	}
}

// read takes what has come, up to its end.
func (w *worker) read(c *conn, over bool) {
	for c.state == open {
		var n int
		var err error
		if c.secure != nil {
			n, err = c.secure.Read(w.buffer)
			w.note(c)
			if n <= 0 && err == error(errAgain) {
				return
			}
		} else {
			n, err = unix.Read(c.fd, w.buffer)
			switch {
			case err == unix.EAGAIN:
				return
			case err == unix.EINTR:
				continue
			}
			if n > 0 && w.counting {
				w.tally.received += uint64(n)
			}
		}
		if n <= 0 {
			w.lost(c, err == nil || err == io.EOF)
			return
		}
		w.now = w.clock()
		w.took(c, w.buffer[:n])
		if c.secure == nil && n < len(w.buffer) && !over {
			return // all there was; more will be told
		}
	}
}

// took gives bytes to the protocol.
func (w *worker) took(c *conn, b []byte) {
	if s := c.session; s != nil {
		if err := s.feed(b); err != nil {
			w.drop(c, malformed)
			return
		}
		w.settle(c)
		return
	}
	if !c.busy {
		w.close(c) // an answer that nobody asked for, such as 408 to a connection at rest
		return
	}
	rest, done, err := c.answer.feed(b)
	switch {
	case err != nil:
		w.drop(c, malformed)
	case done:
		w.finish(&c.job, c.answer.head.status)
		switch {
		case c.answer.head.closes || w.plan.NoKeepAlive:
			w.leave(c)
		case len(rest) > 0 || len(c.out) > 0:
			w.close(c) // it cannot be told what the next answer would belong to
		default:
			w.release(c)
		}
	}
}

// settle sees to a connection of HTTP/2 after something has changed on it.
func (w *worker) settle(c *conn) {
	if c.state != open {
		return
	}
	s := c.session
	if len(s.out) > 0 {
		w.touch(c)
	}
	if s.going && len(s.streams) == 0 || w.plan.NoKeepAlive && s.next > 1 && len(s.streams) == 0 {
		s.out = appendFrame(s.out, 8, frameGoAway, 0, 0)
		s.out = append(s.out, 0, 0, 0, 0, 0, 0, 0, 0)
		w.flush(c)
		w.leave(c)
		return
	}
	if c.free && !s.free() {
		w.unfree(c) // the peer has said that it takes no more, or fewer at a time
	}
	w.release(c)
}

// lost ends a connection that the peer has ended (at an end of a message or not), or that has failed.
func (w *worker) lost(c *conn, ended bool) {
	if c.busy && ended && c.answer.ended() {
		w.finish(&c.job, c.answer.head.status)
	}
	w.drop(c, broken)
}

// drop ends a connection and fails its requests.
func (w *worker) drop(c *conn, why int) {
	if c.state != open {
		return
	}
	if c.busy {
		w.fail(&c.job, why)
	}
	if s := c.session; s != nil {
		for stream, j := range s.streams {
			delete(s.streams, stream)
			w.fail(j, why)
		}
	}
	w.close(c)
}

// unsent tells whether a connection has something to write.
func (w *worker) unsent(c *conn) bool {
	return len(c.out) > 0 || c.session != nil && len(c.session.out) > 0 || c.wire != nil && len(c.wire.unsent) > 0
}

// touch remembers that a connection has something to write, so that what gathers leaves with one write.
func (w *worker) touch(c *conn) {
	if !c.dirty {
		c.dirty = true
		w.dirty = append(w.dirty, c)
	}
}

// flush writes as much as the socket takes. What is left goes on with the next event.
func (w *worker) flush(c *conn) {
	for c.state == open {
		out := &c.out
		if c.session != nil {
			out = &c.session.out
		}
		n, err := w.write(c, *out)
		if c.session == nil {
			c.out = c.out[n:] // the message's own bytes
		} else {
			*out = append((*out)[:0], (*out)[n:]...)
		}
		if err != nil {
			w.unwritten(c)
			return
		}
		if len(*out) > 0 || c.session == nil || len(c.session.held) == 0 {
			return
		}
		if c.session.pump(); len(c.session.out) == 0 {
			return // the peer's windows are full
		}
	}
}

// unwritten sees to a connection that takes nothing more. An answer may have come before: a peer that refuses a body does so.
func (w *worker) unwritten(c *conn) {
	c.out = nil
	w.read(c, true)
	w.drop(c, broken)
}

// write writes to the socket, over TLS or not.
func (w *worker) write(c *conn, b []byte) (written int, err error) {
	const record = 16 << 10
	if c.secure != nil {
		if err := c.wire.flush(); err != nil {
			return 0, err
		}
		for len(c.wire.unsent) == 0 && written < len(b) {
			n, err := c.secure.Write(b[written:min(len(b), written+4*record)])
			if written += n; err != nil {
				return written, err
			}
		}
		w.note(c)
		return written, nil
	}
	for written < len(b) {
		n, err := unix.Write(c.fd, b[written:])
		switch {
		case n > 0:
			written += n
			if w.counting {
				w.tally.sent += uint64(n)
			}
		case err == unix.EAGAIN:
			return written, nil
		case err != nil && err != unix.EINTR:
			return written, err
		}
	}
	return written, nil
}

// note takes note of what went over a wire.
func (w *worker) note(c *conn) {
	if w.counting {
		w.tally.received += c.wire.received
		w.tally.sent += c.wire.sent
	}
	c.wire.received, c.wire.sent = 0, 0
}

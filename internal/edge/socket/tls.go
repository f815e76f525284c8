package socket

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
)

// layer is TLS on a connection. It is crypto/tls over a wire that knows two ways to read: to wait for bytes on the goroutine, and to
// say that there are none now. crypto/tls keeps what it has of a record in both cases and goes on with it at the next read, because
// the wire's errors call themselves temporary.
type layer struct {
	tls  *tls.Conn
	wire wire
	out  int64 // bytes of plain text written
	bid  bool  // the end of TLS was sent

	// What the connection has counted, published under crypto/tls's own lock: a reader writes too when TLS has to answer what it reads.
	sent, waited atomic.Int64
}

// Turns are what handshakes need to compute: as many as it has places may do so at once. A turn is given back while its holder waits
// for the peer, so none can be held by a peer that does nothing.
type Turns chan struct{}

// ServeTLS puts TLS on the connection and carries out the handshake in the accepting role until the time by. early is what was read
// from the connection already; it is used during the call only. turns may be nil. After an error the connection is good for Close
// only.
func (c *Conn) ServeTLS(config *tls.Config, early []byte, by int64, turns Turns) error {
	return c.secure(tls.Server, config, early, by, turns)
}

// DialTLS is ServeTLS in the role that asks. config names the peer, or leaves verification to its own callback.
func (c *Conn) DialTLS(config *tls.Config, by int64) error {
	return c.secure(tls.Client, config, nil, by, nil)
}

func (c *Conn) secure(role func(net.Conn, *tls.Config) *tls.Conn, config *tls.Config, early []byte, by int64, turns Turns) error {
	c.Wake()
	l := &layer{wire: wire{conn: c, early: early, by: by, turns: turns}}
	l.wire.patience.Store(max(by-clock.Now(), 1))
	l.tls = role(&l.wire, config)
	c.layer = l
	defer func() {
		l.wire.giveTurn() // also after a panic
		l.wire.early, l.wire.turns = nil, nil
	}()
	return bare(l.tls.HandshakeContext(context.Background()))
}

// TLS returns what the handshake settled, nil on a plain connection. It is made anew by each call.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.layer == nil {
		return nil
	}
	state := c.layer.tls.ConnectionState()
	return &state
}

// Alert says that an error is what the peer said about TLS (RFC 8446 §6.2), as crypto/tls tells it.
func Alert(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error"
}

// WritePlain writes p past TLS, as far as that needs no waiting: to a peer whose handshake failed because it does not speak TLS.
func (c *Conn) WritePlain(p []byte) {
	sysWrite(c.fd, p) // best effort
}

// Linger ends the sending half and drops what the peer still sends, past TLS, until it ends too or the time by is over: else bytes that are
// unread would make the kernel send a reset, which may overtake what was sent last (RFC 9112 §9.6). Nothing but Close may follow.
func (c *Conn) Linger(by int64) {
	if c.CutWrite() != nil {
		return
	}
	buf := bufpool.Get(bufpool.Small)
	defer bufpool.Put(buf)
	const most = 64 // buffers
	for range most {
		if _, err := c.readWire(buf, by); err != nil {
			return
		}
	}
}

// Truncated says that the peer's end of the stream came without the end of TLS: somebody on the way may have cut it (RFC 8446 §6.1).
func (c *Conn) Truncated() bool { return c.layer != nil && c.layer.wire.ended }

// read waits for plain text on the goroutine.
func (l *layer) read(p []byte, by int64) (int, error) {
	l.wire.by = by
	n, err := l.tls.Read(p)
	if n > 0 {
		l.wire.conn.in += int64(n)
		return n, nil // what else there was to say is said again by the next read
	}
	return 0, bare(err)
}

// tryRead returns errAgain when no plain text can be had now. It does not count, its callers do.
func (l *layer) tryRead(p []byte) (int, error) {
	l.wire.try = true
	defer func() { l.wire.try = false }()
	for {
		l.wire.took = false
		n, err := l.tls.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != errAgain || !l.wire.took {
			return 0, err
		}
		// All that was read was TLS's own, or a part of a record. A short read says nothing of an end behind it, and the poller,
		// which told of both at once, will not tell of it again.
		l.wire.drained = false
	}
}

// tryReadNow is tryRead for one who was not called by the poller.
func (l *layer) tryReadNow(p []byte) (int, error) {
	l.wire.drained = false
	n, err := l.tryRead(p)
	if err == errAgain {
		return 0, ErrTimeout
	}
	l.wire.conn.in += int64(n)
	return n, err
}

// quiet says whether there is no plain text and no end. drained says that there is nothing to read on the socket, which is the usual
// case. What there is may be for TLS itself, e.g. a ticket.
func (l *layer) quiet(drained bool) bool {
	l.wire.drained = drained
	var one [1]byte
	_, err := l.tryRead(one[:])
	return err == errAgain
}

// recordSize is how much plain text fits into one record (RFC 8446 §5.1), in bytes.
const recordSize = 16 << 10

// write makes as few records as it can of first and second.
func (l *layer) write(first, second []byte, patience int64) error {
	l.wire.patience.Store(patience)
	if len(first) > 0 && len(second) > 0 && len(first) < recordSize {
		fits := min(recordSize-len(first), len(second))
		buf := bufpool.Get(recordSize)
		joined := append(append(buf[:0], first...), second[:fits]...)
		err := l.writeRun(joined)
		bufpool.Put(buf)
		if err != nil {
			return err
		}
		first, second = nil, second[fits:]
	}
	for _, run := range [...][]byte{first, second} {
		if len(run) == 0 {
			continue
		}
		if err := l.writeRun(run); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) writeRun(run []byte) error {
	n, err := l.tls.Write(run)
	l.out += int64(n)
	return bare(err)
}

// sendPatience is how long SendReceive waits for a peer whose window is full, in nanoseconds, if its own time is not over before: one to
// whom nothing is on its way has room for a record.
const sendPatience = int64(10 * time.Second)

// sendRecords is the writing part of lend on a connection with TLS. It waits where the kernel does not take all at once, because
// half a record cannot be left to the caller.
func (w *work) sendRecords(fd uintptr) bool {
	r := &w.reading
	if r.quiet && !w.conn.layer.quiet(sysQuiet(fd)) {
		r.noisy = true
		return true
	}
	if len(r.out) > recordSize {
		return true // nothing is sent: the caller goes on with Write, which knows how patient to be
	}
	w.conn.layer.wire.drained = false
	patience := sendPatience
	if r.by != 0 {
		patience = max(min(patience, r.by-clock.Now()), 1)
	}
	if err := w.conn.layer.write(r.out, nil, patience); err != nil {
		r.err = err
		return true
	}
	r.sent = len(r.out)
	bufpool.Put(r.out[:cap(r.out)])
	r.out = r.out[:0:0]
	return false // the answer will make the socket readable
}

// Farewell writes the last words, as far as that needs no waiting. Nothing can be written after them.
func (c *Conn) Farewell(words []byte) {
	if c.layer == nil {
		sysWrite(c.fd, words) // best effort
		return
	}
	c.layer.wire.closing.Store(true)
	c.layer.tls.Write(words)
}

// bye ends TLS in the sending direction if that needs no waiting.
func (l *layer) bye() {
	if l.bid {
		return
	}
	l.bid = true
	l.wire.closing.Store(true)
	l.tls.CloseWrite() // fails before the end of the handshake, and where nobody listens any more
}

// wire is the connection as TLS sees it. It is used by one reader and one writer at a time.
type wire struct {
	conn    *Conn
	early   []byte // read before TLS began
	by      int64  // when a read that waits gives up
	try     bool   // reads do not wait
	took    bool   // something was read
	drained bool   // the socket had nothing more to read; the poller tells when that changes
	ended   bool   // the peer's end of the stream was read
	turns   Turns  // nil after the handshake
	turn    bool   // a turn is held
	// Also used by a reader, since TLS may have to answer what it reads.
	patience atomic.Int64 // of a write
	closing  atomic.Bool  // writes do not wait
}

// passing is an error of the wire that leaves TLS as it was: the operation can be tried again.
type passing struct{ error }

// Timeout and Temporary implement net.Error, by which crypto/tls tells such errors.
func (passing) Timeout() bool   { return true }
func (passing) Temporary() bool { return true }
func (p passing) Unwrap() error { return p.error }

// errAgain says that there is nothing to read now.
var errAgain error = &passing{errors.New("nothing can be read now")}

var (
	passingTimeout   error = &passing{ErrTimeout}
	passingInterrupt error = &passing{ErrInterrupted}
)

// bare is the error as the connection's users know it.
func bare(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTimeout):
		return ErrTimeout
	case errors.Is(err, ErrInterrupted):
		return ErrInterrupted
	}
	return err
}

func (w *wire) takeTurn() {
	if w.turns != nil {
		w.turns <- struct{}{}
		w.turn = true
	}
}

func (w *wire) giveTurn() {
	if w.turn {
		w.turn = false
		<-w.turns
	}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		if !w.turn {
			w.takeTurn()
		}
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	if !w.try {
		w.giveTurn()
		n, err := w.conn.readWire(p, w.by)
		w.takeTurn()
		switch err {
		case ErrTimeout:
			err = passingTimeout
		case ErrInterrupted:
			err = passingInterrupt
		case io.EOF:
			w.ended = true
		}
		return n, err
	}
	if w.drained {
		return 0, errAgain
	}
	n, errno := sysRead(w.conn.fd, p)
	switch {
	case errno == syscall.EAGAIN:
		w.drained = true
		return 0, errAgain
	case errno != 0:
		return 0, errno
	case n == 0:
		w.ended = true
		return 0, io.EOF
	}
	w.took, w.drained = true, n < len(p)
	return n, nil
}

// Write implements net.Conn. crypto/tls calls it for one goroutine at a time.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.write(p)
	l := w.conn.layer
	l.sent.Store(w.conn.out)
	if w.conn.work != nil { // the last words are written at rest
		l.waited.Store(w.conn.writing.waited)
	}
	return n, err
}

func (w *wire) write(p []byte) (int, error) {
	if w.closing.Load() {
		n, errno := sysWrite(w.conn.fd, p)
		w.conn.out += int64(n)
		return n, asError(errno)
	}
	before := w.conn.out
	if w.turn {
		// A first record that does not fit is a peer's doing, who must not keep others from their turns.
		n, errno := sysWrite(w.conn.fd, p)
		w.conn.out += int64(n)
		if n == len(p) || errno != 0 && errno != syscall.EAGAIN {
			return n, asError(errno)
		}
		p = p[n:]
		w.giveTurn()
		defer w.takeTurn()
	}
	err := w.conn.writeWire(p, nil, w.patience.Load())
	return int(w.conn.out - before), err
}

func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// The rest of net.Conn. The connection's owner closes it and sets its deadlines; TLS has no say in that.

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return w.conn.nc.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr             { return w.conn.nc.RemoteAddr() }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// Package socket is one stream socket, TCP or unix, as the data path reads and writes it: in blocking style on the connection's
// own goroutine, with deadlines that cost nothing while they are met and with one system call a message where it fits.
//
// A connection may carry TLS (tls.go). Then it moves the plain text, and nobody above need know.
//
// It serves steps 1, 2, 7 and 10, which all move bytes through it. It refuses to know what the bytes mean and to buffer them.
// One goroutine may read while another writes; Kill and InterruptRead may be called by anyone.
//
// Deadlines are lazy. Arming a timer for every request would cost more than parsing it, so a timer once armed is left alone as
// long as it strikes no later than wanted. When it strikes early, the waiting goroutine arms the right one and waits on.
//
// System calls are made without telling the scheduler (RawSyscall): the descriptors are non-blocking, so none of them can wait.
package socket

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
)

// ErrTimeout is returned when a deadline passed before the socket was ready.
var ErrTimeout = errors.New("the socket was not ready in time")

// ErrInterrupted is returned by a read that InterruptRead ended.
var ErrInterrupted = errors.New("the read was interrupted")

// ErrNotQuiet is returned by SendReceive when the peer had sent something before it was asked.
var ErrNotQuiet = errors.New("the peer sent something, or its end, before it was asked")

// ErrNoSplice is returned by Splice where it cannot be done; nothing was moved then.
var ErrNoSplice = errors.New("bytes cannot be moved inside the kernel here")

// Conn is one connected stream socket. At any time at most one goroutine reads it and at most one writes it; the first use and Rest
// belong to one that is alone.
type Conn struct {
	nc    net.Conn
	rc    syscall.RawConn
	*work // nil while the connection rests
	fd    uintptr
	layer *layer // TLS; nil on a plain connection

	in          int64 // bytes read; with TLS those of the plain text
	out         int64 // bytes written to the kernel; with TLS those of its records
	readArmed   int64 // when the timer strikes, 0 when it is off, struck when it has gone off
	writeArmed  int64
	interrupted atomic.Bool
	unix        bool
}

// work is what a connection needs while it is read and written: the arguments and results of the operations under way, and the
// callbacks that carry them into the runtime, which are bound once so that no operation allocates. It is pooled, because most
// connections of a gateway rest most of the time.
type work struct {
	conn    *Conn
	reading reading
	writing writing
	onPeek  func(fd uintptr)
	onQuiet func(fd uintptr)
	state   PeerState
	quiet   bool
}

type reading struct {
	buf   []byte
	size  int    // of the buffer to borrow when there is something to read
	out   []byte // to be written first
	sent  int    // how much of out was written
	quiet bool   // the peer must not have sent anything before that
	noisy bool   // it had
	n     int
	errno syscall.Errno
	err   error                        // what TLS failed with
	by    int64                        // when it is over; 0 is never
	ran   bool                         // of ReadEach: something was tried
	use   func(buf []byte, n int) Next // of ReadEach
	ended bool                         // use said Stop

	onRead, onLend, onTry, onEach func(fd uintptr) bool
}

type writing struct {
	waited int64 // nanoseconds, see WriteWaited

	first   []byte // what is left to write, and
	second  []byte // what is left to write after it
	errno   syscall.Errno
	patient bool // wait instead of giving up

	onWrite func(fd uintptr) bool
}

var works = sync.Pool{New: func() any {
	w := &work{}
	w.reading.onRead, w.reading.onLend, w.reading.onTry, w.reading.onEach = w.readReady, w.lendReady, w.tryReady, w.eachReady
	w.writing.onWrite, w.onPeek, w.onQuiet = w.writeReady, w.peek, w.lookQuiet
	return w
}}

// Wake makes the connection ready for use after Rest. Every operation does so by itself; it is for one who is about to let two
// goroutines use the connection.
func (c *Conn) Wake() {
	if c.work == nil {
		c.work = works.Get().(*work)
		c.work.conn = c
	}
}

// Rest gives back what a connection needs only while it is used. The next operation gets it again.
func (c *Conn) Rest() {
	w := c.work
	if w == nil {
		return
	}
	c.work = nil
	w.conn = nil
	w.writing.waited = 0
	if c.layer != nil {
		c.layer.waited.Store(0)
	}
	works.Put(w)
}

// New takes over nc, which must be a *net.TCPConn or a *net.UnixConn. From then on only Close and Abort may close it, called by
// whoever owns the connection at the time and while nobody uses it: another's close would let the descriptor name another socket.
func New(nc net.Conn) (*Conn, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("socket: the connection has no descriptor; only TCP and unix sockets can be served")
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{nc: nc, rc: rc}
	_, c.unix = nc.(*net.UnixConn)
	err = rc.Control(func(fd uintptr) { c.fd = fd })
	return c, err
}

// Peer is the address at the other end; it is the zero AddrPort on a unix socket.
func (c *Conn) Peer() netip.AddrPort { return addrPort(c.nc.RemoteAddr()) }

// Local is the address at this end; it is the zero AddrPort on a unix socket.
func (c *Conn) Local() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// addrPort unmaps IPv4 in IPv6, so that one address has one form everywhere.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Unix says whether this is a unix socket.
func (c *Conn) Unix() bool { return c.unix }

// In is how many bytes were read so far. What TLS adds to them is not counted.
func (c *Conn) In() int64 { return c.in }

// Out is how many bytes were written so far. What TLS adds to them is not counted.
func (c *Conn) Out() int64 {
	if c.layer != nil {
		return c.layer.out
	}
	return c.out
}

// Sent is how many bytes were given to the kernel so far, those of TLS included.
func (c *Conn) Sent() int64 {
	if c.layer != nil {
		return c.layer.sent.Load()
	}
	return c.out
}

// WriteWaited is the nanoseconds that Write has waited for the peer since the connection last rested, for judging its speed.
func (c *Conn) WriteWaited() int64 {
	switch {
	case c.work == nil:
		return 0
	case c.layer != nil:
		return c.layer.waited.Load()
	}
	return c.writing.waited
}

// Read reads at least one byte into p, waiting until the time by (a reading of clock.Now; 0 waits for ever). It returns io.EOF
// when the peer has closed its side, ErrTimeout when nothing came in time, ErrInterrupted after InterruptRead.
func (c *Conn) Read(p []byte, by int64) (int, error) {
	c.Wake()
	if c.layer != nil {
		return c.layer.read(p, by)
	}
	return c.readWire(p, by)
}

// readWire is Read of what lies under TLS, if there is any.
func (c *Conn) readWire(p []byte, by int64) (int, error) {
	c.reading.buf = p
	err := c.await(c.reading.onRead, by)
	c.reading.buf = nil
	n, err := c.result(err)
	if c.layer == nil {
		c.in += int64(n)
	}
	return n, err
}

// ReadLent is Read for one who has nothing to keep meanwhile: it holds no buffer while it waits and borrows one from bufpool when
// there is something to read, of which it fills size bytes at most. The caller gives the buffer back; it is nil when there is an
// error.
func (c *Conn) ReadLent(size int, by int64) (buf []byte, n int, err error) {
	_, buf, n, err = c.SendReceive(nil, false, size, by)
	return buf, n, err
}

// TryLent is ReadLent that does not wait: it returns ErrTimeout when there is nothing to read now.
func (c *Conn) TryLent(size int) (buf []byte, n int, err error) {
	c.Wake()
	if c.readArmed == struck {
		if err := c.armRead(0); err != nil {
			return nil, 0, err
		}
	}
	c.reading.size = size
	err = c.await(c.reading.onTry, 0)
	if err == nil && (c.reading.errno == syscall.EAGAIN || c.reading.err == errAgain) {
		return nil, 0, ErrTimeout
	}
	return c.lent(err)
}

// TryRead reads into p what is there now. It returns ErrTimeout when there is nothing.
func (c *Conn) TryRead(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.tryReadNow(p)
	}
	n, errno := sysRead(c.fd, p)
	switch {
	case errno == syscall.EAGAIN:
		return 0, ErrTimeout
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	c.in += int64(n)
	return n, nil
}

// TryWrite writes of first and then of second what the kernel takes now, and returns how much that was. With TLS it takes nothing,
// because half a record cannot be taken back.
func (c *Conn) TryWrite(first, second []byte) (int, error) {
	if c.layer != nil {
		return 0, nil
	}
	c.Wake()
	w := &c.writing
	w.first, w.second, w.patient, w.errno = first, second, false, 0
	before := c.out
	c.writeReady(c.fd)
	w.first, w.second = nil, nil
	if w.errno != 0 {
		return int(c.out - before), w.errno
	}
	return int(c.out - before), nil
}

// Next is what a user of ReadEach wants next.
type Next uint8

// The wishes of a user.
const (
	Stop  Next = iota // nothing more: ReadEach returns
	Look              // read again at once
	Await             // wait until something comes
)

// ReadEach waits for bytes as ReadLent does and hands each buffer of them to use, until use says Stop. The buffer is use's to give
// back. Because the poller stays armed from one wait to the next, no read is spent on finding that nothing has come yet: a
// request and its answer cost one read and one write.
//
// use must not read from the connection. It may write to it. When the peer's last bytes and its close arrived together, Await sees
// the close only at the time by; Look sees it at once.
//
// ReadEach returns nil after Stop, ErrTimeout at the time by at the latest (it may have been busy until shortly before), and
// otherwise what Read returns.
func (c *Conn) ReadEach(size int, by int64, use func(buf []byte, n int) Next) error {
	c.Wake()
	r := &c.reading
	if err := c.armRead(by); err != nil {
		return err
	}
	r.size, r.use, r.out, r.sent, r.ended, r.ran = size, use, nil, 0, false, false
	r.n, r.errno, r.err = 0, 0, nil
	err := c.rc.Read(r.onEach)
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if late && c.layer != nil && !r.ran && c.eachReady(c.fd) {
		// The time was over before anything was tried. What TLS holds already no poller will tell of, so it is looked for at least once.
		err, late = nil, false
		c.readArmed = struck
	}
	r.use = nil
	switch {
	case late:
		c.readArmed = struck
		return ErrTimeout
	case err != nil || r.ended:
		return err
	}
	_, _, err = c.lent(nil)
	return err
}

func (w *work) eachReady(fd uintptr) bool {
	r := &w.reading
	r.ran = true
	w.roused()
	for {
		if !w.lend(fd) {
			return false
		}
		if r.errno != 0 || r.n == 0 {
			return true
		}
		w.conn.in += int64(r.n)
		// TLS may hold more; looking costs no system call, since it knows by itself when the socket is drained.
		drained := r.n < r.size && w.conn.layer == nil
		buf := r.buf
		r.buf = nil
		switch r.use(buf, r.n) {
		case Stop:
			r.ended = true
			return true
		case Look:
			w.roused() // a short read says nothing of an end behind it
		case Await:
			if drained {
				// Nothing was left in the socket before use began, so whatever has come since has told the poller.
				return false
			}
		}
	}
}

// SendReceive writes out and then waits for the beginning of the answer and reads it, as one operation: because the poller is made
// ready before the request leaves, the read that would only find out that no answer can be there yet is saved. out is borrowed
// from bufpool and given back as soon as all of it is written, before the wait. sent is how much was written; when that is not
// all, out is still the caller's, and if there is no error nothing was read and the caller goes on with Write. buf, n and by
// are as for ReadLent.
//
// With quiet nothing is written if the peer has sent anything before, its end included: what it sent would pass for the answer.
// The error is ErrNotQuiet then.
func (c *Conn) SendReceive(out []byte, quiet bool, size int, by int64) (sent int, buf []byte, n int, err error) {
	c.Wake()
	r := &c.reading
	r.out, r.sent, r.size, r.quiet = out, 0, size, quiet
	err = c.await(r.onLend, by)
	sent, r.out = r.sent, nil
	if r.noisy {
		r.noisy = false
		return 0, nil, 0, ErrNotQuiet
	}
	if sent > 0 && c.layer == nil { // one who only reads leaves the writer's count alone
		c.out += int64(sent)
	}
	if err == nil && r.errno == 0 && r.err == nil && sent < len(out) {
		return sent, nil, 0, nil
	}
	buf, n, err = c.lent(err)
	return sent, buf, n, err
}

// await runs ready until it says it is done, waiting for the socket to become readable in between.
func (c *Conn) await(ready func(uintptr) bool, by int64) error {
	r := &c.reading
	r.by = by
	for {
		if err := c.armRead(by); err != nil {
			return err
		}
		if c.interrupted.Load() {
			// Looked at after arming: an interrupt that comes later than this finds its own deadline unspoilt.
			return ErrInterrupted
		}
		r.n, r.errno, r.err = 0, 0, nil
		err := c.rc.Read(ready)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		c.readArmed = struck
		if c.interrupted.Load() {
			return ErrInterrupted
		}
		if by != 0 && clock.Now() >= by {
			return ErrTimeout
		}
	}
}

// result turns that of the last read into the words of io.Reader.
func (c *Conn) result(err error) (int, error) {
	r := &c.reading
	switch {
	case err != nil:
		return 0, err
	case r.errno != 0:
		return 0, r.errno
	case r.err != nil:
		return 0, r.err
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// received is result for who counts.
func (c *Conn) received(err error) (int, error) {
	n, err := c.result(err)
	c.in += int64(n)
	return n, err
}

// lent is received for a borrowed buffer, which goes back at once when there is nothing in it.
func (c *Conn) lent(err error) ([]byte, int, error) {
	n, err := c.received(err)
	buf := c.reading.buf
	c.reading.buf = nil
	if err != nil && buf != nil {
		bufpool.Put(buf)
		buf = nil
	}
	return buf, n, err
}

func (w *work) readReady(fd uintptr) bool {
	r := &w.reading
	r.n, r.errno = sysRead(fd, r.buf)
	return r.errno != syscall.EAGAIN
}

// roused tells TLS that the poller may have news.
func (w *work) roused() {
	if w.conn.layer != nil {
		w.conn.layer.wire.drained = false
	}
}

func (w *work) lendReady(fd uintptr) bool {
	w.roused()
	return w.lend(fd)
}

func (w *work) lend(fd uintptr) bool {
	r := &w.reading
	if r.sent < len(r.out) && w.conn.layer != nil {
		return w.sendRecords(fd)
	}
	if r.sent < len(r.out) {
		if r.quiet && r.sent == 0 && !sysQuiet(fd) {
			r.noisy = true
			return true
		}
		n, errno := sysWrite(fd, r.out[r.sent:])
		r.sent += n
		if r.sent == len(r.out) {
			bufpool.Put(r.out[:cap(r.out)])
			r.out = r.out[:0:0]
			return false // the answer will make the socket readable
		}
		if errno != syscall.EAGAIN {
			r.errno = errno
		}
		return true
	}
	r.buf = bufpool.Get(r.size)[:r.size]
	if w.conn.layer != nil {
		if r.n, r.err = w.conn.layer.tryRead(r.buf); r.err != errAgain {
			return true
		}
	} else if w.readReady(fd) {
		return true
	}
	bufpool.Put(r.buf)
	r.buf = nil
	return false
}

func (w *work) tryReady(fd uintptr) bool {
	r := &w.reading
	r.sent = len(r.out)
	w.lendReady(fd)
	return true
}

// InterruptRead makes a Read that waits now, or begins later, return ErrInterrupted. It may be called from any goroutine. Reading
// goes on after ResumeRead.
func (c *Conn) InterruptRead() {
	c.interrupted.Store(true)
	c.nc.SetReadDeadline(longAgo) // fails only on a closed socket, where nobody waits
}

// ResumeRead ends the effect of InterruptRead. It belongs to the owner, after the reader it interrupted has returned.
func (c *Conn) ResumeRead() {
	c.interrupted.Store(false)
	c.readArmed = struck
}

var longAgo = time.Unix(1, 0)

// Write writes all of first and then all of second (which may be empty), with one system call where the kernel takes them at
// once. It goes on as long as the peer takes at least some bytes within every span of patience nanoseconds and returns
// ErrTimeout when it does not. The time spent waiting is added to WriteWaited.
func (c *Conn) Write(first, second []byte, patience int64) error {
	c.Wake()
	if c.layer != nil {
		return c.layer.write(first, second, patience)
	}
	return c.writeWire(first, second, patience)
}

// writeWire is Write under TLS, if there is any.
func (c *Conn) writeWire(first, second []byte, patience int64) error {
	w := &c.writing
	w.first, w.second, w.patient, w.errno = first, second, false, 0
	// The first attempt goes straight to the descriptor: it is ours as long as we have not closed it ourselves, and almost always
	// the kernel takes all at once.
	c.writeReady(c.fd)
	var from, progress int64 // when the first wait and the current span began
	var err error
	if w.errno != 0 {
		err = w.errno
	}
	for err == nil && len(w.first)+len(w.second) > 0 {
		w.errno = 0
		left := len(w.first) + len(w.second)
		err = c.rc.Write(w.onWrite)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.writeArmed = struck
			err = nil
			if progress != 0 && clock.Now() >= progress+patience {
				err = ErrTimeout
			}
		}
		if err == nil && w.errno != 0 {
			err = w.errno
		}
		if err != nil || len(w.first)+len(w.second) == 0 {
			break
		}
		// The peer's window or our send buffer is full, or the kernel took a part: from here on wait, one span for each part.
		if now := clock.Now(); from == 0 {
			from, progress = now, now
		} else if len(w.first)+len(w.second) < left {
			progress = now
		}
		w.patient = true
		if err = c.armWrite(progress + patience); err != nil {
			break
		}
	}
	if from != 0 {
		w.waited += clock.Now() - from
	}
	w.first, w.second = nil, nil
	return err
}

// writeReady writes what is left. It returns false, to wait, only for a patient writer that could write nothing.
func (w *work) writeReady(fd uintptr) bool {
	o := &w.writing
	var n int
	var errno syscall.Errno
	switch {
	case len(o.second) == 0:
		n, errno = sysWrite(fd, o.first)
	case len(o.first) == 0:
		n, errno = sysWrite(fd, o.second)
	default:
		n, errno = sysWritev(fd, o.first, o.second)
	}
	w.conn.out += int64(n)
	if n <= len(o.first) {
		o.first = o.first[n:]
	} else {
		o.second = o.second[n-len(o.first):]
		o.first = nil
	}
	if errno == syscall.EAGAIN {
		return !o.patient
	}
	o.errno = errno
	return true
}

// PeerState is what can be told of the other end without reading.
type PeerState uint8

// The states of a peer.
const (
	PeerSilent PeerState = iota // open, nothing to read
	PeerTalks                   // open, there is something to read
	PeerClosed                  // it has closed its sending side; it may still listen
	PeerGone                    // the connection is dead
)

// State asks for the state of the peer with one system call that does not wait.
func (c *Conn) State() PeerState {
	c.Wake()
	if err := c.rc.Control(c.onPeek); err != nil {
		return PeerGone
	}
	return c.state
}

func (w *work) peek(fd uintptr) { w.state = sysState(fd) }

// Quiet says whether the peer has sent nothing, not even its end: a cheaper State for a connection that nobody should be talking on.
func (c *Conn) Quiet() bool {
	c.Wake()
	return c.rc.Control(c.onQuiet) == nil && c.quiet
}

func (w *work) lookQuiet(fd uintptr) {
	w.quiet = sysQuiet(fd)
	if w.conn.layer != nil {
		w.quiet = w.conn.layer.quiet(w.quiet)
	}
}

// Unacknowledged is how many of the bytes Sent the peer's kernel has not confirmed, or -1 when that cannot be told. Confirmation
// may lag behind arrival by 40 ms, so unconfirmed bytes may have been seen; but none of them had arrived when the peer sent its
// end, if that has come.
func (c *Conn) Unacknowledged() int64 {
	n := int64(-1)
	if !c.unix {
		c.rc.Control(func(fd uintptr) { n = sysUnacknowledged(fd) }) // after an error n says that it cannot be told
	}
	return n
}

// CloseWrite tells the peer that nothing more will be sent.
func (c *Conn) CloseWrite() error {
	if c.layer != nil {
		c.layer.bye() // best effort: the end of the stream follows in any case
	}
	return c.CutWrite()
}

// CutWrite is CloseWrite for a stream that was cut itself: with TLS the peer is told by the missing end of it that there was more.
func (c *Conn) CutWrite() error {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the socket. TLS is ended before, as far as that needs no waiting.
func (c *Conn) Close() error {
	if c.layer != nil {
		c.layer.bye()
	}
	return c.nc.Close()
}

// Abort closes the socket so that the peer sees a reset and not an orderly end: for an answer that broke off where its length
// would not tell.
func (c *Conn) Abort() error {
	if c.layer != nil {
		c.layer.bid = true // nothing may be written to the descriptor any more, which others may get
	}
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		tcp.SetLinger(0) // best effort: what follows closes it all the same
	}
	return c.nc.Close()
}

// Kill makes every operation of the owning goroutine fail at once, now and later. It may be called from any goroutine; the owner
// still closes the socket.
func (c *Conn) Kill() {
	c.rc.Control(func(fd uintptr) { sysShutdown(fd) }) // an error means it is closed already
}

// Raw gives access to the descriptor for what this package does not do, e.g. waiting for many sockets at once or moving bytes
// between two of them inside the kernel.
func (c *Conn) Raw() syscall.RawConn { return c.rc }

// Net is the connection that New was given.
func (c *Conn) Net() net.Conn { return c.nc }

// struck marks a timer that has gone off: whatever is wanted next must be armed anew.
const struck = -1

// armRead sees to it that the read timer strikes no later than by.
func (c *Conn) armRead(by int64) error {
	if c.readArmed > 0 && (by == 0 || c.readArmed <= by) || c.readArmed == 0 && by == 0 {
		return nil // a timer that strikes too early is dealt with when it strikes
	}
	c.readArmed = by
	return c.nc.SetReadDeadline(deadline(by))
}

func (c *Conn) armWrite(by int64) error {
	if c.writeArmed > 0 && (by == 0 || c.writeArmed <= by) || c.writeArmed == 0 && by == 0 {
		return nil
	}
	c.writeArmed = by
	return c.nc.SetWriteDeadline(deadline(by))
}

func deadline(by int64) time.Time {
	if by == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(by - clock.Now()))
}

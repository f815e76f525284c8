package http1

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

// ending is how the end of a body shows.
type ending uint8

const (
	endsNow     ending = iota // no (more) content
	endsByCount               // left bytes are to come
	endsByChunk               // chunked coding
	endsByClose               // when the peer closes
)

// body is content on its way in, in either role. Its bytes lie in buf[r:w]: first in the buffer of the head, then in buffers that
// are borrowed only while there is something in them. Between two runs nothing is held while waiting.
type body struct {
	conn *socket.Conn
	end  ending
	left int64 // bytes left of the content, or of the current chunk
	buf  []byte
	r, w int
	base int  // where the content begins in the first buffer
	lent bool // buf is ours to give back
	// first is true as long as everything read so far is still in the buffer, so that the body can be read again.
	first bool
	full  bool // the last read filled its buffer: more is likely to be there

	chunk      chunkState
	extensions int // bytes of chunk extensions seen
	trailer    *exchange.Fields
	from       struct {
		end  ending
		left int64
	}
	limit int64 // of the content in bytes, 0 for none
	seen  int64 // bytes of content handed out

	patience time.Duration // how long to wait for the next bytes
	pace     pace.Pace
	until    int64          // when the whole body has to be there, 0 for no such time
	watch    exchange.Watch // asked now and then while waiting; nil in the server role
	// cut is why we cut the connection ourselves, if we did; nil in the server role.
	cut  *atomic.Pointer[fault.Fault]
	role role  // decides which fault an error becomes
	err  error // sticky
}

type role uint8

const (
	server role = iota // content comes from a client
	client             // content comes from an endpoint
)

// begin sets the body up. head is the buffer that holds the first bytes of it at [r:w]; it stays the caller's.
func (b *body) begin(conn *socket.Conn, role role, end ending, length int64, head []byte, r, w int) {
	*b = body{conn: conn, role: role, end: end, left: length, buf: head, r: r, w: w, base: r, first: true}
	if end == endsByCount && length == 0 {
		b.end = endsNow
	}
	if end == endsByChunk {
		b.left = 0
	}
	b.from.end, b.from.left = b.end, b.left
}

// done says whether the body was read to its end.
func (b *body) done() bool { return b.end == endsNow && b.err == nil }

// Buffered implements exchange.Body.
func (b *body) Buffered() bool {
	switch b.end {
	case endsNow:
		return true
	case endsByChunk:
		return b.r < b.w && (b.chunk.inData() || b.chunk.complete(b.buf[b.r:b.w]))
	}
	return b.r < b.w
}

// Next implements exchange.Body.
func (b *body) Next() ([]byte, error) {
	run, err := b.next()
	if err != nil && err != io.EOF {
		b.err = err
	}
	return run, err
}

func (b *body) next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	for {
		switch b.end {
		case endsNow:
			return nil, io.EOF
		case endsByChunk:
			if err := b.frame(); err != nil {
				return nil, err
			}
			if b.end == endsNow {
				return nil, io.EOF
			}
		}
		if b.r < b.w {
			return b.take()
		}
		if err := b.fill(); err != nil {
			return nil, err
		}
		if b.end == endsNow {
			return nil, io.EOF
		}
	}
}

// take hands out what is there of the content.
func (b *body) take() ([]byte, error) {
	run := b.buf[b.r:b.w]
	if b.end != endsByClose {
		if int64(len(run)) > b.left {
			run = run[:b.left]
		}
		b.left -= int64(len(run))
		if b.left == 0 {
			if b.end == endsByCount {
				b.end = endsNow
			} else {
				b.chunk = afterData
			}
		}
	}
	b.r += len(run)
	b.seen += int64(len(run))
	if b.limit > 0 && b.seen > b.limit {
		return nil, errBodyLimit.made
	}
	return run, nil
}

// fill waits for more bytes. What was in the buffer has all been used.
func (b *body) fill() error {
	want := b.want()
	if b.first && b.rewindable() {
		if len(b.buf)-b.w < want && len(b.buf) < bufpool.Large {
			size := bufpool.Large
			if b.end == endsByCount {
				size = int(min(int64(b.w-b.base)+b.left, bufpool.Large)) // it is held while the client takes its time
			}
			b.moveTo(size)
		}
		if b.w < len(b.buf) {
			return b.read(b.buf[b.w:min(len(b.buf), b.w+want)])
		}
	}
	if b.lent {
		bufpool.Put(b.buf)
	}
	b.buf, b.r, b.w, b.first, b.lent = nil, 0, 0, false, false // nothing is held while waiting
	buf, n, err := b.wait(nil, want)
	if err != nil {
		return b.failed(err)
	}
	b.buf, b.r, b.w, b.lent = buf, 0, n, true
	b.full = n == len(buf)
	return nil
}

// rewindable says whether it is worth keeping what was read: only requests are ever sent again.
func (b *body) rewindable() bool { return b.role == server }

// prefetch reads, without waiting, what has arrived of a body that one buffer holds. A body that is there as a whole can be sent
// without a goroutine of its own.
func (b *body) prefetch() {
	if b.end != endsByCount || !b.first || !b.rewindable() || b.err != nil {
		return
	}
	for missing := b.left - int64(b.w-b.r); missing > 0; missing = b.left - int64(b.w-b.r) {
		if whole := int64(b.w-b.base) + missing; whole > bufpool.Large {
			return
		} else if int64(len(b.buf)-b.w) < missing {
			b.moveTo(int(whole))
		}
		n, err := b.conn.TryRead(b.buf[b.w : b.w+int(missing)])
		if err != nil {
			return // nothing there, or a trouble that the next read meets again
		}
		b.w += n
	}
}

// want is how many bytes to read at most: not beyond the content where its end is known, so that nothing of the next message is
// taken along.
func (b *body) want() int {
	size := bufpool.Medium
	if b.full || b.left > bufpool.Medium {
		size = bufpool.Large
	}
	if b.end == endsByCount {
		return int(min(b.left, int64(size)))
	}
	return size
}

// moveTo carries what is in the buffer over to a larger one of our own.
func (b *body) moveTo(size int) {
	bigger := bufpool.Get(size)
	kept := copy(bigger, b.buf[b.base:b.w])
	if b.lent {
		bufpool.Put(b.buf)
	}
	b.r, b.w, b.base = b.r-b.base, kept, 0
	b.buf, b.lent = bigger, true
}

// read reads into p, which is the free part of the buffer.
func (b *body) read(p []byte) error {
	_, n, err := b.wait(p, 0)
	if err != nil {
		return b.failed(err)
	}
	b.w += n
	return nil
}

// wait reads into p, or into a borrowed buffer when p is nil, as long as patience and watch allow.
func (b *body) wait(p []byte, size int) (buf []byte, n int, err error) {
	now := clock.Now()
	by := b.until
	if by != 0 && now >= by {
		return nil, 0, b.overdue()
	}
	if b.patience > 0 && (by == 0 || now+int64(b.patience) < by) {
		by = now + int64(b.patience)
	}
	buf, n, err = await(b.conn, p, size, now, by, b.watch)
	if err == nil && b.pace.Asks() && !b.pace.Fast(int64(n), clock.Now()-now) {
		if buf != nil {
			bufpool.Put(buf)
		}
		return nil, 0, socket.ErrTimeout
	}
	return buf, n, err
}

// tick is how often a wait for an endpoint is interrupted to look whether it still makes sense, in nanoseconds.
const tick = int64(250 * time.Millisecond)

// await reads into p, or into a borrowed buffer of size bytes when p is nil, until the time by (0: for ever) and as long as watch
// (may be nil) lets it. now is the current time.
func await(conn *socket.Conn, p []byte, size int, now, by int64, watch exchange.Watch) (buf []byte, n int, err error) {
	for {
		until := by
		if watch != nil && (until == 0 || now+tick < until) {
			until = now + tick
		}
		if p != nil {
			n, err = conn.Read(p, until)
		} else {
			buf, n, err = conn.ReadLent(size, until)
		}
		if err != socket.ErrTimeout {
			return buf, n, err
		}
		now = clock.Now()
		if by != 0 && now >= by {
			return nil, 0, err
		}
		if watch != nil {
			if f := watch.Tick(now); f != nil {
				return nil, 0, f
			}
		}
	}
}

// overdue is the fault of a body whose time was over before anything was waited for: the other side took too long to take it.
func (b *body) overdue() error { return fault.At(fault.ExchangeTimeout, fault.ResponseBegun, nil) }

// failed turns a reading error into the fault of this role.
func (b *body) failed(err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	if b.cut != nil {
		if f := b.cut.Load(); f != nil {
			return f
		}
	}
	if err == io.EOF && b.end == endsByClose && !b.conn.Truncated() {
		b.end = endsNow
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if b.role == client {
		if err == socket.ErrTimeout {
			return fault.At(fault.UpstreamTimeout, fault.ResponseBegun, errors.New("the endpoint sent no more of its answer in time"))
		}
		return fault.At(fault.UpstreamReset, fault.ResponseBegun, err)
	}
	switch err {
	case socket.ErrTimeout:
		return fault.New(fault.BodyTimeout, nil)
	case socket.ErrInterrupted:
		return fault.New(fault.Internal, err) // the exchange is over; nobody is told
	}
	return fault.New(fault.ClientGone, err)
}

// Rewind implements exchange.Rewinder.
func (b *body) Rewind() bool {
	if !b.first || b.err != nil {
		return false
	}
	b.r, b.end, b.left = b.base, b.from.end, b.from.left
	b.chunk, b.extensions, b.seen = sizeLine, 0, 0
	return true
}

// dropFirst gives up going back to the beginning, together with the bytes kept for it.
func (b *body) dropFirst() {
	b.first = false
	if b.lent {
		bufpool.Put(b.buf)
	}
	b.buf, b.r, b.w, b.lent = nil, 0, 0, false
}

// release gives back what was borrowed. The head's buffer stays with its owner.
func (b *body) release() {
	if b.lent {
		bufpool.Put(b.buf)
	}
	b.buf, b.lent = nil, false
	b.conn = nil
}

package http2

import (
	"io"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

// body is the content of a stream on its way in. The connection's goroutine puts bytes in, as many as the windows allow; the exchange
// takes them out. All of it is under the session's lock, except the bytes of a run that was handed out.
type body struct {
	chunks []chunk
	at     int   // the chunk that is read
	got    int64 // bytes put in
	taken  int64 // bytes handed out since the beginning, or since Rewind
	most   int64 // the largest that taken has been: what was credited to the client
	ended  bool
	err    error // sticky
	// first is true as long as all that came is still there, so that the body can be read again.
	first  bool
	length int64 // announced, or Unknown
	limit  int64 // 0 for none

	waiting bool
	by      int64         // when the wait is over, 0 for never
	wake    chan struct{} // holds one; made once
	pace    pace.Pace
}

// chunk is a borrowed buffer: buf[:r] was handed out, buf[r:w] was not yet.
type chunk struct {
	buf  []byte
	r, w int
}

// start makes the body ready for a request.
func (b *body) start(length int64, limits *Limits, t *Timeouts) {
	*b = body{chunks: b.chunks[:0], wake: b.wake, first: true, length: length, limit: limits.Body,
		pace: pace.New(t.MinRate, t.Progress)}
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
	}
	select {
	case <-b.wake: // of the request before
	default:
	}
}

// put takes bytes that arrived.
func (b *body) put(p []byte) {
	b.got += int64(len(p))
	if b.got > bufpool.Large {
		b.first = false
	}
	for len(p) > 0 {
		n := len(b.chunks)
		if n == 0 || b.chunks[n-1].w == len(b.chunks[n-1].buf) {
			b.chunks = append(b.chunks, chunk{buf: bufpool.Get(b.size(len(p)))})
			n++
		}
		c := &b.chunks[n-1]
		moved := copy(c.buf[c.w:], p)
		c.w += moved
		p = p[moved:]
	}
	b.signal()
}

// size is how large the next chunk is to be: what is known to come if that is little, else more with each.
func (b *body) size(now int) int {
	want := now
	switch len(b.chunks) {
	case 0:
	case 1:
		want = max(want, bufpool.Medium)
	default:
		want = bufpool.Large
	}
	if b.length > 0 {
		if rest := b.length - b.got + int64(now); rest <= bufpool.Medium {
			want = max(now, int(rest))
		}
	}
	return min(want, bufpool.Large)
}

func (b *body) signal() {
	if b.waiting {
		b.waiting = false
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// fail makes this and every later read fail.
func (b *body) fail(err error) {
	if b.err == nil && !b.ended {
		b.err = err
	}
	b.signal()
}

// ready moves on to where there is something to read and says whether there is.
func (b *body) ready() bool {
	for b.at < len(b.chunks) {
		c := &b.chunks[b.at]
		if c.r < c.w {
			return true
		}
		if b.at == len(b.chunks)-1 && c.w < len(c.buf) {
			break
		}
		b.at++
	}
	return false
}

// letGo gives back the chunks that were read, once nobody can go back to them. The run handed out last is done with.
func (b *body) letGo() {
	if b.first {
		return
	}
	gone := 0
	for gone < len(b.chunks) && b.chunks[gone].r == b.chunks[gone].w {
		bufpool.Put(b.chunks[gone].buf)
		gone++
	}
	if gone > 0 {
		kept := copy(b.chunks, b.chunks[gone:])
		clear(b.chunks[kept:])
		b.chunks = b.chunks[:kept]
		b.at = max(b.at-gone, 0)
	}
}

// release gives back everything. It returns how many bytes nobody took.
func (b *body) release() (left int64) {
	for i := range b.chunks {
		bufpool.Put(b.chunks[i].buf)
	}
	clear(b.chunks)
	b.chunks, b.at = b.chunks[:0], 0
	left = b.got - b.most
	b.most = b.got
	return left
}

// Buffered implements exchange.Body.
func (st *stream) Buffered() bool {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	b := &st.body
	return b.ready() || b.ended || b.err != nil
}

// Next implements exchange.Body.
func (st *stream) Next() ([]byte, error) { return st.next(st.s.set.Timeouts.Progress) }

// next is Next with a patience of its own, 0 for any time.
func (st *stream) next(patience time.Duration) ([]byte, error) {
	s, b := st.s, &st.body
	s.mu.Lock()
	defer s.mu.Unlock()
	b.letGo()
	for {
		switch {
		case b.err != nil:
			return nil, b.err
		case b.ready():
			c := &b.chunks[b.at]
			run := c.buf[c.r:c.w]
			c.r = c.w
			b.taken += int64(len(run))
			if b.limit > 0 && b.taken > b.limit {
				b.err = errBodyLimit
				return nil, b.err
			}
			st.credit()
			return run, nil
		case b.ended:
			return nil, io.EOF
		}
		b.letGo() // nothing is held while waiting
		from := clock.Now()
		b.by = 0
		if patience > 0 {
			b.by = from + int64(patience)
		}
		b.waiting = true
		before := b.got
		s.mu.Unlock()
		<-b.wake
		s.mu.Lock()
		if b.got > before && patience > 0 && !b.pace.Fast(b.got-before, clock.Now()-from) {
			b.fail(errBodySlow)
		}
	}
}

// errBodySlow is what the body of a client that sends too slowly fails with.
var errBodySlow = fault.New(fault.BodyTimeout, nil)

// errStopped is what StopBody makes of a body: the exchange is over and nobody is told.
var errStopped = fault.New(fault.Internal, socket.ErrInterrupted)

// errGone is what everything of a stream fails with whose client has left.
var errGone = fault.New(fault.ClientGone, nil)

// credit lets the client send as much more as was taken since it was last told. The lock is held.
func (st *stream) credit() {
	b, s := &st.body, st.s
	n := b.taken - b.most
	if n <= 0 {
		return
	}
	b.most = b.taken
	if b.first {
		// What is kept to be sent again counts for the connection, so that many streams together cannot hold more than it allows.
		if s.kept+n > s.set.connWindow() {
			b.first = false
		} else {
			s.kept += n
			st.kept += n
		}
	}
	st.giveBack(n)
}

// giveBack counts bytes of content or padding as taken and raises the windows when it is worth a frame. The lock is held.
func (st *stream) giveBack(n int64) {
	s := st.s
	if st.owed += n; st.owed >= s.set.streamWindow()/2 && !st.recvEnded && !st.closed {
		st.recvWindow += st.owed
		s.control(appendWindow(s.scratch[:0], st.id, st.owed))
		st.owed = 0
	}
	s.giveBack(n)
}

// giveBack is that of a stream, for the window of the connection alone. The lock is held.
func (s *Session) giveBack(n int64) {
	if s.owed += n; s.owed >= s.set.connWindow()/2 {
		s.recvWindow += s.owed
		s.control(appendWindow(s.scratch[:0], 0, s.owed))
		s.owed = 0
	}
}

// Rewind implements exchange.Rewinder.
func (st *stream) Rewind() bool {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	b := &st.body
	if !b.first || b.err != nil {
		return false
	}
	for i := range b.chunks {
		b.chunks[i].r = 0
	}
	b.at, b.taken = 0, 0
	return true
}

// StopBody implements exchange.Codec.
func (st *stream) StopBody() {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.body.err == nil {
		st.body.err = errStopped
	}
	st.body.signal()
}

// begin hands the body to the exchange where there is one.
func (st *stream) begin(x *exchange.Exchange) {
	if x.Request.Length == 0 {
		return
	}
	st.s.mu.Lock()
	if st.body.got > 0 || st.body.ended {
		x.Request.Continue = false // the client did not wait for it
	}
	st.s.mu.Unlock()
	x.Request.Body = st
}

package http2

import (
	"fmt"
	"runtime/debug"
	"sync"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/pace"
)

// stream is one request and its response. It implements exchange.Codec and exchange.Body for its exchange. Streams are pooled with all
// they have; a session has one from the beginning of a header block until its goroutine is done.
type stream struct {
	s    *Session
	id   uint32
	x    exchange.Exchange
	info exchange.Conn // a copy: streams run at the same time
	run  func()        // runServe, bound once
	turn chan bool     // tells a goroutine that waits to serve the next request, or to end
	lent bool          // a goroutine waits for it

	refusal  *fault.Fault // what Decode returns
	extended bool         // an extended CONNECT
	key      string       // we sent for it
	head     []byte       // borrowed while a header block is made

	// Under the session's lock.
	body      body
	recvEnded bool // the client has sent all of it
	sentEnd   bool // we have
	closed    bool // reset, by either side, or the connection is dead: nothing can be sent any more
	gone      bool // by the client, or the connection is dead
	in, out   int64

	recvWindow int64 // what the client may still send
	owed       int64 // what was taken and the client was not told of
	kept       int64 // bytes kept to be sent again, see Session.kept
	sendWindow int64
	stuck      bool // somebody waits for a window
	stuckBy    int64
	slow       bool          // the window was not raised in time
	waited     int64         // nanoseconds waited for windows
	raised     chan struct{} // holds one; made once
	paceOut    pace.Pace
}

var streams = sync.Pool{New: func() any { return &stream{raised: make(chan struct{}, 1)} }}

// open makes a stream for the header block that begins.
func (s *Session) open(id uint32, now int64) *stream {
	st := s.spareStream()
	if st == nil {
		st = streams.Get().(*stream)
		if st.run == nil {
			st.run, st.turn = st.runServe, make(chan bool, 1)
		}
	}
	st.s, st.id = s, id
	st.refusal, st.extended, st.key = nil, false, ""
	st.recvEnded, st.sentEnd, st.closed, st.gone = false, false, false, false
	st.in, st.out, st.owed, st.kept, st.waited = 0, 0, 0, 0, 0
	st.recvWindow = s.set.streamWindow()
	st.stuck, st.slow = false, false
	st.paceOut = pace.New(s.set.Timeouts.MinRate, s.set.Timeouts.Progress)
	select {
	case <-st.raised:
	default:
	}
	st.info = *s.info
	st.x.Begin(&st.info, now)
	s.info.Requests++
	st.body.start(exchange.Unknown, &s.set.Limits, &s.set.Timeouts)
	s.mu.Lock()
	st.sendWindow = s.peerWindow
	s.streams = append(s.streams, st)
	s.mu.Unlock()
	return st
}

// runServe serves one request after the other, as long as the session has more soon. A goroutine that is used again has a stack that
// is large enough, which a new one would have to grow first.
func (st *stream) runServe() {
	for st.serve() && <-st.turn {
	}
	st.s.mu.Lock()
	st.s.goroutines--
	st.s.cond.Broadcast()
	st.s.mu.Unlock()
	st.free()
}

// serve is the life of one request. It says whether the stream is among the spare ones now.
func (st *stream) serve() (spare bool) {
	defer func() { spare = st.end(recover()) }()
	st.s.handler.Serve(st, &st.x)
	return
}

// end ends the stream towards the client, as far as it has not ended by itself, and lays it aside.
func (st *stream) end(panicked any) (spare bool) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if panicked != nil {
		// The handler rescues itself, so this is a mistake of ours. It costs the connection, and is told by the one who serves it.
		s.panicked = fmt.Sprintf("%v\n%s", panicked, debug.Stack())
		s.fail(false)
		s.conn.Kill()
		st.x.Flow = nil
	}
	completed := st.sentEnd && !st.gone
	if !st.closed {
		switch {
		case !st.sentEnd:
			s.reset(st, InternalError)
		case !st.recvEnded && st.little():
			st.closed = true
			s.late.add(st.id, st.recvWindow, s.mostLate())
		case !st.recvEnded:
			s.reset(st, NoError) // the response is complete, and no more of the request is needed (RFC 9113 §8.1)
		}
	}
	if completed {
		s.work.Add(1)
		s.completed.Add(1)
	}
	s.drop(st)
	if panicked != nil || s.dead || s.closing {
		return false
	}
	s.spare = append(s.spare, st)
	return true
}

// little says whether the client may send all that is missing of its content without being told anything. Then it is let do so and what
// comes is dropped: there are clients that take a stream for failed whose reset comes while they send, response or not.
func (st *stream) little() bool {
	return st.body.length >= 0 && st.body.length-st.body.got <= st.recvWindow
}

// spareStream takes a stream whose goroutine waits for it, nil when there is none.
func (s *Session) spareStream() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.spare) - 1
	if last < 0 {
		return nil
	}
	st := s.spare[last]
	s.spare[last] = nil
	s.spare = s.spare[:last]
	s.unused = min(s.unused, last)
	st.lent = true
	return st
}

// discard takes a stream off the session whose request was never served. The lock is held.
func (s *Session) discard(st *stream) {
	s.drop(st)
	if st.lent {
		s.spare = append(s.spare, st)
	} else {
		st.free()
	}
}

// dismiss ends so many goroutines that wait for a request.
func (s *Session) dismiss(n int) {
	for range n {
		st := s.spareStream()
		if st == nil {
			return
		}
		st.turn <- false
	}
}

// drop takes the stream off the session. The lock is held.
func (s *Session) drop(st *stream) {
	st.closed = true
	s.kept -= st.kept
	s.giveBack(st.body.release())
	for i, other := range s.streams {
		if other == st {
			last := len(s.streams) - 1
			s.streams[i] = s.streams[last]
			s.streams[last] = nil
			s.streams = s.streams[:last]
			break
		}
	}
	if len(s.streams) == 0 {
		s.calm()
		s.cond.Broadcast()
	}
}

// free gives the stream back to the pool.
func (st *stream) free() {
	st.s, st.x.Conn, st.refusal, st.lent = nil, nil, nil, false
	streams.Put(st)
}

// reset ends a stream from our side. The lock is held.
func (s *Session) reset(st *stream, code Code) {
	if st.closed {
		return
	}
	st.closed = true
	st.unstick()
	st.body.fail(errGone)
	s.sendReset(st.id, code, st.recvWindow)
}

// sendReset sends RST_STREAM and remembers that frames for the stream may still be on their way, with so much content. The lock is held.
func (s *Session) sendReset(id uint32, code Code, left int64) {
	s.late.add(id, left, s.mostLate())
	s.stats.ResetsSent.Add(1)
	s.control(appendReset(s.scratch[:0], id, code))
}

// mostLate is how many streams are remembered that are over before their client could know: as many as it may have open, twice.
func (s *Session) mostLate() int { return max(64, 2*s.set.streams()) }

// find returns a stream that is open or being worked on. The lock is held.
func (s *Session) find(id uint32) *stream {
	for i := len(s.streams) - 1; i >= 0; i-- {
		if s.streams[i].id == id {
			return s.streams[i]
		}
	}
	return nil
}

// Decode implements exchange.Codec (step 2). The head is there already.
func (st *stream) Decode(x *exchange.Exchange) *fault.Fault {
	x.Times.Decoded = x.Times.Start
	if st.refusal != nil {
		return st.refusal
	}
	st.begin(x)
	return nil
}

// Account implements exchange.Codec (step 11).
func (st *stream) Account(x *exchange.Exchange) {
	st.s.mu.Lock()
	x.Bytes.In, x.Bytes.Out = st.in, st.out
	st.s.mu.Unlock()
}

// Gone implements exchange.Codec.
func (st *stream) Gone(*exchange.Exchange) bool {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	return st.gone
}

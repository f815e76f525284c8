package http2

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

const (
	// tick is how often a session looks at the clock for its streams. Timeouts are late by a quarter of themselves at most, and by
	// this.
	tick = time.Second
)

// Session is the server role on one client connection.
type Session struct {
	conn    *socket.Conn
	info    *exchange.Conn
	gate    exchange.Gate
	set     *Settings
	handler exchange.Handler
	stats   *Stats
	use     func(buf []byte, n int) socket.Next
	onFlush func()

	// Of the connection's goroutine.
	early    []byte // read already when the session was opened; borrowed
	size     int    // of the next buffer to read into
	every    int64  // nanoseconds between two looks at the clock
	now      int64  // when this read, or this look at the clock, was made
	next     int64  // when to look at the clock again
	busy     int64  // when there was last something to do
	begun    bool   // our settings were sent
	asked    int64  // when
	acked    bool   // and the client has acknowledged them
	greeted  int    // bytes of the preface seen
	settled  bool   // the client's settings were seen
	lastID   uint32 // the largest stream the client has opened
	data     content
	skip     int    // bytes of a frame that are of no interest
	held     []byte // the beginning of a frame, in stub or borrowed
	need     int    // bytes of it that must be there
	stub     [headerSize + 8]byte
	block    block
	decoder  *hpack.Decoder
	ready    []*stream // whose goroutine is to be started
	frames   budget    // without work
	undone   budget    // streams that came to nothing
	draining draining
	drainBy  int64
	over     bool      // Serve has nothing more to do
	pace     pace.Pace // of the writer

	work      atomic.Int64 // done since it was last taken, see budget
	completed atomic.Int64 // streams, likewise
	tabled    atomic.Bool  // the client knows that our encoder has no table
	shut      atomic.Bool  // a fault asks for the end of the connection

	mu         sync.Mutex
	cond       sync.Cond // crowd, flushing, streams
	streams    []*stream // open, or still being worked on
	spare      []*stream // done, with a goroutine each that waits for the next request
	unused     int       // how many of them were not needed since the last look
	goroutines int       // of streams
	out        []byte    // to be written; borrowed while there is something
	replies    int       // bytes of it that did not wait for room
	flushing   bool      // somebody writes it
	crowd      int       // how many wait for room in it
	scratch    [32]byte
	peerWindow int64 // first window of a stream
	peerFrame  int64 // largest payload the client takes
	sendWindow int64
	recvWindow int64
	owed       int64 // bytes taken that the client was not told of
	kept       int64 // bytes kept by all streams to be sent again
	late       late
	queueFull  bool
	closing    bool // the last frame was put into out
	dead       bool // nothing can be written any more
	slow       bool // because the client did not read
	hurry      bool // the connection's goroutine wants to know when nothing is under way, see calm
	poked      bool
	panicked   string
}

// Open makes a session. early is what was read from the connection already; it is copied.
func Open(c *socket.Conn, info *exchange.Conn, gate exchange.Gate, set *Settings, handler exchange.Handler, early []byte) *Session {
	s := &Session{conn: c, info: info, gate: gate, set: set, handler: handler, stats: set.Stats,
		size: bufpool.Small, peerWindow: firstWindow, peerFrame: frameSize, sendWindow: firstWindow, recvWindow: firstWindow}
	if s.stats == nil {
		s.stats = new(Stats)
	}
	s.cond.L = &s.mu
	s.use, s.onFlush = s.take, s.runFlush
	s.every = max(int64(min(tick, set.Timeouts.Header/4, set.Timeouts.Progress/4)), int64(time.Millisecond))
	s.frames = budget{limit: maxIdleFrames, rate: idleFramesRate, broken: breachControl}
	s.undone = budget{limit: maxResets, rate: resetsRate, broken: breachResets}
	s.pace = pace.New(set.Timeouts.MinRate, set.Timeouts.Progress)
	if len(early) > 0 {
		s.early = bufpool.Get(len(early))[:len(early)]
		copy(s.early, early)
	}
	return s
}

// Serve serves streams until there is nothing to do for a while, and then returns true, or until the connection cannot carry another,
// and then returns false. All goroutines of its streams have ended then.
func (s *Session) Serve() (idle bool) {
	s.conn.Wake() // before two goroutines may use it
	s.now = clock.Now()
	s.busy, s.next = s.now, 0
	s.undone.since, s.frames.since = s.now, s.now
	s.greet()
	if early := s.early; early != nil {
		s.early = nil
		s.take(early, len(early))
	}
	for !s.over {
		s.look()
		switch {
		case s.over:
		case s.draining != notDraining, !s.quiet():
			s.read(s.next)
		case s.gate.Crowded():
			if !s.tryRead() {
				return s.rest()
			}
		case s.now >= s.busy+exchange.HotWait:
			return s.rest()
		default:
			s.read(min(s.next, s.busy+exchange.HotWait))
		}
	}
	s.finish()
	return false
}

// greet sends our side's preface: settings, and the window of the connection.
func (s *Session) greet() {
	if s.begun {
		return
	}
	s.begun, s.asked = true, s.now
	p := s.stub[:0:0]
	settings := [...]struct {
		id    uint16
		value uint32
	}{
		{settingStreams, uint32(s.set.streams())},
		{settingInitialWindow, uint32(s.set.streamWindow())},
		{settingHeaderListSize, uint32(s.set.Limits.HeaderBytes)},
		{settingConnect, 1},
	}
	p = appendHeader(p, 6*len(settings), frameSettings, 0, 0)
	for _, setting := range settings {
		p = appendSetting(p, setting.id, setting.value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if more := s.set.connWindow() - s.recvWindow; more > 0 {
		p = appendWindow(p, 0, more)
		s.recvWindow += more
	}
	s.control(p)
}

// read waits until the time by for frames and takes them. It returns at that time at the latest.
func (s *Session) read(by int64) {
	err := s.conn.ReadEach(s.size, by, s.use)
	s.now = clock.Now()
	if err != nil && !s.wasPoked(err) {
		s.lost(err)
	}
}

// tryRead takes what is there to be read and says whether there was anything.
func (s *Session) tryRead() bool {
	buf, n, err := s.conn.TryLent(s.size)
	switch {
	case err == nil:
		s.take(buf, n)
	case err == socket.ErrTimeout:
		return false
	case !s.wasPoked(err):
		s.lost(err)
	}
	return true
}

// wasPoked says whether a read ended only because its time was over or somebody wanted this goroutine to look.
func (s *Session) wasPoked(err error) bool {
	s.mu.Lock()
	poked := s.poked
	s.poked = false
	s.mu.Unlock()
	if poked {
		s.conn.ResumeRead()
	}
	return err == socket.ErrTimeout || poked && err == socket.ErrInterrupted
}

// calm makes the connection's goroutine look at once, when it is in a hurry and nothing is under way any more. The lock is held.
func (s *Session) calm() {
	if s.hurry && !s.poked && len(s.streams) == 0 && !s.flushing {
		s.poked = true
		s.conn.InterruptRead()
	}
}

// take takes what was read: all whole frames in it, and of content also parts.
func (s *Session) take(buf []byte, n int) socket.Next {
	s.now = clock.Now()
	s.busy = s.now
	if s.over {
		bufpool.Put(buf)
		return socket.Stop
	}
	broken := s.receive(buf[:n])
	full := n == s.size
	bufpool.Put(buf[:cap(buf)])
	s.launch()
	if broken == nil && s.queueIsFull() {
		broken = breachQueue
	}
	if broken != nil {
		s.breach(broken)
		return socket.Stop
	}
	switch {
	case full && s.size < bufpool.Large:
		s.size = bufpool.Large
		return socket.Stop
	case s.size > bufpool.Small && n < bufpool.Small/2:
		s.size = bufpool.Small
		return socket.Stop
	case s.draining != notDraining, s.leaving():
		return socket.Stop
	case s.data.left == 0 && s.quiet() && s.gate.Crowded():
		return socket.Stop
	}
	return socket.Await
}

func (s *Session) queueIsFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queueFull
}

// launch starts the goroutines of the requests that came with this read, after all that came with it was looked at: content that came
// along is then there.
func (s *Session) launch() {
	if len(s.ready) == 0 {
		return
	}
	s.mu.Lock()
	for i, st := range s.ready {
		s.ready[i] = nil
		switch {
		case st.gone: // reset by the client before anything was done for it
			s.discard(st)
		case st.lent:
			st.turn <- true
		default:
			s.goroutines++
			go st.run()
		}
	}
	s.mu.Unlock()
	s.ready = s.ready[:0]
}

// quiet says whether nothing is under way: no stream, no frame in part, nothing to be written. As long as the client has said nothing
// at all that is so, too.
func (s *Session) quiet() bool {
	if len(s.held) > 0 || s.block.open || s.data.left > 0 || s.skip > 0 || s.greeted > 0 && !s.settled {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) == 0 && !s.flushing
}

// look does what is to be done as time passes. It may end the connection.
func (s *Session) look() {
	if s.drain(); s.over || s.now < s.next {
		return
	}
	s.next = s.now + s.every
	header := int64(s.set.Timeouts.Header)
	switch {
	case (s.block.open || len(s.held) > 0 || s.greeted > 0 && !s.settled) && s.now >= s.block.since+header:
		s.breach(breachHeaderTime)
		return
	case !s.acked && s.settled && s.now >= max(s.asked, s.busy)+header:
		s.breach(breachAck)
		return
	case (s.data.left > 0 || s.skip > 0) && s.now >= s.busy+int64(s.set.Timeouts.Progress):
		s.lost(socket.ErrTimeout)
		return
	}
	s.mu.Lock()
	unused := s.unused
	s.unused = len(s.spare)
	s.mu.Unlock()
	s.dismiss(unused)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if st.stuck && s.now >= st.stuckBy {
			st.slow = true
			st.unstick()
		}
		if b := &st.body; b.waiting && b.by != 0 && s.now >= b.by {
			b.fail(errBodySlow)
		}
	}
	s.hurry = s.draining == lastCalled || s.gate.Crowded()
}

// rest gives back what a connection does not need while it is idle.
func (s *Session) rest() bool {
	s.dismiss(len(s.spare))
	s.mu.Lock()
	for s.goroutines > 0 {
		s.cond.Wait()
	}
	s.streams, s.spare, s.hurry = nil, nil, false
	s.mu.Unlock()
	s.ready, s.size = nil, bufpool.Small
	s.block.cookies, s.block.into = nil, nil
	s.conn.Rest()
	return true
}

// Close closes the connection. When Serve was ended by a panic there may be streams left, which are waited for: nobody may write when
// the descriptor names another socket.
func (s *Session) Close() {
	if s.early != nil {
		bufpool.Put(s.early[:cap(s.early)])
		s.early = nil
	}
	s.mu.Lock()
	busy := len(s.streams) > 0 || s.flushing // after a mistake of ours; whoever writes must not be waited for
	s.mu.Unlock()
	if busy {
		s.conn.Kill()
	} else {
		s.goodbye()
	}
	s.mu.Lock()
	s.fail(false)
	s.mu.Unlock()
	s.await()
	s.block.release()
	s.dropHeld()
	s.conn.Rest() // what it worked with goes to another connection
	s.conn.Close()
}

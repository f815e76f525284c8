package http2

import (
	"encoding/binary"

	"straum.dev/straum/internal/bufpool"
)

// content is a DATA frame of which more is to come.
type content struct {
	stream uint32
	left   int // of its payload, padding included
	pad    int // of which padding
	last   bool
}

// receive takes bytes as they come. What it cannot use yet of a frame that must be looked at as a whole is copied.
func (s *Session) receive(b []byte) (broken *breach) {
	for len(b) > 0 && broken == nil {
		n := 0
		switch {
		case s.greeted < len(preface):
			n, broken = s.greeting(b)
		case s.data.left > 0:
			n, broken = s.moreContent(b)
		case s.skip > 0:
			n = min(s.skip, len(b))
			s.skip -= n
		case len(s.held) > 0:
			n, broken = s.complete(b)
		case len(b) < headerSize:
			n = s.hold(b, headerSize)
		default:
			h := readHeader(b)
			if broken = h.check(); broken != nil {
				break
			}
			if lead := h.lead(); lead > len(b) {
				n = s.hold(b, lead)
			} else {
				n, broken = lead, s.handle(&h, b[headerSize:lead])
			}
		}
		b = b[n:]
	}
	return broken
}

// greeting compares with the preface.
func (s *Session) greeting(b []byte) (int, *breach) {
	if s.greeted == 0 {
		s.block.since = s.now // the time for it runs
	}
	n := min(len(b), len(preface)-s.greeted)
	if string(b[:n]) != preface[s.greeted:s.greeted+n] {
		return 0, breachPreface
	}
	s.greeted += n
	return n, nil
}

// hold keeps the beginning of a frame of which need bytes must be there.
func (s *Session) hold(b []byte, need int) int {
	if !s.block.open && len(s.held) == 0 {
		s.block.since = s.now
	}
	s.need = need
	if need <= len(s.stub) {
		s.held = append(s.stub[:0], b...)
		return len(b)
	}
	room := bufpool.Get(need)
	s.held = append(room[:0], b...)
	return len(b)
}

// complete adds what is missing of the frame that is held, and handles it when that is all.
func (s *Session) complete(b []byte) (n int, broken *breach) {
	n = min(s.need-len(s.held), len(b))
	s.held = append(s.held, b[:n]...)
	if len(s.held) < s.need {
		return n, nil
	}
	h := readHeader(s.held)
	if broken = h.check(); broken != nil {
		return n, broken
	}
	if lead := h.lead(); lead > s.need {
		var kept [headerSize]byte
		copy(kept[:], s.held)
		s.dropHeld()
		s.hold(kept[:], lead)
		return n, nil
	}
	broken = s.handle(&h, s.held[headerSize:])
	s.dropHeld()
	return n, broken
}

func (s *Session) dropHeld() {
	if cap(s.held) > len(s.stub) {
		bufpool.Put(s.held[:cap(s.held)])
	}
	s.held = nil
}

// handle takes a frame. Of DATA p is only the padding's length if there is one, of frames that are skipped nothing.
func (s *Session) handle(h *header, p []byte) *breach {
	if s.block.open && (h.kind != frameContinuation || h.stream != s.block.stream) {
		return breachBlock
	}
	if !s.settled {
		if h.kind != frameSettings || h.has(flagAck) {
			return breachFirst
		}
		s.settled = true
	}
	switch h.kind {
	case frameData:
		return s.content(h, p)
	case frameHeaders:
		return s.headers(h, p)
	case frameContinuation:
		return s.continuation(h, p)
	case framePriority:
		if binary.BigEndian.Uint32(p)&maxWindow == h.stream {
			return breachDependency
		}
	case frameReset:
		return s.resetBy(h, Code(binary.BigEndian.Uint32(p)))
	case frameSettings:
		return s.settings(h, p)
	case framePing:
		return s.ping(h, p)
	case frameWindow:
		return s.window(h, int64(binary.BigEndian.Uint32(p)&maxWindow))
	default: // GOAWAY tells us nothing that we would not see, and unknown frames are to be ignored
		s.skip = h.length
	}
	return s.idleFrame(1)
}

// idleFrame accounts for frames that carry no request and no content.
func (s *Session) idleFrame(n int) *breach { return s.frames.spend(n, s.now, s.takeWork) }

func (s *Session) takeWork() int { return int(s.work.Swap(0)) }

// undo accounts for a stream that came to nothing.
func (s *Session) undo() *breach { return s.undone.spend(1, s.now, s.takeCompleted) }

func (s *Session) takeCompleted() int { return int(s.completed.Swap(0)) }

// headers takes a HEADERS frame: a request, or the trailer section of one.
func (s *Session) headers(h *header, p []byte) *breach {
	pad := 0
	if h.has(flagPadded) {
		if len(p) < 1 {
			return breachFrameSize
		}
		pad, p = int(p[0]), p[1:]
	}
	var depends uint32
	if h.has(flagPriority) {
		if len(p) < 5 {
			return breachFrameSize
		}
		depends = binary.BigEndian.Uint32(p) & maxWindow
		p = p[5:]
	}
	if pad > len(p) {
		return breachPadding
	}
	p = p[:len(p)-pad]
	b := &s.block
	b.start(h.stream, h.has(flagEndStream), s.now)
	if h.stream > s.lastID {
		if broken := s.newStream(h); broken != nil {
			return broken
		}
	} else if broken := s.oldStream(h); broken != nil {
		return broken
	}
	if h.has(flagPriority) && depends == h.stream {
		b.malformed = whySelf
	}
	return s.piece(p, h)
}

// newStream opens the stream of a request, or refuses it.
func (s *Session) newStream(h *header) *breach {
	if h.stream&1 == 0 {
		return breachStreamID
	}
	s.lastID = h.stream
	s.stats.Streams.Add(1)
	s.mu.Lock()
	crowded := len(s.streams) >= s.set.streams()
	s.mu.Unlock()
	if crowded || s.draining == lastCalled {
		s.stats.Refused.Add(1)
		s.mu.Lock()
		s.sendReset(h.stream, RefusedStream, s.set.streamWindow())
		s.mu.Unlock()
		return s.idleFrame(1)
	}
	st := s.open(h.stream, s.now)
	st.in = int64(headerSize + h.length)
	s.block.st, s.block.into = st, &st.x.Request.Header
	return nil
}

// oldStream finds the stream of a trailer section.
func (s *Session) oldStream(h *header) *breach {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.find(h.stream)
	switch {
	case s.late.has(h.stream):
		if h.has(flagEndStream) {
			s.late.end(h.stream)
		}
		return nil // on its way when the stream was over
	case st == nil, st.sentEnd && st.recvEnded:
		return breachClosed
	case st.recvEnded || st.closed:
		s.sendReset(h.stream, StreamClosed, st.recvWindow)
		st.closed = true
		st.unstick()
		return nil
	}
	st.in += int64(headerSize + h.length)
	s.block.st, s.block.into, s.block.trail = st, &st.x.Request.Trailer, true
	return nil
}

// continuation takes a CONTINUATION frame.
func (s *Session) continuation(h *header, p []byte) *breach {
	b := &s.block
	if !b.open {
		return breachBlock
	}
	if b.pieces++; b.pieces > maxPieces {
		return breachContinuation
	}
	if len(p) == 0 {
		if broken := s.idleFrame(1); broken != nil {
			return broken
		}
	}
	return s.piece(p, h)
}

// piece takes a piece of a header block and, when it is the last, does what the block says.
func (s *Session) piece(p []byte, h *header) *breach {
	b := &s.block
	if broken := s.fragment(p, h.has(flagEndHeaders)); broken != nil || b.open {
		return broken
	}
	st := b.st
	if st == nil {
		return nil
	}
	b.st, b.into = nil, nil
	if b.trail {
		return s.trailer(st)
	}
	if b.malformed == "" {
		b.malformed = s.request(b, st)
	}
	if b.malformed != "" {
		s.stats.Malformed.Add(1)
		s.mu.Lock()
		s.reset(st, ProtocolError)
		s.discard(st)
		s.mu.Unlock()
		return s.undo()
	}
	s.mu.Lock()
	st.recvEnded = b.last
	st.body.ended = b.last
	switch {
	case st.extended: // what comes is a tunnel's, and no content
		st.body.first, st.body.limit = false, 0
	case st.x.Request.Length >= 0:
		st.body.length = st.x.Request.Length
	}
	s.mu.Unlock()
	s.ready = append(s.ready, st)
	return nil
}

// trailer ends a request's content with its trailer section.
func (s *Session) trailer(st *stream) *breach {
	b := &s.block
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(b.stream) != st {
		return nil // it ended meanwhile
	}
	if !b.last || b.large {
		b.malformed = whyTrailer
	}
	if b.malformed == "" && !st.complete() {
		b.malformed = whyContent
	}
	if b.malformed != "" {
		return s.spoil(st)
	}
	st.recvEnded, st.body.ended = true, true
	st.body.signal()
	return nil
}

// complete says whether as much content has come as was announced.
func (st *stream) complete() bool { return st.body.length < 0 || st.body.got == st.body.length }

// spoil resets a stream whose content is malformed. The lock is held.
func (s *Session) spoil(st *stream) *breach {
	s.stats.Malformed.Add(1)
	st.body.fail(errContent)
	s.reset(st, ProtocolError)
	return s.undo()
}

// content takes the beginning of a DATA frame.
func (s *Session) content(h *header, p []byte) *breach {
	pad := 0
	if h.has(flagPadded) {
		if len(p) < 1 {
			return breachFrameSize
		}
		pad = int(p[0]) + 1
		if pad > h.length {
			return breachPadding
		}
	}
	if h.stream > s.lastID {
		return breachIdle
	}
	size := int64(h.length)
	last := h.has(flagEndStream)
	s.data = content{stream: h.stream, left: h.length - len(p), pad: pad - len(p), last: last}
	if broken := s.admit(h, size, int64(pad)); broken != nil {
		return broken
	}
	if s.data.left == 0 {
		if broken := s.endContent(); broken != nil {
			return broken
		}
	}
	if h.length-pad < pad || h.length == 0 && !last {
		return s.idleFrame(1)
	}
	return nil
}

// admit takes a DATA frame off the windows and says what is wrong with it.
func (s *Session) admit(h *header, size, pad int64) *breach {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recvWindow -= size; s.recvWindow < 0 {
		return breachOverrun
	}
	if s.late.has(h.stream) {
		s.data.stream = 0 // nobody takes it
		s.giveBack(size)
		if !s.late.take(h.stream, size) {
			return breachOverrun
		}
		if h.has(flagEndStream) {
			s.late.end(h.stream)
		}
		return nil
	}
	st := s.find(h.stream)
	if st == nil || st.closed || st.recvEnded {
		s.data.stream = 0
		s.giveBack(size)
		s.sendReset(h.stream, StreamClosed, s.set.streamWindow())
		if st != nil && !st.closed {
			st.closed = true
			st.unstick()
		}
		return s.undo()
	}
	st.in += headerSize + size
	if st.recvWindow -= size; st.recvWindow < 0 {
		s.data.stream = 0
		s.giveBack(size)
		s.reset(st, FlowControlError)
		return s.undo()
	}
	st.giveBack(pad)
	if st.body.length >= 0 && st.body.got+size-pad > st.body.length {
		s.data.stream = 0
		s.giveBack(size - pad)
		return s.spoil(st)
	}
	return nil
}

// moreContent takes bytes of the DATA frame under way.
func (s *Session) moreContent(b []byte) (int, *breach) {
	d := &s.data
	n := min(len(b), d.left)
	if run := b[:max(min(n, d.left-d.pad), 0)]; len(run) > 0 && d.stream != 0 {
		s.mu.Lock()
		if st := s.find(d.stream); st != nil && !st.closed {
			st.body.put(run)
		} else {
			s.giveBack(int64(len(run)))
		}
		s.work.Add(int64(len(run) / workContent))
		s.mu.Unlock()
	}
	if d.left -= n; d.left == 0 {
		return n, s.endContent()
	}
	return n, nil
}

// endContent ends a DATA frame, and with the last the content.
func (s *Session) endContent() *breach {
	d := &s.data
	if !d.last || d.stream == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.find(d.stream)
	if st == nil || st.closed {
		return nil
	}
	if !st.complete() {
		return s.spoil(st)
	}
	st.recvEnded, st.body.ended = true, true
	st.body.signal()
	return nil
}

// resetBy ends a stream that the client has reset.
func (s *Session) resetBy(h *header, code Code) *breach {
	if h.stream > s.lastID {
		return breachIdle
	}
	s.mu.Lock()
	s.late.end(h.stream)
	st := s.find(h.stream)
	if st == nil || st.gone {
		s.mu.Unlock()
		return s.idleFrame(1)
	}
	st.leave()
	unfinished := !st.sentEnd
	s.mu.Unlock()
	if !unfinished {
		return s.idleFrame(1)
	}
	s.stats.ResetsReceived.Add(1)
	return s.undo()
}

// leave makes everything of a stream fail whose client is gone. The lock is held.
func (st *stream) leave() {
	st.gone, st.closed = true, true
	st.body.fail(errGone)
	st.unstick()
}

// settings takes a SETTINGS frame.
func (s *Session) settings(h *header, p []byte) *breach {
	if h.has(flagAck) {
		s.acked = true
		return s.idleFrame(1)
	}
	s.mu.Lock()
	for ; len(p) > 0; p = p[6:] {
		if broken := s.setting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); broken != nil {
			s.mu.Unlock()
			return broken
		}
	}
	s.control(appendHeader(s.scratch[:0], 0, frameSettings, flagAck, 0))
	s.mu.Unlock()
	return s.idleFrame(1)
}

// setting puts one setting in force. The lock is held.
func (s *Session) setting(id uint16, value uint32) *breach {
	switch id {
	case settingPush, settingConnect:
		if value > 1 {
			return breachSetting
		}
	case settingInitialWindow:
		if value > maxWindow {
			return breachInitialWindow
		}
		change := int64(value) - s.peerWindow
		s.peerWindow = int64(value)
		for _, st := range s.streams {
			if st.sendWindow += change; st.sendWindow > maxWindow {
				return breachInitialWindow
			}
			if st.sendWindow > 0 {
				st.unstick()
			}
		}
	case settingFrameSize:
		if value < frameSize || value >= 1<<24 {
			return breachSetting
		}
		s.peerFrame = int64(value)
	}
	return nil
}

// ping answers a PING.
func (s *Session) ping(h *header, p []byte) *breach {
	if h.has(flagAck) {
		if s.draining == announced && string(p) == drainPing {
			s.drainBy = s.now // the client has read our announcement
		}
	} else {
		s.mu.Lock()
		s.control(append(appendHeader(s.scratch[:0], 8, framePing, flagAck, 0), p...))
		s.mu.Unlock()
	}
	return s.idleFrame(1)
}

// window raises a window.
func (s *Session) window(h *header, n int64) *breach {
	if h.stream > s.lastID {
		return breachIdle
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.stream == 0 {
		if n == 0 {
			return breachZeroWindow
		}
		if s.sendWindow += n; s.sendWindow > maxWindow {
			return breachWindow
		}
		for _, st := range s.streams {
			st.unstick()
		}
		return s.idleFrame(1)
	}
	st := s.find(h.stream)
	if st != nil && !st.closed {
		if st.sendWindow += n; n == 0 || st.sendWindow > maxWindow {
			code := ProtocolError
			if n > 0 {
				code = FlowControlError
			}
			s.reset(st, code)
			return s.undo()
		}
		st.unstick()
	}
	return s.idleFrame(1)
}

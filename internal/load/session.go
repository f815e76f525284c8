package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"golang.org/x/net/http2/hpack"
)

// window is how much of bodies a peer may send ahead, on a stream and on a connection: nearly all there is, as bodies are thrown away at
// once and nothing is gained by holding a peer back.
const window = 1<<30 - 1

const (
	// mostWaiting bounds what waits to be written on a connection: bodies are cut into frames only below it. A peer that makes us answer
	// more (pings, settings) without reading is broken.
	mostWaiting = 256 << 10
	tooMuch     = 4 * mostWaiting
	mostBlock   = 64 << 10 // of an answer's head, compressed
	fewMessages = 16       // up to here their compressed heads are remembered on each connection
)

var (
	errFrame  = errors.New("a frame of HTTP/2 is not as it has to be")
	errBlock  = errors.New("header fields of HTTP/2 cannot be read")
	errStatus = errors.New("an answer in HTTP/2 does not begin with a status")
)

// session is a connection of HTTP/2 (RFC 9113), seen from the client. It reads from pieces as they come and appends what is to be sent to
// out; who owns it writes that. Streams are jobs.
type session struct {
	out     []byte
	streams map[uint32]*job
	next    uint32 // number of the next stream
	going   bool   // there are no new streams: the peer takes none, or the numbers are used up
	most    int    // streams at a time, as the plan has it
	allowed uint32 // streams at a time, as the peer has it

	// What we may send.
	window    int64 // on the connection
	initial   int64 // on a new stream
	frameSize int
	held      []*job // with a body that could not be sent as a whole, in order

	// What the peer may send.
	ahead    int64 // our window
	received int64 // of it, not yet given back

	// The frame that is being read.
	headPart [frameHead]byte
	headGot  int
	frame    frame
	left     int // of its payload; -1: its head is being read
	padding  int // of DATA, -1: its length is not read
	part     []byte
	settled  bool // the peer's first frame was read

	// The block of header fields that is being read.
	block       []byte
	blockStream uint32
	blockEnds   bool

	decoder *hpack.Decoder
	status  int // of the block that is being decoded
	fields  int
	last    []byte // the last block that was read, where it left the decoder's table as it was
	lastIs  int    // its status

	encoder *hpack.Encoder
	encoded bytes.Buffer
	ready   [][]byte // of each message: its compressed head, where it leaves the encoder's table as it is
	isReady []bool

	finish func(*job, int) // the answer to a job is whole, with this status
	fail   func(*job, int) // a job has ended without one
	again  func(*job)      // the peer has not looked at a job and never will
}

// newSession begins a connection; its first bytes are in out.
func newSession(messages, streams int, ahead int64) *session {
	s := &session{
		streams: map[uint32]*job{}, next: 1, most: streams, allowed: math.MaxUint32,
		window: firstWindow, initial: firstWindow, frameSize: mostPayload, ahead: ahead, left: -1,
	}
	s.decoder = hpack.NewDecoder(4096, s.emit)
	s.decoder.SetMaxStringLength(mostBlock)
	s.encoder = hpack.NewEncoder(&s.encoded)
	if messages <= fewMessages {
		s.ready, s.isReady = make([][]byte, messages), make([]bool, messages)
	}
	s.out = append(s.out, preface...)
	s.out = appendFrame(s.out, 12, frameSettings, 0, 0)
	s.out = appendSetting(s.out, settingPush, 0)
	s.out = appendSetting(s.out, settingInitialWindow, uint32(ahead))
	if ahead > firstWindow {
		s.out = appendWindow(s.out, 0, uint32(ahead-firstWindow))
	}
	return s
}

// free tells whether one more stream may begin. Until the peer has said how many it takes, one may.
func (s *session) free() bool {
	return !s.going && len(s.streams) < s.most && uint32(len(s.streams)) < s.allowed && (s.settled || len(s.streams) == 0)
}

// send begins a stream.
func (s *session) send(j *job, m *message, index int) {
	j.stream, j.status, j.body, j.window = s.next, 0, m.body, s.initial
	if s.next += 2; s.next >= mostWindow {
		s.going = true // its numbers are used up: another connection goes on
	}
	s.streams[j.stream] = j
	block := s.compress(m, index)
	flags := byte(flagEndStream)
	if len(m.body) > 0 {
		flags = 0
	}
	kind := byte(frameHeaders)
	for len(block) > s.frameSize {
		s.out = append(appendFrame(s.out, s.frameSize, kind, flags, j.stream), block[:s.frameSize]...)
		block, kind, flags = block[s.frameSize:], frameContinuation, 0
	}
	s.out = append(appendFrame(s.out, len(block), kind, flags|flagEndHeaders, j.stream), block...)
	if len(m.body) > 0 {
		s.held = append(s.held, j)
		s.pump()
	}
}

// compress is the head of a message for this connection.
func (s *session) compress(m *message, index int) []byte {
	if s.ready != nil && s.isReady[index] {
		return s.ready[index]
	}
	s.encoded.Reset()
	for _, f := range m.fields {
		_ = s.encoder.WriteField(f) // a bytes.Buffer takes all
	}
	block := s.encoded.Bytes()
	if s.ready != nil {
		if plainBlock(block) {
			s.ready[index], s.isReady[index] = append(s.ready[index][:0], block...), true
		} else {
			clear(s.isReady) // what the others refer to has moved
		}
	}
	return block
}

// pump sends of the bodies that are held what the windows allow. It waits for the peer's settings: net/http's HTTP/2 takes its own smaller
// window for known before it has said so.
func (s *session) pump() {
	if !s.settled {
		return
	}
	kept := s.held[:0]
	for _, j := range s.held {
		if s.streams[j.stream] != j {
			continue // ended
		}
		for len(j.body) > 0 && len(s.out) < mostWaiting {
			n := int(min(int64(len(j.body)), int64(s.frameSize), s.window, j.window))
			if n <= 0 {
				break
			}
			flags := byte(0)
			if n == len(j.body) {
				flags = flagEndStream
			}
			s.out = append(appendFrame(s.out, n, frameData, flags, j.stream), j.body[:n]...)
			j.body = j.body[n:]
			j.window -= int64(n)
			s.window -= int64(n)
		}
		if len(j.body) > 0 {
			kept = append(kept, j)
		}
	}
	clear(s.held[len(kept):])
	s.held = kept
}

// cancel gives a stream up.
func (s *session) cancel(j *job) {
	delete(s.streams, j.stream)
	s.out = appendReset(s.out, j.stream, codeCancel)
}

// feed takes what has come.
func (s *session) feed(b []byte) error {
	for len(b) > 0 {
		if s.left < 0 {
			n := copy(s.headPart[s.headGot:], b)
			b = b[n:]
			if s.headGot += n; s.headGot < frameHead {
				return nil
			}
			s.headGot = 0
			s.frame = parseFrame(s.headPart[:])
			if err := s.open(); err != nil {
				return err
			}
			if s.left < 0 { // it had no payload
				if len(s.out) > tooMuch {
					return errFrame
				}
				continue
			}
		}
		n := min(s.left, len(b))
		if s.frame.kind == frameData {
			if s.padding < 0 && n > 0 {
				s.padding = int(b[0])
				if s.padding >= s.frame.length {
					return errFrame
				}
			}
			b = b[n:]
			if s.left -= n; s.left > 0 {
				return nil
			}
			s.left = -1
			if err := s.data(); err != nil {
				return err
			}
			continue
		}
		payload := b[:n]
		b = b[n:]
		if len(s.part) > 0 || n < s.left {
			s.part = append(s.part, payload...)
			if s.left -= n; s.left > 0 {
				return nil
			}
			payload = s.part
		}
		s.left = -1
		err := s.handle(payload)
		s.part = s.part[:0]
		if err != nil {
			return err
		}
		if len(s.out) > tooMuch {
			return errFrame
		}
	}
	return nil
}

// open judges a frame by its head.
func (s *session) open() error {
	f := s.frame
	if f.length > mostPayload || !s.settled && (f.kind != frameSettings || f.flags&flagAck != 0) {
		return errFrame
	}
	if s.blockStream != 0 && (f.kind != frameContinuation || f.stream != s.blockStream) {
		return errFrame
	}
	s.settled = true
	switch f.kind {
	case frameData, frameHeaders, frameReset:
		if f.stream&1 == 0 || f.stream >= s.next {
			return errFrame // not a stream of ours
		}
	case frameSettings, framePing, frameGoAway:
		if f.stream != 0 {
			return errFrame
		}
	case framePush:
		return errFrame // we said no
	case frameContinuation:
		if s.blockStream == 0 {
			return errFrame
		}
	}
	s.left, s.padding = f.length, 0
	if f.kind == frameData && f.flags&flagPadded != 0 {
		if f.length == 0 {
			return errFrame
		}
		s.padding = -1
	}
	if f.length == 0 { // nothing more will come of it
		s.left = -1
		if f.kind == frameData {
			return s.data()
		}
		return s.handle(nil)
	}
	return nil
}

// data ends a DATA frame: its bytes are gone already.
func (s *session) data() error {
	f := s.frame
	if s.received += int64(f.length); s.received > s.ahead {
		return errFrame
	}
	j := s.streams[f.stream]
	if j != nil {
		if j.status == 0 {
			return errStatus
		}
		if j.received += int64(f.length); j.received > s.ahead {
			return errFrame
		}
		if f.flags&flagEndStream != 0 {
			s.end(j)
		} else if j.received >= s.ahead/2 {
			s.out = appendWindow(s.out, f.stream, uint32(j.received))
			j.received = 0
		}
	}
	if s.received >= s.ahead/2 {
		s.out = appendWindow(s.out, 0, uint32(s.received))
		s.received = 0
	}
	return nil
}

// handle takes any other frame as a whole.
func (s *session) handle(b []byte) error {
	f := s.frame
	switch f.kind {
	case frameHeaders:
		b, ok := unpadded(f, b)
		if !ok {
			return errFrame
		}
		if f.flags&flagEndHeaders != 0 {
			return s.head(f.stream, b, f.flags&flagEndStream != 0)
		}
		s.block, s.blockStream, s.blockEnds = append(s.block[:0], b...), f.stream, f.flags&flagEndStream != 0
	case frameContinuation:
		if s.block = append(s.block, b...); len(s.block) > mostBlock {
			return errBlock
		}
		if f.flags&flagEndHeaders != 0 {
			stream := s.blockStream
			s.blockStream = 0
			return s.head(stream, s.block, s.blockEnds)
		}
	case frameReset:
		if len(b) != 4 {
			return errFrame
		}
		if j := s.streams[f.stream]; j != nil {
			delete(s.streams, f.stream)
			s.fail(j, broken)
		}
	case frameSettings:
		return s.settings(b)
	case framePing:
		if len(b) != 8 {
			return errFrame
		}
		if f.flags&flagAck == 0 {
			s.out = append(appendFrame(s.out, 8, framePing, flagAck, 0), b...)
		}
	case frameGoAway:
		return s.goAway(b)
	case frameWindow:
		return s.moreWindow(b)
	}
	return nil // PRIORITY and what is not known
}

// head takes the block of an answer's head or trailers.
func (s *session) head(stream uint32, block []byte, ends bool) error {
	status, err := s.decode(block)
	if err != nil {
		return err
	}
	j := s.streams[stream]
	if j == nil {
		return nil // given up; the decoder had to see the block all the same
	}
	switch {
	case j.status == 0 && status == 0, j.status != 0 && (status != 0 || !ends):
		return errStatus
	case j.status == 0 && status < 200:
		if ends || status < 100 || status == 101 {
			return errStatus
		}
		return nil
	case j.status == 0:
		j.status = status
	}
	if ends {
		s.end(j)
	}
	return nil
}

// decode is the status in a block, 0 if there is none.
func (s *session) decode(block []byte) (int, error) {
	if len(s.last) > 0 && bytes.Equal(block, s.last) {
		return s.lastIs, nil
	}
	s.status, s.fields = 0, 0
	if _, err := s.decoder.Write(block); err != nil {
		return 0, errBlock
	}
	if err := s.decoder.Close(); err != nil || s.status < 0 {
		return 0, errBlock
	}
	s.last = s.last[:0]
	if plainBlock(block) {
		s.last, s.lastIs = append(s.last, block...), s.status
	}
	return s.status, nil
}

// emit sees a field of the block that is being decoded. A status that is no such number, or is not the first field, becomes -1.
func (s *session) emit(f hpack.HeaderField) {
	s.fields++
	if len(f.Name) == 0 || f.Name[0] != ':' {
		return
	}
	n, ok := decimal([]byte(f.Value))
	if f.Name != ":status" || s.fields != 1 || !ok || len(f.Value) != 3 || n < 100 || n > 599 {
		s.status = -1
		return
	}
	s.status = int(n)
}

// end is the end of an answer. A peer that answers without having read the body is told that no more of it comes.
func (s *session) end(j *job) {
	delete(s.streams, j.stream)
	if len(j.body) > 0 {
		s.out = appendReset(s.out, j.stream, codeCancel)
		j.body = nil
	}
	s.finish(j, j.status)
}

func (s *session) settings(b []byte) error {
	if s.frame.flags&flagAck != 0 {
		if len(b) > 0 {
			return errFrame
		}
		return nil
	}
	if len(b)%6 != 0 {
		return errFrame
	}
	for ; len(b) > 0; b = b[6:] {
		switch value := binary.BigEndian.Uint32(b[2:]); binary.BigEndian.Uint16(b) {
		case settingTableSize:
			s.encoder.SetMaxDynamicTableSizeLimit(value)
			clear(s.isReady)
		case settingStreams:
			s.allowed = value
		case settingInitialWindow:
			if value > mostWindow {
				return errFrame
			}
			for _, j := range s.streams {
				j.window += int64(value) - s.initial
			}
			s.initial = int64(value)
		case settingFrameSize:
			if value < mostPayload || value > 1<<24-1 {
				return errFrame
			}
			s.frameSize = int(min(value, 64<<10)) // no need for more at a time
		}
	}
	s.out = appendFrame(s.out, 0, frameSettings, flagAck, 0) // behind it, bodies that are held go on
	return nil
}

// goAway ends what the peer will not look at (RFC 9113 §6.8). What it has begun goes on.
func (s *session) goAway(b []byte) error {
	if len(b) < 8 {
		return errFrame
	}
	s.going = true
	last := binary.BigEndian.Uint32(b) & mostWindow
	for stream, j := range s.streams {
		if stream > last {
			delete(s.streams, stream)
			s.again(j)
		}
	}
	return nil
}

func (s *session) moreWindow(b []byte) error {
	if len(b) != 4 {
		return errFrame
	}
	more := int64(binary.BigEndian.Uint32(b) & math.MaxInt32)
	if more == 0 {
		return errFrame
	}
	if s.frame.stream == 0 {
		if s.window += more; s.window > mostWindow {
			return errFrame
		}
	} else if j := s.streams[s.frame.stream]; j != nil {
		if j.window += more; j.window > mostWindow {
			return errFrame
		}
	}
	s.pump()
	return nil
}

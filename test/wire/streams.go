package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Streams is the client's side of an HTTP/2 connection: it sends exactly what it is told, repeats nothing, and shows what comes. What
// it has in common with the gateway is the library that reads and writes single frames. Its methods may be called from any goroutine.
type Streams struct {
	Conn net.Conn
	// Hold, when set before anything is sent, keeps the windows for what is received as they are.
	Hold bool

	write   sync.Mutex // guards what is sent
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	last    uint32

	mu       sync.Mutex // guards what was received
	changed  *sync.Cond
	streams  map[uint32]*Stream
	settings map[http2.SettingID]uint32
	window   int64 // left to send on the connection
	goAway   *GoAway
	pings    int
	err      error // once reading has ended
	ended    chan struct{}
}

// GoAway is the last GOAWAY frame.
type GoAway struct {
	Last uint32
	Code http2.ErrCode
	Why  string
}

// Stream is one request and its answer.
type Stream struct {
	ID     uint32
	s      *Streams
	window int64 // left to send; s.mu
	parts  []Part
	over   error // behind the parts; s.mu
}

// Part is a piece of an answer: a field section, or content.
type Part struct {
	Fields []Field
	Data   []byte
	End    bool // the last part
}

// Reset says that a stream was ended by RST_STREAM.
type Reset struct{ Code http2.ErrCode }

func (r Reset) Error() string { return "the stream was reset: " + r.Code.String() }

// ErrRefused says that a stream was not looked at and may be tried again elsewhere.
var ErrRefused = errors.New("the stream was refused by GOAWAY")

// ErrLeaving says that no further streams are taken on the connection.
var ErrLeaving = errors.New("the connection takes no new streams")

// ErrSilence says that nothing came for Patience.
var ErrSilence = errors.New("nothing comes")

// window is what we let the other side send, a stream; the connection gets eight of them.
const window = 1 << 20

// Connect opens a connection: by prior knowledge, or with a config by TLS, which has to agree on h2.
func Connect(addr string, config *tls.Config, settings ...http2.Setting) (*Streams, error) {
	dialer := net.Dialer{Timeout: Patience}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		config = config.Clone()
		if config.NextProtos == nil {
			config.NextProtos = []string{"h2"}
		}
		secure := tls.Client(conn, config)
		conn.SetDeadline(time.Now().Add(Patience))
		if err := secure.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		conn.SetDeadline(time.Time{})
		if p := secure.ConnectionState().NegotiatedProtocol; p != "h2" {
			conn.Close()
			return nil, fmt.Errorf("the other side chose %q and not h2", p)
		}
		conn = secure
	}
	return Over(conn, settings...)
}

// Over begins HTTP/2 on a connection.
func Over(conn net.Conn, settings ...http2.Setting) (*Streams, error) {
	s := &Streams{Conn: conn, framer: http2.NewFramer(conn, conn), streams: map[uint32]*Stream{}, settings: map[http2.SettingID]uint32{},
		window: 65_535, ended: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	s.encoder = hpack.NewEncoder(&s.block)
	s.framer.AllowIllegalWrites = true
	s.framer.MaxHeaderListSize = 1 << 20
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if len(settings) == 0 {
		settings = []http2.Setting{{ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingInitialWindowSize, Val: window}}
	}
	conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := io.WriteString(conn, http2.ClientPreface)
	if err == nil {
		err = s.framer.WriteSettings(settings...)
	}
	if err == nil {
		err = s.framer.WriteWindowUpdate(0, 8*window)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go s.runRead()
	return s, nil
}

// DialStreams is Connect for a test, until it ends.
func DialStreams(t testing.TB, addr string, config *tls.Config, settings ...http2.Setting) *Streams {
	t.Helper()
	s, err := Connect(addr, config, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Close closes the connection.
func (s *Streams) Close() { s.Conn.Close() }

// Frames sends frames as they are, which may be none that HTTP/2 knows.
func (s *Streams) Frames(send func(f *http2.Framer) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.Conn.SetWriteDeadline(time.Now().Add(Patience))
	return send(s.framer)
}

// Block encodes fields for Frames. Blocks are to be sent in the order in which they were encoded.
func (s *Streams) Block(fields ...Field) []byte {
	s.write.Lock()
	defer s.write.Unlock()
	return s.encode(fields)
}

func (s *Streams) encode(fields []Field) []byte {
	s.block.Reset()
	for _, f := range fields {
		s.encoder.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}) // a buffer takes all
	}
	return bytes.Clone(s.block.Bytes())
}

// Take makes the next stream without sending anything.
func (s *Streams) Take() *Stream {
	s.write.Lock()
	defer s.write.Unlock()
	return s.take()
}

func (s *Streams) take() *Stream {
	s.last = max(s.last+2, 1) | 1
	st := &Stream{ID: s.last, s: s}
	s.mu.Lock()
	st.window = 65_535
	if n, ok := s.settings[http2.SettingInitialWindowSize]; ok {
		st.window = int64(n)
	}
	s.streams[st.ID] = st
	s.mu.Unlock()
	return st
}

// Open sends the head of a request; end says that it has no content.
func (s *Streams) Open(end bool, fields ...Field) (*Stream, error) {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	leaving, err := s.goAway != nil, s.err
	s.mu.Unlock()
	if leaving {
		return nil, ErrLeaving
	}
	if err != nil {
		return nil, err
	}
	st := s.take()
	return st, s.section(st.ID, end, fields)
}

// section sends a field section, in as many frames as it takes. s.write is held.
func (s *Streams) section(id uint32, end bool, fields []Field) error {
	block := s.encode(fields)
	s.Conn.SetWriteDeadline(time.Now().Add(Patience))
	const most = 16_384
	first := block[:min(len(block), most)]
	block = block[len(first):]
	err := s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		next := block[:min(len(block), most)]
		block = block[len(next):]
		err = s.framer.WriteContinuation(id, len(block) == 0, next)
	}
	return err
}

// Ask is the pseudo fields of a request and what follows them.
func Ask(method, authority, path string, more ...Field) []Field {
	return append([]Field{{":method", method}, {":scheme", "https"}, {":authority", authority}, {":path", path}}, more...)
}

// Get asks for a path and waits for the whole answer.
func (s *Streams) Get(path string) (*Message, error) {
	st, err := s.Open(true, Ask("GET", "localhost", path)...)
	if err != nil {
		return nil, err
	}
	return st.Answer()
}

// Send sends content as the windows allow; end says that nothing follows.
func (st *Stream) Send(data []byte, end bool) error {
	s := st.s
	for {
		n, err := st.room(len(data))
		if err != nil {
			return err
		}
		last := n == len(data)
		err = s.Frames(func(f *http2.Framer) error { return f.WriteData(st.ID, end && last, data[:n]) })
		if err != nil || last {
			return err
		}
		data = data[n:]
	}
}

// room waits until some of n bytes may be sent, and takes them from the windows.
func (st *Stream) room(n int) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		return 0, s.err
	}
	if err := s.wait(func() bool { return st.over != nil || st.window > 0 && s.window > 0 }); err != nil {
		return 0, err
	}
	if st.over != nil && st.over != io.EOF {
		return 0, st.over
	}
	if st.over == io.EOF && (st.window <= 0 || s.window <= 0) {
		return 0, errors.New("the answer is whole, and no window comes any more")
	}
	n = int(min(int64(n), st.window, s.window, 16_384))
	st.window -= int64(n)
	s.window -= int64(n)
	return n, nil
}

// wait waits until holds, for at most Patience. s.mu is held.
func (s *Streams) wait(holds func() bool) error {
	late := false
	timer := time.AfterFunc(Patience, func() {
		s.mu.Lock()
		late = true
		s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer timer.Stop()
	for !holds() {
		if s.err != nil {
			return fmt.Errorf("the connection ended: %w", s.err)
		}
		if late {
			return ErrSilence
		}
		s.changed.Wait()
	}
	return nil
}

// Trailers ends a request with fields.
func (st *Stream) Trailers(fields ...Field) error {
	st.s.write.Lock()
	defer st.s.write.Unlock()
	return st.s.section(st.ID, true, fields)
}

// Reset ends the stream.
func (st *Stream) Reset(code http2.ErrCode) error {
	return st.s.Frames(func(f *http2.Framer) error { return f.WriteRSTStream(st.ID, code) })
}

// Next waits for the next part of the answer. io.EOF follows the last part, a Reset what was cut off.
func (st *Stream) Next() (Part, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.wait(func() bool { return len(st.parts) > 0 || st.over != nil }); err != nil {
		return Part{}, err
	}
	if len(st.parts) == 0 {
		return Part{}, st.over
	}
	p := st.parts[0]
	st.parts = st.parts[1:]
	return p, nil
}

// Head waits for a field section, and fails on anything else.
func (st *Stream) Head() (*Message, error) {
	p, err := st.Next()
	if err != nil {
		return nil, err
	}
	if p.Fields == nil {
		return nil, fmt.Errorf("%d bytes of content in place of a field section", len(p.Data))
	}
	return &Message{Start: "HTTP/2 " + value(p.Fields, ":status"), Fields: p.Fields[min(1, len(p.Fields)):], Framing: "h2"}, nil
}

// Answer waits for the whole answer. Interim ones are skipped.
func (st *Stream) Answer() (*Message, error) {
	var m *Message
	for {
		p, err := st.Next()
		switch {
		case err == io.EOF && m == nil:
			return nil, errors.New("the connection or stream ended without an answer")
		case err == io.EOF:
			return m, nil
		case err != nil:
			return m, err
		case p.Fields == nil:
			if m == nil {
				return nil, errors.New("content before a head")
			}
			m.Body = append(m.Body, p.Data...)
		case m == nil:
			if status := value(p.Fields, ":status"); len(status) == 3 && status[0] != '1' {
				m = &Message{Start: "HTTP/2 " + status, Fields: p.Fields[1:], Framing: "h2"}
			}
		default:
			m.Trailers = p.Fields
		}
	}
}

func value(fields []Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Status is the status of m, whatever version it came by.
func Status(m *Message) int {
	if m == nil {
		return 0
	}
	if m.Framing != "h2" {
		return m.Status()
	}
	status, _ := strconv.Atoi(m.Start[len("HTTP/2 "):]) // 0 is none
	return status
}

// Setting waits for the other side's settings and returns one.
func (s *Streams) Setting(id http2.SettingID) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait(func() bool { return len(s.settings) > 0 }) // there is none, otherwise
	v, ok := s.settings[id]
	return v, ok
}

// Leaving is the last GOAWAY; nil for none so far.
func (s *Streams) Leaving() *GoAway {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goAway
}

// Ended is closed when the other side has closed the connection or it broke; Leaving and Err tell how.
func (s *Streams) Ended() <-chan struct{} { return s.ended }

// Err is why reading has ended; nil while it has not.
func (s *Streams) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// AwaitEnd waits for the end of the connection and returns the GOAWAY that went before it, or nil.
func (s *Streams) AwaitEnd() (*GoAway, error) {
	select {
	case <-s.ended:
		return s.Leaving(), nil
	case <-time.After(Patience):
		return s.Leaving(), errors.New("the connection does not end")
	}
}

// Pings counts the answers to PING frames.
func (s *Streams) Pings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pings
}

// AwaitPing sends a PING and waits for its answer: all that was sent before it has been looked at then.
func (s *Streams) AwaitPing() error {
	before := s.Pings()
	if err := s.Frames(func(f *http2.Framer) error { return f.WritePing(false, [8]byte{1}) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait(func() bool { return s.pings > before })
}

func (s *Streams) runRead() {
	defer close(s.ended)
	for {
		f, err := s.framer.ReadFrame()
		var wrong http2.StreamError
		if errors.As(err, &wrong) {
			s.end(wrong.StreamID, fmt.Errorf("the answer is none: %w", err))
			continue
		}
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			s.changed.Broadcast()
			return
		}
		s.receive(f)
	}
}

func (s *Streams) receive(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return
		}
		s.mu.Lock()
		f.ForeachSetting(func(v http2.Setting) error {
			if v.ID == http2.SettingInitialWindowSize {
				before, ok := s.settings[v.ID]
				if !ok {
					before = 65_535
				}
				for _, st := range s.streams {
					st.window += int64(v.Val) - int64(before)
				}
			}
			s.settings[v.ID] = v.Val
			return nil
		})
		s.mu.Unlock()
		s.changed.Broadcast()
		s.Frames(func(f *http2.Framer) error { return f.WriteSettingsAck() }) // reading shows when it is gone
	case *http2.PingFrame:
		if f.IsAck() {
			s.mu.Lock()
			s.pings++
			s.mu.Unlock()
			s.changed.Broadcast()
			return
		}
		s.Frames(func(w *http2.Framer) error { return w.WritePing(true, f.Data) })
	case *http2.WindowUpdateFrame:
		s.mu.Lock()
		if f.StreamID == 0 {
			s.window += int64(f.Increment)
		} else if st := s.streams[f.StreamID]; st != nil {
			st.window += int64(f.Increment)
		}
		s.mu.Unlock()
		s.changed.Broadcast()
	case *http2.GoAwayFrame:
		s.mu.Lock()
		s.goAway = &GoAway{f.LastStreamID, f.ErrCode, string(f.DebugData())}
		for id, st := range s.streams {
			if id > f.LastStreamID && st.over == nil {
				st.over = ErrRefused
				delete(s.streams, id)
			}
		}
		s.mu.Unlock()
		s.changed.Broadcast()
	case *http2.RSTStreamFrame:
		s.end(f.StreamID, Reset{f.ErrCode})
	case *http2.MetaHeadersFrame:
		p := Part{Fields: make([]Field, 0, len(f.Fields)), End: f.StreamEnded()}
		for _, h := range f.Fields {
			p.Fields = append(p.Fields, Field{h.Name, h.Value})
		}
		s.part(f.StreamID, p)
	case *http2.DataFrame:
		s.part(f.StreamID, Part{Data: bytes.Clone(f.Data()), End: f.StreamEnded()})
		if n := f.Length; n > 0 && !s.Hold {
			s.Frames(func(w *http2.Framer) error {
				if !f.StreamEnded() {
					w.WriteWindowUpdate(f.StreamID, n)
				}
				return w.WriteWindowUpdate(0, n)
			})
		}
	}
}

func (s *Streams) part(id uint32, p Part) {
	s.mu.Lock()
	if st := s.streams[id]; st != nil {
		st.parts = append(st.parts, p)
		if p.End {
			st.over = io.EOF
			delete(s.streams, id)
		}
	}
	s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *Streams) end(id uint32, why error) {
	s.mu.Lock()
	if st := s.streams[id]; st != nil {
		st.over = why
		delete(s.streams, id)
	}
	s.mu.Unlock()
	s.changed.Broadcast()
}

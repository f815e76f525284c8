package http2

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	framing "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a client made of golang.org/x/net/http2's Framer: it sends whatever a test wants and keeps what comes back.
type peer struct {
	t       testing.TB
	nc      net.Conn
	framer  *framing.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	streams map[uint32]*seen
	goAways []string
	pings   int // acknowledged
	acks    int // settings acknowledged
	granted int64
	set     map[framing.SettingID]uint32
	closed  bool
	why     error       // how
	silent  bool        // it acknowledges nothing
	cut     atomic.Bool // writing fails
}

// seen is what a peer has seen of a stream.
type seen struct {
	heads   []string // header and trailer sections, one field a line
	data    bytes.Buffer
	frames  int // DATA frames
	ended   bool
	reset   string // the code, empty when it was not
	granted int64
}

func (s *seen) status() string {
	if s == nil || len(s.heads) == 0 {
		return ""
	}
	line, _, _ := strings.Cut(s.heads[len(s.heads)-1], "\n")
	return strings.TrimPrefix(line, ":status: ")
}

// connect sends a preface with settings, as pairs of identifier and value.
func connect(t testing.TB, p *place, settings ...framing.Setting) *peer {
	t.Helper()
	c := reach(t, p)
	c.write([]byte(framing.ClientPreface))
	c.framer.WriteSettings(settings...)
	return c
}

// reach connects and says nothing.
func reach(t testing.TB, p *place) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &peer{t: t, nc: nc, streams: map[uint32]*seen{}, set: map[framing.SettingID]uint32{}}
	c.framer = framing.NewFramer(sender{c}, nc)
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	return c
}

func (c *peer) write(p []byte) { sender{c}.Write(p) } // whoever is cut off sees it when reading

// sender is what a peer writes by.
type sender struct{ *peer }

func (s sender) Write(p []byte) (int, error) {
	n, err := s.nc.Write(p)
	if err != nil {
		s.cut.Store(true)
	}
	return n, err
}

// encode makes a header block of names and values.
func (c *peer) encode(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

// ask sends a header section.
func (c *peer) ask(id uint32, end bool, fields ...string) {
	c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(fields...), EndStream: end, EndHeaders: true})
}

// get sends a plain request.
func (c *peer) get(id uint32, more ...string) {
	c.ask(id, true, append([]string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "example.com"}, more...)...)
}

// post begins a request with content.
func (c *peer) post(id uint32, more ...string) {
	c.ask(id, false, append([]string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "example.com"}, more...)...)
}

func (c *peer) stream(id uint32) *seen {
	if c.streams[id] == nil {
		c.streams[id] = new(seen)
	}
	return c.streams[id]
}

// until reads until something is so, or the connection is closed. It fails the test when that takes too long.
func (c *peer) until(what string, is func() bool) {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	for !is() {
		if c.closed {
			c.t.Fatalf("the connection was closed before %s; goaways %v", what, c.goAways)
		}
		if !c.read() {
			c.t.Fatalf("no sign of %s; goaways %v", what, c.goAways)
		}
	}
}

// read takes one frame, or the end of the connection. It returns false when neither came in time.
func (c *peer) read() bool {
	f, err := c.framer.ReadFrame()
	var bad framing.StreamError
	switch {
	case errors.As(err, &bad):
		c.t.Errorf("the answer on stream %d is malformed: %v", bad.StreamID, c.framer.ErrorDetail())
		return true
	case err != nil:
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			return false
		}
		c.closed, c.why = true, fmt.Errorf("%w: %v", err, c.framer.ErrorDetail())
		return true
	}
	switch f := f.(type) {
	case *framing.MetaHeadersFrame:
		s := c.stream(f.StreamID)
		var text strings.Builder
		for _, field := range f.Fields {
			fmt.Fprintf(&text, "%s: %s\n", field.Name, field.Value)
		}
		s.heads = append(s.heads, text.String())
		s.ended = s.ended || f.StreamEnded()
	case *framing.DataFrame:
		s := c.stream(f.StreamID)
		s.data.Write(f.Data())
		s.frames++
		s.ended = s.ended || f.StreamEnded()
	case *framing.RSTStreamFrame:
		c.stream(f.StreamID).reset = Code(f.ErrCode).String()
	case *framing.GoAwayFrame:
		c.goAways = append(c.goAways, fmt.Sprintf("%s %d", Code(f.ErrCode), f.LastStreamID))
	case *framing.PingFrame:
		if f.IsAck() {
			c.pings++
		} else if !c.silent {
			c.framer.WritePing(true, f.Data)
		}
	case *framing.SettingsFrame:
		if f.IsAck() {
			c.acks++
			break
		}
		f.ForeachSetting(func(s framing.Setting) error { c.set[s.ID] = s.Val; return nil })
		if !c.silent {
			c.framer.WriteSettingsAck()
		}
	case *framing.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.granted += int64(f.Increment)
		} else {
			c.stream(f.StreamID).granted += int64(f.Increment)
		}
	}
	return true
}

// roundTrip waits until all that was sent was looked at.
func (c *peer) roundTrip() {
	c.t.Helper()
	c.framer.WritePing(false, [8]byte{})
	pings := c.pings
	c.until("a round trip", func() bool { return c.pings > pings })
}

// done waits for the end of a stream's response, or its reset, and returns what was seen.
func (c *peer) done(id uint32) *seen {
	c.t.Helper()
	s := c.stream(id)
	c.until(fmt.Sprintf("the end of stream %d", id), func() bool { return s.ended || s.reset != "" })
	return s
}

// outcome is a stream's status or reset in a word.
func (c *peer) outcome(id uint32) string {
	c.t.Helper()
	s := c.stream(id)
	c.until(fmt.Sprintf("an outcome of stream %d", id), func() bool { return s.ended || s.reset != "" })
	if len(s.heads) > 0 {
		return s.status()
	}
	return s.reset
}

// end waits until the connection is closed and returns the last GOAWAY.
func (c *peer) end() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	for !c.closed {
		if !c.read() {
			c.t.Fatalf("the connection was not closed; goaways %v", c.goAways)
		}
	}
	if len(c.goAways) == 0 {
		return "no GOAWAY, " + c.why.Error()
	}
	return c.goAways[len(c.goAways)-1]
}

package load

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A framed endpoint speaks HTTP/2 by its frames alone: it is asked by the client under test and answers what the test tells it to.
type framed struct {
	*http2.Framer
	conn    net.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
}

// frames is an endpoint that calls serve for each connection after both sides' settings.
func frames(t *testing.T, settings []http2.Setting, serve func(*framed)) string {
	return scripted(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(preface))); err != nil {
			return // the trial
		}
		f := &framed{Framer: http2.NewFramer(c, c), conn: c}
		f.encoder = hpack.NewEncoder(&f.block)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		f.WriteSettings(settings...)
		serve(f)
	})
}

// head writes the head of an answer.
func (f *framed) head(stream uint32, ends bool, fields ...string) {
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.fields(fields...), EndHeaders: true, EndStream: ends})
}

func (f *framed) fields(fields ...string) []byte {
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return f.block.Bytes()
}

// eachStream calls answer for each stream that has begun, and settles settings meanwhile.
func (f *framed) eachStream(answer func(stream uint32) bool) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if !answer(frame.StreamID) {
				return
			}
		}
	}
}

func get2(address string) *Plan {
	p := get(address)
	p.HTTP2, p.Streams, p.Connections = true, 1, 1
	return p
}

// Bodies both ways through windows that are smaller than anything that is sent.
func TestSmallWindows(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 20_000)
	var guard sync.Mutex
	wrong := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		guard.Lock()
		defer guard.Unlock()
		if !bytes.Equal(got, body) {
			wrong++
		}
		w.Write(body)
	}))
	s.Config.Protocols = inTheClear()
	s.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 1 << 16, MaxReceiveBufferPerStream: 1000, MaxConcurrentStreams: 2}
	s.Start()
	defer s.Close()
	p := get2(s.Listener.Addr().String())
	p.Streams, p.Connections, p.Requested = 5, 2, 40
	p.Requests = []Request{{Name: "post", Method: "POST", Host: "x", Target: "/", Body: body, Weight: 1}}
	p = p.filled(1)
	to, err := try(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runAll(t.Context(), p, to, 3000, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, r)
	if r.Done != 40 || wrong > 0 || r.Received < 40*uint64(len(body)) || r.Sent < 40*uint64(len(body)) {
		t.Errorf("done %d, errors %v, %d wrong bodies, %d bytes received", r.Done, r.Errors, wrong, r.Received)
	}
}

// A body waits for the peer's settings, and for nothing else.
func TestBodyFollowsTheSettings(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		p := get2(scripted(t, func(c net.Conn) {
			if _, err := io.ReadFull(c, make([]byte, len(preface))); err != nil {
				return
			}
			f := http2.NewFramer(c, c)
			early := time.AfterFunc(delay, func() { c.Write(appendFrame(nil, 0, frameSettings, 0, 0)) })
			defer early.Stop()
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
					f.WriteHeaders(http2.HeadersFrameParam{StreamID: data.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
				}
			}
		}))
		p.Requests[0].Method, p.Requests[0].Body, p.Requested, p.NoKeepAlive = "POST", []byte("body"), 5, true
		if r := result(t, p); r.Done != 5 {
			t.Errorf("settings after %s: done %d, errors %v", delay, r.Done, r.Errors)
		}
	}
}

// What a peer sees of settings, pings and padding it gets as the standard has it, and what it sends in odd but right ways is understood.
func TestOddButRight(t *testing.T) {
	var guard sync.Mutex
	var pings, acks, blocks int
	address := frames(t, []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 0}, {ID: http2.SettingMaxConcurrentStreams, Val: 1}}, func(f *framed) {
		f.WriteRawFrame(0x42, 0xff, 7, []byte("unknown"))
		f.WritePing(false, [8]byte{1})
		under := 0
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			guard.Lock()
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if frame.IsAck() {
					acks++
				} else {
					f.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if frame.IsAck() && frame.Data == [8]byte{1} {
					pings++
				}
			case *http2.MetaHeadersFrame:
				if under++; under > 1 {
					guard.Unlock()
					return // it had to wait
				}
				blocks++
				stream := frame.StreamID
				f.head(stream, false, ":status", "103", "link", "</a>")
				block := bytes.Clone(f.fields(":status", "200", "x-a", strings.Repeat("a", 100), "x-b", fmt.Sprint(stream)))
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:1], PadLength: 9, Priority: http2.PriorityParam{Weight: 3}})
				f.WriteContinuation(stream, false, block[1:2])
				f.WriteContinuation(stream, false, nil)
				f.WriteContinuation(stream, true, block[2:])
				f.WriteDataPadded(stream, false, []byte("hello"), make([]byte, 200))
				f.WriteData(stream, false, nil)
				f.WriteDataPadded(stream, false, nil, make([]byte, 1))
				under--
				f.head(stream, true, "digest", "x")
			}
			guard.Unlock()
		}
	})
	p := get2(address)
	p.Streams, p.Requested = 4, 20
	r := result(t, p)
	guard.Lock()
	defer guard.Unlock()
	// The first four may leave before the peer's settings have come.
	if r.Done+r.Errors[Broken] != 20 || r.Done < 15 || pings == 0 || acks == 0 || blocks < 15 {
		t.Errorf("done %d, errors %v, %d pings, %d settings and %d blocks came", r.Done, r.Errors, pings, acks, blocks)
	}
}

// GOAWAY in the middle: what the peer has begun it ends, what it has not is sent again, and nobody is told of an error.
func TestGoAwayInTheMiddle(t *testing.T) {
	var conns, answered counter
	address := frames(t, nil, func(f *framed) {
		conns.take()
		n := 0
		f.eachStream(func(stream uint32) bool {
			if n++; n < 10 {
				answered.take()
				f.head(stream, true, ":status", "200")
				return true
			}
			if n == 10 {
				f.WriteGoAway(stream, http2.ErrCodeNo, nil)
				time.Sleep(2 * time.Millisecond) // some more are on their way
				answered.take()
				f.head(stream, true, ":status", "200")
			}
			return true
		})
	})
	for _, rate := range []float64{0, 1000} {
		conns.Store(0)
		answered.Store(0)
		p := get2(address)
		p.Streams, p.Requested, p.Rate = 4, 100, rate
		r := result(t, p)
		if r.Done != 100 || answered.Load() < 100 || conns.Load() < 10 {
			t.Errorf("done %d, errors %v; the endpoint answered %d over %d connections", r.Done, r.Errors, answered.Load(), conns.Load())
		}
	}
}

// A peer that sends everything away is not asked for ever.
func TestGoAwayForEver(t *testing.T) {
	address := frames(t, nil, func(f *framed) {
		f.eachStream(func(uint32) bool { f.WriteGoAway(0, http2.ErrCodeNo, nil); return true })
	})
	p := get2(address)
	p.Requested = 10
	if r := result(t, p); r.Errors[Broken] != 10 {
		t.Errorf("done %d, errors %v", r.Done, r.Errors)
	}
}

func TestResetStreamsAreBroken(t *testing.T) {
	var conns counter
	address := frames(t, nil, func(f *framed) {
		conns.take()
		n := 0
		f.eachStream(func(stream uint32) bool {
			switch n++; n % 3 {
			case 0:
				f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			case 1:
				f.head(stream, false, ":status", "200")
				f.WriteRSTStream(stream, http2.ErrCodeInternal)
			default:
				f.head(stream, true, ":status", "200")
			}
			return true
		})
	})
	p := get2(address)
	p.Streams, p.Requested = 3, 90
	r := result(t, p)
	if want := map[Failure]uint64{Broken: 60}; r.Done != 30 || !maps.Equal(r.Errors, want) || conns.Load() != 1 {
		t.Errorf("done %d, errors %v, %d connections", r.Done, r.Errors, conns.Load())
	}
}

// Requests that time out are taken back and leave the connection to the others.
func TestTimeoutsOfStreams(t *testing.T) {
	var resets, conns counter
	address := frames(t, nil, func(f *framed) {
		conns.take()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.RSTStreamFrame:
				if frame.ErrCode == http2.ErrCodeCancel {
					resets.take()
					f.head(frame.StreamID, true, ":status", "200", "x-late", "yes") // too late, but its table has to be kept
				}
			case *http2.MetaHeadersFrame:
				if (frame.StreamID/2)%4 != 0 {
					f.head(frame.StreamID, true, ":status", "200", "x-late", fmt.Sprint(frame.StreamID))
				}
			}
		}
	})
	p := get2(address)
	p.Streams, p.Requested, p.Timeout = 2, 40, 40*time.Millisecond
	r := result(t, p)
	if want := map[Failure]uint64{TimedOut: 10}; r.Done != 30 || !maps.Equal(r.Errors, want) || conns.Load() != 1 || resets.Load() < 9 {
		t.Errorf("done %d, errors %v, %d connections, %d resets", r.Done, r.Errors, conns.Load(), resets.Load())
	}
}

func TestWhatIsNoHTTP2IsMalformed(t *testing.T) {
	for name, spoil := range map[string]func(f *framed, stream uint32){
		"no status":              func(f *framed, s uint32) { f.head(s, true, "x", "y") },
		"two statuses":           func(f *framed, s uint32) { f.head(s, true, ":status", "200", ":status", "200") },
		"a status behind":        func(f *framed, s uint32) { f.head(s, true, "x", "y", ":status", "200") },
		"a word for a status":    func(f *framed, s uint32) { f.head(s, true, ":status", "2OO") },
		"switching protocols":    func(f *framed, s uint32) { f.head(s, false, ":status", "101") },
		"an end that is interim": func(f *framed, s uint32) { f.head(s, true, ":status", "103") },
		"a request":              func(f *framed, s uint32) { f.head(s, true, ":status", "200", ":path", "/") },
		"data first":             func(f *framed, s uint32) { f.WriteData(s, true, []byte("x")) },
		"a block that is none": func(f *framed, s uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: []byte{0xff, 0xff, 0xff}, EndHeaders: true})
		},
		"a stream of its own": func(f *framed, s uint32) { f.head(2, true, ":status", "200") },
		"a stream to come":    func(f *framed, s uint32) { f.head(s+2, true, ":status", "200") },
		"push": func(f *framed, s uint32) {
			f.WritePushPromise(http2.PushPromiseParam{StreamID: s, PromiseID: 2, BlockFragment: f.fields(":path", "/"), EndHeaders: true})
		},
		"too long a frame": func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameData, 0, s, make([]byte, mostPayload+1)) },
		"no continuation": func(f *framed, s uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: []byte{0x88}})
			f.WritePing(false, [8]byte{})
		},
		"continuation of none": func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameContinuation, 4, s, []byte{0x88}) },
		"padding beyond": func(f *framed, s uint32) {
			f.head(s, false, ":status", "200")
			f.WriteRawFrame(http2.FrameData, 8, s, []byte{9, 1})
		},
		"odd settings":         func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)) },
		"settings of a stream": func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameSettings, 0, s, nil) },
		"a window of nothing":  func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)) },
		"too large a window": func(f *framed, s uint32) {
			f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff})
		},
		"a short ping":     func(f *framed, s uint32) { f.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) },
		"a short reset":    func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameRSTStream, 0, s, make([]byte, 3)) },
		"a short farewell": func(f *framed, s uint32) { f.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 7)) },
		"endless fields": func(f *framed, s uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: []byte{0x88}})
			for range 6 {
				f.WriteContinuation(s, false, make([]byte, 16000))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			address := frames(t, nil, func(f *framed) {
				f.AllowIllegalWrites = true
				f.eachStream(func(stream uint32) bool {
					spoil(f, stream)
					f.eachStream(func(uint32) bool { return false }) // until it is closed
					return false
				})
			})
			p := get2(address)
			p.Requested, p.Timeout = 3, 5*time.Second
			if r := result(t, p); r.Errors[Malformed] != 3 {
				t.Errorf("done %d, errors %v", r.Done, r.Errors)
			}
		})
	}
}

// A peer that is HTTP/1.1 where HTTP/2 was presumed.
func TestHTTP1WhereHTTP2WasPresumed(t *testing.T) {
	p := get2(scripted(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 24))
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}))
	p.Requested = 3
	if r := result(t, p); r.Errors[Malformed] != 3 {
		t.Errorf("done %d, errors %v", r.Done, r.Errors)
	}
}

// Answers come through a session in whatever pieces: frames of the standard library's framer, cut anywhere.
func FuzzSession(f *testing.F) {
	var sent bytes.Buffer
	framer := http2.NewFramer(&sent, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	for stream := uint32(1); stream < 6; stream += 2 {
		block.Reset()
		encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		encoder.WriteField(hpack.HeaderField{Name: "x", Value: "y"})
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
		framer.WriteDataPadded(stream, true, []byte("hello"), []byte{0, 0})
	}
	framer.WriteGoAway(3, 0, nil)
	f.Add(sent.Bytes(), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		if len(text) > 1<<14 {
			return
		}
		run := func(piece int) (ends string, failed bool) {
			s := newSession(1, 3, 5000)
			under := map[*job]bool{}
			end := func(j *job, what string) {
				if !under[j] {
					t.Fatalf("a job has ended twice")
				}
				delete(under, j)
				ends += what
			}
			s.finish = func(j *job, status int) { end(j, fmt.Sprintf("%d:%d ", j.message, status)) }
			s.fail = func(j *job, why int) { end(j, fmt.Sprintf("%d failed ", j.message)) }
			s.again = func(j *job) { delete(under, j) } // in no order
			m := &message{fields: []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: "x", Value: "y"}}, body: make([]byte, 300)}
			for i := range 3 {
				j := &job{message: i}
				under[j] = true
				s.send(j, m, 0)
			}
			for rest := text; len(rest) > 0; {
				n := min(piece, len(rest))
				if err := s.feed(rest[:n]); err != nil {
					return ends, true
				}
				rest = rest[n:]
				if len(s.streams) != len(under) {
					t.Fatalf("%d streams of %d jobs", len(s.streams), len(under))
				}
			}
			return ends, false
		}
		whole, failed := run(len(text) + 1)
		pieces, failedToo := run(1 + max(piece, -(piece+1))%64)
		if whole != pieces || failed != failedToo {
			t.Fatalf("as a whole %q (%v), in pieces %q (%v)", whole, failed, pieces, failedToo)
		}
	})
}

// Blocks that leave the table alone are told from those that do not, as the decoder shows: what is plain says the same again.
func FuzzPlainBlock(f *testing.F) {
	f.Add([]byte{0x88, 0x0f, 0x0d, 0x01, 'x'})
	f.Add([]byte{0x40, 0x01, 'a', 0x01, 'b', 0xbe})
	f.Fuzz(func(t *testing.T, block []byte) {
		decode := func(d *hpack.Decoder, b []byte) string {
			fields, err := d.DecodeFull(b)
			return fmt.Sprint(fields, err)
		}
		d := hpack.NewDecoder(4096, nil)
		probe := []byte{0x40, 0x01, 'a', 0x01, 'b', 0x40, 0x01, 'c', 0x01, 'd'}
		decode(d, probe)
		first := decode(d, block)
		if !plainBlock(block) || strings.Contains(first, "error") || strings.Contains(first, "hpack") {
			return
		}
		if again := decode(d, block); again != first {
			t.Fatalf("%x is plain; it said %s and then %s", block, first, again)
		}
		if table := decode(d, []byte{0xbe, 0xbf}); !strings.Contains(table, "c d") && !strings.Contains(table, `"c"`) && !strings.Contains(table, "c = ") {
			t.Fatalf("%x is plain and changed the table: %s", block, table)
		}
	})
}

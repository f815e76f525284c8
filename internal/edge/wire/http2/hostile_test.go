package http2

import (
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	framing "golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/exchange"
)

// attacker is a peer that sends as fast as it is let, from a goroutine of its own, and reads what comes meanwhile only if it wants to.
// The attack is over when the connection is.
type attacker struct {
	*peer
	place *place
	peak  uint64 // of the heap, in bytes, above what it was before
}

// attack connects, makes sure that all is well, and floods with what next returns until it is cut off.
func attack(t *testing.T, set *Settings, handler exchange.Handler, reads bool, next func(c *peer, i int)) *attacker {
	t.Helper()
	if handler == nil {
		handler = answering(hello)
	}
	p := serve(t, set, handler)
	c := connect(t, p)
	c.until("the settings", func() bool { return c.acks > 0 })
	a := &attacker{peer: c, place: p}
	before := heap()
	over := make(chan struct{})
	var stop atomic.Bool
	go func() {
		defer close(over)
		for i := 0; i < 1_000_000 && !stop.Load(); i++ {
			c.nc.SetWriteDeadline(time.Now().Add(patience))
			if next(c, i); c.cut.Load() {
				return
			}
		}
	}()
	if reads {
		c.nc.SetReadDeadline(time.Now().Add(patience))
		for !c.closed {
			if !c.read() {
				t.Fatalf("the attack is not ended; goaways %v", c.goAways)
			}
		}
	} else {
		<-over
		c.end()
	}
	stop.Store(true)
	c.nc.Close()
	<-over
	if now := heap(); now > before {
		a.peak = now - before
	}
	if a.peak > 8<<20 {
		t.Errorf("the heap has grown by %d KiB", a.peak>>10)
	}
	return a
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ended checks what the client was told, and that it was one of the guards.
func (a *attacker) ended(t *testing.T, code Code, guards ...Guard) {
	t.Helper()
	told := ""
	if len(a.goAways) > 0 {
		told, _, _ = strings.Cut(a.goAways[len(a.goAways)-1], " ")
	}
	if told != code.String() {
		t.Errorf("the client was told %q, want %q", told, code)
	}
	if a.place.set.Stats.GoAways(code) != 1 {
		t.Errorf("%s is not counted", code)
	}
	struck := 0
	for _, g := range Guards() {
		got := a.place.set.Stats.Guarded(g)
		if struck += int(got); got > 0 && !slices.Contains(guards, g) {
			t.Errorf("guard %s struck", g)
		}
	}
	if struck != 1 {
		t.Errorf("guards have ended %d connections", struck)
	}
}

// Streams opened and reset at once: the work is bounded by the streams allowed, and the game by a budget.
func TestRapidReset(t *testing.T) {
	var running, most atomic.Int64
	var served atomic.Int64
	a := attack(t, roomy(), handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		served.Add(1)
		c.Decode(x)
		for !c.Gone(x) {
			runtime.Gosched()
		}
		running.Add(-1)
	}), true, func(c *peer, i int) {
		c.get(uint32(2*i + 1))
		c.framer.WriteRSTStream(uint32(2*i+1), framing.ErrCodeCancel)
	})
	a.ended(t, EnhanceYourCalm, GuardResets, GuardControl)
	if most.Load() > 128 {
		t.Errorf("%d streams were worked on at once", most.Load())
	}
	if served.Load() > 3*maxResets {
		t.Errorf("%d streams were served before it was noticed", served.Load())
	}
}

// A client that makes us reset its streams does the same thing in another way.
func TestProvokedResets(t *testing.T) {
	wait := handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		c.Decode(x)
		readAll(x.Request.Body)
	})
	a := attack(t, roomy(), wait, true, func(c *peer, i int) {
		c.post(uint32(2*i + 1))
		c.framer.WriteWindowUpdate(uint32(2*i+1), 0)
	})
	a.ended(t, EnhanceYourCalm, GuardResets, GuardControl)
	a = attack(t, roomy(), wait, true, func(c *peer, i int) {
		c.post(uint32(2*i+1), "content-length", "1")
		c.framer.WriteData(uint32(2*i+1), false, []byte("too much"))
	})
	a.ended(t, EnhanceYourCalm, GuardResets, GuardControl)
	a = attack(t, roomy(), wait, true, func(c *peer, i int) { c.get(uint32(2*i+1), "Upper", "case") })
	a.ended(t, EnhanceYourCalm, GuardResets)
}

// A client may cancel now and then, if it also lets streams be completed.
func TestResetsWithWork(t *testing.T) {
	p := serve(t, roomy(), handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		c.Decode(x)
		if x.Request.Method == "POST" {
			for !c.Gone(x) {
				runtime.Gosched()
			}
			return
		}
		hello(x)
		c.Encode(x)
	}))
	c := connect(t, p)
	for i := range uint32(3 * maxResets) {
		c.post(4*i + 1)
		c.framer.WriteRSTStream(4*i+1, framing.ErrCodeCancel)
		c.get(4*i + 3)
		if got := c.outcome(4*i + 3); got != "200" {
			t.Fatalf("after %d resets: %s", i, got)
		}
	}
}

// A header block without end, in large pieces, small ones and empty ones.
func TestContinuationFlood(t *testing.T) {
	for name, size := range map[string]int{"large": 16 << 10, "small": 1, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			piece := make([]byte, size)
			a := attack(t, roomy(), nil, true, func(c *peer, i int) {
				if i == 0 {
					c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(":method", "GET")})
				}
				c.framer.WriteContinuation(1, false, piece)
			})
			a.ended(t, EnhanceYourCalm, GuardContinuation)
		})
	}
}

// Frames that carry nothing, replied to or not, read or not.
func TestControlFloods(t *testing.T) {
	floods := map[string]func(c *peer, i int){
		"ping":          func(c *peer, i int) { c.framer.WritePing(false, [8]byte{}) },
		"ping ack":      func(c *peer, i int) { c.framer.WritePing(true, [8]byte{}) },
		"settings":      func(c *peer, i int) { c.framer.WriteSettings() },
		"settings ack":  func(c *peer, i int) { c.framer.WriteSettingsAck() },
		"priority":      func(c *peer, i int) { c.framer.WritePriority(uint32(2*i+1), framing.PriorityParam{}) },
		"window update": func(c *peer, i int) { c.framer.WriteWindowUpdate(0, 1) },
		"unknown":       func(c *peer, i int) { c.write(appendHeader(nil, 0, 0xfe, 0, 0)) },
		"goaway":        func(c *peer, i int) { c.framer.WriteGoAway(0, 0, nil) },
		"reset": func(c *peer, i int) {
			if i == 0 {
				c.get(1)
			}
			c.framer.WriteRSTStream(1, 0)
		},
		"empty data": func(c *peer, i int) {
			if i == 0 {
				c.post(1)
			}
			c.framer.WriteData(1, false, nil)
		},
		"padding": func(c *peer, i int) {
			if i == 0 {
				c.post(1)
			}
			c.framer.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		},
		"window of a stream": func(c *peer, i int) {
			if i == 0 {
				c.post(1)
			}
			c.framer.WriteWindowUpdate(1, 1)
		},
		"initial window": func(c *peer, i int) {
			c.framer.WriteSettings(framing.Setting{ID: framing.SettingInitialWindowSize, Val: uint32(i % 2)})
		},
	}
	for name, next := range floods {
		for _, reads := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				hold := make(chan struct{})
				defer close(hold)
				a := attack(t, roomy(), answering(func(x *exchange.Exchange) {
					if x.Request.Body != nil {
						readAll(x.Request.Body)
					}
					hello(x)
				}), reads, next)
				a.ended(t, EnhanceYourCalm, GuardControl)
			})
		}
	}
}

// Streams beyond those allowed cost a refusal each, and in the end the connection.
func TestStreamFlood(t *testing.T) {
	set := roomy()
	set.Streams = 10
	a := attack(t, set, handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		c.Decode(x)
		for !c.Gone(x) {
			time.Sleep(time.Millisecond)
		}
	}), true, func(c *peer, i int) { c.get(uint32(2*i + 1)) })
	a.ended(t, EnhanceYourCalm, GuardControl)
	if opened := a.place.set.Stats.Streams.Load() - a.place.set.Stats.Refused.Load(); opened != 10 {
		t.Errorf("%d streams were opened", opened)
	}
}

// A reply for each, none of them read, and each paid for by a stream that is completed: the queue of replies has an end.
func TestUnreadReplies(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress = patience
	p := serve(t, set, answering(func(x *exchange.Exchange) { x.Respond(200, "", make([]byte, 60<<10)) }))
	c := connect(t, p, framing.Setting{ID: framing.SettingInitialWindowSize, Val: maxWindow})
	c.framer.WriteWindowUpdate(0, maxWindow-firstWindow)
	c.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	id := uint32(1)
	ping := appendHeader(nil, 8, framePing, 0, 0)
	ping = append(ping, make([]byte, 8)...)
	for i := 0; p.set.Stats.Guarded(GuardQueue)+p.set.Stats.Guarded(GuardControl) == 0; i++ {
		if i%100 == 0 && i < 100_000 {
			c.get(id)
			id += 2
		}
		if _, err := c.nc.Write(ping); err != nil {
			break
		}
	}
	if p.set.Stats.Guarded(GuardQueue)+p.set.Stats.Guarded(GuardControl) != 1 {
		t.Error("no guard has ended the connection")
	}
	c.nc.Close()
}

// Header blocks that are small on the wire and large behind it.
func TestHeaderBomb(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	c := connect(t, p)
	big := strings.Repeat("a", 3000)
	c.get(1, "bomb", big) // is in the table now
	if got := c.outcome(1); got != "200" {
		t.Fatalf("got %s", got)
	}
	before := heap()
	block := c.encode(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "example.com")
	for range 10_000 {
		block = append(block, 0x80|62) // the newest entry of the table
	}
	block[len(block)-1] = 0x80 | 2 // a pseudo field, which nobody looks at any more
	c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: 3, BlockFragment: block, EndStream: true, EndHeaders: true})
	if got := c.outcome(3); got != "431" {
		t.Errorf("30 MB in 10 KB: %s", got)
	}
	var many []string
	for range 5000 {
		many = append(many, "a", "")
	}
	c.get(5, many...)
	if got := c.outcome(5); got != "431" {
		t.Errorf("5000 small fields: %s", got)
	}
	c.get(7)
	if got := c.outcome(7); got != "200" {
		t.Errorf("after the bombs: %s", got)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
}

// A string longer than any block may be, and a table larger than was offered.
func TestCompressionLimits(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	f := func(want string, block []byte) {
		t.Helper()
		c := connect(t, p)
		c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true, EndHeaders: true})
		if got := c.end(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("compression_error 1", appendInt(nil, 0x20, 5, tableSize+1))
	f("compression_error 1", appendInt(nil, 0x20, 5, 1<<30))
	f("compression_error 1", []byte{0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f("compression_error 1", []byte{0xff, 0xff, 0xff, 0x01})
	f("compression_error 1", []byte{0x80})
	f("enhance_your_calm 1", appendInt([]byte{0x00}, 0, 7, 1<<20))
}

// A preface, a frame and a header block must be complete in time, and settings be acknowledged.
func TestDrips(t *testing.T) {
	set := roomy()
	set.Timeouts.Header = 40 * time.Millisecond
	p := serve(t, set, answering(hello))
	f := func(want string, c *peer, begin []byte) {
		t.Helper()
		c.silent = true
		c.write(begin)
		if got := c.end(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("enhance_your_calm 0", reach(t, p), []byte(preface[:10]))
	f("enhance_your_calm 0", reach(t, p), []byte(preface))
	f("enhance_your_calm 0", reach(t, p), append([]byte(preface), 0, 0))
	c := connect(t, p)
	f("enhance_your_calm 0", c, appendHeader(nil, 1, frameHeaders, 0, 1)[:8])
	c = connect(t, p)
	f("enhance_your_calm 1", c, append(appendHeader(nil, 1, frameHeaders, 0, 1), 0x82))
	c = connect(t, p)
	f("settings_timeout 0", c, nil)
	if got := p.set.Stats.Guarded(GuardHeaderTime); got != 5 {
		t.Errorf("%d connections were ended for dripping", got)
	}
	// Drips that come in time change nothing.
	c = connect(t, p)
	c.silent = true
	c.write(appendHeader(nil, 1, frameHeaders, 0, 1))
	c.write([]byte{0x82})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for !c.cut.Load() {
			c.write(appendHeader(nil, 0, frameContinuation, 0, 1))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if got := c.end(); got != "enhance_your_calm 1" {
		t.Errorf("a block in empty pieces: %s", got)
	}
	c.nc.Close()
	<-over
}

// Breaches of the protocol end the connection with the code that says which.
func TestBreaches(t *testing.T) {
	p := serve(t, roomy(), answering(reading))
	f := func(want string, send func(c *peer)) {
		t.Helper()
		c := connect(t, p)
		send(c)
		if got := c.end(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	frame := func(k kind, flags uint8, id uint32, payload ...byte) func(c *peer) {
		return func(c *peer) { c.write(append(appendHeader(nil, len(payload), k, flags, id), payload...)) }
	}
	be := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	f("protocol_error 0", frame(frameData, 0, 0))
	f("protocol_error 0", frame(frameHeaders, 4, 0))
	f("protocol_error 0", frame(frameHeaders, 4, 2))
	f("protocol_error 0", frame(framePush, 4, 1, 0, 0, 0, 2))
	f("protocol_error 0", frame(frameContinuation, 4, 1))
	f("protocol_error 0", frame(frameSettings, 0, 1))
	f("protocol_error 0", frame(framePing, 0, 1, make([]byte, 8)...))
	f("protocol_error 0", frame(frameGoAway, 0, 1, make([]byte, 8)...))
	f("protocol_error 0", frame(frameReset, 0, 1, be(0)...))
	f("protocol_error 0", frame(frameWindow, 0, 1, be(1)...))
	f("protocol_error 0", frame(frameWindow, 0, 0, be(0)...))
	f("protocol_error 0", frame(framePriority, 0, 1, 0, 0, 0, 1, 0))
	f("protocol_error 0", frame(frameData, 0, 1, 1))
	f("flow_control_error 0", frame(frameWindow, 0, 0, be(maxWindow)...))
	f("frame_size_error 0", frame(frameWindow, 0, 0, 0))
	f("frame_size_error 0", frame(framePing, 0, 0, 0))
	f("frame_size_error 0", frame(frameReset, 0, 1, 0))
	f("frame_size_error 0", frame(framePriority, 0, 1, 0))
	f("frame_size_error 0", frame(frameSettings, 0, 0, 0))
	f("frame_size_error 0", frame(frameSettings, flagAck, 0, make([]byte, 6)...))
	f("enhance_your_calm 0", frame(frameSettings, 0, 0, make([]byte, maxSettings+6)...))
	f("frame_size_error 0", func(c *peer) { c.write(appendHeader(nil, frameSize+1, frameHeaders, 4, 1)) })
	f("frame_size_error 0", func(c *peer) { c.write(appendHeader(nil, 1<<24-1, 0xfe, 0, 0)) })
	f("frame_size_error 1", func(c *peer) {
		c.post(1)
		frame(frameData, flagPadded, 1)(c)
	})
	f("protocol_error 1", func(c *peer) {
		c.post(1)
		frame(frameData, flagPadded, 1, 1)(c)
	})
	f("frame_size_error 0", frame(frameHeaders, flagPadded|flagEndHeaders, 1))
	f("protocol_error 0", frame(frameHeaders, flagPadded|flagEndHeaders, 1, 1))
	f("frame_size_error 0", frame(frameHeaders, flagPriority|flagEndHeaders, 1, 0, 0, 0, 0))
	f("protocol_error 1", func(c *peer) {
		frame(frameHeaders, 0, 1, 0x82)(c)
		c.framer.WritePing(false, [8]byte{})
	})
	f("protocol_error 1", func(c *peer) {
		frame(frameHeaders, 0, 1, 0x82)(c)
		frame(frameContinuation, 4, 3)(c)
	})
	f("stream_closed 1", func(c *peer) {
		c.get(1)
		c.done(1)
		c.get(1)
	})
	for _, bad := range []framing.Setting{{ID: 2, Val: 2}, {ID: 5, Val: 100}, {ID: 5, Val: 1 << 24}, {ID: 8, Val: 2}} {
		f("protocol_error 0", func(c *peer) { c.framer.WriteSettings(bad) })
	}
	f("flow_control_error 0", func(c *peer) { c.framer.WriteSettings(framing.Setting{ID: 4, Val: 1 << 31}) })
	f("flow_control_error 1", func(c *peer) {
		c.post(1)
		c.framer.WriteWindowUpdate(1, maxWindow-firstWindow)
		c.framer.WriteSettings(framing.Setting{ID: 4, Val: maxWindow})
	})
	alone := func(want, first string) {
		t.Helper()
		c := reach(t, p)
		c.silent = true
		c.write([]byte(first))
		if got := c.end(); got != want {
			t.Errorf("%q: got %q, want %q", first, got, want)
		}
	}
	alone("protocol_error 0", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	alone("protocol_error 0", preface[:23]+"x")
	alone("protocol_error 0", preface+string(appendHeader(nil, 0, frameSettings, flagAck, 0)))
	alone("protocol_error 0", preface+string(appendHeader(nil, 8, framePing, 0, 0))+"12345678")

	// And these end a stream only.
	g := func(want string, send func(c *peer)) {
		t.Helper()
		c := connect(t, p)
		c.post(1)
		send(c)
		s := c.stream(1)
		c.until("the reset", func() bool { return s.reset != "" })
		if s.reset != want {
			t.Errorf("got %q, want %q", s.reset, want)
		}
		c.get(3)
		if got := c.outcome(3); got != "200" {
			t.Errorf("another stream: %s", got)
		}
	}
	g("stream_closed", func(c *peer) { c.framer.WriteData(1, true, nil); c.framer.WriteData(1, true, nil) })
	g("stream_closed", func(c *peer) { c.framer.WriteData(1, true, nil); c.done(1); c.framer.WriteData(1, true, nil) })
	g("protocol_error", func(c *peer) { c.framer.WriteWindowUpdate(1, 0) })
	g("flow_control_error", func(c *peer) { c.framer.WriteWindowUpdate(1, maxWindow) })
	g("protocol_error", func(c *peer) { c.ask(1, true, ":status", "200") })
}

package http2

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	framing "golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// A response goes out as the client's windows allow: the stream's, the connection's, and the first one's later changes.
func TestSendWindows(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) { x.Respond(200, "", []byte(text)) }))
	window := framing.Setting{ID: framing.SettingInitialWindowSize, Val: 10}
	c := connect(t, p, window)
	c.get(1)
	s := c.stream(1)
	has := func(n int) {
		t.Helper()
		c.until(fmt.Sprint(n, " bytes"), func() bool { return s.data.Len() >= n })
		c.roundTrip()
		if s.data.Len() != n {
			t.Fatalf("got %d bytes, want %d", s.data.Len(), n)
		}
	}
	has(10)
	c.framer.WriteWindowUpdate(1, 5)
	has(15)
	window.Val = 20
	c.framer.WriteSettings(window)
	has(25)
	window.Val = 0 // the stream's window is below nothing now
	c.framer.WriteSettings(window)
	c.framer.WriteWindowUpdate(1, 20)
	has(25)
	c.framer.WriteWindowUpdate(1, 5)
	has(30)
	c.framer.WriteWindowUpdate(1, 1<<20)
	has(firstWindow)
	c.framer.WriteWindowUpdate(0, 1)
	has(firstWindow + 1)
	c.framer.WriteWindowUpdate(0, 1<<20)
	c.done(1)
	if s.data.String() != text {
		t.Error("the response is not what was sent")
	}
	if s.heads[0] == "" || p.set.Stats.Streams.Load() != 1 {
		t.Errorf("got %q, %d streams", s.heads, p.set.Stats.Streams.Load())
	}
}

// Streams share the window of the connection, and each gets on.
func TestStreamsShareTheConnection(t *testing.T) {
	text := strings.Repeat("a", 100<<10)
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) { x.Respond(200, "", []byte(text)) }))
	c := connect(t, p, framing.Setting{ID: framing.SettingInitialWindowSize, Val: 1 << 20})
	const streams = 20
	for i := range uint32(streams) {
		c.get(2*i + 1)
	}
	taken := 0
	c.until("all", func() bool {
		total, done := 0, 0
		for _, s := range c.streams {
			total += s.data.Len()
			if s.ended {
				done++
			}
		}
		if total > taken {
			c.framer.WriteWindowUpdate(0, uint32(total-taken))
			taken = total
		}
		return done == streams
	})
	for id, s := range c.streams {
		if s.data.String() != text {
			t.Errorf("stream %d: %d bytes", id, s.data.Len())
		}
	}
}

// outcomes keeps how exchanges end.
type outcomes chan string

func (o outcomes) handler(answer func(x *exchange.Exchange)) exchange.Handler {
	inner := answering(answer)
	return handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		inner.Serve(c, x)
		word := "none"
		if x.Fault != nil {
			word = x.Fault.Kind.Word
		}
		o <- fmt.Sprintf("%s %s in=%d out=%d", x.End, word, x.Bytes.In, x.Bytes.Out)
	})
}

func (o outcomes) is(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-o:
		if !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Errorf("no exchange ended; want %q", want)
	}
}

// Bytes are counted with their frames, for the stream they belong to.
func TestBytesAreCounted(t *testing.T) {
	o := make(outcomes, 4)
	p := serve(t, roomy(), o.handler(func(x *exchange.Exchange) {
		readAll(x.Request.Body)
		x.Respond(200, "", []byte("12345"))
		x.Response.Header.Append(exchange.Date, "Date", "now")
	}))
	c := connect(t, p)
	block := c.encode(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a")
	c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true})
	c.framer.WriteData(1, true, []byte("123"))
	// HEADERS with :status, date and content-length, behind the byte that says our encoder has no table, and DATA.
	o.is(t, fmt.Sprintf("completed none in=%d out=%d", 9+len(block)+9+3, 9+1+1+6+4+9+5))
	block = c.encode(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a")
	c.framer.WriteHeaders(framing.HeadersFrameParam{StreamID: 3, BlockFragment: block, EndHeaders: true})
	c.framer.WriteData(3, true, []byte("123"))
	o.is(t, fmt.Sprintf("completed none in=%d out=%d", 9+len(block)+9+3, 9+1+6+4+9+5)) // which is said once
}

// A client that holds its window shut loses the stream, and nothing else.
func TestZeroWindowHold(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress = 40 * time.Millisecond
	o := make(outcomes, 4)
	p := serve(t, set, o.handler(hello))
	c := connect(t, p, framing.Setting{ID: framing.SettingInitialWindowSize, Val: 0})
	c.get(1)
	s := c.done(1)
	if s.reset != "cancel" || s.status() != "200" {
		t.Errorf("got %q, %q", s.status(), s.reset)
	}
	o.is(t, "client_gone client_slow")
	c.framer.WriteSettings(framing.Setting{ID: framing.SettingInitialWindowSize, Val: 1000})
	c.get(3)
	if got := c.done(3).data.String(); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	o.is(t, "completed none")
}

// A client that does not read at all loses the connection; all that was waited for ends.
func TestUnreadConnection(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress = 50 * time.Millisecond
	text := make([]byte, 8<<20)
	o := make(outcomes, 64)
	p := serve(t, set, o.handler(func(x *exchange.Exchange) { x.Respond(200, "", text) }))
	c := connect(t, p, framing.Setting{ID: framing.SettingInitialWindowSize, Val: maxWindow})
	c.framer.WriteWindowUpdate(0, maxWindow-firstWindow)
	for i := range uint32(8) {
		c.get(2*i + 1)
	}
	for range 8 {
		o.is(t, "client_gone client_slow")
	}
}

// What a client has reset is told to whoever works on it, and nothing more is sent.
func TestResetByClient(t *testing.T) {
	gone := make(chan bool, 1)
	o := make(outcomes, 4)
	entered := make(chan struct{})
	p := serve(t, roomy(), handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		o.handler(func(x *exchange.Exchange) {
			close(entered)
			for !c.Gone(x) {
				time.Sleep(time.Millisecond)
			}
			gone <- true
			hello(x)
		}).Serve(c, x)
	}))
	c := connect(t, p)
	c.get(1)
	<-entered
	c.framer.WriteRSTStream(1, framing.ErrCodeCancel)
	<-gone
	o.is(t, "client_gone client_gone")
	c.roundTrip()
	if s := c.streams[1]; s != nil {
		t.Errorf("something was sent: %+v", s)
	}
	if got := p.set.Stats.ResetsReceived.Load(); got != 1 {
		t.Errorf("%d resets were counted", got)
	}
}

// A stream that is reset before anything was done for it never reaches the handler.
func TestResetAtOnce(t *testing.T) {
	var served atomic.Int64
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		served.Add(1)
		hello(x)
	}))
	c := connect(t, p)
	block := c.encode(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a")
	var both []byte
	for id := uint32(1); id < 20; id += 2 {
		both = append(appendHeader(both, len(block), frameHeaders, flagEndHeaders|flagEndStream, id), block...)
		both = appendReset(both, id, Cancel)
	}
	c.write(both)
	c.get(21)
	if got := c.outcome(21); got != "200" || served.Load() != 1 {
		t.Errorf("got %s, %d streams were served", got, served.Load())
	}
}

// A client that raises the window in dribs and drabs is below the rate that is asked for.
func TestMinRateOfResponses(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress, set.Timeouts.MinRate = 100*time.Millisecond, 1<<20
	o := make(outcomes, 1)
	p := serve(t, set, o.handler(func(x *exchange.Exchange) { x.Respond(200, "", make([]byte, 1<<20)) }))
	c := connect(t, p, framing.Setting{ID: framing.SettingInitialWindowSize, Val: 1})
	c.until("the settings", func() bool { return c.acks > 0 })
	c.get(1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for !c.cut.Load() {
			c.framer.WriteWindowUpdate(1, 1)
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if s := c.done(1); s.reset != "cancel" {
		t.Errorf("got %q", s.reset)
	}
	o.is(t, "client_gone client_slow")
	c.nc.Close()
	<-over
}

// A response's header may be larger than what waits to be written, while others raise windows: that is nobody's flood.
func TestLargeHeads(t *testing.T) {
	value := strings.Repeat("v", 60<<10)
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		readAll(x.Request.Body)
		x.Respond(200, "", nil)
		x.Response.Header.Add("X-Long", value)
	}))
	c := connect(t, p)
	id := uint32(1)
	for range 10 {
		first := id
		for range 50 {
			c.post(id)
			c.framer.WriteData(id, true, make([]byte, 1000))
			id += 2
		}
		for ; first < id; first += 2 {
			if got := c.outcome(first); got != "200" {
				t.Fatalf("stream %d: %s", first, got)
			}
		}
	}
}

// A response that is complete before the request is ends the stream without an error.
func TestEarlyAnswer(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	c := connect(t, p)
	c.post(1)
	s := c.stream(1)
	c.until("the reset", func() bool { return s.reset != "" })
	if s.data.String() != "hello\n" || !s.ended || s.reset != "no_error" {
		t.Errorf("got %q, %v, %q", s.data.String(), s.ended, s.reset)
	}
	c.framer.WriteData(1, false, []byte("late")) // on its way all the while
	c.ask(1, true, "late", "too")
	c.get(3)
	if got := c.outcome(3); got != "200" || len(c.goAways) > 0 {
		t.Errorf("got %s, %v", got, c.goAways)
	}
}

// More streams than announced are refused, and those that are still being worked on count although the client has reset them.
func TestStreamsAreLimited(t *testing.T) {
	set := roomy()
	set.Streams = 4
	var running atomic.Int64
	hold := make(chan struct{})
	p := serve(t, set, answering(func(x *exchange.Exchange) {
		running.Add(1)
		<-hold
		hello(x)
	}))
	c := connect(t, p)
	for id := uint32(1); id <= 7; id += 2 {
		c.get(id)
	}
	c.get(9)
	if got := c.outcome(9); got != "refused_stream" || c.set[framing.SettingMaxConcurrentStreams] != 4 {
		t.Errorf("got %s with %d announced", got, c.set[framing.SettingMaxConcurrentStreams])
	}
	c.framer.WriteRSTStream(1, framing.ErrCodeCancel)
	c.framer.WriteRSTStream(3, framing.ErrCodeCancel)
	c.get(11)
	if got := c.outcome(11); got != "refused_stream" {
		t.Errorf("beyond those being worked on: %s", got)
	}
	if got := running.Load(); got != 4 {
		t.Errorf("%d were being worked on", got)
	}
	close(hold)
	for id := uint32(5); id <= 7; id += 2 {
		if got := c.outcome(id); got != "200" {
			t.Errorf("stream %d: %s", id, got)
		}
	}
	if got := p.set.Stats.Refused.Load(); got != 2 {
		t.Errorf("%d refusals were counted", got)
	}
}

// A session without a stream lets itself be parked after a while, at once when the listener is crowded, and goes on where it was.
func TestIdle(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	c := connect(t, p)
	c.get(1, "x-indexed", "by hpack")
	c.done(1)
	wait := func(n int64) {
		t.Helper()
		for by := time.Now().Add(patience); p.idle.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(by) {
				t.Fatal("the session does not rest")
			}
		}
	}
	wait(1)
	c.get(3, "x-indexed", "by hpack")
	if got := c.outcome(3); got != "200" {
		t.Errorf("after a rest: %s", got)
	}
	p.gate.crowded.Store(true)
	began := time.Now()
	for i := range uint32(10) {
		c.get(5 + 2*i)
		c.done(5 + 2*i)
		wait(2 + int64(i))
	}
	if took := time.Since(began); took > 5*time.Second { // it would be ten, if each were only noticed by looking at the clock
		t.Errorf("a session of a crowded listener rested ten times in %v", took)
	}
}

// A session that is part of the way through a frame does not rest.
func TestNoRestWithinAFrame(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	p.gate.crowded.Store(true)
	c := connect(t, p)
	c.get(1)
	c.done(1)
	block := c.encode(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a")
	frame := append(appendHeader(nil, len(block), frameHeaders, flagEndHeaders|flagEndStream, 3), block...)
	for i := range frame {
		c.write(frame[i : i+1])
		if i == 5 || i == 12 {
			c.framer.WritePing(false, [8]byte{}) // is not one: it lies within the frame
			break
		}
	}
	rested := p.idle.Load()
	time.Sleep(2 * time.Millisecond)
	if p.idle.Load() != rested {
		t.Error("the session rests in the middle of a frame")
	}
}

// When the listener goes away streams under way are completed, those the client was just opening are served, and later ones are
// refused so that it may send them again elsewhere.
func TestDrain(t *testing.T) {
	hold := make(chan struct{})
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		if x.Request.Path == "/hold" {
			<-hold
		}
		hello(x)
	}))
	c := connect(t, p)
	c.ask(1, true, ":method", "GET", ":scheme", "http", ":path", "/hold", ":authority", "a")
	c.roundTrip()
	p.gate.draining.Store(true)
	c.get(3)
	if got := c.outcome(3); got != "200" {
		t.Errorf("a stream opened as the listener goes away: %s", got)
	}
	c.until("the announcement and the last stream", func() bool { return len(c.goAways) == 2 })
	if c.goAways[0] != fmt.Sprintf("no_error %d", maxWindow) || c.goAways[1] != "no_error 3" {
		t.Errorf("got %v", c.goAways)
	}
	c.get(5)
	if got := c.outcome(5); got != "refused_stream" {
		t.Errorf("a stream opened after the last: %s", got)
	}
	close(hold)
	if got := c.outcome(1); got != "200" {
		t.Errorf("the stream under way: %s", got)
	}
	if got := c.end(); got != "no_error 3" {
		t.Errorf("the connection ended with %s", got)
	}
}

// A fault that wants the connection closed has it drained, although nothing else is wrong: what was under way is completed.
func TestFaultThatCloses(t *testing.T) {
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release() // also when the test fails
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		if x.Request.Path == "/hold" {
			<-hold
			hello(x)
			return
		}
		x.Fail(&fault.Fault{Kind: fault.Banned, Close: x.Request.Path == "/close"})
		x.Respond(403, "text/plain", []byte("no\n"))
	}))
	c := connect(t, p)
	c.ask(1, true, ":method", "GET", ":scheme", "http", ":path", "/hold", ":authority", "a")
	c.get(3)
	if got := c.outcome(3); got != "403" {
		t.Errorf("a fault: %s", got)
	}
	c.roundTrip()
	if len(c.goAways) != 0 {
		t.Errorf("a fault that leaves the connection to others: %v", c.goAways)
	}
	c.ask(5, true, ":method", "GET", ":scheme", "http", ":path", "/close", ":authority", "a")
	if got := c.outcome(5); got != "403" {
		t.Errorf("a fault that closes: %s", got)
	}
	c.until("the last stream", func() bool { return len(c.goAways) == 2 })
	c.get(7)
	if got := c.outcome(7); got != "refused_stream" {
		t.Errorf("a stream opened after the last: %s", got)
	}
	release()
	if got := c.outcome(1); got != "200" {
		t.Errorf("the stream under way: %s", got)
	}
	if got := c.end(); got != "no_error 5" {
		t.Errorf("the connection ended with %s", got)
	}
}

// An idle connection is drained in the same way.
func TestDrainIdle(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	c := connect(t, p)
	c.get(1)
	c.done(1)
	p.gate.draining.Store(true)
	if got := c.end(); got != "no_error 1" || len(c.goAways) != 2 {
		t.Errorf("got %v", c.goAways)
	}
}

// A client that does not answer the ping of the announcement is not waited for for long.
func TestDrainSilentClient(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	p.gate.draining.Store(true)
	c := reach(t, p)
	c.silent = true
	if got := c.end(); got != "no_error 0" {
		t.Errorf("got %v", c.goAways)
	}
}

// A session that is closed while it rests tells the client what was served, so that it knows what it may send again.
func TestGoodbye(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	p.gate.crowded.Store(true)
	c := connect(t, p)
	c.get(1)
	c.get(3)
	c.done(3)
	p.leave.Store(true)
	if got := c.end(); got != "no_error 3" || c.stream(3).status() != "200" {
		t.Errorf("got %v", c.goAways)
	}
}

// A handler that panics costs its connection; who serves the connection hears of it, when all streams are done.
func TestPanic(t *testing.T) {
	p := serve(t, roomy(), answering(func(*exchange.Exchange) { panic("a mistake") }))
	p.clumsy.Store(true)
	c := connect(t, p)
	c.get(1)
	c.end()
	select {
	case got := <-p.panics:
		if !strings.HasPrefix(fmt.Sprint(got), "a mistake\n") {
			t.Errorf("got %v", got)
		}
	case <-time.After(patience):
		t.Error("nobody heard of it")
	}
}

// Of a fault that cannot be answered the client sees a reset.
func TestUnanswered(t *testing.T) {
	o := make(outcomes, 1)
	p := serve(t, roomy(), handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		c.Decode(x)
		x.Fail(fault.New(fault.ClientGone, nil))
		c.Encode(x)
		o <- "unanswered"
	}))
	c := connect(t, p)
	c.get(1)
	if got := c.outcome(1); got != "internal_error" {
		t.Errorf("got %s", got)
	}
	o.is(t, "unanswered")
}

// TestEarlyAnswerToLittle: what is missing of a short content is let come, instead of resetting a stream whose answer is complete, and a
// trailer section behind it too. As many streams as there may be are over before their client knows.
func TestEarlyAnswerToLittle(t *testing.T) {
	p := serve(t, roomy(), answering(hello))
	c := connect(t, p)
	const streams = 100
	for round := range 5 {
		id := func(i int) uint32 { return uint32(2*(round*streams+i) + 1) }
		for i := range streams {
			c.post(id(i), "content-length", "10")
		}
		for i := range streams {
			if got := c.outcome(id(i)); got != "200" {
				t.Fatalf("got %q", got)
			}
		}
		for i := range streams {
			c.framer.WriteData(id(i), false, []byte("01234"))
			if c.framer.WriteData(id(i), i%2 == 0, []byte("56789")); i%2 == 1 {
				c.ask(id(i), true, "x-sum", "1")
			}
		}
		c.roundTrip()
	}
	if got := p.set.Stats.ResetsSent.Load(); got != 0 || len(c.goAways) > 0 {
		t.Errorf("%d streams were reset, %v", got, c.goAways)
	}
}

// TestContentForStreamsThatAreOver is bounded by their windows, which nobody raises any more.
func TestContentForStreamsThatAreOver(t *testing.T) {
	f := func(name string, fields ...string) {
		t.Helper()
		set := roomy()
		p := serve(t, set, answering(hello))
		c := connect(t, p)
		c.post(1, fields...)
		c.done(1)
		run := make([]byte, 16<<10)
		for sent := int64(0); sent <= set.streamWindow(); sent += int64(len(run)) {
			c.framer.WriteData(1, false, run) // an error is seen when reading
		}
		if got := c.end(); got != "flow_control_error 1" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	f("announced", "content-length", "10")
	f("reset")
}

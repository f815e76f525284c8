package http2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	framing "golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// reading answers with what it could read of the content: its length, trailers, and the fault if there was one.
func reading(x *exchange.Exchange) {
	if x.Request.Body == nil {
		x.Respond(200, "", []byte("none"))
		return
	}
	text, err := readAll(x.Request.Body)
	told := fmt.Sprintf("%d", len(text))
	for _, f := range x.Request.Trailer.All() {
		told += " " + f.Name + "=" + f.Value
	}
	if err != nil {
		f := fault.Of(err)
		x.Fail(f)
		x.Respond(max(f.Kind.Status, 500), "", []byte(told+" "+f.Kind.Word))
		return
	}
	x.Respond(200, "", []byte(told))
}

// Content is taken as it comes, however it is framed; where frames and announcements differ the stream is reset.
func TestContent(t *testing.T) {
	set := roomy()
	set.Limits.Body = 100
	p := serve(t, set, answering(reading))
	c := connect(t, p)
	id := uint32(1)
	is := func(want string, send func(), fields ...string) {
		t.Helper()
		c.post(id, fields...)
		send()
		got := c.outcome(id)
		if s := c.stream(id); s.data.Len() > 0 {
			got = s.data.String()
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		id += 2
	}
	data := func(end bool, text string) { c.framer.WriteData(id, end, []byte(text)) }
	trail := func(fields ...string) { c.ask(id, true, fields...) }

	is("5", func() { data(true, "hello") })
	is("5", func() { data(false, "hel"); data(false, "lo"); data(true, "") })
	is("5", func() { data(true, "hello") }, "content-length", "5")
	is("none", func() { data(true, "") }, "content-length", "0")
	is("0", func() { data(true, "") })
	is("3", func() { c.framer.WriteDataPadded(id, true, []byte("abc"), make([]byte, 200)) }, "content-length", "3")
	is("0", func() { c.framer.WriteDataPadded(id, true, nil, make([]byte, 255)) })
	is("3 x-sum=1", func() { data(false, "abc"); trail("x-sum", "1") })
	is("0 x-sum=1", func() { trail("x-sum", "1") })
	is("3 x-sum=1", func() { data(false, "abc"); trail("x-sum", "1") }, "content-length", "3")

	const malformed = "protocol_error"
	is(malformed, func() { data(true, "hell") }, "content-length", "5")
	is(malformed, func() { data(false, "hello!") }, "content-length", "5")
	is(malformed, func() { data(false, "hell"); trail("x-sum", "1") }, "content-length", "5")
	is(malformed, func() { c.ask(id, false, "x-sum", "1") })
	is(malformed, func() { trail(":path", "/") })
	is(malformed, func() { trail("content-length", "0") })
	is(malformed, func() { trail("host", "a") })
	is(malformed, func() { trail("X-Sum", "1") })
	is(malformed, func() { trail("x-sum", "a\r\nb") })
	is(malformed, func() { trail("transfer-encoding", "chunked") })
	is(malformed, func() { trail("x", strings.Repeat("a", maxTrailer)) })

	is(errBodyLimit.Told(), func() {}, "content-length", "101")
	long := strings.Repeat("a", 101)
	c.post(id)
	data(true, long)
	if got := c.done(id); !strings.HasSuffix(got.data.String(), "body_too_large") {
		t.Errorf("got %q", got.data.String())
	}
	id += 2
	is("5", func() { data(true, "hello") })
	if len(c.goAways) > 0 {
		t.Errorf("the connection was ended: %v", c.goAways)
	}
}

// What one client sends ahead of who takes it is bounded for a stream and for the connection, and what was taken lets it send more.
func TestReceiveWindows(t *testing.T) {
	go1 := make(chan struct{})
	set := roomy()
	set.StreamWindow, set.ConnWindow = 64<<10, 100<<10
	p := serve(t, set, answering(func(x *exchange.Exchange) {
		<-go1
		reading(x)
	}))
	c := connect(t, p)
	c.until("the settings", func() bool { return c.granted > 0 })
	if got := c.set[framing.SettingInitialWindowSize]; got != 64<<10 {
		t.Errorf("a stream's window is %d", got)
	}
	if c.granted != 100<<10-firstWindow {
		t.Errorf("the connection's window was raised by %d", c.granted)
	}
	run := make([]byte, 8<<10)
	c.post(1)
	for range 8 {
		c.framer.WriteData(1, false, run)
	}
	close(go1)
	c.until("more window", func() bool { return c.stream(1).granted >= 32<<10 && c.granted >= 150<<10-firstWindow })
	c.framer.WriteData(1, true, nil)
	if got := c.done(1).data.String(); got != "65536" {
		t.Errorf("got %q", got)
	}
}

// A client that sends more than a window allows is stopped, on the stream or the connection.
func TestOverrun(t *testing.T) {
	set := roomy()
	set.StreamWindow, set.ConnWindow = 64<<10, 80<<10
	wait := make(chan struct{})
	p := serve(t, set, answering(func(x *exchange.Exchange) { <-wait; reading(x) }))
	defer close(wait)
	c := connect(t, p)
	c.post(1)
	run := make([]byte, 16<<10)
	for range 5 {
		c.framer.WriteData(1, false, run)
	}
	if got := c.outcome(1); got != "flow_control_error" {
		t.Errorf("a stream that was overrun: %s", got)
	}
	c.post(3)
	for range 5 {
		c.framer.WriteData(3, false, run)
	}
	if got := c.end(); got != "flow_control_error 3" {
		t.Errorf("a connection that was overrun: %s", got)
	}
}

// Content nobody takes, padding included, does not use up the window of the connection.
func TestWindowComesBack(t *testing.T) {
	set := roomy()
	set.StreamWindow, set.ConnWindow = 64<<10, 64<<10
	p := serve(t, set, answering(hello))
	c := connect(t, p)
	sent := int64(0)
	send := func(id uint32, size int) {
		t.Helper()
		c.until("room", func() bool { return sent+int64(size)+256 < c.granted+firstWindow })
		c.framer.WriteDataPadded(id, false, make([]byte, size), make([]byte, 255))
		sent += int64(size) + 256
	}
	for id := uint32(1); sent < 1<<20; id += 2 {
		c.post(id)
		send(id, 1<<10)
		send(id, 8<<10)
		s := c.stream(id)
		c.until("the early answer", func() bool { return s.reset != "" })
		send(id, 8<<10) // late
		send(id, 1<<10)
	}
}

// Padding is given back like content that was taken, on the stream and the connection.
func TestPadding(t *testing.T) {
	set := roomy()
	set.StreamWindow, set.ConnWindow = 64<<10, 64<<10
	p := serve(t, set, answering(reading))
	c := connect(t, p)
	c.post(1)
	s := c.stream(1)
	const run, pad, runs = 1 << 10, 255, 500
	for sent := range int64(runs) {
		c.until("room", func() bool { return (sent+1)*(run+pad+1) <= min(c.granted+firstWindow, s.granted+64<<10) })
		c.framer.WriteDataPadded(1, sent == runs-1, make([]byte, run), make([]byte, pad))
	}
	if got := c.done(1).data.String(); got != fmt.Sprint(runs*run) {
		t.Errorf("got %q", got)
	}
}

// A large upload goes through a small window, and comes out as it went in.
func TestUpload(t *testing.T) {
	set := roomy()
	set.StreamWindow, set.ConnWindow = 64<<10, 64<<10
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(i ^ i>>8 ^ i>>16)
	}
	p := serve(t, set, answering(func(x *exchange.Exchange) {
		got, err := readAll(x.Request.Body)
		x.Respond(200, "", fmt.Appendf(nil, "%v %v", bytes.Equal(got, want), err))
	}))
	c := connect(t, p)
	c.post(1)
	s := c.stream(1)
	for sent := 0; sent < len(want); {
		n := min(len(want)-sent, 1+sent%(16<<10))
		c.until("room", func() bool {
			return int64(sent+n) <= min(c.granted+firstWindow, s.granted+64<<10)
		})
		c.framer.WriteData(1, sent+n == len(want), want[sent:sent+n])
		sent += n
	}
	if got := c.done(1).data.String(); got != "true <nil>" {
		t.Errorf("got %q", got)
	}
}

// A body can be read again as long as all of it that came is still there.
func TestRewind(t *testing.T) {
	set := roomy()
	p := serve(t, set, answering(func(x *exchange.Exchange) {
		body := x.Request.Body.(interface {
			exchange.Body
			exchange.Rewinder
		})
		var told []string
		for range 3 {
			text, err := readAll(body)
			told = append(told, fmt.Sprintf("%d %v", len(text), err == nil))
			if !body.Rewind() {
				told = append(told, "gone")
				break
			}
		}
		x.Respond(200, "", []byte(strings.Join(told, ", ")))
	}))
	c := connect(t, p)
	is := func(id uint32, pieces, size int, want string) {
		t.Helper()
		c.post(id)
		for range pieces {
			c.framer.WriteData(id, false, make([]byte, size))
		}
		c.framer.WriteData(id, true, nil)
		if got := c.done(id).data.String(); got != want {
			t.Errorf("%d times %d bytes: got %q, want %q", pieces, size, got, want)
		}
	}
	is(1, 1, 5, "5 true, 5 true, 5 true")
	is(3, 60, 1000, "60000 true, 60000 true, 60000 true")
	is(5, 100, 1000, "100000 true, gone")
}

// What all streams of a connection keep for being sent again is bounded together.
func TestRewindIsBounded(t *testing.T) {
	set := roomy()
	set.ConnWindow = 100 << 10
	hold := make(chan struct{})
	p := serve(t, set, answering(func(x *exchange.Exchange) {
		text, err := readAll(x.Request.Body)
		again := x.Request.Body.(exchange.Rewinder).Rewind()
		if x.Request.Path == "/hold" {
			<-hold
		}
		x.Respond(200, "", fmt.Appendf(nil, "%d %v %v", len(text), err, again))
	}))
	c := connect(t, p)
	upload := func(id uint32, path string) {
		c.ask(id, false, ":method", "POST", ":scheme", "http", ":path", path, ":authority", "a")
		for sent := 0; sent < 60_000; sent += 10_000 {
			c.framer.WriteData(id, sent == 50_000, make([]byte, 10_000))
		}
	}
	upload(1, "/hold")
	c.until("the first to be taken", func() bool { return c.granted >= 150<<10-firstWindow })
	upload(3, "/")
	if got := c.done(3).data.String(); got != "60000 <nil> false" {
		t.Errorf("got %q", got)
	}
	close(hold)
	if got := c.done(1).data.String(); got != "60000 <nil> true" {
		t.Errorf("got %q", got)
	}
	upload(5, "/")
	if got := c.done(5).data.String(); got != "60000 <nil> true" {
		t.Errorf("got %q", got)
	}
}

// A body is stopped from outside, fails when its client leaves, and is not waited for longer than it makes progress.
func TestBodyEnds(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress = 40 * time.Millisecond
	got := make(chan string, 4)
	p := serve(t, set, handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			t.Error(f)
		}
		if x.Request.Path == "/stop" {
			go c.StopBody()
		}
		_, err := readAll(x.Request.Body)
		f := fault.Of(err)
		_, again := x.Request.Body.Next()
		got <- fmt.Sprint(f.Kind.Word, " ", again == err, " ", c.Gone(x))
		if f.Kind == fault.BodyTimeout {
			x.Respond(f.Kind.Status, "", nil)
		}
		c.Encode(x)
	}))
	is := func(want string) {
		t.Helper()
		if got := <-got; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c := connect(t, p)
	c.ask(1, false, ":method", "POST", ":scheme", "http", ":path", "/stop", ":authority", "a")
	is("internal true false")
	c.post(3)
	is("body_timeout true false")
	if got := c.outcome(3); got != "408" {
		t.Errorf("got %s", got)
	}
	c = connect(t, p)
	c.post(1)
	c.framer.WriteData(1, false, []byte("x"))
	c.roundTrip()
	c.framer.WriteRSTStream(1, framing.ErrCodeCancel)
	is("client_gone true true")
	c.post(3)
	c.framer.WriteData(3, false, []byte("x"))
	c.roundTrip()
	c.nc.Close()
	is("client_gone true true")
}

// A client that sends in dribs and drabs is below the rate that is asked for.
func TestMinRate(t *testing.T) {
	set := roomy()
	set.Timeouts.Progress, set.Timeouts.MinRate = 100*time.Millisecond, 1<<20
	p := serve(t, set, answering(reading))
	c := connect(t, p)
	c.post(1)
	c.until("the settings", func() bool { return c.acks > 0 })
	over := make(chan struct{})
	go func() { // each piece alone is in time
		defer close(over)
		for !c.cut.Load() {
			c.framer.WriteData(1, false, []byte("x"))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if got := c.done(1); !strings.HasSuffix(got.data.String(), " body_timeout") {
		t.Errorf("got %q", got.data.String())
	}
	c.nc.Close()
	<-over
}

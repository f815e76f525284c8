package roundtrip

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/http2"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// What the endpoint is sent is what the client sent, and nothing that the library would make up.
func TestRequest(t *testing.T) {
	got := make(chan []string, 1)
	conn := open(t, nil, func(e *endpoint) {
		for f := e.request(); f != nil; f = e.request() {
			var lines []string
			for _, h := range f.Fields {
				lines = append(lines, h.Name+": "+h.Value)
			}
			slices.Sort(lines[4:])
			e.fields(f.StreamID, true, ":status", "204")
			got <- lines
		}
	})
	f := func(x *exchange.Exchange, want ...string) {
		t.Helper()
		try, f := do(t, conn, x, newClient(), usual)
		if f != nil {
			t.Fatal(f)
		}
		try.Finish()
		want = append(want, "x-forwarded-for: 192.0.2.1", "forwarded: for=192.0.2.1")
		slices.Sort(want[4:])
		if lines := <-got; !slices.Equal(lines, want) {
			t.Errorf("got  %q\nwant %q", lines, want)
		}
	}
	x := asking("/plain")
	f(x, ":authority: api.example:81", ":method: GET", ":path: /plain", ":scheme: http")
	x = asking("//a%2Fb;c")
	x.Request.Query = "q=%20&&x"
	x.Request.TakesTrailers = true
	h := &x.Request.Header
	h.Add("Host", "other.example")
	h.Add("x-b", "1")
	h.Add("X-B", "2")
	h.Add("Cookie", "a=1; b=2")
	h.Add("X-Forwarded-For", "203.0.113.9")
	h.Add("Forwarded", "for=forged")
	h.Add("X-Real-IP", "forged")
	f(x, ":authority: api.example:81", ":method: GET", ":path: //a%2Fb;c?q=%20&&x", ":scheme: http", "x-b: 1", "x-b: 2", "cookie: a=1", "cookie: b=2", "te: trailers")
	x = asking("/")
	x.Request.Method = "POST"
	x.Request.Header.Add("User-Agent", "ours")
	x.Request.Header.Add("Content-Length", "0")
	x.Request.Header.Add("Accept-Encoding", "br")
	f(x, ":authority: api.example:81", ":method: POST", ":path: /", ":scheme: http", "user-agent: ours", "accept-encoding: br", "content-length: 0")
}

// The library keeps strings of a request for as long as its connection lives. None may be a view of a buffer that others get to use.
func TestRequestIsACopy(t *testing.T) {
	buffer := []byte("GETx-secret-namesecret-value/secret?querysecret.host")
	view := func(from, to int) string { return unsafe.String(&buffer[from], to-from) }
	conn := open(t, nil, func(e *endpoint) { e.gone() })
	x := asking(view(28, 35))
	x.Request.Method, x.Request.Query = view(0, 3), view(36, 41)
	x.Request.Header.Add(view(3, 16), view(16, 28))
	x.Request.Header.Append(exchange.UserAgent, view(3, 16), view(16, 28))
	forwarded := []byte("x-other: 192.0.2.1\r\n")
	try := New(conn)
	request := try.request(x, &exchange.Outgoing{Path: x.Request.Path, Host: view(41, 52), Forwarded: forwarded})
	var all []string
	all = append(all, request.Method, request.Host, request.URL.Opaque, request.URL.RawQuery, request.URL.Host)
	for name, values := range request.Header {
		all = append(append(all, name), values...)
	}
	if len(all) != 11 {
		t.Errorf("%q", all)
	}
	for _, s := range all {
		for _, b := range [][]byte{buffer, forwarded} {
			at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
			if from := uintptr(unsafe.Pointer(&b[0])); at >= from && at < from+uintptr(len(b)) {
				t.Errorf("%q is a view", s)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	f := func(name, method string, script func(e *endpoint, id uint32), check func(t *testing.T, x *exchange.Exchange, c *client, body string, err error)) {
		t.Run(name, func(t *testing.T) {
			conn := open(t, nil, func(e *endpoint) {
				if f := e.request(); f != nil {
					script(e, f.StreamID)
				}
				e.gone()
			})
			x, c := asking("/"), newClient()
			x.Request.Method = method
			try, f := do(t, conn, x, c, usual)
			var body string
			var err error
			if f != nil {
				err = f
			} else {
				body, err = whole(x.Response.Body)
			}
			check(t, x, c, body, err)
			try.Finish()
			await(t, "the stream to end", func() bool { return conn.Streams() == 0 })
		})
	}
	f("body and trailers", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "200", "x-a", "1", "x-a", "2", "set-cookie", "c", "trailer", "x-sum", "connection", "x-a", "keep-alive", "5")
		e.WriteData(id, false, []byte("hello "))
		e.WriteData(id, false, nil)
		e.WriteData(id, false, []byte(strings.Repeat("x", 16000)))
		e.fields(id, true, "x-sum", "7", "x-more", "8")
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		if err != nil || body != "hello "+strings.Repeat("x", 16000) || x.Response.Length != exchange.Unknown || x.Response.Status != 200 {
			t.Errorf("%v, %d bytes, %+v", err, len(body), x.Response)
		}
		var a []string
		for _, field := range x.Response.Header.All() {
			if strings.EqualFold(field.Name, "x-a") {
				a = append(a, field.Value)
			}
		}
		if !slices.Equal(a, []string{"1", "2"}) || x.Response.Header.Count(exchange.Connection)+x.Response.Header.Count(exchange.KeepAlive) > 0 || x.Response.Header.Count(exchange.Trailer) != 1 {
			t.Errorf("%v", x.Response.Header.All())
		}
		if sum, _ := x.Response.Trailer.Header("x-sum"); sum != "7" || x.Response.Trailer.Len() != 2 {
			t.Errorf("%v", x.Response.Trailer.All())
		}
	})
	f("a head that is all", "POST", func(e *endpoint, id uint32) {
		e.fields(id, true, ":status", "200", "grpc-status", "14")
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		if code, _ := x.Response.Header.Header("grpc-status"); err != nil || x.Response.Body != nil || x.Response.Length != 0 || code != "14" {
			t.Errorf("%v %+v", err, x.Response)
		}
	})
	f("no content, but trailers", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "200", "content-length", "0")
		e.fields(id, true, "x-sum", "7")
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		if err != nil || body != "" || x.Response.Length != 0 || x.Response.Trailer.Len() != 1 {
			t.Errorf("%v %+v", err, x.Response)
		}
	})
	f("HEAD", "HEAD", func(e *endpoint, id uint32) {
		e.fields(id, true, ":status", "200", "content-length", "12")
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		if err != nil || x.Response.Body != nil || x.Response.Length != 12 {
			t.Errorf("%v %+v", err, x.Response)
		}
	})
	f("304", "GET", func(e *endpoint, id uint32) {
		e.fields(id, true, ":status", "304")
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		if err != nil || x.Response.Body != nil || x.Response.Length != exchange.Unknown {
			t.Errorf("%v %+v", err, x.Response)
		}
	})
	f("interim answers", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "100")
		e.fields(id, false, ":status", "103", "link", "</a>")
		e.fields(id, false, ":status", "103", "link", "</b>")
		e.fields(id, true, ":status", "200")
	}, func(t *testing.T, x *exchange.Exchange, c *client, body string, err error) {
		if err != nil || !slices.Equal(c.interims, []int{103, 103}) || !slices.Equal(c.hints, []string{"</a>", "</b>"}) {
			t.Errorf("%v %v %v", err, c.interims, c.hints)
		}
	})
	invalid := func(phase fault.Phase) func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		return func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
			t.Helper()
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.UpstreamInvalid || f.Phase != phase {
				t.Errorf("%v", err)
			}
		}
	}
	head := func(pairs ...string) func(e *endpoint, id uint32) {
		return func(e *endpoint, id uint32) { e.fields(id, true, pairs...) }
	}
	f("no status", "GET", head("x-a", "1"), invalid(fault.Answered))
	f("no number", "GET", head(":status", "OK"), invalid(fault.Answered))
	f("no status that there is", "GET", head(":status", "999"), invalid(fault.Answered))
	f("switching protocols", "GET", func(e *endpoint, id uint32) { e.fields(id, false, ":status", "101") }, invalid(fault.Answered))
	f("two lengths", "GET", head(":status", "200", "content-length", "0", "content-length", "1"), invalid(fault.Answered))
	f("no length", "GET", head(":status", "200", "content-length", "-1"), invalid(fault.Answered))
	f("a control character", "GET", head(":status", "200", "x-a", "1\r\nx-b: 2"), invalid(fault.Answered))
	f("a capital letter", "GET", head(":status", "200", "X-A", "1"), invalid(fault.Answered))
	f("a head without end", "GET", func(e *endpoint, id uint32) {
		for range 70 {
			e.fields(id, false, ":status", "103", "x-fill", strings.Repeat("x", 100))
		}
	}, invalid(fault.Answered))
	f("more than its length", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "200", "content-length", "2")
		e.WriteData(id, true, []byte("three"))
	}, invalid(fault.ResponseBegun))
	f("a framing field in the trailers", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "200")
		e.fields(id, true, "content-length", "2")
	}, invalid(fault.ResponseBegun))
	f("less than its length", "GET", func(e *endpoint, id uint32) {
		e.fields(id, false, ":status", "200", "content-length", "9")
		e.WriteData(id, true, []byte("less"))
	}, func(t *testing.T, x *exchange.Exchange, _ *client, body string, err error) {
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.UpstreamReset || f.Phase != fault.ResponseBegun || body != "less" {
			t.Errorf("%v after %q", err, body)
		}
	})
}

// How a try fails decides whether the request may be repeated.
func TestPhases(t *testing.T) {
	f := func(name string, kind *fault.Kind, phase fault.Phase, settings []http2.Setting, script func(e *endpoint, id uint32), fields ...string) {
		t.Run(name, func(t *testing.T) {
			conn := open(t, settings, func(e *endpoint) {
				if f := e.request(); f != nil {
					script(e, f.StreamID)
				}
			})
			x, c := asking("/"), newClient()
			x.Request.Header.Add("x-long", strings.Repeat("x", 4000))
			for i := 0; i+1 < len(fields); i += 2 {
				x.Request.Header.Add(fields[i], fields[i+1])
			}
			try, f := do(t, conn, x, c, usual)
			if f == nil || f.Kind != kind || f.Phase != phase {
				t.Errorf("%v in phase %v, want %s in phase %v", f, f.Phase, kind.Word, phase)
			}
			try.Finish()
			await(t, "the stream to end", func() bool { return conn.Streams() == 0 })
		})
	}
	stay := func(e *endpoint) { e.gone() }
	f("refused", fault.UpstreamRefused, fault.NotSent, nil, func(e *endpoint, id uint32) { e.WriteRSTStream(id, http2.ErrCodeRefusedStream); stay(e) })
	f("above the last stream", fault.UpstreamReset, fault.NotSent, nil, func(e *endpoint, id uint32) { e.WriteGoAway(0, http2.ErrCodeNo, nil); stay(e) })
	f("above the last stream, with an error", fault.UpstreamReset, fault.NotSent, nil, func(e *endpoint, id uint32) {
		e.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
		stay(e)
	})
	f("below the last stream", fault.UpstreamReset, fault.MaybeProcessed, nil, func(e *endpoint, id uint32) { e.WriteGoAway(id, http2.ErrCodeNo, nil) })
	f("reset", fault.UpstreamReset, fault.MaybeProcessed, nil, func(e *endpoint, id uint32) { e.WriteRSTStream(id, http2.ErrCodeInternal); stay(e) })
	f("closed", fault.UpstreamReset, fault.MaybeProcessed, nil, func(*endpoint, uint32) {})
	f("aborted", fault.UpstreamReset, fault.MaybeProcessed, nil, func(e *endpoint, _ uint32) { e.conn.(*net.TCPConn).SetLinger(0) })
	f("no HTTP/2 any more", fault.UpstreamReset, fault.MaybeProcessed, nil, func(e *endpoint, _ uint32) { e.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); stay(e) })
	f("a field that cannot be sent", fault.Malformed, 0, nil, func(*endpoint, uint32) {}, "x-bad", "a\nb")
	f("a head larger than it takes", fault.HeaderTooLarge, 0, []http2.Setting{{ID: http2.SettingMaxHeaderListSize, Val: 1000}}, func(*endpoint, uint32) {})
}

// An endpoint that closes its side while a request is on its way to it has not seen that request.
func TestClosedBeforeItArrived(t *testing.T) {
	closed := make(chan struct{})
	conn := open(t, nil, func(e *endpoint) {
		f := e.request()
		e.fields(f.StreamID, true, ":status", "204")
		next[*http2.MetaHeadersFrame](e) // of the second request
		e.gone()
		close(closed)
	})
	x, c := asking("/first"), newClient()
	try, f := do(t, conn, x, c, usual)
	if f != nil {
		t.Fatal(f)
	}
	try.Finish()
	// As if the end of the stream had come, with nothing of the next request confirmed.
	sent := conn.carrier.sent.Load()
	x = asking("/second")
	if !conn.Reserve() {
		t.Fatal("no place")
	}
	try = New(conn)
	heads := make(chan *fault.Fault, 1)
	go func() { heads <- try.Do(x, c, &exchange.Outgoing{Path: "/second", Host: "a"}, clock.Now(), usual, c) }()
	await(t, "the request to be sent", try.sentHead.Load)
	conn.carrier.arrived.Store(sent)
	conn.client.Close()
	if f := <-heads; f == nil || f.Phase != fault.NotSent {
		t.Errorf("%v", f)
	}
	try.Finish()
	wait(t, "the end", closed)
}

// The end of a stream keeps how much of ours the endpoint's kernel had.
func TestEndIsKept(t *testing.T) {
	conn := open(t, nil, func(e *endpoint) {
		e.request()
		e.conn.(*net.TCPConn).CloseWrite() // a close with something unread would be a reset, which proves nothing
		e.gone()
	})
	x, c := asking("/"), newClient()
	try, f := do(t, conn, x, c, usual)
	try.Finish()
	if f == nil || f.Phase != fault.MaybeProcessed || !conn.Ended() || !conn.Dead() {
		t.Errorf("the endpoint's end went unnoticed: %v", f)
	}
	if arrived := conn.carrier.arrived.Load(); arrived < try.sentMark.Load() {
		t.Errorf("%d bytes had arrived, and the endpoint has read %d", arrived, try.sentMark.Load())
	}
}

func TestNotHTTP2(t *testing.T) {
	within := patience
	f := func(text string, want error) {
		t.Helper()
		_, err := dial(t, within, func(e *endpoint) {
			io.WriteString(e.conn, text)
			e.gone()
		})
		if !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	f("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", errNotHTTP1)
	f("220 mail.example ESMTP\r\n", errNotHTTP2)
	f("\x00\x00\x00\x06\x00\x00\x00\x00\x00", errNotHTTP2)
	within = 20 * time.Millisecond
	f("", ErrSettings)
	f("\x00\x00", ErrSettings)
}

// Request and answer stream in both directions at once.
func TestBothWays(t *testing.T) {
	conn := open(t, nil, func(e *endpoint) {
		f := e.request()
		e.fields(f.StreamID, false, ":status", "200")
		for {
			frame, err := e.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.DataFrame:
				e.WriteData(f.StreamID, false, frame.Data())
				e.WriteWindowUpdate(0, uint32(max(len(frame.Data()), 1)))
			case *http2.MetaHeadersFrame: // the trailers
				sum := frame.Fields[0].Value
				e.fields(f.StreamID, true, "x-echoed", sum)
				e.gone()
				return
			}
		}
	})
	x, c := asking("/"), newClient()
	b := sending(x, c, "first")
	try, f := do(t, conn, x, c, usual)
	if f != nil {
		t.Fatal(f)
	}
	if run, err := x.Response.Body.Next(); err != nil || string(run) != "first" || !x.Request.Streaming {
		t.Fatalf("%q %v", run, err)
	}
	b.runs <- "second"
	if run, err := x.Response.Body.Next(); err != nil || string(run) != "second" {
		t.Fatalf("%q %v", run, err)
	}
	x.Request.Trailer.Add("x-sum", "42")
	close(b.runs)
	if body, err := whole(x.Response.Body); err != nil || body != "" {
		t.Fatalf("%q %v", body, err)
	}
	if sum, _ := x.Response.Trailer.Header("x-echoed"); sum != "42" {
		t.Errorf("%v", x.Response.Trailer.All())
	}
	try.Finish()
	if x.Bytes.UpstreamOut < 11 || x.Bytes.UpstreamIn < 11 {
		t.Errorf("%+v", x.Bytes)
	}
	select {
	case <-c.stopped:
		t.Error("the client was stopped, and had sent it all")
	default:
	}
}

func TestContinue(t *testing.T) {
	f := func(name string, says bool) {
		t.Run(name, func(t *testing.T) {
			conn := open(t, nil, func(e *endpoint) {
				f := e.request()
				if says {
					e.fields(f.StreamID, false, ":status", "100")
				}
				data := next[*http2.DataFrame](e)
				e.fields(f.StreamID, false, ":status", "200")
				e.WriteData(f.StreamID, true, data.Data())
				e.gone()
			})
			x, c := asking("/"), newClient()
			b := sending(x, c, "body")
			close(b.runs)
			x.Request.Continue = true
			try, f := do(t, conn, x, c, usual)
			if f != nil {
				t.Fatal(f)
			}
			if body, err := whole(x.Response.Body); err != nil || body != "body" || !slices.Equal(c.interims, []int{100}) || x.Request.Continue {
				t.Errorf("%q %v %v", body, err, c.interims)
			}
			try.Finish()
		})
	}
	f("said", true)
	f("left unsaid", false)
	t.Run("refused", func(t *testing.T) {
		conn := open(t, nil, func(e *endpoint) {
			e.fields(e.request().StreamID, true, ":status", "417")
			e.gone()
		})
		x, c := asking("/"), newClient()
		sending(x, c)
		x.Request.Continue = true
		try, f := do(t, conn, x, c, usual)
		if f != nil || x.Response.Status != 417 || len(c.interims) > 0 || !x.Request.Continue {
			t.Errorf("%v %+v %v", f, x.Response, c.interims)
		}
		try.Finish()
	})
}

// A client that fails in its body, or leaves, has its stream reset; others on the connection are not touched.
func TestClientFails(t *testing.T) {
	reset := make(chan http2.ErrCode, 1)
	script := func(e *endpoint) {
		e.request()
		reset <- next[*http2.RSTStreamFrame](e).ErrCode
		e.fields(e.request().StreamID, true, ":status", "204")
		e.gone()
	}
	check := func(t *testing.T, conn *Conn, f *fault.Fault, kind *fault.Kind) {
		t.Helper()
		if f == nil || f.Kind != kind {
			t.Errorf("%v", f)
		}
		if code := <-reset; code != http2.ErrCodeCancel {
			t.Errorf("reset with %v", code)
		}
		x := asking("/next")
		try, f := do(t, conn, x, newClient(), usual)
		if f != nil {
			t.Error(f)
		}
		try.Finish()
	}
	t.Run("in its body", func(t *testing.T) {
		conn := open(t, nil, script)
		x, c := asking("/"), newClient()
		b := sending(x, c, "some")
		b.fails = fault.New(fault.BodyTimeout, nil)
		close(b.runs)
		try, f := do(t, conn, x, c, usual)
		try.Finish()
		check(t, conn, f, fault.BodyTimeout)
	})
	t.Run("leaves while it waits", func(t *testing.T) {
		conn := open(t, nil, script)
		c := newClient()
		c.gone.Store(true)
		try, f := do(t, conn, asking("/"), c, usual)
		try.Finish()
		check(t, conn, f, fault.ClientGone)
	})
	t.Run("leaves", func(t *testing.T) {
		conn := open(t, nil, script)
		x, c := asking("/"), newClient()
		sending(x, c, "some")
		c.gone.Store(true)
		try, f := do(t, conn, x, c, usual)
		try.Finish()
		if !x.Request.Streaming {
			t.Error("the client's body was interrupted, and nobody is told")
		}
		wait(t, "the client's body to be stopped", c.stopped)
		check(t, conn, f, fault.ClientGone)
	})
}

func TestTimeouts(t *testing.T) {
	const short = 20 * time.Millisecond
	silent := func(e *endpoint) {
		e.request()
		e.gone()
	}
	f := func(name string, kind *fault.Kind, script func(*endpoint), p exchange.Patience, runs ...string) {
		t.Run(name, func(t *testing.T) {
			conn := open(t, []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 10}}, script)
			x, c := asking("/"), newClient()
			if len(runs) > 0 {
				sending(x, c, runs...)
			}
			p.Late = fault.ClientDeadline
			try, f := do(t, conn, x, c, p)
			var err error
			if f == nil {
				_, err = whole(x.Response.Body)
				errors.As(err, &f)
			}
			if f == nil || f.Kind != kind {
				t.Errorf("%v", f)
			}
			if keep, _ := try.Finish(); !keep {
				t.Error("a connection that was silent for a moment is given up")
			}
		})
	}
	f("first byte", fault.UpstreamTimeout, silent, exchange.Patience{FirstByte: short})
	f("head", fault.UpstreamTimeout, silent, exchange.Patience{HeadBy: clock.Now() + int64(short)})
	begun := func(e *endpoint) {
		e.fields(e.request().StreamID, false, ":status", "200")
		e.gone()
	}
	f("between runs", fault.UpstreamTimeout, begun, exchange.Patience{Idle: short})
	f("the whole", fault.ClientDeadline, begun, exchange.Patience{Until: clock.Now() + int64(time.Second/4)})
	f("a body that is not taken", fault.UpstreamTimeout, silent, exchange.Patience{FirstByte: patience, Idle: short}, strings.Repeat("x", 100))
}

// As long as the client sends, the endpoint's time has not begun.
func TestFirstByteCountsFromTheEnd(t *testing.T) {
	conn := open(t, nil, func(e *endpoint) {
		f := e.request()
		for {
			if next[*http2.DataFrame](e).StreamEnded() {
				break
			}
		}
		e.fields(f.StreamID, true, ":status", "204")
		e.gone()
	})
	x, c := asking("/"), newClient()
	b := sending(x, c, "some")
	const first = time.Second / 2
	time.AfterFunc(first+first/2, func() { close(b.runs) })
	try, f := do(t, conn, x, c, exchange.Patience{FirstByte: first})
	if f != nil || x.Request.Streaming {
		t.Errorf("%v", f)
	}
	try.Finish()
}

// An endpoint's own limit on streams is kept, and ours.
func TestReserve(t *testing.T) {
	stay := func(e *endpoint) {
		next[*http2.SettingsFrame](e)
		e.gone()
	}
	f := func(name string, want int, settings ...http2.Setting) {
		t.Run(name, func(t *testing.T) {
			conn := open(t, settings, stay)
			n := 0
			for conn.Reserve() {
				n++
			}
			if n != want {
				t.Errorf("%d streams, want %d", n, want)
			}
			conn.Release()
			if !conn.Reserve() || conn.Reserve() {
				t.Error("a place that is given back is one place")
			}
		})
	}
	f("theirs", 3, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3})
	f("ours", Streams, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000})
	f("unsaid", Streams)
}

// Clients that do not take their answers do not hold up others on the same connection.
func TestSlowClientsStopNobody(t *testing.T) {
	conn := open(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1000}}, func(e *endpoint) {
		var chunk [16 << 10]byte
		for n := 1; ; n++ {
			f := e.request()
			if f == nil {
				return
			}
			e.fields(f.StreamID, false, ":status", "200")
			const chunks = streamWindow / len(chunk) // as much as flow control allows for a stream
			for i := range chunks {
				e.WriteData(f.StreamID, n == Streams && i == chunks-1, chunk[:])
			}
		}
	})
	var tries []*Try
	for n := 1; n <= Streams; n++ {
		x := asking("/")
		try, f := do(t, conn, x, newClient(), usual)
		if f != nil {
			t.Fatalf("stream %d: %v", n, f)
		}
		tries = append(tries, try)
		if n == Streams {
			run, err := x.Response.Body.Next()
			if err != nil || len(run) == 0 {
				t.Errorf("%d bytes, %v", len(run), err)
			}
		}
	}
	for _, try := range tries {
		try.Finish()
	}
}

// A connection over which nothing at all came for long takes no further request: it may be dead. One that carried something since does.
func TestSilentConnection(t *testing.T) {
	f := func(name string, keeps bool, script func(e *endpoint)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := open(t, nil, script)
			try, f := do(t, conn, asking("/"), newClient(), exchange.Patience{FirstByte: time.Duration(doubtAfter)})
			if f == nil || f.Kind != fault.UpstreamTimeout {
				t.Errorf("%v", f)
			}
			if keep, why := try.Finish(); keep != keeps || conn.Reserve() != keeps {
				t.Errorf("kept %v, %s", keep, why)
			}
		})
	}
	f("silent", false, func(e *endpoint) {
		e.request()
		e.gone()
	})
	f("alive", true, func(e *endpoint) {
		e.request()
		e.WritePing(false, [8]byte{1})
		e.gone()
	})
}

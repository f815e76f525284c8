package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// deaf is a client's side that has nothing to say.
type deaf struct {
	exchange.Codec
	interims []int
}

func (d *deaf) Interim(_ *exchange.Exchange, status int, _ *exchange.Fields) *fault.Fault {
	d.interims = append(d.interims, status)
	return nil
}

func (d *deaf) StopBody()                  {}
func (d *deaf) Account(*exchange.Exchange) {}

// asked is an exchange that is ready for step 7.
func asked(t *testing.T, raw string) *exchange.Exchange {
	t.Helper()
	r := parse(crlf(raw), roomy())
	if r.err != nil {
		t.Fatal(r.err)
	}
	return &exchange.Exchange{Request: r.Request}
}

func patient() exchange.Patience {
	return exchange.Patience{HeadBy: clock.Now() + int64(10*time.Second), Idle: 10 * time.Second}
}

// endpoint answers on a connection: what it read is matched against want, and then it sends.
func endpoint(t *testing.T, far net.Conn, want, answer string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		got := make([]byte, len(want))
		if n, err := io.ReadFull(far, got); err != nil || string(got) != want {
			t.Errorf("the endpoint got %q, %v; want %q", got[:n], err, want)
		}
		io.WriteString(far, answer)
	}()
	return done
}

const plainRequest = "GET /x HTTP/1.1\r\nHost: up\r\n\r\n"

func TestTry(t *testing.T) {
	tests := []struct {
		name, raw, answer string
		status            int
		text              string
		interims          int
		keep              bool
		why               string
	}{
		{"length", "", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, "hello", 0, true, ""},
		{"chunked", "", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\nA: b\n\n", 200, "hello", 0, true, ""},
		{"no content", "", "HTTP/1.1 204 No Content\n\n", 204, "", 0, true, ""},
		{"not modified with a length", "", "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", 304, "", 0, true, ""},
		{"interims", "", "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n", 200, "", 2, true, ""},
		{"endpoint closes", "", "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 0\n\n", 200, "", 0, false, "endpoint_closes"},
		{"old endpoint", "", "HTTP/1.0 200 OK\nContent-Length: 0\n\n", 200, "", 0, false, "endpoint_closes"},
		{"old endpoint keeps", "", "HTTP/1.0 200 OK\nContent-Length: 0\nConnection: keep-alive\n\n", 200, "", 0, true, ""},
		{"surplus", "", "HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 200 OK\n", 200, "", 0, false, "surplus_bytes"},
		{"content behind 204", "", "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello", 204, "", 0, false, "surplus_bytes"},
	}
	for _, test := range tests {
		conn, far := pair(t, false)
		x := asked(t, "GET / HTTP/1.1\nHost: a\n\n")
		done := endpoint(t, far, plainRequest, crlf(test.answer))
		client := new(deaf)
		var try Try
		f := try.Do(conn, x, client, &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now(), patient(), nil)
		<-done
		if f != nil {
			t.Errorf("%s: %v", test.name, f)
			continue
		}
		text := ""
		if x.Response.Body != nil {
			got := readOut(x.Response.Body.(*body))
			if text = got.text; got.err != nil {
				t.Errorf("%s: %v", test.name, got.err)
			}
		}
		if x.Response.Status != test.status || text != test.text || len(client.interims) != test.interims {
			t.Errorf("%s: got %d %q after %v", test.name, x.Response.Status, text, client.interims)
		}
		if keep, why := try.Finish(); keep != test.keep || why != test.why {
			t.Errorf("%s: keep %v because of %q, want %v, %q", test.name, keep, why, test.keep, test.why)
		}
	}
}

func TestTryEndsByClose(t *testing.T) {
	conn, far := pair(t, false)
	x := asked(t, "GET / HTTP/1.1\nHost: a\n\n")
	done := endpoint(t, far, plainRequest, "HTTP/1.1 200 OK\r\n\r\nhello")
	var try Try
	if f := try.Do(conn, x, new(deaf), &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now(), patient(), nil); f != nil {
		t.Fatal(f)
	}
	<-done
	far.Close()
	if got := readOut(x.Response.Body.(*body)); got.text != "hello" || got.err != nil {
		t.Errorf("got %+v", got)
	}
	if keep, why := try.Finish(); keep || why != "no_length" {
		t.Errorf("keep %v because of %q", keep, why)
	}
}

func TestTryFails(t *testing.T) {
	f := func(answer string, kind *fault.Kind, phase fault.Phase) {
		t.Helper()
		conn, far := pair(t, false)
		x := asked(t, "GET / HTTP/1.1\nHost: a\n\n")
		done := make(chan struct{})
		go func() {
			<-endpoint(t, far, plainRequest, crlf(answer))
			far.Close()
			close(done)
		}()
		var try Try
		got := try.Do(conn, x, new(deaf), &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now(), patient(), nil)
		<-done
		if got == nil || got.Kind != kind || got.Phase != phase {
			t.Errorf("%.50q: got %v, want %s, %s", answer, got, kind.Word, phase)
		}
		if keep, _ := try.Finish(); keep {
			t.Errorf("%.50q: the connection is kept", answer)
		}
	}
	f("", fault.UpstreamReset, fault.MaybeProcessed)
	f("HTTP/1.1 200", fault.UpstreamReset, fault.Answered)
	f("nonsense\n\n", fault.UpstreamInvalid, fault.Answered)
	f("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", fault.UpstreamInvalid, fault.Answered)
	f("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n", fault.UpstreamInvalid, fault.Answered)
	f(strings.Repeat("HTTP/1.1 100 Continue\n\n", maxInterims+1), fault.UpstreamInvalid, fault.Answered)
	f("HTTP/1.1 200 OK\nA: "+strings.Repeat("b", 2*upstreamHead), fault.UpstreamInvalid, fault.Answered)
}

func TestTryTimesOut(t *testing.T) {
	conn, _ := pair(t, false)
	x := asked(t, "GET / HTTP/1.1\nHost: a\n\n")
	var try Try
	patience := patient()
	patience.HeadBy = clock.Now() + int64(time.Millisecond)
	f := try.Do(conn, x, new(deaf), &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now(), patience, nil)
	if f == nil || f.Kind != fault.UpstreamTimeout || f.Phase < fault.MaybeProcessed {
		t.Errorf("got %v", f)
	}
	try.Finish()
}

// A request must leave even when we were held up between taking the time and writing.
func TestTryIsSentAfterStall(t *testing.T) {
	conn, far := pair(t, false)
	x := asked(t, "GET / HTTP/1.1\nHost: a\n\n")
	done := endpoint(t, far, plainRequest, "HTTP/1.1 204 No Content\r\n\r\n")
	var try Try
	patience := patient()
	patience.HeadBy = clock.Now() + int64(2*time.Second)
	f := try.Do(conn, x, new(deaf), &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now()-2*tick, patience, nil)
	if f != nil {
		t.Errorf("got %v", f)
		far.Close()
	}
	<-done
	try.Finish()
}

// relay is a handler that sends every request to one address, over a new connection each.
type relay struct {
	t  *testing.T
	to string
}

func (r *relay) Serve(c exchange.Codec, x *exchange.Exchange) {
	if f := c.Decode(x); f != nil {
		x.Fail(f)
		if f.Kind.Status != 0 {
			x.Respond(f.Kind.Status, "", nil)
		}
		c.Encode(x)
		return
	}
	nc, err := net.Dial("tcp", r.to)
	if err != nil {
		r.t.Error(err)
		return
	}
	conn, err := socket.New(nc)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer conn.Close()
	var try Try
	defer try.Finish()
	if f := try.Do(conn, x, c, &exchange.Outgoing{Path: x.Request.Path, Host: "up"}, clock.Now(), patient(), nil); f != nil {
		x.Fail(f)
		if f.Kind.Status != 0 {
			x.Respond(f.Kind.Status, "", nil)
		}
	}
	c.Encode(x)
	if x.Response.Status == 101 {
		c.Tunnel(x, conn, try.Early())
	}
}

// answering runs an endpoint that does what serve does with each connection.
func answering(t *testing.T, serve func(in *bufio.Reader, conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(bufio.NewReader(conn), conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestTryStreamsBody(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != large {
			t.Errorf("the endpoint got %d bytes, %v", len(got), err)
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n100000\r\n"+large+"\r\n0\r\n\r\n")
	})
	addr := serve(t, ordinary(), &relay{t, to})
	for _, chunked := range []bool{false, true} {
		far := dial(t, addr)
		body := io.Reader(strings.NewReader(large))
		if chunked {
			body = io.MultiReader(body) // hides the length
		}
		r, err := http.NewRequest("POST", "http://a/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		go r.Write(far)
		answer, err := http.ReadResponse(bufio.NewReader(far), r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		if err != nil || string(got) != large || answer.StatusCode != 200 {
			t.Errorf("chunked %v: got %d, %d bytes, %v", chunked, answer.StatusCode, len(got), err)
		}
	}
}

// An endpoint may answer before it has the whole body.
func TestTryEarlyAnswer(t *testing.T) {
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			t.Error(err)
		}
		io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		io.Copy(io.Discard, in)
	})
	far := dial(t, serve(t, ordinary(), &relay{t, to}))
	go func() {
		io.WriteString(far, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 1000 { // it fails when the connection is closed
			if _, err := io.WriteString(far, "1000\r\n"+strings.Repeat("a", 0x1000)+"\r\n"); err != nil {
				return
			}
		}
	}()
	answer, err := http.ReadResponse(bufio.NewReader(far), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "no" || answer.StatusCode != 413 {
		t.Errorf("got %d %q, %v", answer.StatusCode, text, err)
	}
}

// A client that leaves in the middle of its body takes the endpoint's request with it.
func TestTryClientLeaves(t *testing.T) {
	ended := make(chan error, 1)
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		r, err := http.ReadRequest(in)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		ended <- err
	})
	far := dial(t, serve(t, ordinary(), &relay{t, to}))
	write(t, far, true, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("a", 50000))
	if err := <-ended; err == nil {
		t.Error("the endpoint has a whole request")
	}
}

func TestTunnel(t *testing.T) {
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
		io.Copy(conn, in)
	})
	set := ordinary()
	set.Timeouts.TunnelIdle = 10 * time.Second
	far := dial(t, serve(t, set, &relay{t, to}))
	large := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		io.WriteString(far, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst")
		io.WriteString(far, large)
		far.(*net.TCPConn).CloseWrite()
	}()
	in := bufio.NewReader(far)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != 101 || answer.Header.Get("Upgrade") != "echo" {
		t.Fatalf("got %+v, %v", answer, err)
	}
	got, err := io.ReadAll(in)
	if err != nil || string(got) != "earlyfirst"+large {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

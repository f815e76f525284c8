package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// What is told of a head that never got complete is what that client sent, also when its head moved to a larger buffer meanwhile and
// another got the first one.
func TestMovedHeadIsNotAnothers(t *testing.T) {
	conn, far := pair(t, false)
	set := ordinary()
	set.Timeouts.Header = 20 * time.Millisecond
	over := run(session(conn, open{}, set, handle(func(c exchange.Codec, x *exchange.Exchange) {
		f := c.Decode(x)
		for range 4 {
			other := bufpool.Get(bufpool.Small)
			copy(other, strings.Repeat("?", len(other)))
		}
		if f == nil || f.Kind != fault.HeaderTimeout || x.Request.Method != "GET" || x.Request.Target != "/mine" {
			t.Errorf("%v: %q %q", f, x.Request.Method, x.Request.Target)
		}
		if v, _ := x.Request.Header.Header("A"); v != "b" {
			t.Errorf("a field became %q", v)
		}
	}), ""))
	write(t, far, false, "GET /mine HTTP/1.1\r\nHost: a\r\nA: b\r\nLong: "+strings.Repeat("x", bufpool.Small))
	<-over
	far.Close()
}

// A list in Connection costs a walk through the header for each of its elements, so it is bounded.
func TestLongConnectionList(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		r := parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: "+strings.Repeat("x,", n)+"close\r\n\r\n", roomy())
		if got := verdict(r.err); got != want {
			t.Errorf("%d elements: %s, want %s", n, got, want)
		}
	}
	f(maxListed, "ok")
	f(maxListed+1, "header_too_large")
	f(10_000, "header_too_large")
}

// A client cannot have removed what the proxy before us wrote about it.
func TestConnectionListsForwarding(t *testing.T) {
	r := parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, x-real-ip, Forwarded, X-Forwarded-Proto, X-Mine\r\n"+
		"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Mine: 1\r\n\r\n", roomy())
	if got, want := list(&r.Header), "X-Forwarded-For: 192.0.2.1\nX-Real-IP: 192.0.2.1\nForwarded: for=192.0.2.1\nX-Forwarded-Proto: https\n"; r.err != nil || got != want {
		t.Errorf("%v, left: %s", r.err, got)
	}
}

// A tunnel in which one direction moves bytes all the time is not idle, however long the kernel moves them in one go.
func TestBusyTunnelIsNotIdle(t *testing.T) {
	const size = 8 << 20
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: flood\r\n\r\n")
		conn.Write(make([]byte, size))
		io.Copy(io.Discard, in)
	})
	set := ordinary()
	set.Timeouts.TunnelIdle = 50 * time.Millisecond
	far := dial(t, serve(t, set, &relay{t, to}))
	far.(*net.TCPConn).SetReadBuffer(64 << 10)
	io.WriteString(far, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: flood\r\n\r\n")
	in := bufio.NewReaderSize(far, 64<<10)
	if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != 101 {
		t.Fatalf("got %+v, %v", answer, err)
	}
	got := 0
	for buf := make([]byte, 64<<10); got < size; {
		n, err := in.Read(buf)
		if got += n; err != nil {
			t.Fatalf("%d bytes, then %v", got, err)
		}
		if got%(1<<20) < n {
			time.Sleep(20 * time.Millisecond) // a slow client: what is tested is that all of it together takes longer than idle
		}
	}
	// And once nothing moves any more, it ends.
	if n, err := in.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
}

// Without a bound an endpoint that takes the body slowly is waited for.
func TestNoBoundOnSlowEndpoint(t *testing.T) {
	const size = 16 << 20
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(50 * time.Millisecond) // until all buffers on the way are full
		if n, err := io.Copy(io.Discard, r.Body); n != size || err != nil {
			t.Errorf("the endpoint got %d bytes, %v", n, err)
		}
		io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	far := dial(t, serve(t, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			t.Error(f)
			return
		}
		conn := adopt(t, dial(t, to))
		defer conn.Close()
		var try Try
		defer try.Finish()
		if f := try.Do(conn, x, c, &exchange.Outgoing{Path: "/", Host: "up"}, clock.Now(), exchange.Patience{}, nil); f != nil {
			t.Error(f)
			x.Respond(502, "", nil)
		}
		c.Encode(x)
	})))
	go func() {
		io.WriteString(far, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\n")
		far.Write(make([]byte, size))
	}()
	if answer, err := http.ReadResponse(bufio.NewReader(far), nil); err != nil || answer.StatusCode != 204 {
		t.Errorf("%+v, %v", answer, err)
	}
}

// An endpoint that breaks off while the client still sends broke off; that we then stop the client is not a mistake of ours.
func TestResetDuringUpload(t *testing.T) {
	to := answering(t, func(in *bufio.Reader, conn net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			t.Error(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
	})
	far := dial(t, serve(t, ordinary(), &relay{t, to}))
	io.WriteString(far, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
	if answer, err := http.ReadResponse(bufio.NewReader(far), nil); err != nil || answer.StatusCode != 502 {
		t.Errorf("%+v, %v", answer, err)
	}
}

// A client whose body is bad from the start costs no connection: nothing of its request was sent.
func TestBadBodyCostsNoConnection(t *testing.T) {
	conn, _ := pair(t, false)
	x := asked(t, "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n")
	b := new(body)
	head := headBuffer("zz\r\n")
	b.begin(conn, server, endsByChunk, 0, head, 0, len("zz\r\n"))
	x.Request.Body = b
	var try Try
	if f := try.Do(conn, x, new(deaf), &exchange.Outgoing{Path: "/x", Host: "up"}, clock.Now(), patient(), nil); f == nil || f.Kind != fault.Framing {
		t.Errorf("%v", f)
	}
	if keep, why := try.Finish(); !keep || why != "" || conn.Out() != 0 {
		t.Errorf("keep %v because of %q after %d bytes", keep, why, conn.Out())
	}
}

// What is kept of a body for sending it again takes no more room than the body: a client that drips it makes us hold that long.
func TestKeptBodyTakesItsSize(t *testing.T) {
	f := func(length, want int) {
		t.Helper()
		conn, far := pair(t, false)
		head := headBuffer("12345")
		var b body
		b.begin(conn, server, endsByCount, int64(length), head, 0, 5)
		write(t, far, false, strings.Repeat("x", 2000))
		for range 2 {
			if _, err := b.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.buf) != want || !b.Rewind() {
			t.Fatalf("%d bytes of %d are held", len(b.buf), length)
		}
		got := ""
		for len(got) < 2005 {
			run, err := b.Next()
			if err != nil {
				t.Fatal(err)
			}
			got += string(run)
		}
		if got != "12345"+strings.Repeat("x", 2000) {
			t.Errorf("kept %q", got)
		}
		b.release()
	}
	f(4_000, bufpool.Small)
	f(5_000, bufpool.Medium)
	f(bufpool.Medium, bufpool.Medium)
	f(bufpool.Medium+1, bufpool.Large)
	f(1_000_000, bufpool.Large)
}

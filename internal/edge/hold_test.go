package edge_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/test/wire"
)

// holder is a policy that wants the whole body, of at most max bytes.
type holder struct {
	max  int64
	how  exchange.Hold // but Max
	mu   sync.Mutex
	held []byte
}

func (h *holder) Request(x *exchange.Exchange) {
	how := h.how
	how.Max = h.max
	body, f := x.HoldBody(how)
	if f != nil {
		x.Fail(f)
		return
	}
	again, f := x.HoldBody(how)
	if f != nil || !bytes.Equal(again, body) {
		panic("BUG: a body that is held is not held")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = bytes.Clone(body)
}

func (h *holder) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.held)
}

func heldUpTo(max int64) (*holder, func(*setup)) {
	h := &holder{max: max}
	return h, func(s *setup) { s.chain.Add("test", h) }
}

// gaveBack waits until no exchange holds a body any more.
func gaveBack(t *testing.T) {
	t.Helper()
	await(t, "held bodies are given back", func() bool { return exchange.Holding() == 0 })
}

func TestHoldBody(t *testing.T) {
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("fine") }))
	h, change := heldUpTo(1 << 20)
	g := start(t, change, e.Addr)
	c := wire.Dial(t, g.addr)
	chunked := func(body string, size int, trailer string) string {
		var b strings.Builder
		b.WriteString("POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n")
		for len(body) > 0 {
			n := min(size, len(body))
			b.WriteString(strings.ToLower(hexadecimal(n)) + "\r\n" + body[:n] + "\r\n")
			body = body[n:]
		}
		return b.String() + "0\r\n" + trailer + "\r\n"
	}
	counted := func(body string) string {
		return "POST /things HTTP/1.1\nHost: a\nContent-Length: " + decimal(len(body)) + "\n\n" + body
	}
	for _, size := range []int{1, 4, 3000, 5000, 70_000, 200_000, 1 << 20} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for name, request := range map[string]string{"counted": counted(body), "chunked": chunked(body, 1000, ""), "trailed": chunked(body, 7777, "X-Sum: 7\r\n")} {
			m, r := g.askOn(c, request) // always the same connection: it has to survive each of them
			if m.Status() != 200 || r.fault != "" || !r.keepAlive || h.last() != body {
				t.Fatalf("%s of %d bytes: %s, %+v; the policy saw %d", name, size, m.Start, r, len(h.last()))
			}
			got := seen.One(t)
			if string(got.Body) != body {
				t.Errorf("%s of %d bytes: the endpoint got %d", name, size, len(got.Body))
			}
			if name == "trailed" {
				if got.Get("Transfer-Encoding") != "chunked" || len(got.Trailers) != 1 {
					t.Errorf("%s of %d bytes: the endpoint got %s with trailers %q", name, size, got, got.Trailers)
				}
			} else if got.Get("Content-Length") != decimal(size) || got.Has("Transfer-Encoding") {
				t.Errorf("%s of %d bytes: the endpoint got %s", name, size, got)
			}
		}
	}
	// Without content, announced or not.
	for _, request := range []string{get, counted(""), chunked("", 1, "")} {
		m, r := g.askOn(c, request)
		if m.Status() != 200 || r.fault != "" || !r.keepAlive || h.last() != "" {
			t.Errorf("%q: %s, %+v", request, m.Start, r)
		}
		if got := seen.One(t); len(got.Body) > 0 || got.Has("Transfer-Encoding") {
			t.Errorf("%q: the endpoint got %s", request, got)
		}
	}
	gaveBack(t)
}

// A client that waits for 100 (Continue) is told by us, and the endpoint is not asked any more.
func TestHoldBodyContinue(t *testing.T) {
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("fine") }))
	h, change := heldUpTo(16)
	g := start(t, change, e.Addr)
	c := wire.Dial(t, g.addr)
	for range 2 {
		c.Send(crlf("POST /things HTTP/1.1\nHost: a\nContent-Length: 4\nExpect: 100-continue"))
		if m := c.Head(); m.Status() != 100 {
			t.Fatal(m.Start)
		}
		c.Send("clay")
		if m := c.Answer("POST"); m.Status() != 200 {
			t.Fatal(m.Start)
		}
		if r := g.next(); !r.keepAlive || h.last() != "clay" {
			t.Errorf("%+v, the policy saw %q", r, h.last())
		}
		if got := seen.One(t); string(got.Body) != "clay" || got.Has("Expect") {
			t.Errorf("the endpoint got %s", got)
		}
	}
	// What is too large is not asked for.
	c.Send(crlf("POST /things HTTP/1.1\nHost: a\nContent-Length: 17\nExpect: 100-continue"))
	if m := c.Answer("POST"); m.Status() != 413 {
		t.Fatal(m.Start)
	}
	if r := g.next(); r.fault != "hold_too_large" || r.keepAlive {
		t.Errorf("%+v", r)
	}
	gaveBack(t)
}

func TestHoldBodyTooLarge(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	_, change := heldUpTo(16)
	g := start(t, change, e.Addr)
	f := func(request string, status int) {
		t.Helper()
		m, r := g.ask(request)
		if m.Status() != status || (r.fault == "hold_too_large") != (status == 413) || r.keepAlive != (status == 200) {
			t.Errorf("%q: %s, %+v", request, m.Start, r)
		}
	}
	f("POST /things HTTP/1.1\nHost: a\nContent-Length: 16\n\n0123456789abcdef", 200)
	f("POST /things HTTP/1.1\nHost: a\nContent-Length: 17\n\n0123456789abcdefg", 413)
	f("POST /things HTTP/1.1\nHost: a\nContent-Length: 1000000\n\n", 413) // not waited for
	f("POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n10\r\n0123456789abcdef\r\n0\r\n\r\n", 200)
	f("POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n10\r\n0123456789abcdef\r\n1\r\ng\r\n0\r\n\r\n", 413)
	gaveBack(t)
}

// A body that is held can be sent again however long it is, also one that would have been spliced.
func TestHeldBodyIsReplayed(t *testing.T) {
	for _, size := range []int{4, 60_000, 1_000_000} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		var seen wire.Recorder
		var first atomic.Bool
		e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			if first.CompareAndSwap(false, true) {
				p.Body(m, "")
				p.Reset()
				return false
			}
			return wire.Recording(&seen, func(*wire.Message) string { return wire.OK("at last") })(p, m)
		})
		_, change := heldUpTo(1 << 20)
		g := start(t, change, e.Addr)
		m, r := g.ask("PUT /things HTTP/1.1\nHost: a\nContent-Length: " + decimal(size) + "\n\n" + body)
		if m.Status() != 200 || r.upstream.Tries != 2 || r.fault != "" {
			t.Fatalf("%d bytes: %s, %+v", size, m.Start, r)
		}
		if got := seen.One(t); string(got.Body) != body {
			t.Errorf("the second try got %d bytes of %d", len(got.Body), size)
		}
	}
	gaveBack(t)
}

// A client that leaves in the middle costs nothing that stays.
func TestHoldBodyOfOneWhoLeaves(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	_, change := heldUpTo(1 << 20)
	g := start(t, change, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send(crlf("POST /things HTTP/1.1\nHost: a\nContent-Length: 100000\n\n" + strings.Repeat("x", 50_000)))
	await(t, "the beginning of the body is held", func() bool { return exchange.Holding() > 0 })
	c.Close()
	if r := g.next(); r.fault != "client_gone" {
		t.Errorf("%+v", r)
	}
	gaveBack(t)
}

func decimal(n int) string     { return strconv.Itoa(n) }
func hexadecimal(n int) string { return strconv.FormatInt(int64(n), 16) }

// Over HTTP/2, on both sides.
func TestHoldBodyHTTP2(t *testing.T) {
	bodies := make(chan string, 8)
	_, addr := serveH2C(t, 10, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- decimal(int(r.ContentLength)) + " " + string(body)
	})
	h, change := heldUpTo(1 << 20)
	g := start(t, func(s *setup) {
		overHTTP2(s)
		change(s)
	}, addr)
	client := testgrpc.NewTestServiceClient(dialGRPC(t, g))
	for _, size := range []int{4, 60_000, 1_000_000} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		m, r := g.ask("PUT /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n" + hexadecimal(size) + "\r\n" + body + "\r\n0\r\n\r\n")
		if m.Status() != 200 || r.fault != "" || h.last() != body {
			t.Fatalf("%d bytes: %s, %+v", size, m.Start, r)
		}
		if got := <-bodies; got != decimal(size)+" "+body {
			t.Errorf("the endpoint got %d bytes of %d, or no length: %.10s", len(got), size, got)
		}
		// The answer is none of gRPC; what counts is what the endpoint got.
		client.UnaryCall(until(t), &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: []byte(body)}})
		if r := g.next(); r.fault != "" {
			t.Errorf("%+v", r)
		}
		if got := <-bodies; !strings.HasSuffix(got, h.last()) || !strings.Contains(got, body) || !strings.HasPrefix(got, decimal(len(h.last()))+" ") {
			t.Errorf("the endpoint got %d bytes: %.10s", len(got), got)
		}
	}
	gaveBack(t)
}

// A client that nobody knows cannot keep its place by sending a byte now and then, or none: the protocol would let it.
func TestHoldBodyInTime(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	h := &holder{max: 1 << 20, how: exchange.Hold{Within: 100 * time.Millisecond}}
	g := start(t, func(s *setup) { s.chain.Add("test", h) }, e.Addr)
	for name, request := range map[string]string{
		"counted":         "POST /things HTTP/1.1\nHost: a\nContent-Length: 100000\n\n",
		"chunked":         "POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nffff\r\n",
		"before content":  "POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n4;a=",
		"in the trailers": "POST /things HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\r\nx\r\n0\r\nX-Sum: ",
	} {
		for _, drips := range []bool{false, true} {
			c := wire.Dial(t, g.addr)
			c.Send(crlf(request))
			answered := make(chan struct{})
			var sender sync.WaitGroup
			if drips {
				sender.Go(func() {
					conn, tick := c.Conn, time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-answered:
							return
						case <-tick.C:
							if _, err := conn.Write([]byte("0")); err != nil {
								return
							}
						}
					}
				})
			}
			m := c.Answer("POST")
			close(answered)
			sender.Wait()
			if r := g.next(); m.Status() != 408 || r.fault != "body_timeout" || r.keepAlive {
				t.Errorf("%s, %v: %s, %+v", name, drips, m.Start, r)
			}
			c.Close()
		}
	}
	gaveBack(t)
	// One that is there in time is answered, and its connection goes on.
	c := wire.Dial(t, g.addr)
	for range 3 {
		if m, r := g.askOn(c, "POST /things HTTP/1.1\nHost: a\nContent-Length: 4\n\nclay"); m.Status() != 200 || !r.keepAlive {
			t.Errorf("%s, %+v", m.Start, r)
		}
	}
}

// Over HTTP/2 it costs the stream, and the connection goes on.
func TestHoldBodyInTimeHTTP2(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	h := &holder{max: 1 << 20, how: exchange.Hold{Within: 100 * time.Millisecond}}
	g := start(t, func(s *setup) { s.chain.Add("test", h) }, e.Addr)
	addr := dialGRPC(t, g).Target()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	for _, stalls := range []bool{true, false, true, false} {
		var body io.Reader = strings.NewReader("clay")
		if stalls {
			r, w := io.Pipe()
			defer w.Close()
			go w.Write([]byte("cl"))
			body = r
		}
		r, err := http.NewRequestWithContext(until(t), "POST", "http://"+addr+"/things", body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
		want, fault := 200, ""
		if stalls {
			want, fault = 408, "body_timeout"
		}
		if r := g.next(); a.StatusCode != want || r.fault != fault {
			t.Errorf("%d, %+v; want %d", a.StatusCode, r, want)
		}
	}
	gaveBack(t)
}

package greet

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long stands for every time limit of a test that is not to strike.
const long = 20 * time.Second

// gate is a listener's, under our control.
type gate struct{ crowded, draining atomic.Bool }

func (g *gate) Crowded() bool  { return g.crowded.Load() }
func (g *gate) Draining() bool { return g.draining.Load() }

// flow answers every request with its protocol and path.
type flow struct{}

func (flow) Serve(c exchange.Codec, x *exchange.Exchange) {
	if f := c.Decode(x); f != nil {
		x.Fail(f)
		x.Respond(f.Kind.Status, "text/plain", nil)
	} else {
		x.Respond(200, "text/plain", []byte(x.Request.Path))
	}
	c.Encode(x)
}

// meeting is a connection from both sides.
type meeting struct {
	client  *net.TCPConn
	gate    *gate
	session listen.Session
	served  chan bool // what Serve returned; closed then
	once    sync.Once // closes the session
}

// meet opens a session as a listener would. change, when not nil, says what is particular.
func meet(t *testing.T, initial string, change func(h *Handler, info *exchange.Conn)) *meeting {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, err := socket.New(server)
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(long))
	h := &Handler{
		HTTP1: &http1.Settings{Limits: http1.Limits{RequestLine: 8 << 10, HeaderBytes: 64 << 10, HeaderCount: 100}, Timeouts: http1.Timeouts{Header: long, Progress: long}},
		HTTP2: &http2.Settings{Limits: http2.Limits{HeaderBytes: 64 << 10, HeaderCount: 100, Target: 8 << 10}, Timeouts: http2.Timeouts{Header: long, Progress: long}, Streams: 10},
		Flow:  flow{},
	}
	info := &exchange.Conn{}
	if change != nil {
		change(h, info)
	}
	m := &meeting{client: client.(*net.TCPConn), gate: new(gate)}
	m.session = h.open(c, info, m.gate, []byte(initial))
	t.Cleanup(func() {
		client.Close()
		m.once.Do(m.session.Close)
	})
	return m
}

// serve lets the session serve as the listener's goroutine does, until it is over or idle.
func (m *meeting) serve(t *testing.T) {
	t.Helper()
	m.served = make(chan bool, 1)
	go func() { m.served <- m.session.Serve(); close(m.served) }()
	t.Cleanup(func() { m.end(t) })
}

// end leaves, and waits until the session has seen it.
func (m *meeting) end(t *testing.T) {
	t.Helper()
	m.client.Close()
	m.returned(t)
}

// returned waits until Serve has, and says what.
func (m *meeting) returned(t *testing.T) (idle bool) {
	t.Helper()
	select {
	case idle = <-m.served:
	case <-time.After(long):
		t.Fatal("Serve does not return")
	}
	return idle
}

func (m *meeting) say(t *testing.T, words string) {
	t.Helper()
	if _, err := io.WriteString(m.client, words); err != nil {
		t.Fatal(err)
	}
}

// answered1 reads an answer in HTTP/1.
func (m *meeting) answered1(t *testing.T, status int, body string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(m.client), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got, err := io.ReadAll(r.Body); r.StatusCode != status || string(got) != body || err != nil {
		t.Errorf("%d %q, %v; want %d %q", r.StatusCode, got, err, status, body)
	}
}

// answered2 says the rest of HTTP/2's beginning with a request for path, and reads the answer.
func (m *meeting) answered2(t *testing.T, rest, path string) {
	t.Helper()
	m.say(t, rest)
	f := h2.NewFramer(m.client, m.client)
	var block strings.Builder
	e := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", path}} {
		e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	f.WriteSettings()
	f.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := frame.(*h2.DataFrame); ok {
			if string(d.Data()) != path {
				t.Errorf("%q, want %q", d.Data(), path)
			}
			return
		}
	}
}

// silent wants the connection closed without a word.
func (m *meeting) silent(t *testing.T) {
	t.Helper()
	if m.returned(t) {
		t.Error("a session that is over lets itself be parked")
	}
	m.once.Do(m.session.Close)
	if got, err := io.ReadAll(m.client); len(got) > 0 {
		t.Errorf("%q was said, %v", got, err)
	}
}

// feed says words piece by piece, and has each read before the next is said, as Serve does. What comes once the session is known is
// left for it.
func (m *meeting) feed(t *testing.T, pieces ...string) {
	t.Helper()
	g := m.session.(*greeting)
	for _, p := range pieces {
		m.say(t, p)
		for want := g.conn.In() + int64(len(p)); g.session == nil && g.conn.In() < want; {
			buf, n, err := g.read()
			if err != nil {
				t.Fatal(err)
			}
			g.take(buf[:n])
			bufpool.Put(buf)
		}
	}
}

const wholePreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Four bytes tell HTTP/2, however they come.
func TestHTTP2InPieces(t *testing.T) {
	for cut := range len(wholePreface) + 1 { // what came behind a PROXY header, and the rest
		m := meet(t, wholePreface[:cut], nil)
		rest := wholePreface[cut:]
		for ; len(wholePreface)-len(rest) < len(preface); rest = rest[1:] {
			if m.session.(*greeting).session != nil {
				t.Fatalf("%d bytes were enough", len(wholePreface)-len(rest))
			}
			m.feed(t, rest[:1])
		}
		m.serve(t)
		m.answered2(t, rest, "/two")
		m.end(t)
		if _, ok := m.session.(*greeting).Successor().(*http2.Session); !ok {
			t.Errorf("cut at %d: %T goes on", cut, m.session.(*greeting).Successor())
		}
	}
}

func TestHTTP1InPieces(t *testing.T) {
	f := func(initial string, pieces ...string) {
		t.Helper()
		m := meet(t, initial, nil)
		m.feed(t, pieces...)
		m.serve(t)
		m.answered1(t, 200, "/one")
		m.end(t)
		if _, ok := m.session.(*greeting).Successor().(*http1.Session); !ok {
			t.Errorf("%q %q: %T goes on", initial, pieces, m.session.(*greeting).Successor())
		}
	}
	f("", "GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
	f("GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
	f("G", "ET /one HTTP/1.1\r\nHost: a\r\n\r\n")
	f("", "P", "OST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") // as HTTP/2 begins, up to here
	f("P", "R", "OPFIND /one HTTP/1.1\r\nHost: a\r\n", "\r\n")
	f("", "P", "R", "I", "NT /one HTTP/1.1\r\n", "Host: a\r\n\r\n")
	f("", "\r\nGET /one HTTP/1.1\r\nHost: a\r\n\r\n") // RFC 9112 §2.2
	f("", "\r", "\nGET /one HTTP/1.1\r\nHost: a\r\n\r\n")
}

// To whoever means HTTP/2, words in HTTP/1 are a broken frame.
func TestWrongPreface(t *testing.T) {
	f := func(words, want string) {
		t.Helper()
		m := meet(t, "", nil)
		m.say(t, words)
		m.serve(t)
		if want == "" {
			m.silent(t)
			return
		}
		m.answered1(t, 400, "")
	}
	f("INVALID CONNECTION PREFACE\r\n\r\n", "")
	f("INVALID CONNECTION\r\n\r\n", "400") // h2spec's has three words
	f("Invalid connection preface\r\n\r\n", "400")
}

// A client that says nothing is not waited for on a goroutine, and its connection is not over.
func TestSilence(t *testing.T) {
	f := func(name string, set func(*gate)) {
		t.Helper()
		m := meet(t, "", nil)
		set(m.gate)
		if !m.session.Serve() {
			t.Error(name, "is over")
		}
		if m.session.(*greeting).Successor() != nil {
			t.Error(name, "is taken for something")
		}
		m.say(t, "GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		m.serve(t)
		m.answered1(t, 200, "/one")
	}
	f("for a second", func(*gate) {})
	f("on a crowded listener", func(g *gate) { g.crowded.Store(true) })
	f("on a draining listener", func(g *gate) { g.draining.Store(true) })
}

// When goroutines are dear, none is spent on a client that may say nothing. The fastest of some tells, for the machine may be busy.
func TestNoWaitWhenCrowded(t *testing.T) {
	for _, set := range []func(*gate){func(g *gate) { g.crowded.Store(true) }, func(g *gate) { g.draining.Store(true) }} {
		fastest := int64(math.MaxInt64)
		for range 5 {
			m := meet(t, "", nil)
			set(m.gate)
			from := clock.Now()
			m.session.Serve()
			if fastest = min(fastest, clock.Now()-from); fastest < exchange.HotWait {
				break
			}
		}
		if fastest >= exchange.HotWait {
			t.Errorf("it waits for %v", time.Duration(fastest))
		}
	}
}

// Half a beginning is not parked: it must go on within the time for a head, or the connection is over.
func TestHalfABeginning(t *testing.T) {
	m := meet(t, "PR", func(h *Handler, _ *exchange.Conn) { h.HTTP1.Timeouts.Header = 20 * time.Millisecond })
	m.gate.crowded.Store(true)
	m.serve(t)
	m.silent(t)
}

// A client that closes its side at once, or behind its request.
func TestHalfClosed(t *testing.T) {
	for _, words := range []string{"", "PR", "PRI "} {
		m := meet(t, "", nil)
		m.say(t, words)
		m.client.CloseWrite()
		m.serve(t)
		if m.returned(t) {
			t.Errorf("%q: a session that is over lets itself be parked", words)
		}
	}
	m := meet(t, "", nil)
	m.say(t, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
	m.client.CloseWrite()
	m.serve(t)
	m.answered1(t, 200, "/one")
}

// Which session a connection has when its first bytes need not be waited for.
func TestSettledBefore(t *testing.T) {
	f := func(want listen.Session, change func(h *Handler, info *exchange.Conn)) {
		t.Helper()
		m := meet(t, "", change)
		if got := m.session; fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			t.Errorf("%T, want %T", got, want)
		}
	}
	f(&greeting{}, nil)
	f(&http1.Session{}, func(h *Handler, _ *exchange.Conn) { h.HTTP2 = nil })
	f(&http2.Session{}, func(_ *Handler, info *exchange.Conn) { info.TLS = &exchange.TLS{Protocol: "h2"} })
	f(&http1.Session{}, func(_ *Handler, info *exchange.Conn) { info.TLS = &exchange.TLS{Protocol: "http/1.1"} })
	f(&http1.Session{}, func(_ *Handler, info *exchange.Conn) { info.TLS = &exchange.TLS{} }) // who speaks HTTP/2 by TLS says so in the handshake
	f(told{}, func(_ *Handler, info *exchange.Conn) { info.TLS = &exchange.TLS{Protocol: "acme-tls/1"} })
}

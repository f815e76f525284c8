package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// handle is a handler made of one function.
type handle func(c exchange.Codec, x *exchange.Exchange)

func (h handle) Serve(c exchange.Codec, x *exchange.Exchange) { h(c, x) }

// answers reads what a session sends until it closes, as "status body" each.
func answers(t *testing.T, far net.Conn) (got []string) {
	t.Helper()
	far.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(far)
	for {
		if _, err := in.Peek(1); err == io.EOF || errors.Is(err, syscall.ECONNRESET) { // a reset tells of bytes that nobody read
			return got
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, fmt.Sprintf("%d %s", answer.StatusCode, text))
	}
}

// run serves one session in the background. The channel is closed when it is over.
func run(s *Session) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		for s.Serve() {
		}
		s.Close()
		close(over)
	}()
	return over
}

func session(conn *socket.Conn, gate exchange.Gate, set *Settings, handler exchange.Handler, early string) *Session {
	return Open(conn, &exchange.Conn{}, gate, set, handler, []byte(early))
}

// However a row of requests arrives, each is answered once, in order, with nothing of one in another.
func TestPipelining(t *testing.T) {
	raw := crlf("GET /1 HTTP/1.1\nHost: a\n\n" +
		"POST /2 HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello" +
		"\nGET /3 HTTP/1.0\nConnection: keep-alive\n\n" +
		"POST /4 HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3;x\nabc\n2\nde\n0\nA: b\n\n" +
		"HEAD /5 HTTP/1.1\nHost: a\nContent-Length: 0\n\n" +
		"GET /6 HTTP/1.1\nHost: a\nConnection: close\n\nGET /never HTTP/1.1\nHost: a\n\n")
	want := []string{"GET /1 ", "POST /2 hello", "GET /3 ", "POST /4 abcde", "HEAD /5 ", "GET /6 "}
	check := func(how string, records bool, early string, pieces ...string) {
		t.Helper()
		conn, far := pair(t, records)
		var seen []string
		over := run(session(conn, open{}, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
			l := new(lone)
			if f := c.Decode(x); f != nil {
				t.Errorf("%s: %v", how, f)
				return
			}
			text, f := l.read(c, x)
			if f != nil {
				t.Errorf("%s: %v", how, f)
			}
			seen = append(seen, fmt.Sprintf("%s %s %s", x.Request.Method, x.Request.Path, text))
			x.Respond(204, "", nil)
			c.Encode(x)
		}), early))
		for _, piece := range pieces {
			io.WriteString(far, piece) // what comes behind the last request may find nobody
		}
		got := answers(t, far)
		far.Close()
		<-over
		if !slices.Equal(seen, want) || len(got) != len(want) {
			t.Errorf("%s: %q were served with %d answers", how, seen, len(got))
		}
	}
	for at := range len(raw) {
		check(fmt.Sprintf("split at %d", at), false, raw[:at], raw[at:])
	}
	check("byte by byte", true, "", strings.Split(raw[:len(raw)-len("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")], "")...)
}

func TestHeadTimesOut(t *testing.T) {
	conn, far := pair(t, false)
	set := ordinary()
	set.Timeouts.Header = time.Millisecond
	over := run(session(conn, open{}, set, new(lone), ""))
	write(t, far, false, "GET / HTTP/1.1\r\nHo")
	if got := answers(t, far); len(got) != 1 || !strings.HasPrefix(got[0], "408 ") {
		t.Errorf("got %q", got)
	}
	far.Close()
	<-over
}

func TestBodyTimesOutInSession(t *testing.T) {
	conn, far := pair(t, false)
	set := ordinary()
	set.Timeouts.Progress = time.Millisecond
	over := run(session(conn, open{}, set, new(lone), ""))
	write(t, far, false, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
	if got := answers(t, far); len(got) != 1 || !strings.HasPrefix(got[0], "408 ") {
		t.Errorf("got %q", got)
	}
	far.Close()
	<-over
}

func TestContinue(t *testing.T) {
	conn, far := pair(t, false)
	over := run(session(conn, open{}, ordinary(), new(lone), ""))
	write(t, far, false, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
	interim := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(far, interim); err != nil || string(interim) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q, %v", interim, err)
	}
	write(t, far, false, "hello")
	if got := answers(t, far); !slices.Equal(got, []string{"200 ok\n"}) {
		t.Errorf("got %q", got)
	}
	<-over
}

// A body that the handler did not want is read over when that is little, and ends the connection otherwise.
func TestUnwantedBody(t *testing.T) {
	refuse := handle(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			return
		}
		x.Respond(403, "text/plain", []byte(x.Request.Path))
		c.Encode(x)
	})
	f := func(raw string, want ...string) {
		t.Helper()
		conn, far := pair(t, false)
		over := run(session(conn, open{}, ordinary(), refuse, ""))
		go io.WriteString(far, crlf(raw)) // it fails when the session is over first
		if got := answers(t, far); !slices.Equal(got, want) {
			t.Errorf("%.50q: got %q, want %q", raw, got, want)
		}
		far.Close()
		<-over
	}
	const last = "GET /last HTTP/1.1\nHost: a\nConnection: close\n\n"
	f("POST /a HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"+last, "403 /a", "403 /last")
	f("POST /a HTTP/1.1\nHost: a\nContent-Length: 100000\n\n"+strings.Repeat("a", 100000)+last, "403 /a", "403 /last")
	f("POST /a HTTP/1.1\nHost: a\nContent-Length: 1000000\n\n"+strings.Repeat("a", 1000), "403 /a")
	f("POST /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"+last, "403 /a")
	f("POST /a HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 5\n\n", "403 /a")
}

// counted is a gate whose answers turn after a number of questions.
type counted struct {
	crowded, draining atomic.Bool
}

func (g *counted) Crowded() bool  { return g.crowded.Load() }
func (g *counted) Draining() bool { return g.draining.Load() }

// A crowded listener takes its goroutine back from a session that has nothing to do, and leaves the connection alone.
func TestCrowdedSessionIsIdle(t *testing.T) {
	conn, far := pair(t, false)
	gate := new(counted)
	s := session(conn, gate, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			return
		}
		gate.crowded.Store(true) // while the request is under way
		x.Respond(204, "", nil)
		c.Encode(x)
	}), "")
	for i := range 3 {
		write(t, far, false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if idle := s.Serve(); !idle {
			t.Fatalf("request %d: the session is over", i+1)
		}
		answer, err := http.ReadResponse(bufio.NewReader(far), nil)
		if err != nil || answer.Close {
			t.Fatalf("request %d: %+v, %v", i+1, answer, err)
		}
	}
}

// A listener that drains ends connections with the answer under way, and says so in it.
func TestDrainingSessionEnds(t *testing.T) {
	conn, far := pair(t, false)
	gate := new(counted)
	over := run(session(conn, gate, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			return
		}
		gate.draining.Store(true)
		x.Respond(204, "", nil)
		c.Encode(x)
	}), ""))
	write(t, far, false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	in := bufio.NewReader(far)
	if answer, err := http.ReadResponse(in, nil); err != nil || !answer.Close {
		t.Errorf("got %+v, %v", answer, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
	<-over
}

func TestGone(t *testing.T) {
	f := func(set HalfClosed, raw string, closes bool, want bool) {
		t.Helper()
		conn, far := pair(t, false)
		settings := ordinary()
		settings.HalfClosed = set
		got := make(chan bool, 1)
		over := run(session(conn, open{}, settings, handle(func(c exchange.Codec, x *exchange.Exchange) {
			if f := c.Decode(x); f != nil {
				return
			}
			if closes {
				far.(*net.UnixConn).CloseWrite()
			}
			got <- c.Gone(x)
			x.KeepAlive = false
		}), ""))
		write(t, far, false, raw)
		if gone := <-got; gone != want {
			t.Errorf("setting %d, %q, closes %v: gone is %v", set, raw, closes, gone)
		}
		<-over
	}
	const more, last = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	f(AutoHalfClose, more, false, false)
	f(AutoHalfClose, more, true, true)
	f(AutoHalfClose, last, true, false)
	f(AutoHalfClose, "GET / HTTP/1.0\r\n\r\n", true, false)
	f(ServeHalfClosed, more, true, false)
	f(CancelHalfClosed, last, true, true)
	f(CancelHalfClosed, last, false, false)
}

// An answer that breaks off must not look complete to the client.
func TestAnswerBreaksOff(t *testing.T) {
	f := func(raw string, length int64) {
		t.Helper()
		conn, far := pair(t, false)
		over := run(session(conn, open{}, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
			if f := c.Decode(x); f != nil {
				return
			}
			x.Response.Status, x.Response.Length = 200, length
			x.Response.Body = &broken{runs: 2}
			if f := c.Encode(x); f != nil {
				t.Errorf("%q: another answer is asked for though this one has begun: %v", raw, f)
			}
			if x.End != exchange.UpstreamBroke {
				t.Errorf("%q: the end is %v", raw, x.End)
			}
		}), ""))
		write(t, far, false, raw)
		answer, err := http.ReadResponse(bufio.NewReader(far), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(answer.Body); err == nil {
			t.Errorf("%q: the answer looks complete", raw)
		}
		<-over
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", exchange.Unknown)
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1<<20)
}

// broken is a body that fails after some runs, each of which has to be waited for.
type broken struct{ runs int }

func (b *broken) Next() ([]byte, error) {
	if b.runs--; b.runs < 0 {
		return nil, fault.At(fault.UpstreamReset, fault.Answered, io.ErrUnexpectedEOF)
	}
	return []byte("some text"), nil
}

func (b *broken) Buffered() bool { return false }

// A body that fails before anything was sent lets another answer take its place.
func TestAnswerIsReplaced(t *testing.T) {
	conn, far := pair(t, false)
	over := run(session(conn, open{}, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			return
		}
		x.Response.Status, x.Response.Length = 200, exchange.Unknown
		x.Response.Body = &failing{}
		f := c.Encode(x)
		if f == nil {
			t.Error("nothing was sent, and no other answer is asked for")
			return
		}
		x.Respond(502, "", nil)
		c.Encode(x)
	}), ""))
	write(t, far, false, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if got := answers(t, far); !slices.Equal(got, []string{"502 "}) {
		t.Errorf("got %q", got)
	}
	<-over
}

// failing is a body that is there and fails at once.
type failing struct{}

func (failing) Next() ([]byte, error) {
	return nil, fault.At(fault.UpstreamReset, fault.Answered, io.ErrUnexpectedEOF)
}
func (failing) Buffered() bool { return true }

func TestSessionAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	conn, far := pair(t, false)
	body := []byte("hello")
	over := run(session(conn, open{}, ordinary(), handle(func(c exchange.Codec, x *exchange.Exchange) {
		if c.Decode(x) != nil {
			return
		}
		x.Respond(200, "text/plain", body)
		c.Encode(x)
	}), ""))
	answer := make([]byte, 4<<10)
	if got := testing.AllocsPerRun(1000, func() {
		if _, err := far.Write(browserRequest); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(answer); err != nil {
			t.Fatal(err)
		}
	}); got > 0 {
		t.Errorf("%v allocations a request, want none", got)
	}
	far.Close()
	<-over
}

package http1

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// content is what a body was read to.
type content struct {
	text, trailer, behind string
	err                   error
}

// source is a body whose first bytes arrived together with a head and whose others come over conn.
func source(conn *socket.Conn, role role, end ending, length int64, first string) *body {
	b := new(body)
	b.begin(conn, role, end, length, headBuffer("HEAD"+first), len("HEAD"), len("HEAD")+len(first))
	b.trailer = new(exchange.Fields)
	return b
}

// readOut reads a body to its end.
func readOut(b *body) content {
	var c content
	for {
		run, err := b.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			c.err = err
			return c
		}
		if len(run) == 0 {
			panic("BUG: a run is empty")
		}
		c.text += string(run)
	}
	c.trailer = list(b.trailer)
	c.behind = string(b.buf[b.r:b.w])
	return c
}

// rest reads what is left on a connection whose far end is closed.
func rest(t *testing.T, conn *socket.Conn) string {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 1<<10)
	for {
		n, err := conn.Read(buf, 0)
		if err == io.EOF {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Write(buf[:n])
	}
}

func TestBodyByCount(t *testing.T) {
	const text, behind = "hello, world", "GET /next HTTP/1.1\r\n"
	for _, role := range []role{server, client} {
		for at := range len(text + behind) {
			conn, far := pair(t, false)
			write(t, far, true, (text + behind)[at:])
			b := source(conn, role, endsByCount, int64(len(text)), (text + behind)[:at])
			got := readOut(b)
			if got.err != nil || got.text != text || got.behind+rest(t, conn) != behind {
				t.Fatalf("split at %d: %+v", at, got)
			}
			if !b.done() {
				t.Fatalf("split at %d: not done after its end", at)
			}
			b.release()
		}
	}
}

func TestBodyBreaksOff(t *testing.T) {
	tests := []struct {
		name   string
		role   role
		end    ending
		length int64
		arrive string
		kind   *fault.Kind
		phase  fault.Phase
	}{
		{"client leaves in a counted body", server, endsByCount, 10, "12345", fault.ClientGone, 0},
		{"client leaves before a counted body", server, endsByCount, 10, "", fault.ClientGone, 0},
		{"client leaves in a chunk", server, endsByChunk, 0, "5\r\n123", fault.ClientGone, 0},
		{"client leaves in a size line", server, endsByChunk, 0, "5", fault.ClientGone, 0},
		{"client leaves before the last chunk", server, endsByChunk, 0, "1\r\na\r\n", fault.ClientGone, 0},
		{"client leaves in the trailer", server, endsByChunk, 0, "0\r\nA: b\r\n", fault.ClientGone, 0},
		{"endpoint leaves in a counted body", client, endsByCount, 10, "12345", fault.UpstreamReset, fault.ResponseBegun},
		{"endpoint leaves in a chunk", client, endsByChunk, 0, "5\r\n123", fault.UpstreamReset, fault.ResponseBegun},
		{"endpoint leaves in the trailer", client, endsByChunk, 0, "0\r\n", fault.UpstreamReset, fault.ResponseBegun},
		{"endpoint sends nonsense", client, endsByChunk, 0, "x\r\n", fault.UpstreamInvalid, fault.ResponseBegun},
	}
	for _, test := range tests {
		for _, early := range []bool{true, false} {
			conn, far := pair(t, false)
			first := ""
			if early {
				first = test.arrive
			} else {
				write(t, far, false, test.arrive)
			}
			far.Close()
			b := source(conn, test.role, test.end, test.length, first)
			got := readOut(b)
			f, ok := got.err.(*fault.Fault)
			if !ok || f.Kind != test.kind || f.Phase != test.phase {
				t.Errorf("%s: got %v", test.name, got.err)
			}
			if _, again := b.Next(); again != got.err {
				t.Errorf("%s: after the error another: %v", test.name, again)
			}
			if b.done() || b.Rewind() {
				t.Errorf("%s: done or to be read again after an error", test.name)
			}
			b.release()
		}
	}
}

func TestBodyEndsByClose(t *testing.T) {
	conn, far := pair(t, false)
	write(t, far, true, "world")
	b := source(conn, client, endsByClose, exchange.Unknown, "hello ")
	if got := readOut(b); got.err != nil || got.text != "hello world" {
		t.Errorf("got %+v", got)
	}
	if !b.done() {
		t.Error("not done after the close")
	}
}

func TestBodyTimesOut(t *testing.T) {
	f := func(role role, kind *fault.Kind) {
		t.Helper()
		conn, _ := pair(t, false)
		b := source(conn, role, endsByCount, 10, "")
		b.patience = time.Millisecond
		got := readOut(b)
		if got, ok := got.err.(*fault.Fault); !ok || got.Kind != kind {
			t.Errorf("got %v, want %s", got, kind.Word)
		}
	}
	f(server, fault.BodyTimeout)
	f(client, fault.UpstreamTimeout)
}

// impatient is an exchange.Watch that has enough at the first look.
type impatient struct{ f *fault.Fault }

func (w impatient) Tick(int64) *fault.Fault { return w.f }

func TestBodyIsWatched(t *testing.T) {
	conn, _ := pair(t, false)
	b := source(conn, client, endsByCount, 10, "")
	want := fault.New(fault.ClientGone, nil)
	b.watch = impatient{want}
	if got := readOut(b); got.err != want {
		t.Errorf("got %v", got.err)
	}
}

func TestBodyIsInterrupted(t *testing.T) {
	conn, _ := pair(t, false)
	conn.InterruptRead()
	if got := readOut(source(conn, server, endsByCount, 10, "abc")); verdict(got.err) != "internal" || got.text != "abc" {
		t.Errorf("got %+v", got)
	}
}

func TestBodyLimit(t *testing.T) {
	f := func(end ending, length int64, arrive string, limit int64, want string) {
		t.Helper()
		conn, far := pair(t, false)
		write(t, far, true, arrive)
		b := source(conn, server, end, length, "")
		b.limit = limit
		if got := readOut(b); verdict(got.err) != want {
			t.Errorf("%q up to %d: got %v, want %s", arrive, limit, got.err, want)
		}
		if b.seen > limit {
			t.Errorf("%q up to %d: %d bytes were handed on", arrive, limit, b.seen)
		}
	}
	f(endsByChunk, 0, "5\r\nhello\r\n0\r\n\r\n", 5, "ok")
	f(endsByChunk, 0, "5\r\nhello\r\n0\r\n\r\n", 4, "body_too_large")
	f(endsByChunk, 0, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 5, "body_too_large")
	f(endsByChunk, 0, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 6, "ok")
	f(endsByChunk, 0, "fffffffffffffff\r\n", 6, "body_too_large") // refused when announced
	f(endsByCount, 6, "hello!", 6, "ok")
}

// A request body can be read again as long as all of it is still there, wherever it arrived.
func TestRewind(t *testing.T) {
	chunked := "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
	f := func(end ending, length int64, raw string, want content) {
		t.Helper()
		for at := 0; at <= len(raw); at += 1 + len(raw)/100 {
			conn, far := pair(t, false)
			done := make(chan struct{})
			go func() {
				far.Write([]byte(raw[at:])) // it fails when the test has failed
				close(done)
			}()
			b := source(conn, server, end, length, raw[:at])
			first := readOut(b)
			if first != want {
				t.Fatalf("split at %d: got %d bytes, trailer %q, behind %q, %v", at, len(first.text), first.trailer, first.behind, first.err)
			}
			if !b.Rewind() {
				t.Fatalf("split at %d: %d bytes cannot be read again", at, len(raw))
			}
			if b.done() {
				t.Fatalf("split at %d: done after going back", at)
			}
			if again := readOut(b); again != first {
				t.Fatalf("split at %d: read again: %d bytes, trailer %q, %v", at, len(again.text), again.trailer, again.err)
			}
			<-done
			b.release()
		}
	}
	f(endsByCount, 5, "hello", content{text: "hello"})
	f(endsByChunk, 0, chunked, content{text: "hello!", trailer: "A: b\n"})
	large := strings.Repeat("0123456789abcdef", 3<<10) // 48 KiB
	f(endsByCount, int64(len(large)), large, content{text: large})
}

func TestRewindOfTooMuch(t *testing.T) {
	for _, end := range []ending{endsByCount, endsByChunk} {
		conn, far := pair(t, false)
		large := strings.Repeat("a", 2*bufpool.Large)
		raw := large
		if end == endsByChunk {
			raw = fmt.Sprintf("%x\r\n", len(large)) + large + "\r\n0\r\n\r\n"
		}
		go func() { far.Write([]byte(raw)); far.Close() }()
		b := source(conn, server, end, int64(len(large)), "")
		if got := readOut(b); got.err != nil || got.text != large {
			t.Errorf("got %d bytes, %v", len(got.text), got.err)
		}
		if b.Rewind() {
			t.Error("more than a buffer holds can be read again")
		}
		b.release()
	}
}

// Half-read bodies can be read again too: that is what a second try does.
func TestRewindInTheMiddle(t *testing.T) {
	conn, far := pair(t, false)
	b := source(conn, server, endsByChunk, 0, "3\r\nabc\r\n3\r")
	run, err := b.Next()
	if string(run) != "abc" || err != nil || !b.Rewind() {
		t.Fatalf("got %q, %v", run, err)
	}
	write(t, far, true, "\ndef\r\n0\r\n\r\n")
	if got := readOut(b); got.err != nil || got.text != "abcdef" {
		t.Errorf("got %+v", got)
	}
}

// Buffered must never say yes when Next would have to wait: what was gathered would lie there until the next bytes come.
func TestBufferedNeverWaits(t *testing.T) {
	const raw = "5;x\r\nhello\r\n000a\r\n0123456789\r\n0\r\nA: b\r\n\r\n"
	for at := range len(raw) {
		conn, far := pair(t, false)
		far.Close() // a wait shows as the fault of a client that left
		b := source(conn, server, endsByChunk, 0, raw[:at])
		for b.Buffered() {
			if _, err := b.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("with %q: Buffered said yes and Next had to wait: %v", raw[:at], err)
			}
		}
		b.release()
	}
	conn, _ := pair(t, false)
	b := source(conn, server, endsByChunk, 0, "1\r\na\r\n0\r\n\r\n")
	for range 2 {
		if !b.Buffered() {
			t.Fatal("a body that is there as a whole is not buffered")
		}
		b.Next()
	}
	if !b.Buffered() {
		t.Error("the end of a body is not buffered")
	}
}

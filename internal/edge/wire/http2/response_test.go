package http2

import (
	"errors"
	"io"
	"strings"
	"testing"

	framing "golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// runs is a body that hands out its runs one by one. Where waits says so it must be waited for.
type runs struct {
	runs  []string
	waits bool
	err   error // instead of io.EOF
}

func (b *runs) Next() ([]byte, error) {
	if len(b.runs) == 0 {
		if b.err != nil {
			return nil, b.err
		}
		return nil, io.EOF
	}
	run := []byte(b.runs[0])
	b.runs = b.runs[1:]
	return run, nil
}

func (b *runs) Buffered() bool { return !b.waits }

// What an exchange answers is what a client of another make reads.
func TestResponses(t *testing.T) {
	answers := make(chan func(x *exchange.Exchange), 1)
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) { (<-answers)(x) }))
	c := connect(t, p)
	id := uint32(1)
	// f asks by a method and returns status, fields without Date, content and trailers.
	f := func(method string, answer func(x *exchange.Exchange)) string {
		t.Helper()
		answers <- answer
		c.ask(id, true, ":method", method, ":scheme", "http", ":path", "/", ":authority", "a")
		s := c.done(id)
		id += 2
		if s.reset != "" {
			return s.reset
		}
		if !strings.Contains(s.heads[0], "\ndate: ") {
			t.Errorf("%s: no date", s.heads[0])
		}
		var all strings.Builder
		for line := range strings.SplitSeq(s.heads[0], "\n") {
			if line != "" && !strings.HasPrefix(line, "date: ") {
				all.WriteString(strings.TrimPrefix(line, ":status: ") + "|")
			}
		}
		all.WriteString(s.data.String())
		for _, head := range s.heads[1:] {
			all.WriteString("|" + strings.TrimSpace(head))
		}
		return all.String()
	}
	is := func(method, want string, answer func(x *exchange.Exchange)) {
		t.Helper()
		if got := f(method, answer); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", method, got, want)
		}
	}
	respond := func(status int, length int64, body exchange.Body, fields ...string) func(x *exchange.Exchange) {
		return func(x *exchange.Exchange) {
			x.DropResponse()
			x.Response.Status, x.Response.Length, x.Response.Body = status, length, body
			for i := 0; i < len(fields); i += 2 {
				x.Response.Header.Add(fields[i], fields[i+1])
			}
		}
	}

	is("GET", "200|content-type: text/plain|content-length: 6|hello\n", hello)
	is("HEAD", "200|content-type: text/plain|", hello)
	is("HEAD", "200|content-length: 6|", respond(200, 6, nil, "Content-Length", "6"))
	is("GET", "204|", respond(204, 0, nil, "Content-Length", "0"))
	is("GET", "304|content-length: 6|", respond(304, 6, nil, "Content-Length", "6"))
	is("GET", "418|content-length: 0|", respond(418, 0, nil))
	is("GET", "200|a", respond(200, exchange.Unknown, &runs{runs: []string{"a"}}))
	is("GET", "200|content-length: 2|ab", respond(200, 2, &runs{runs: []string{"a", "b"}}, "Content-Length", "2", "Content-Length", "3"))
	is("GET", "200|abc", respond(200, exchange.Unknown, &runs{runs: []string{"a", "b", "c"}, waits: true}))
	is("GET", "200|x-a: b|set-cookie: c=d|etag: \"e\"|content-length: 0|", respond(200, 0, nil, "X-A", "b", "Set-Cookie", "c=d", "ETag", `"e"`,
		"Connection", "close", "Keep-Alive", "x", "Transfer-Encoding", "chunked", "Upgrade", "h2c", "Proxy-Connection", "x", "TE", "x"))
	date := f("GET", respond(200, 0, nil, "Date", "Thu, 01 Jan 2026 00:00:00 GMT"))
	if date != "200|content-length: 0|" {
		t.Errorf("got %q", date)
	}
	for status := 200; status < 600; status += 7 {
		if got := f("GET", respond(status, exchange.Unknown, nil)); !strings.HasPrefix(got, string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})) {
			t.Errorf("status %d: got %q", status, got)
		}
	}

	// Sizes around those of integers, frames, buffers and windows.
	for _, size := range []int{1, 126, 127, 128, 254, 255, 4 << 10, 16<<10 - 1, 16 << 10, 16<<10 + 1, 40 << 10} {
		text := strings.Repeat("v", size)
		is("GET", "200|x-long: "+text+"|content-length: 0|", respond(200, 0, nil, "X-Long", text))
		is("GET", "200|"+text, respond(200, exchange.Unknown, &runs{runs: []string{text}}))
		c.framer.WriteWindowUpdate(0, uint32(size))
	}

	// Trailers, gathered or not.
	trailed := func(waits bool) func(x *exchange.Exchange) {
		return func(x *exchange.Exchange) {
			respond(200, exchange.Unknown, &runs{runs: []string{"a"}, waits: waits})(x)
			x.Response.Trailer.Add("Grpc-Status", "0")
			x.Response.Trailer.Add("Connection", "close")
		}
	}
	is("GET", "200|a|grpc-status: 0", trailed(false))
	is("GET", "200|a|grpc-status: 0", trailed(true))

	// A body that fails before anything was sent is answered instead; later it breaks the stream off.
	broken := fault.New(fault.UpstreamReset, errors.New("broken"))
	is("GET", "502|content-type: text/plain|content-length: "+itoa(len(broken.Told()))+"|"+broken.Told(), respond(200, 5, &runs{err: broken}))
	is("GET", "502|content-type: text/plain|content-length: "+itoa(len(broken.Told()))+"|"+broken.Told(), respond(200, 5, &runs{runs: []string{"a"}, err: broken}))
	is("GET", "internal_error", respond(200, 5, &runs{runs: []string{"a"}, err: broken, waits: true}))
	is("GET", "internal_error", func(x *exchange.Exchange) { x.DropResponse() }) // nothing to answer
	is("GET", "200|content-type: text/plain|content-length: 6|hello\n", hello)

	// The table of an encoder that uses none is no matter what the client says of it.
	c.framer.WriteSettings(framing.Setting{ID: framing.SettingHeaderTableSize, Val: 0})
	is("GET", "200|content-type: text/plain|content-length: 6|hello\n", hello)
}

func itoa(n int) string {
	text := ""
	for ; n > 0; n /= 10 {
		text = string(rune('0'+n%10)) + text
	}
	return text
}

// Interim responses reach the client before the final one.
func TestInterim(t *testing.T) {
	p := serve(t, roomy(), handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			t.Error(f)
		}
		var hints exchange.Fields
		hints.Add("Link", "</a.css>; rel=preload")
		hints.Add("Content-Length", "5")
		if f := c.Interim(x, 103, &hints); f != nil {
			t.Error(f)
		}
		if !x.Request.Continue {
			t.Error("the client does not wait")
		}
		if f := c.Interim(x, 100, nil); f != nil {
			t.Error(f)
		}
		text, err := readAll(x.Request.Body)
		if err != nil {
			t.Error(err)
		}
		x.Respond(200, "", text)
		c.Encode(x)
	}))
	c := connect(t, p)
	c.post(1, "expect", "100-continue")
	s := c.stream(1)
	c.until("100", func() bool { return len(s.heads) == 2 })
	c.framer.WriteData(1, true, []byte("content"))
	c.done(1)
	if s.heads[0] != ":status: 103\nlink: </a.css>; rel=preload\n" || s.heads[1] != ":status: 100\n" || s.status() != "200" || s.data.String() != "content" {
		t.Errorf("got %q, %q", s.heads, s.data.String())
	}
}

func readAll(b exchange.Body) (all []byte, err error) {
	for {
		run, err := b.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, run...)
	}
}

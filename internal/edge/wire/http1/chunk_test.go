package http1

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/exchange"
)

// arrivals reads a chunked body once for each way in which it can arrive in two parts, and once byte by byte, in both roles, and
// wants the same content each time.
func arrivals(t *testing.T, raw string) content {
	t.Helper()
	var want content
	check := func(how string, got content) {
		t.Helper()
		if how == "whole" {
			want = got
			return
		}
		if got.text != want.text && got.err == nil || got.trailer != want.trailer || verdict(got.err) != verdict(want.err) || got.err == nil && got.behind != want.behind {
			t.Errorf("%.80q: %s: got %.200q, %v, trailer %q, behind %q; whole: %.200q, %v, trailer %q, behind %q", raw, how,
				got.text, got.err, got.trailer, got.behind, want.text, want.err, want.trailer, want.behind)
		}
	}
	for _, role := range []role{server, client} {
		for at := len(raw); at >= 0; at-- {
			if len(raw) > 1000 && at%97 != 0 && at != len(raw) {
				continue
			}
			conn, far := pair(t, false)
			write(t, far, true, raw[at:])
			b := source(conn, role, endsByChunk, 0, raw[:at])
			got := readOut(b)
			if got.err == nil {
				got.behind += rest(t, conn)
			}
			b.release()
			how := fmt.Sprintf("role %d, split at %d", role, at)
			if at == len(raw) {
				how = "whole"
			}
			check(how, got)
			far.Close()
			conn.Close()
		}
		if len(raw) > 200 {
			continue
		}
		conn, far := pair(t, true)
		write(t, far, true, strings.Split(raw, "")...)
		b := source(conn, role, endsByChunk, 0, "")
		got := readOut(b)
		if got.err == nil {
			got.behind += rest(t, conn)
		}
		b.release()
		check("byte by byte", got)
	}
	return want
}

func TestChunked(t *testing.T) {
	f := func(raw, text, trailer, behind string) {
		t.Helper()
		got := arrivals(t, crlf(raw))
		if got.err != nil || got.text != text || got.trailer != trailer || got.behind != crlf(behind) {
			t.Errorf("%q: got %q, %v, trailer %q, behind %q", raw, got.text, got.err, got.trailer, got.behind)
		}
	}
	f("0\n\n", "", "", "")
	f("5\nhello\n0\n\n", "hello", "", "")
	f("A\n0123456789\na\nabcdefghij\n0\n\n", "0123456789abcdefghij", "", "")
	f("00000000000000a\n0123456789\n000\n\n", "0123456789", "", "")
	f("5;a=b;c=\"d;e\"\nhello\n0;last\n\n", "hello", "", "")
	f("5;\nhello\n0\n\n", "hello", "", "")
	f("5;\t \xff\nhello\n0\n\n", "hello", "", "")
	f("1;"+strings.Repeat("x", maxExtension-1)+"\na\n0\n\n", "a", "", "")
	f("2\n\n\n0\n\n", "\r\n", "", "")
	f("0\nA: b\nC:d \n\n", "", "A: b\nC: d\n", "")
	f("0\nKeep-Alive: 5\nTE: trailers\nX_Real_IP: 1\nA: b\n\n", "", "A: b\n", "")
	f("5\nhello\n0\n\nGET /next HTTP/1.1\nHost: a\n\n", "hello", "", "GET /next HTTP/1.1\nHost: a\n\n")
	f("0\nA: b\n\nGET /"+strings.Repeat("a", 2*maxTrailer)+" HTTP/1.1\n", "", "A: b\n", "GET /"+strings.Repeat("a", 2*maxTrailer)+" HTTP/1.1\n")
	f("0\nA: "+strings.Repeat("b", maxTrailer-7)+"\n\n", "", "A: "+strings.Repeat("b", maxTrailer-7)+"\n", "")
}

func TestChunkedRefused(t *testing.T) {
	f := func(raw, kind string) {
		t.Helper()
		raw = strings.ReplaceAll(crlf(raw), "␊", "\n")
		conn, far := pair(t, false)
		far.Close()
		if got := readOut(source(conn, server, endsByChunk, 0, raw)); verdict(got.err) != kind {
			t.Errorf("%.80q: got %v, want %s", raw, got.err, kind)
		}
		conn, far = pair(t, true)
		go func() {
			for i := range len(raw) {
				far.Write([]byte(raw[i : i+1])) // it fails when the body was refused before its end
			}
			far.Close()
		}()
		b := source(conn, client, endsByChunk, 0, "")
		if got := readOut(b); verdict(got.err) != "upstream_invalid" {
			t.Errorf("%.80q byte by byte from an endpoint: got %v, want it refused", raw, got.err)
		}
		b.release()
		conn.Close()
	}
	f("\n", "framing")
	f("\nhello\n0\n\n", "framing")
	f(";a\n", "framing")
	f("g\n", "framing")
	f("-1\n", "framing")
	f("+1\na\n0\n\n", "framing")
	f("0x1\na\n0\n\n", "framing")
	f(" 1\na\n0\n\n", "framing")
	f("1 \na\n0\n\n", "framing")
	f("1 ;x\na\n0\n\n", "framing")
	f("1\t\na\n0\n\n", "framing")
	f("1_0\n", "framing")
	f("1,\n", "framing")
	f("1\x00\na\n0\n\n", "framing")
	f("0000000000000001\n", "framing")          // 16 digits
	f("ffffffffffffffff1\na\n0\n\n", "framing") // beyond 64 bits
	f("10000000000000001\na\n0\n\n", "framing")
	f("1␊a\n0\n\n", "malformed")
	f("1\r\r\na\n0\n\n", "framing")
	f("1\rX\na\n0\n\n", "framing")
	f("1;a\rb\na\n0\n\n", "framing")
	f("1;a␊a\n0\n\n", "malformed")
	f("1;a\x00\na\n0\n\n", "framing")
	f("1;a=\"x\ny\"\na\n0\n\n", "framing") // a line ends inside a quoted value: for us everywhere
	f("1;"+strings.Repeat("x", maxExtension)+"\na\n0\n\n", "framing")
	f("1;"+strings.Repeat("x", 5000), "framing")
	f(strings.Repeat("1;"+strings.Repeat("x", 200)+"\na\n", 100), "framing") // in sum too many extensions
	f("1\nab\n0\n\n", "framing")                                             // longer than its size
	f("2\na\n0\n\n", "framing")                                              // shorter than its size
	f("1\na␊0\n\n", "framing")
	f("1\na0\n\n", "framing")
	f("1\na\r\r0\n\n", "framing")
	f("0\n␊", "malformed")
	f("0␊\n", "malformed")
	f("0\nA\n\n", "malformed")
	f("0\nA : b\n\n", "malformed")
	f("0\nA: b\n c\n\n", "malformed")
	f("0\n: b\n\n", "malformed")
	f("0\nA: \x00\n\n", "malformed")
	f("0\nA: b␊\n", "malformed")
	f("0\nGET /smuggled HTTP/1.1\nHost: a\n\n", "malformed")
	for _, name := range []string{"Content-Length: 1", "Transfer-Encoding: chunked", "Host: a", "Connection: x", "Connection: close", "Upgrade: x",
		"Expect: x", "Authorization: x", "Cookie: x", "Set-Cookie: x", "Content-Type: x", "Content-Encoding: x", "Content-Range: x",
		"Cache-Control: x", "Trailer: x", "Forwarded: x", "X-Forwarded-For: x", "X-Forwarded-Host: x", "X-Forwarded-Proto: x",
		"X-Forwarded-Port: x", "X-Real-IP: x", "Location: x", "content-length:1"} {
		f("0\n"+name+"\n\n", "framing")
	}
	f("0\nA: "+strings.Repeat("b", maxTrailer-6)+"\n\n", "header_too_large")
	f("0\nA: "+strings.Repeat("b", 2*maxTrailer), "header_too_large")
	f("0\n"+strings.Repeat("A:\n", maxTrailers+1)+"\n", "header_too_large")
}

// However content is cut into chunks and however the chunks arrive, the content comes out, and what is behind stays.
func TestChunkedProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 300), 0, 8).Draw(rt, "chunks")
		extension := rapid.StringMatching(`(;[a-z]{1,5}=[0-9]{1,9})?`)
		var raw, text strings.Builder
		for _, chunk := range chunks {
			fmt.Fprintf(&raw, "%x%s\r\n%s\r\n", len(chunk), extension.Draw(rt, "extension"), chunk)
			text.Write(chunk)
		}
		raw.WriteString("0\r\n\r\n")
		behind := rapid.StringN(0, 50, 200).Draw(rt, "behind")
		all := raw.String() + behind
		var cuts []int
		for at := 0; at < len(all); {
			at = min(len(all), at+rapid.IntRange(1, 700).Draw(rt, "piece"))
			cuts = append(cuts, at)
		}
		conn, far := pair(t, true)
		at := 0
		for _, cut := range cuts {
			write(t, far, false, all[at:cut])
			at = cut
		}
		far.Close()
		b := source(conn, rapid.SampledFrom([]role{server, client}).Draw(rt, "role"), endsByChunk, 0, "")
		got := readOut(b)
		if got.err == nil {
			got.behind += rest(t, conn)
		}
		b.release()
		conn.Close()
		if got.err != nil || got.text != text.String() || got.behind != behind {
			rt.Fatalf("got %q, %v, behind %q; want %q, behind %q", got.text, got.err, got.behind, text.String(), behind)
		}
	})
}

// The trailer must outlive the buffer it arrived in.
func TestTrailerIsKept(t *testing.T) {
	conn, far := pair(t, false)
	write(t, far, true, "0\r\nX-Sum: 123\r\n\r\n")
	b := source(conn, client, endsByChunk, 0, "1\r\na\r\n")
	got := readOut(b)
	for i := range b.buf {
		b.buf[i] = '#'
	}
	b.release()
	if value, _ := b.trailer.Header("x-sum"); got.err != nil || value != "123" || b.trailer.Count(exchange.Other) != 1 {
		t.Errorf("got %q, %v", value, got.err)
	}
}

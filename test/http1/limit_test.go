package http1

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

const limits = "    limits: { request_line: 1KiB, header_bytes: 4KiB, header_count: 20, body: 100KiB }"

// A message as large as allowed passes; one byte or field more is refused, and the client can read why.
func TestLimits(t *testing.T) {
	t.Parallel()
	addr := frontBy(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false // it is broken off when it turns out to be too long
		}
		p.Send(wire.OK("ok"))
		return true
	}, limits)
	line := func(n int) string { // a request line of n bytes
		return "GET /" + strings.Repeat("x", n-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	header := func(n int) string { // a header section of n bytes with its line ends and the empty line
		return "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", n-len("Host: a\r\nX: \r\n\r\n")) + "\r\n\r\n"
	}
	fields := func(n int) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", n-1) + "\r\n" }
	for _, test := range []struct {
		name, request string
		status        int
		code          string
	}{
		{"line", line(1024), 200, ""},
		{"line+1", line(1025), 414, "line_too_long"},
		{"line+100k", line(100_000), 414, "line_too_long"},
		{"endless line", "GET /" + strings.Repeat("x", 2_000_000), 414, "line_too_long"},
		{"header", header(4096), 200, ""},
		{"header+1", header(4097), 431, "header_too_large"},
		{"header+100k", header(100_000), 431, "header_too_large"},
		{"endless header", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 2_000_000), 431, "header_too_large"},
		{"fields", fields(20), 200, ""},
		{"fields+1", fields(21), 431, "header_too_large"},
		{"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 102400\r\n\r\n" + strings.Repeat("z", 102400), 200, ""},
		{"length+1", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 102401\r\n\r\n" + strings.Repeat("z", 102401), 413, "body_too_large"},
		{"length+2M", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + strings.Repeat("z", 2_000_000), 413, "body_too_large"},
		{"length expected", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 102401\r\n\r\n", 413, "body_too_large"},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("z", 102400), func() int { return 4000 }), 200, ""},
		{"chunks+1", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("z", 102401), func() int { return 4000 }), 413, "body_too_large"},
		{"chunk+1", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("z", 102401), func() int { return 1 << 20 }), 413, "body_too_large"},
		{"chunks+2M", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(strings.Repeat("z", 2_000_000), func() int { return 4000 }), 413, "body_too_large"},
	} {
		for _, size := range []int{1 << 22, 1400} {
			t.Run(fmt.Sprintf("%s by %d", test.name, size), func(t *testing.T) {
				c := wire.Dial(t, addr)
				go func() { // a client that is still sending when it is refused
					for _, piece := range pieces(test.request, func() int { return size }) {
						if c.TrySend(piece) != nil {
							return
						}
					}
				}()
				method, _, _ := strings.Cut(test.request, " ")
				m := c.Answer(method)
				if m.Status() != test.status {
					t.Fatalf("%s%.300q", m, m.Body)
				}
				if test.status == 200 {
					if m.Has("Connection") {
						t.Errorf("the connection does not go on: %s", m)
					}
					return
				}
				var problem struct {
					Status int
					Code   string
				}
				if err := json.Unmarshal(m.Body, &problem); err != nil || problem.Status != test.status || problem.Code != test.code {
					t.Errorf("%v: %s", err, m.Body)
				}
				if m.Get("Connection") != "close" {
					t.Errorf("%s", m)
				}
				c.Gone()
			})
		}
	}
}

// A head at the default limits, in pieces as small as packets get.
func TestLargeHeads(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(m *wire.Message) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Back: " + m.Get("X-Long") + "\r\n\r\nok"
	}), "")
	c := wire.Dial(t, addr)
	for _, n := range []int{1000, 2000, 3900, 4000, 4096, 5000, 8000, 16_000, 16_384, 30_000, 32_000} {
		long := strings.Repeat("abcdefgh", n/8)
		request := "GET /" + strings.Repeat("p", min(n, 8000)) + " HTTP/1.1\r\nHost: a\r\nX-Long: " + long + "\r\n\r\n"
		for _, size := range []int{1 << 20, 1460, 333} {
			c.Send(pieces(request, func() int { return size })...)
			m := c.Answer("GET")
			if got := seen.One(t); got.Get("X-Long") != long || m.Get("X-Back") != long || string(m.Body) != "ok" || m.Has("Connection") {
				t.Fatalf("%d by %d: %d bytes reached the endpoint, %d came back in %.200s", n, size, len(got.Get("X-Long")), len(m.Get("X-Back")), m)
			}
		}
	}
}

// A client that is refused while it sends is not cut off in the middle of a write: what it still sends is taken for a while, since a
// reset can destroy the answer on its way (RFC 9112 §9.6).
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	addr := frontBy(t, echo, limits)
	c := wire.Dial(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("z", 1000))
	if m := c.Answer("POST"); m.Status() != 413 {
		t.Fatalf("%s", m)
	}
	c.Ended()
	for range 200 {
		c.Send(strings.Repeat("z", 1000))
	}
}

package http1

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

func parseAnswer(raw, method string) (r *exchange.Response, h *head, n int, minor uint8, err error) {
	r, h = new(exchange.Response), new(head)
	n, minor, err = parseResponse([]byte(raw), method, h, r)
	return r, h, n, minor, err
}

func TestResponseAccepted(t *testing.T) {
	tests := []struct{ name, method, raw, want string }{
		{"length", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "200 minor=1 length=5 Content-Length: 5\n"},
		{"length 0", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "200 minor=1 length=0 Content-Length: 0\n"},
		{"chunked", "GET", "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n", "200 minor=1 length=-1 chunked"},
		{"until the close", "GET", "HTTP/1.1 200 OK\n\n", "200 minor=1 length=-1"},
		{"old version", "GET", "HTTP/1.0 200 OK\n\n", "200 minor=0 length=-1"},
		{"without phrase and space", "GET", "HTTP/1.1 200\nContent-Length: 1\n\n", "200 minor=1 length=1 Content-Length: 1\n"},
		{"without phrase", "GET", "HTTP/1.1 200 \nContent-Length: 1\n\n", "200 minor=1 length=1 Content-Length: 1\n"},
		{"odd phrase", "GET", "HTTP/1.1 599 \xe9 \t!\nContent-Length: 1\n\n", "599 minor=1 length=1 Content-Length: 1\n"},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "200 minor=1 length=5 none Content-Length: 5\n"},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", "200 minor=1 length=-1 chunked none"},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", "304 minor=1 length=5 none Content-Length: 5\n"},
		{"no content", "GET", "HTTP/1.1 204 No Content\n\n", "204 minor=1 length=-1 none"},
		{"interim", "GET", "HTTP/1.1 103 Early Hints\nLink: x\n\n", "103 minor=1 length=0 none Link: x\n"},
		{"switch", "GET", "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket\n\n", "101 minor=1 length=0 none upgrade=websocket"},
		{"close", "GET", "HTTP/1.1 200 OK\nConnection: close, X\nX: 1\nContent-Length: 0\n\n", "200 minor=1 length=0 close Content-Length: 0\n"},
		{"hop-by-hop fields go", "GET", "HTTP/1.1 200 OK\nKeep-Alive: 5\nProxy-Connection: x\nX_Real_IP: x\nContent-Length: 0\n\n", "200 minor=1 length=0 Content-Length: 0\n"},
	}
	for _, test := range tests {
		raw := crlf(test.raw)
		r, h, n, minor, err := parseAnswer(raw+"HTTP/1.1 200 OK\r\n", test.method)
		if err != nil || n != len(raw) {
			t.Errorf("%s: %d bytes, %v", test.name, n, err)
			continue
		}
		got := fmt.Sprintf("%d minor=%d length=%d", r.Status, minor, r.Length)
		if h.chunked {
			got += " chunked"
		}
		if !hasBody(test.method, r.Status) {
			got += " none"
		}
		if h.close {
			got += " close"
		}
		if h.upgrade != "" {
			got += " upgrade=" + h.upgrade
		}
		if fields := list(&r.Header); fields != "" {
			got += " " + fields
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		for at := range len(raw) {
			if _, _, _, _, err := parseAnswer(raw[:at], test.method); err != errMore {
				t.Errorf("%s: with %d bytes of %d: %v", test.name, at, len(raw), err)
			}
		}
	}
}

func TestResponseRefused(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		raw = strings.ReplaceAll(crlf(raw), "␊", "\n")
		if _, _, _, _, err := parseAnswer(raw, "GET"); err == nil || err == errMore {
			t.Errorf("%.60q: got %v, want it refused", raw, err)
		}
	}
	f("\n\n")
	f("\nHTTP/1.1 200 OK\n\n")
	f("<html>\n\n")
	f("HTTP/1.1\n\n")
	f("HTTP/1.1 20\n\n")
	f("HTTP/1.1 2000\n\n")
	f("HTTP/1.1 200OK\n\n")
	f("HTTP/1.1 20x OK\n\n")
	f("HTTP/1.1 +20 OK\n\n")
	f("HTTP/1.1 099 Low\n\n")
	f("HTTP/1.1 600 High\n\n")
	f("HTTP/1.1  200 OK\n\n")
	f("HTTP/1.1\t200 OK\n\n")
	f(" HTTP/1.1 200 OK\n\n")
	f("http/1.1 200 OK\n\n")
	f("HTTP/1.2 200 OK\n\n")
	f("HTTP/2.0 200 OK\n\n")
	f("HTTP/0.9 200 OK\n\n")
	f("HTTP/1.1 200 O\rK\n\n")
	f("HTTP/1.1 200 O\x00K\n\n")
	f("HTTP/1.1 200 OK␊\n")
	f("HTTP/1.1 200 OK\nA: b␊\n")
	f("HTTP/1.1 200 OK\nA: b\n␊")
	f("HTTP/1.1 200 OK\nA : b\n\n")
	f("HTTP/1.1 200 OK\nA: b\n c\n\n")
	f("HTTP/1.1 200 OK\nA: \x01\n\n")
	f("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1\n\n")
	f("HTTP/1.1 200 OK\nContent-Length: 1, 1\n\n")
	f("HTTP/1.1 200 OK\nContent-Length: -1\n\n")
	f("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n")
	f("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n")
	f("HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\n")
	f("HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\n")
	f("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n")
	f("HTTP/1.1 200 OK\n" + strings.Repeat("A: b\n", upstreamHeadFields+1) + "\n")
	f("HTTP/1.1 200 OK\nA: " + strings.Repeat("b", upstreamHead))
	f("HTTP/1.1 200 " + strings.Repeat("b", upstreamHead))
}

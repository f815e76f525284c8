package http1

import (
	"testing"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
)

// What a browser and an API client send, and what an API answers.
var (
	browserRequest = []byte(crlf(`GET /assets/app.js?v=3 HTTP/1.1
Host: www.example.com
Connection: keep-alive
sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: navigate
Referer: https://www.example.com/
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en;q=0.9,nb;q=0.8
Cookie: session=6f3e1c0f7c2b4d0e9a8b7c6d5e4f3a2b; theme=dark; consent=yes
If-None-Match: "33a64df551425fcc55e4d42a148795d9f25f89d4"

`))
	smallRequest = []byte(crlf("GET /v1/orders/42 HTTP/1.1\nHost: api.example.com\nUser-Agent: curl/8.5.0\nAccept: */*\n\n"))
	jsonResponse = []byte(crlf("HTTP/1.1 200 OK\nServer: api\nDate: Thu, 01 Jan 2026 00:00:00 GMT\nContent-Type: application/json\nContent-Length: 27\nConnection: keep-alive\n\n"))
)

func TestParsingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var h head
	var request exchange.Request
	var response exchange.Response
	limits := roomy()
	zero := func(name string, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
	take := func(raw []byte) func() {
		return func() {
			request.Header.Reset()
			if _, err := parseRequest(raw, limits, &h, &request); err != nil {
				t.Fatal(err)
			}
		}
	}
	zero("browser", take(browserRequest))
	zero("API client", take(smallRequest))
	zero("chunked, IPv6", take([]byte(crlf("POST / HTTP/1.1\nHost: [::1]:80\nTransfer-Encoding: chunked\nConnection: close, x\nTE: trailers\n\n"))))
	zero("part of a head", func() {
		request.Header.Reset()
		if _, err := parseRequest(browserRequest[:500], limits, &h, &request); err != errMore {
			t.Fatal(err)
		}
	})
	for name, raw := range map[string]string{
		"two lengths": "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 5\n\n",
		"TLS hello":   "\x16\x03\x01\x02\x00",
		"bad IPv6":    "GET / HTTP/1.1\nHost: a..b\n\n",
	} {
		raw := []byte(crlf(raw))
		zero("refused: "+name, func() {
			request.Header.Reset()
			if _, err := parseRequest(raw, limits, &h, &request); err == nil {
				t.Fatal("accepted")
			}
		})
	}
	zero("answer", func() {
		response.Header.Reset()
		if _, _, err := parseResponse(jsonResponse, "GET", &h, &response); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEncodingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	x := new(exchange.Exchange)
	var h head
	if _, err := parseRequest(browserRequest, roomy(), &h, &x.Request); err != nil {
		t.Fatal(err)
	}
	if _, _, err := parseResponse(jsonResponse, "GET", &h, &x.Response); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 0, 4<<10)
	o := &exchange.Outgoing{Path: "/assets/app.js", Host: "10.0.0.1:8080", Forwarded: []byte("X-Forwarded-For: 192.0.2.1\r\n")}
	now := clock.Now()
	if got := testing.AllocsPerRun(100, func() {
		appendRequest(out, x, o, false)
		appendResponse(out, x, framing(x), now)
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// A body that arrived with its head, chunked or not, costs nothing but its framing.
func TestBodiesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	conn, _ := pair(t, false)
	var trailer exchange.Fields
	var b body
	for name, raw := range map[string]string{"counted": "hello, world", "chunked": "5;a=b\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"} {
		buf := headBuffer(raw)
		end := endsByCount
		if name == "chunked" {
			end = endsByChunk
		}
		if got := testing.AllocsPerRun(100, func() {
			b.begin(conn, server, end, 12, buf, 0, len(raw))
			b.trailer = &trailer
			for {
				if _, err := b.Next(); err != nil {
					break
				}
			}
			if !b.done() {
				t.Fatal(b.err)
			}
			b.release()
		}); got != 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}

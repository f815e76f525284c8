package http1

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
)

func TestAppendRequest(t *testing.T) {
	tests := []struct {
		name, raw, want string
		upstream        exchange.Outgoing
		await           bool
	}{
		{name: "plain", raw: "GET /a?b HTTP/1.1\nHost: a\nAccept: */*\n\n",
			want: "GET /x?b HTTP/1.1\nHost: up:8\nAccept: */*\n\n"},
		{name: "old version becomes new", raw: "GET / HTTP/1.0\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\n\n"},
		{name: "empty query goes", raw: "GET /? HTTP/1.1\nHost: a\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\n\n"},
		{name: "length keeps its place and is rewritten", raw: "POST / HTTP/1.1\nHost: a\ncontent-length: 005\nA: b\n\n",
			want: "POST /x HTTP/1.1\nHost: up:8\ncontent-length: 5\nA: b\n\n"},
		{name: "length 0 stays", raw: "GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\nContent-Length: 0\n\n"},
		{name: "POST without content says so", raw: "POST / HTTP/1.1\nHost: a\n\n",
			want: "POST /x HTTP/1.1\nHost: up:8\nContent-Length: 0\n\n"},
		{name: "unknown methods say so too", raw: "DO / HTTP/1.1\nHost: a\n\n",
			want: "DO /x HTTP/1.1\nHost: up:8\nContent-Length: 0\n\n"},
		{name: "chunked", raw: "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: CHUNKED\n\n",
			want: "POST /x HTTP/1.1\nHost: up:8\nTransfer-Encoding: chunked\n\n"},
		{name: "what the client says of its way is replaced", raw: "GET / HTTP/1.1\nHost: a\nX-Forwarded-For: 1.1.1.1\nA: b\nForwarded: for=x\nX-Forwarded-Host: h\nX-Forwarded-Proto: p\nX-Forwarded-Port: 1\n\n",
			upstream: exchange.Outgoing{Forwarded: []byte("X-Forwarded-For: 2.2.2.2\r\n")},
			want:     "GET /x HTTP/1.1\nHost: up:8\nA: b\nX-Forwarded-For: 2.2.2.2\n\n"},
		{name: "upgrade", raw: "GET / HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\nSec-WebSocket-Version: 13\nConnection: upgrade\nUpgrade: websocket\n\n"},
		{name: "trailers", raw: "GET / HTTP/1.1\nHost: a\nTE: trailers\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\nConnection: te\nTE: trailers\n\n"},
		{name: "expectation", raw: "PUT / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 1\n\n", await: true,
			want: "PUT /x HTTP/1.1\nHost: up:8\nContent-Length: 1\nExpect: 100-continue\n\n"},
		{name: "connection fields stay here", raw: "GET / HTTP/1.1\nHost: a\nConnection: close, x\nX: 1\nKeep-Alive: 1\nProxy-Authorization: s\nB: 2\n\n",
			want: "GET /x HTTP/1.1\nHost: up:8\nB: 2\n\n"},
	}
	for _, test := range tests {
		r := parse(crlf(test.raw), roomy())
		if r.err != nil {
			t.Errorf("%s: refused: %v", test.name, r.err)
			continue
		}
		test.upstream.Path, test.upstream.Host = "/x", "up:8"
		x := &exchange.Exchange{Request: r.Request}
		got := string(appendRequest(nil, x, &test.upstream, test.await))
		if got != crlf(test.want) {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, crlf(test.want))
		}
		again := parse(got, roomy())
		if again.err != nil {
			t.Errorf("%s: what we write we refuse: %v", test.name, again.err)
		} else if again.Length != r.Length || again.Upgrade != r.Upgrade || again.Query != r.Query || again.Method != r.Method {
			t.Errorf("%s: what we write we take for %s, not %s", test.name, again.facts(), r.facts())
		}
	}
}

func TestAppendResponse(t *testing.T) {
	const date = "Date: D\n"
	answer := func(status int, length int64, fields ...string) exchange.Response {
		r := exchange.Response{Status: status, Length: length}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		return r
	}
	tests := []struct {
		name, request, want string
		response            exchange.Response
		close               bool
	}{
		{name: "length", response: answer(200, 5, "Content-Length", "005", "A", "b"),
			want: "HTTP/1.1 200 OK\nContent-Length: 5\nA: b\n" + date + "\n"},
		{name: "length unstated", response: answer(404, 5, "A", "b"),
			want: "HTTP/1.1 404 Not Found\nA: b\n" + date + "Content-Length: 5\n\n"},
		{name: "length 0", response: answer(200, 0),
			want: "HTTP/1.1 200 OK\n" + date + "Content-Length: 0\n\n"},
		{name: "two lengths become one", response: answer(200, 5, "Content-Length", "5", "Content-Length", "6"),
			want: "HTTP/1.1 200 OK\nContent-Length: 5\n" + date + "\n"},
		{name: "chunked", response: answer(200, exchange.Unknown, "Content-Length", "5"),
			want: "HTTP/1.1 200 OK\n" + date + "Transfer-Encoding: chunked\n\n"},
		{name: "unknown to HTTP/1.0", request: "GET / HTTP/1.0\nConnection: keep-alive\n\n", response: answer(200, exchange.Unknown), close: true,
			want: "HTTP/1.1 200 OK\n" + date + "Connection: close\n\n"},
		{name: "length to HTTP/1.0", request: "GET / HTTP/1.0\nConnection: keep-alive\n\n", response: answer(200, 1),
			want: "HTTP/1.1 200 OK\n" + date + "Content-Length: 1\nConnection: keep-alive\n\n"},
		{name: "close", response: answer(200, 1), close: true,
			want: "HTTP/1.1 200 OK\n" + date + "Content-Length: 1\nConnection: close\n\n"},
		{name: "the endpoint's date stays", response: answer(200, 0, "date", "x"),
			want: "HTTP/1.1 200 OK\ndate: x\nContent-Length: 0\n\n"},
		{name: "HEAD", request: "HEAD / HTTP/1.1\nHost: a\n\n", response: answer(200, 5, "Content-Length", "5"),
			want: "HTTP/1.1 200 OK\nContent-Length: 5\n" + date + "\n"},
		{name: "HEAD of unknown length", request: "HEAD / HTTP/1.1\nHost: a\n\n", response: answer(200, exchange.Unknown),
			want: "HTTP/1.1 200 OK\n" + date + "\n"},
		{name: "not modified", response: answer(304, 5, "Content-Length", "5", "ETag", "x"),
			want: "HTTP/1.1 304 Not Modified\nContent-Length: 5\nETag: x\n" + date + "\n"},
		{name: "no content with a length", response: answer(204, 5, "Content-Length", "5"),
			want: "HTTP/1.1 204 No Content\n" + date + "\n"},
		{name: "status without phrase", response: answer(599, 0),
			want: "HTTP/1.1 599 \n" + date + "Content-Length: 0\n\n"},
		{name: "switch", request: "GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket\n\n", response: answer(101, 0), close: true,
			want: "HTTP/1.1 101 Switching Protocols\n" + date + "Connection: upgrade\nUpgrade: websocket\n\n"},
	}
	now := clock.Now()
	for _, test := range tests {
		if test.request == "" {
			test.request = "GET / HTTP/1.1\nHost: a\n\n"
		}
		r := parse(crlf(test.request), roomy())
		if r.err != nil {
			t.Errorf("%s: refused: %v", test.name, r.err)
			continue
		}
		x := &exchange.Exchange{Request: r.Request, Response: test.response, KeepAlive: !test.close}
		got := string(appendResponse(nil, x, framing(x), now))
		want := strings.ReplaceAll(crlf(test.want), "Date: D", "Date: "+clock.Date(now))
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, want)
		}
		if _, _, n, _, err := parseAnswer(got, x.Request.Method); err != nil || n != len(got) {
			t.Errorf("%s: what we write we refuse: %v", test.name, err)
		}
	}
}

// What a writer makes of runs, a body reads back, however large they are.
func TestWriterFrames(t *testing.T) {
	runs := []string{"a", strings.Repeat("b", 100), strings.Repeat("c", 5000), "d", strings.Repeat("e", 70000)}
	var trailer exchange.Fields
	trailer.Add("X-Sum", "1")
	for _, how := range []framed{byLength, byChunks} {
		out, in := pair(t, false)
		w := writer{conn: out, patience: 1e9}
		text := strings.Join(runs, "")
		done := make(chan error)
		go func() {
			w.lend()
			read, write := w.copy(&inMemory{runs: runs}, how, &trailer, nil)
			if write == nil {
				write = read
			}
			if write == nil {
				write = w.flush(nil)
			}
			w.release()
			out.CloseWrite()
			done <- write
		}()
		conn := adopt(t, in)
		end, want := endsByCount, content{text: text}
		if how == byChunks {
			end, want.trailer = endsByChunk, "X-Sum: 1\n"
		}
		b := source(conn, client, end, int64(len(text)), "")
		if got := readOut(b); got != want {
			t.Errorf("framing %d: got %d bytes, trailer %q, %v", how, len(got.text), got.trailer, got.err)
		}
		if left := rest(t, conn); left != "" {
			t.Errorf("framing %d: %q behind the body", how, left)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

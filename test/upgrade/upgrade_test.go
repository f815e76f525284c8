package upgrade

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// front starts a gateway in front of an endpoint. listener is what the listener has besides its address.
func front(t *testing.T, endpoint, listener string) (*gateway.Gateway, string) {
	t.Helper()
	addr := gateway.Free(t)
	return gateway.Start(t, `
listeners:
  - address: `+addr+`
`+listener+`
upstreams:
  app:
    endpoints: ["`+endpoint+`"]
routes:
  - { name: all, match: { path: /* }, upstream: app }
`), addr
}

// WebSocket messages from empty to 1 MiB pass both ways, on several connections at a time.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetReadLimit(2 << 20)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return // the client closes
			}
			if c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	g, addr := front(t, server.Listener.Addr().String(), "")
	ctx, cancel := context.WithTimeout(t.Context(), gateway.Patience)
	defer cancel()
	for range 3 {
		c, answer, err := websocket.Dial(ctx, "ws://"+addr+"/chat?x=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 101 || answer.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%d %v", answer.StatusCode, answer.Header)
		}
		c.SetReadLimit(2 << 20)
		for _, n := range []int{0, 1, 125, 126, 4096, 65_535, 65_536, 100_000, 1 << 20} {
			message := make([]byte, n)
			for i := range message {
				message[i] = byte(rand.Uint32())
			}
			if err := c.Write(ctx, websocket.MessageBinary, message); err != nil {
				t.Fatal(err)
			}
			_, back, err := c.Read(ctx)
			if err != nil || !bytes.Equal(back, message) {
				t.Fatalf("a message of %d bytes came back as %d bytes, %v", n, len(back), err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	line := g.AwaitAccess("a tunnel's", func(l gateway.Line) bool { return l.Number("status") == 101 })
	const least = 1<<20 + 100_000 + 65_536 + 65_535
	for _, field := range []string{"bytes_in", "bytes_out"} {
		if n := line.Number(field); n < least || n > least+20_000 {
			t.Errorf("%s is %.0f, want a little more than %d", field, n, least)
		}
	}
	for _, field := range []string{"upstream_bytes_in", "upstream_bytes_out"} {
		if n := line.Number(field); n < least || n > least+20_000 {
			t.Errorf("%s is %.0f, want a little more than %d", field, n, least)
		}
	}
	if line.Text("end") != "tunnel_closed" || line.Text("fault") != "" {
		t.Errorf("the line is %v", line)
	}
	gateway.Await(t, "all three tunnels in the metrics", func() bool {
		return g.Number("straum_requests_total", `code="101"`) == 3 && g.Number("straum_unfinished_total", `end="tunnel_closed"`) == 3
	})
	if n := g.Number("straum_request_duration_seconds_count"); n != 0 {
		t.Errorf("%.0f tunnels count among the durations of requests", n)
	}
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Own: 1\r\n\r\n"

// Any protocol may follow. What comes in one packet with the request or the answer belongs to it.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	got := make(chan *wire.Message, 1)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		got <- m
		p.Send(fmt.Sprintf(switching, "own/2") + "early from the endpoint\n")
		line, _ := p.In.ReadString('\n')
		p.Send("you said " + line)
		p.Ended()
		p.Send("and a last word") // the other direction is open still
		return false
	})
	_, addr := front(t, endpoint.Addr, "")
	for _, request := range []string{"GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: own/2\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nUpgrade: own/2\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"} {
		c := wire.Dial(t, addr)
		c.Send(request + "early from the client\n")
		m := c.Head()
		if m.Status() != 101 || m.Get("Upgrade") != "own/2" || !strings.EqualFold(m.Get("Connection"), "upgrade") || m.Get("X-Own") != "1" || m.Has("Content-Length") || m.Has("Transfer-Encoding") {
			t.Fatalf("%s", m)
		}
		if m := <-got; m.Get("Upgrade") != "own/2" || !strings.EqualFold(m.Get("Connection"), "upgrade") {
			t.Errorf("the endpoint got %s", m)
		}
		want := "early from the endpoint\nyou said early from the client\n"
		if got := c.Bytes(len(want)); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		c.CloseWrite()
		if got := c.Bytes(len("and a last word")); got != "and a last word" {
			t.Fatalf("%q", got)
		}
		c.Ended()
	}
}

// The endpoint closes its sending side first; what the client still says arrives.
func TestEndpointHalfCloses(t *testing.T) {
	t.Parallel()
	said := make(chan string, 1)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send(fmt.Sprintf(switching, "x"))
		p.CloseWrite()
		rest, err := io.ReadAll(p.In)
		if err != nil {
			t.Error(err)
		}
		said <- string(rest)
		return false
	})
	_, addr := front(t, endpoint.Addr, "")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	if m := c.Head(); m.Status() != 101 {
		t.Fatalf("%s", m)
	}
	c.Ended() // our reading side
	long := strings.Repeat("still talking ", 100_000)
	c.Send(long)
	c.CloseWrite()
	if got := <-said; got != long {
		t.Errorf("%d bytes arrived, want %d", len(got), len(long))
	}
}

// One side resets: the other side's connection ends too.
func TestTunnelReset(t *testing.T) {
	t.Parallel()
	ended := make(chan bool)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send(fmt.Sprintf(switching, "x"))
		if m.Target() == "/endpoint" {
			p.Bytes(1)
			p.Reset()
		} else {
			p.Gone()
		}
		ended <- true
		return false
	})
	_, addr := front(t, endpoint.Addr, "")
	for _, path := range []string{"/endpoint", "/client"} {
		c := wire.Dial(t, addr)
		c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		c.Head()
		if path == "/client" {
			c.Reset()
			<-ended
		} else {
			c.Send("x")
			<-ended
			c.Gone()
		}
	}
}

// A refused upgrade is an answer like any other, and the connection goes on.
func TestRefused(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if m.Target() == "/426" {
			p.Send("HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: other/1\r\nContent-Length: 0\r\n\r\n")
		} else {
			p.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		}
		return true
	})
	_, addr := front(t, endpoint.Addr, "")
	c := wire.Dial(t, addr)
	for range 2 {
		c.Send("GET /403 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		if m := c.Answer("GET"); m.Status() != 403 || string(m.Body) != "no" || m.Has("Connection") {
			t.Fatalf("%s", m)
		}
		c.Send("GET /426 HTTP/1.1\r\nHost: a\r\n\r\n")
		if m := c.Answer("GET"); m.Status() != 426 || m.Get("Upgrade") != "other/1" { // RFC 9110 §15.5.22
			t.Fatalf("%s", m)
		}
	}
}

// What would hide further requests from the gateway, or is no upgrade, is not passed on: it is a plain request then.
func TestNotPassedOn(t *testing.T) {
	t.Parallel()
	got := make(chan *wire.Message, 1)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		got <- m
		p.Send(wire.OK("plain"))
		return true
	})
	_, addr := front(t, endpoint.Addr, "")
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: H2C\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.3\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", // Connection does not list it
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n", // RFC 9110 §7.8
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
	} {
		c := wire.Dial(t, addr)
		c.Send(request)
		if m := c.Answer("GET"); string(m.Body) != "plain" {
			t.Errorf("%q: %s", request, m)
		}
		if m := <-got; m.Has("Upgrade") || m.Has("HTTP2-Settings") || m.Has("Connection") {
			t.Errorf("%q: the endpoint got %s", request, m)
		}
	}
}

// A tunnel in which nothing moves is closed after tunnel_idle; one in which something does in either direction is not.
func TestIdle(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 1)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send(fmt.Sprintf(switching, "x"))
		ended <- p.Gone()
		return false
	})
	g, addr := front(t, endpoint.Addr, "    timeouts: { tunnel_idle: 1s }")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	c.Head()
	c.Send("ping")
	c.Gone()
	if got := <-ended; got != "ping" {
		t.Errorf("the endpoint got %q", got)
	}
	line := g.AwaitAccess("the tunnel's", func(l gateway.Line) bool { return l.Number("status") == 101 })
	if n := line.Number("total_us"); n < 1_000_000 {
		t.Errorf("it was closed after %.0f µs", n)
	}
}

// Much in both directions at once, through buffers, kernel and back.
func TestBulk(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send(fmt.Sprintf(switching, "x"))
		io.Copy(p.Conn, p.In) // ends with the client's side
		p.CloseWrite()
		return false
	})
	_, addr := front(t, endpoint.Addr, "")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	c.Head()
	body := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	go func() {
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 1+rand.IntN(1<<rand.IntN(20)))
			if c.TrySend(string(rest[:n])) != nil {
				return
			}
			rest = rest[n:]
		}
		c.CloseWrite()
	}()
	if got := c.Bytes(size); got != string(body) {
		t.Error("what came back differs")
	}
	c.Ended()
}

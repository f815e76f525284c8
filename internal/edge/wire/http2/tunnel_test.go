package http2

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	framing "golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// far is the endpoint's end of a tunnel.
type far struct {
	net.Conn
	t *testing.T
}

// tunnelling is a flow that answers every upgrade with 101 and tunnels to the endpoint whose far ends come through the channel.
func tunnelling(t *testing.T, ends chan<- far, o outcomes, early string) exchange.Handler {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			t.Error(f)
		}
		near, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		end, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		conn, err := socket.New(near)
		if err != nil {
			t.Error(err)
			return
		}
		key, _ := x.Request.Header.Header("Sec-WebSocket-Key")
		x.DropResponse()
		x.Response.Status = 101
		x.Response.Header.Add("Sec-WebSocket-Accept", accepts(key))
		x.Response.Header.Add("Sec-WebSocket-Protocol", "chat")
		x.Response.Header.Add("Upgrade", "websocket")
		if f := c.Encode(x); f != nil {
			t.Error(f)
		}
		ends <- far{end, t}
		c.Tunnel(x, conn, []byte(early))
		conn.Close()
		o <- x.End.String()
	})
}

func (f far) says(text string) {
	f.t.Helper()
	if _, err := f.Write([]byte(text)); err != nil {
		f.t.Error(err)
	}
}

func (f far) hears(want string) {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	n, err := io.ReadFull(f, got)
	if string(got[:n]) != want {
		f.t.Errorf("the endpoint heard %q, %v, want %q", got[:n], err, want)
	}
}

func (f far) hearsEnd() {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(patience))
	if n, err := f.Read(make([]byte, 10)); err == nil || n > 0 {
		f.t.Errorf("the endpoint heard %d bytes more", n)
	} else if slow, ok := err.(net.Error); ok && slow.Timeout() {
		f.t.Error("the endpoint heard no end")
	}
}

func (c *peer) webSocket(id uint32, more ...string) {
	c.ask(id, false, append([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "example.com",
		"sec-websocket-version", "13", "sec-websocket-protocol", "chat"}, more...)...)
}

func (c *peer) hears(id uint32, want string) {
	c.t.Helper()
	s := c.stream(id)
	c.until("what the endpoint said", func() bool { return s.data.Len() >= len(want) })
	if s.data.String() != want {
		c.t.Errorf("the client heard %q, want %q", s.data.String(), want)
	}
}

// A WebSocket over HTTP/2 looks to the client like RFC 8441 and to the endpoint like RFC 6455; bytes pass both ways, and each side may
// end on its own.
func TestTunnel(t *testing.T) {
	ends, o := make(chan far, 1), make(outcomes, 1)
	p := serve(t, roomy(), tunnelling(t, ends, o, "early "))
	c := connect(t, p)
	c.webSocket(1)
	end := <-ends
	s := c.stream(1)
	c.until("the answer", func() bool { return len(s.heads) > 0 })
	if c.set[framing.SettingEnableConnectProtocol] != 1 {
		t.Error("extended CONNECT is not announced")
	}
	if head := s.heads[0]; s.status() != "200" || !strings.Contains(head, "sec-websocket-protocol: chat\n") || strings.Contains(head, "accept") ||
		strings.Contains(head, "upgrade") || strings.Contains(head, "content-length") {
		t.Errorf("got %q", head)
	}
	c.hears(1, "early ")
	end.says("hello")
	c.hears(1, "early hello")
	c.framer.WriteData(1, false, []byte("from the client"))
	end.hears("from the client")
	// The client is done; the endpoint is not.
	c.framer.WriteData(1, true, []byte(", the last"))
	end.hears(", the last")
	end.hearsEnd()
	end.says(" again")
	c.hears(1, "early hello again")
	end.Close()
	c.done(1)
	o.is(t, "tunnel_closed")

	// The endpoint is done first.
	c.webSocket(3)
	end = <-ends
	end.Conn.(*net.TCPConn).CloseWrite()
	c.done(3)
	c.framer.WriteData(3, false, []byte("still here"))
	end.hears("still here")
	c.framer.WriteData(3, true, nil)
	end.hearsEnd()
	end.Close()
	o.is(t, "tunnel_closed")

	// Much, in both directions, through small windows.
	c.webSocket(5)
	end = <-ends
	want := strings.Repeat("0123456789abcdef", 64<<10)
	go func() {
		end.Write([]byte(want))
		end.Conn.(*net.TCPConn).CloseWrite()
	}()
	s, taken := c.stream(5), 0
	c.until("all", func() bool {
		if n := s.data.Len(); n-taken > 8<<10 {
			c.framer.WriteWindowUpdate(0, uint32(n-taken))
			c.framer.WriteWindowUpdate(5, uint32(n-taken))
			taken = n
		}
		return s.ended
	})
	if s.data.String() != "early "+want {
		t.Errorf("%d bytes arrived, not as they were sent", s.data.Len())
	}
	c.framer.WriteRSTStream(5, framing.ErrCodeCancel)
	end.hearsEnd()
	end.Close()
	o.is(t, "tunnel_closed")
}

// A tunnel in which nothing moves is closed; one in which something does is not.
func TestTunnelIdle(t *testing.T) {
	set := roomy()
	set.Timeouts.TunnelIdle = 80 * time.Millisecond
	ends, o := make(chan far, 1), make(outcomes, 1)
	p := serve(t, set, tunnelling(t, ends, o, ""))
	c := connect(t, p)
	c.webSocket(1)
	end := <-ends
	for range 10 {
		time.Sleep(set.Timeouts.TunnelIdle / 4)
		end.says("x")
	}
	c.hears(1, "xxxxxxxxxx")
	if s := c.done(1); s.reset != "cancel" {
		t.Errorf("got %q", s.reset)
	}
	o.is(t, "tunnel_closed")
	end.hearsEnd()
	end.Close()
	// Also when one direction has ended.
	c.webSocket(3)
	end = <-ends
	end.Conn.(*net.TCPConn).CloseWrite()
	o.is(t, "tunnel_closed")
	end.hearsEnd()
	end.Close()
}

// A client that leaves takes its tunnel along.
func TestTunnelClientGone(t *testing.T) {
	ends, o := make(chan far, 1), make(outcomes, 1)
	p := serve(t, roomy(), tunnelling(t, ends, o, ""))
	c := connect(t, p)
	c.webSocket(1)
	end := <-ends
	c.nc.Close()
	end.hearsEnd()
	end.Close()
	o.is(t, "tunnel_closed")
}

// An endpoint that does not prove that it read the key, or answers with success without switching, has not switched protocols.
func TestTunnelRefused(t *testing.T) {
	type answer struct {
		status int
		accept string
	}
	answers := make(chan answer, 1)
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		x.DropResponse()
		a := <-answers
		x.Response.Status = a.status
		if a.accept != "" {
			x.Response.Header.Add("Sec-WebSocket-Accept", a.accept)
		}
	}))
	c := connect(t, p)
	id := uint32(1)
	is := func(status int, proof, want string) {
		t.Helper()
		answers <- answer{status, proof}
		c.webSocket(id)
		if got := c.outcome(id); got != want {
			t.Errorf("%d %q: got %s, want %s", status, proof, got, want)
		}
		id += 2
	}
	is(101, "", "502")
	is(101, "dGhlIHNhbXBsZSBub25jZQ==", "502")
	is(200, "", "502")
	is(204, "", "502")
	is(302, "", "302")
	is(403, "", "403")
	is(404, "", "404")
	answers <- answer{status: 101} // to a request that asked for no tunnel
	c.get(id)
	if got := c.outcome(id); got != "502" {
		t.Errorf("got %s", got)
	}
}

// The example of RFC 6455 §1.3.
func TestAccepts(t *testing.T) {
	if got := accepts("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

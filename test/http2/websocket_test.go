package http2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coder/websocket"
	xhttp2 "golang.org/x/net/http2"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// socket is a WebSocket over a stream (RFC 8441), as far as the tests need it: RFC 6455's frames, each a whole message.
type socket struct {
	st *wire.Stream
	in bytes.Buffer
}

// upgrade asks for a WebSocket and returns the answer's status with it.
func upgrade(s *wire.Streams, path string, more ...wire.Field) (*socket, int, error) {
	fields := append([]wire.Field{{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "websocket"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"}, {Name: ":path", Value: path}, {Name: "sec-websocket-version", Value: "13"}, {Name: "origin", Value: "https://localhost"}}, more...)
	st, err := s.Open(false, fields...)
	if err != nil {
		return nil, 0, err
	}
	m, err := st.Head()
	if err != nil {
		return nil, 0, err
	}
	for _, forbidden := range []string{"connection", "upgrade", "sec-websocket-accept", "content-length", "transfer-encoding"} {
		if wire.Status(m) == 200 && m.Has(forbidden) {
			return nil, 0, fmt.Errorf("the answer has %s: %s", forbidden, m)
		}
	}
	return &socket{st: st}, wire.Status(m), nil
}

// send sends a message, masked as clients do.
func (s *socket) send(opcode byte, message []byte) error {
	head := []byte{0x80 | opcode}
	switch n := len(message); {
	case n < 126:
		head = append(head, 0x80|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 0x80|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	frame := append(head, mask[:]...)
	for i, c := range message {
		frame = append(frame, c^mask[i%4])
	}
	return s.st.Send(frame, false)
}

// fill waits until n bytes are there. io.EOF says that the stream has ended.
func (s *socket) fill(n int) error {
	for s.in.Len() < n {
		p, err := s.st.Next()
		if err != nil {
			return err
		}
		s.in.Write(p.Data)
	}
	return nil
}

// receive waits for a message.
func (s *socket) receive() (opcode byte, message []byte, err error) {
	for {
		if err := s.fill(2); err != nil {
			return 0, nil, err
		}
		head := s.in.Next(2)
		last, op, n := head[0]&0x80 != 0, head[0]&0x0f, uint64(head[1])
		for size, more := range map[uint64]int{126: 2, 127: 8} {
			if n == size {
				if err := s.fill(more); err != nil {
					return 0, nil, err
				}
				n = 0
				for _, c := range s.in.Next(more) {
					n = n<<8 | uint64(c)
				}
				break
			}
		}
		if err := s.fill(int(n)); err != nil {
			return 0, nil, err
		}
		if op != 0 {
			opcode = op
		}
		message = append(message, s.in.Next(int(n))...)
		if last {
			return opcode, message, nil
		}
	}
}

// end waits for the end of the stream: io.EOF for a good one.
func (s *socket) end() (err error) {
	for err == nil {
		_, err = s.st.Next()
	}
	return err
}

// echo is an endpoint that sends WebSocket messages back, and tells how each socket ended.
func echo(t *testing.T) (addr string, ended chan error) {
	ended = make(chan error, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refused":
			http.Error(w, "no", http.StatusForbidden)
			return
		case "/plain":
			io.WriteString(w, "no socket")
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"chat"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(4 << 20)
		for {
			kind, message, err := c.Read(context.WithoutCancel(r.Context()))
			if err != nil {
				ended <- err
				return
			}
			if string(message) == "close" {
				c.Close(websocket.StatusGoingAway, "told to")
				ended <- nil
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				ended <- err
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), ended
}

// WebSockets over HTTP/2 go through to an endpoint that knows them over HTTP/1.1 alone: messages of all sizes, several sockets and
// ordinary requests on one connection, and an end from either side.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	addr, ended := echo(t)
	f := open(t, addr, setting{})
	for _, secure := range []bool{true, false} {
		s := f.streams(t, secure)
		if n, ok := s.Setting(xhttp2.SettingID(8)); !ok || n != 1 { // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3)
			t.Fatalf("the setting is %d, %v", n, ok)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				ws, status, err := upgrade(s, "/chat?x=1", wire.Field{Name: "sec-websocket-protocol", Value: "chat"})
				if err != nil || status != 200 {
					t.Errorf("%d, %v", status, err)
					return
				}
				for _, n := range []int{0, 1, 125, 126, 4096, 65_535, 65_536, 100_000, 1 << 20} {
					message := content(n)
					if err := ws.send(2, message); err != nil {
						t.Errorf("%d bytes: %v", n, err)
						return
					}
					if op, back, err := ws.receive(); err != nil || op != 2 || !bytes.Equal(back, message) {
						t.Errorf("a message of %d bytes came back as %d bytes, %v", n, len(back), err)
						return
					}
				}
				if err := ws.send(8, []byte{3, 232}); err != nil { // 1000
					t.Error(err)
				}
				if op, back, err := ws.receive(); err != nil || op != 8 || !bytes.Equal(back, []byte{3, 232}) {
					t.Errorf("closing: %d %q %v", op, back, err)
				}
				if err := ws.st.Send(nil, true); err != nil {
					t.Error(err)
				}
				if err := ws.end(); err != io.EOF {
					t.Errorf("the stream does not end: %v", err)
				}
				if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
					t.Errorf("the endpoint saw %v", err)
				}
			})
		}
		for range 20 {
			if m, err := s.Get("/plain"); err != nil || string(m.Body) != "no socket" {
				t.Fatalf("beside them: %v, %v", m, err)
			}
		}
		all.Wait()

		// The endpoint closes.
		ws, status, err := upgrade(s, "/chat")
		if err != nil || status != 200 {
			t.Fatal(status, err)
		}
		ws.send(1, []byte("close")) // what comes shows
		if op, message, err := ws.receive(); err != nil || op != 8 || string(message) != "\x03\xe9told to" {
			t.Errorf("closing: %d %q %v", op, message, err)
		}
		ws.send(8, []byte{3, 233})
		ws.st.Send(nil, true) // a side that is open still may have more to say
		<-ended
		if err := ws.end(); err != io.EOF {
			t.Errorf("the stream does not end: %v", err)
		}

		// The client is gone without a word: the endpoint notices.
		if ws, status, err = upgrade(s, "/chat"); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		ws.st.Reset(xhttp2.ErrCodeCancel)
		if err := <-ended; err == nil {
			t.Error("the endpoint saw a good end of a stream that was reset")
		}

		// What is no WebSocket after all.
		if _, status, err := upgrade(s, "/refused"); err != nil || status != 403 {
			t.Errorf("%d, %v", status, err)
		}
		if m, err := s.Get("/plain"); err != nil || string(m.Body) != "no socket" {
			t.Errorf("the connection does not go on: %v, %v", m, err)
		}
	}
	l := f.AwaitAccess("a tunnel's", func(l gateway.Line) bool { return l.Text("path") == "/chat" && l.Text("query") == "x=1" })
	const least = 1<<20 + 100_000 + 65_536 + 65_535
	if l.Text("proto") != "HTTP/2" || l.Text("end") != "tunnel_closed" || l.Text("fault") != "" || l.Number("bytes_in") < least || l.Number("bytes_in") > least+20_000 ||
		l.Number("bytes_out") < least || l.Number("bytes_out") > least+20_000 {
		t.Errorf("the line is %v", l)
	}
	gateway.Await(t, "nothing to be under way", func() bool { return f.Number("straum_endpoint_active_requests") == 0 })
}

// A socket without a word for tunnel_idle is closed.
func TestWebSocketIdle(t *testing.T) {
	t.Parallel()
	addr, ended := echo(t)
	f := open(t, addr, setting{listener: "    timeouts: { tunnel_idle: 1s }"})
	s := f.streams(t, true)
	ws, status, err := upgrade(s, "/chat")
	if err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if err := ws.end(); errors.Is(err, wire.ErrSilence) {
		t.Error("the stream stays open")
	}
	if err := <-ended; err == nil {
		t.Error("the endpoint saw no end")
	}
	if m, err := s.Get("/plain"); err != nil || string(m.Body) != "no socket" {
		t.Errorf("the connection does not go on: %v, %v", m, err)
	}
}

// The usual way, by TLS and HTTP/1.1.
func TestWebSocketTLS(t *testing.T) {
	t.Parallel()
	addr, ended := echo(t)
	f := open(t, addr, setting{})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: f.trusting()}}
	c, answer, err := websocket.Dial(t.Context(), "wss://"+f.secure+"/chat", &websocket.DialOptions{HTTPClient: client})
	if err != nil || answer.StatusCode != 101 {
		t.Fatal(answer, err)
	}
	defer c.CloseNow()
	c.SetReadLimit(4 << 20)
	for _, n := range []int{0, 1, 126, 16_384, 65_536, 1 << 20} {
		message := content(n)
		if err := c.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		if _, back, err := c.Read(t.Context()); err != nil || !bytes.Equal(back, message) {
			t.Fatalf("a message of %d bytes came back as %d bytes, %v", n, len(back), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the endpoint saw %v", err)
	}
}

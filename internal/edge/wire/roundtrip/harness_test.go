package roundtrip

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// patience is how long anything is waited for that is expected at once.
const patience = 10 * time.Second

// endpoint speaks HTTP/2 frame by frame: what the library would never send has to be sent by somebody.
type endpoint struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

// open connects to an endpoint that plays a script, which begins after the client's preface. The script's end closes its connection.
func open(t *testing.T, settings []http2.Setting, script func(e *endpoint)) *Conn {
	t.Helper()
	conn, err := dial(t, patience, func(e *endpoint) {
		if io.ReadFull(e.conn, make([]byte, len(http2.ClientPreface))); e.WriteSettings(settings...) != nil {
			return
		}
		script(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// dial is open for scripts that begin with the connection, and waits only so long for their SETTINGS.
func dial(t *testing.T, within time.Duration, script func(e *endpoint)) (*Conn, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		e := &endpoint{t: t, conn: nc, Framer: http2.NewFramer(nc, nc)}
		e.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		e.enc = hpack.NewEncoder(&e.block)
		script(e)
	})
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sock, err := socket.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Open(sock, clock.Now()+int64(within), func() {})
	t.Cleanup(func() {
		if conn != nil {
			conn.Close()
		}
		listener.Close()
		ended.Wait()
	})
	return conn, err
}

// request reads frames up to the next request's head, and acknowledges what has to be.
func (e *endpoint) request() *http2.MetaHeadersFrame {
	for {
		f, err := e.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f
		case *http2.SettingsFrame:
			if !f.IsAck() {
				e.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				e.WritePing(true, f.Data)
			}
		}
	}
}

// next reads up to the next frame of a type.
func next[F http2.Frame](e *endpoint) (found F) {
	for {
		f, err := e.ReadFrame()
		if err != nil {
			return found
		}
		if f, ok := f.(F); ok {
			return f
		}
	}
}

// fields writes a block of fields.
func (e *endpoint) fields(id uint32, end bool, pairs ...string) {
	e.block.Reset()
	for i := 0; i+1 < len(pairs); i += 2 {
		e.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	e.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: e.block.Bytes(), EndHeaders: true, EndStream: end})
}

// gone waits until the client has closed the connection.
func (e *endpoint) gone() {
	for {
		if _, err := e.ReadFrame(); err != nil {
			var stream http2.StreamError
			if !errors.As(err, &stream) {
				return
			}
		}
	}
}

// client is the client's side of an exchange, as far as a try sees it.
type client struct {
	mu       sync.Mutex
	interims []int
	hints    []string
	gone     atomic.Bool
	stopped  chan struct{}
	once     sync.Once
}

func newClient() *client { return &client{stopped: make(chan struct{})} }

func (c *client) Decode(*exchange.Exchange) *fault.Fault          { return nil }
func (c *client) Encode(*exchange.Exchange) *fault.Fault          { return nil }
func (c *client) Account(*exchange.Exchange)                      {}
func (c *client) Tunnel(*exchange.Exchange, *socket.Conn, []byte) {}
func (c *client) Gone(*exchange.Exchange) bool                    { return c.gone.Load() }
func (c *client) StopBody()                                       { c.once.Do(func() { close(c.stopped) }) }
func (c *client) Tick(int64) *fault.Fault {
	if c.gone.Load() {
		return fault.New(fault.ClientGone, nil)
	}
	return nil
}

func (c *client) Interim(_ *exchange.Exchange, status int, header *exchange.Fields) *fault.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interims = append(c.interims, status)
	if header != nil {
		if hint, ok := header.Header("link"); ok {
			c.hints = append(c.hints, hint)
		}
	}
	return nil
}

// content is a request body that comes when the test says so.
type content struct {
	runs    chan string // closed at the end
	stopped chan struct{}
	fails   *fault.Fault // instead of the end
}

func (b *content) Buffered() bool { return len(b.runs) > 0 }

func (b *content) Next() ([]byte, error) {
	select {
	case run, ok := <-b.runs:
		if ok {
			return []byte(run), nil
		}
		if b.fails != nil {
			return nil, b.fails
		}
		return nil, io.EOF
	case <-b.stopped:
		return nil, fault.New(fault.Internal, socket.ErrInterrupted)
	}
}

// sending gives a request a body.
func sending(x *exchange.Exchange, c *client, runs ...string) *content {
	b := &content{runs: make(chan string, 64), stopped: c.stopped}
	for _, run := range runs {
		b.runs <- run
	}
	x.Request.Method, x.Request.Body, x.Request.Length = "POST", b, exchange.Unknown
	return b
}

func asking(path string) *exchange.Exchange {
	x := new(exchange.Exchange)
	x.Begin(&exchange.Conn{}, clock.Now())
	x.Request.Method, x.Request.Path = "GET", path
	return x
}

var usual = exchange.Patience{FirstByte: patience, Idle: patience, Late: fault.ExchangeTimeout}

// do makes one try.
func do(t *testing.T, conn *Conn, x *exchange.Exchange, c *client, p exchange.Patience) (*Try, *fault.Fault) {
	t.Helper()
	if !conn.Reserve() {
		t.Fatal("the connection takes no request")
	}
	try := New(conn)
	f := try.Do(x, c, &exchange.Outgoing{Path: x.Request.Path, Host: "api.example:81", Forwarded: []byte("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n")}, clock.Now(), p, c)
	return try, f
}

// whole reads a body to its end.
func whole(b exchange.Body) (string, error) {
	if b == nil {
		return "", nil
	}
	var all []byte
	for {
		run, err := b.Next()
		if err == io.EOF {
			return string(all), nil
		}
		if err != nil {
			return string(all), err
		}
		if len(run) == 0 {
			return string(all), errors.New("an empty run")
		}
		all = append(all, run...)
	}
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("in vain: %s", what)
	}
}

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for by := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

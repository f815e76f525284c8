package edge

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/upstream"
)

// Shadow takes copies of requests through steps 6 and 7 alone: they have an exchange of their own, which no observer gets to see, and their
// answers are nobody's. It implements policy.Shadow.
type Shadow struct {
	log  *slog.Logger
	idle sync.Pool
}

// NewShadow makes one. It needs nothing of an edge but the exchanges it is asked to copy.
func NewShadow(log *slog.Logger) *Shadow { return &Shadow{log: log} }

// mirrored tells whoever gets a copy that it is one.
const mirrored = "X-Straum-Mirrored"

// maxShadowAnswer is how much of an answer is read before it is given up together with its connection, in bytes: a connection costs more
// than reading what is left of a short answer.
const maxShadowAnswer = 1 << 20

// Copy implements policy.Shadow.
func (s *Shadow) Copy(x *exchange.Exchange, to string) policy.Copy {
	t, ok := x.Flow.(*trip)
	if !ok || t.target == nil || t.snapshot.Upstreams[to] == nil {
		return nil
	}
	c, _ := s.idle.Get().(*shadow)
	if c == nil {
		c = &shadow{of: s}
	}
	c.copy(t, t.snapshot.Upstreams[to])
	c.x.Request.Header.Append(exchange.Other, mirrored, "1")
	return c
}

// copy makes c a copy of what the endpoint of t's exchange would be asked.
func (c *shadow) copy(t *trip, to *upstream.Upstream) {
	x := t.x
	c.to = to
	c.conn = exchange.Conn{ID: x.Conn.ID, Peer: x.Conn.Peer, Local: x.Conn.Local, Secure: x.Conn.Secure, Shard: x.Conn.Shard}
	c.x.Begin(&c.conn, clock.Now())
	c.x.Client = x.Client
	c.request(&x.Request, x.SentMethod(), x.SentQuery())

	c.path = c.path[:0]
	switch {
	case x.Onward.Path != "":
		c.path = append(c.path, x.Onward.Path...)
	case t.target.Rewrite != nil:
		c.path = t.target.Rewrite.Append(c.path, x.Request.Path, &t.match)
	default:
		c.path = append(c.path, x.Request.Path...)
	}
	c.lines = t.appendForwarded(c.lines[:0])
	c.forward = upstream.Forward{Path: view(c.path), Host: t.target.Host, Forwarded: c.lines}
}

// shadow is a copy of a request on its way. It is its own codec: on the client's side there is nobody.
type shadow struct {
	of       *Shadow
	to       *upstream.Upstream
	conn     exchange.Conn
	x        exchange.Exchange
	call     upstream.Call
	forward  upstream.Forward
	timeouts upstream.Timeouts
	path     []byte
	lines    []byte
	content  shadowBody
	stop     *atomic.Bool
}

// request copies a request as endpoints get it. Upgrades and the wish to be told to go on are not copied.
func (c *shadow) request(from *exchange.Request, method, query string) {
	r := &c.x.Request
	r.Method, r.Scheme, r.Host, r.Port = c.keep(method), c.keep(from.Scheme), c.keep(from.Host), c.keep(from.Port)
	r.Path, r.Query, r.Minor, r.Major = c.keep(from.Path), c.keep(query), from.Minor, from.Major
	r.TakesTrailers = from.TakesTrailers
	for _, f := range from.Header.All() {
		name := f.Known.String()
		if name != f.Name {
			name = c.keep(f.Name)
		}
		r.Header.Append(f.Known, name, c.keep(f.Value))
	}
}

func (c *shadow) keep(s string) string {
	return c.x.Keep(unsafe.Slice(unsafe.StringData(s), len(s))) // only read
}

// Drop implements policy.Copy.
func (c *shadow) Drop() {
	c.forget()
	c.of.idle.Put(c)
}

func (c *shadow) forget() {
	c.to, c.stop, c.content = nil, nil, shadowBody{}
	c.x.Request.Body = nil
}

// Send implements policy.Copy. What panics here is a mistake of ours and must not end the process: nobody above would catch it.
func (c *shadow) Send(content []byte, within time.Duration, stop *atomic.Bool) (a policy.Answer) {
	defer func() {
		if p := recover(); p != nil {
			c.of.log.Error("BUG: panic while sending a copy of a request", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a = policy.Answer{Fault: fault.New(fault.Internal, fmt.Errorf("panic: %v", p))}
			return // whatever state it is in, nobody else gets to see the copy
		}
		c.Drop()
	}()
	x := &c.x
	c.stop = stop
	if len(content) > 0 {
		c.content = shadowBody{content: content}
		x.Request.Body, x.Request.Length = &c.content, int64(len(content))
	}
	c.ask(within)
	defer c.call.Finish()
	if x.Fault == nil {
		c.read()
	}
	c.call.Account()
	x.Times.Done = clock.Now()
	return policy.Answer{Status: x.Response.Status, Fault: x.Fault}
}

// ask takes the copy through steps 6 and 7. The caller ends the call.
func (c *shadow) ask(within time.Duration) {
	x := &c.x
	c.timeouts = upstream.Timeouts{Exchange: within}
	c.forward.Timeouts = &c.timeouts
	x.Times.Start = clock.Now()
	x.Times.Forward = x.Times.Start
	c.call.Begin(c.to, x, c, &c.forward)
	for again := true; again; {
		f := c.call.Balance() //     6 balance
		if f == nil {
			f = c.call.Send() //     7 upstream
		}
		if again = c.call.Again(f); !again && f != nil {
			x.Fail(f)
		}
	}
}

// read reads the answer.
func (c *shadow) read() {
	r := &c.x.Response
	for n := 0; r.Body != nil && n <= maxShadowAnswer; {
		run, err := r.Body.Next()
		switch {
		case err == io.EOF:
			r.Body = nil
		case err != nil:
			c.x.Fail(fault.Of(err))
			return
		case c.stop.Load():
			return
		}
		n += len(run)
	}
}

// Decode implements exchange.Codec.
func (c *shadow) Decode(*exchange.Exchange) *fault.Fault { return nil }

// Encode implements exchange.Codec.
func (c *shadow) Encode(*exchange.Exchange) *fault.Fault { return nil }

// Account implements exchange.Codec.
func (c *shadow) Account(*exchange.Exchange) {}

// Interim implements exchange.Codec.
func (c *shadow) Interim(*exchange.Exchange, int, *exchange.Fields) *fault.Fault { return nil }

// Gone implements exchange.Codec.
func (c *shadow) Gone(*exchange.Exchange) bool { return c.stop.Load() }

// StopBody implements exchange.Codec. Nobody ever waits for the content.
func (c *shadow) StopBody() {}

// Tunnel implements exchange.Codec. No copy asks for one.
func (c *shadow) Tunnel(*exchange.Exchange, *socket.Conn, []byte) {}

// shadowBody is content that lies in memory as a whole.
type shadowBody struct {
	content []byte
	read    bool
}

// Next implements exchange.Body.
func (b *shadowBody) Next() ([]byte, error) {
	if b.read {
		return nil, io.EOF
	}
	b.read = true
	return b.content, nil
}

// Buffered implements exchange.Body.
func (b *shadowBody) Buffered() bool { return true }

// Rewind implements exchange.Rewinder.
func (b *shadowBody) Rewind() bool {
	b.read = false
	return true
}

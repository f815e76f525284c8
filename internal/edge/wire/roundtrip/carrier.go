package roundtrip

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/socket"
)

var (
	errClosed   = errors.New("the connection was closed on our side")
	errNotHTTP1 = errors.New("the endpoint answered in HTTP/1.1 where HTTP/2 was expected; set the upstream's protocol to http1")
	errNotHTTP2 = errors.New("the endpoint does not speak HTTP/2: what it sent first is no SETTINGS frame; check the upstream's protocol and port")
)

// frameHeader is the length of what every frame of HTTP/2 begins with (RFC 9113 §4.1).
const frameHeader = 9

// carrier is a socket as the library wants it: a net.Conn. It looks at the first frame that comes in, because an endpoint that does
// not speak HTTP/2 is to be found out before a request is with it, and keeps what proves that a request did not arrive.
type carrier struct {
	conn *socket.Conn

	mu     sync.Mutex // guards what follows
	users  int        // reads and writes under way
	closed bool
	// leaving asks whether the endpoint has said GOAWAY; nil until that can be asked.
	leaving func() bool

	writing sync.Mutex // held while the socket is written to

	first   [frameHeader]byte // of the first frame; the reader's
	got     int               // bytes read so far, at least up to the end of the first frame; the reader's
	settled chan struct{}     // closed when the first frame was taken in, or never will be
	once    sync.Once
	failure error // why it never will be; set before settled is closed

	ended atomic.Bool  // the endpoint ended the connection before we did, without a word
	read  atomic.Int64 // bytes read
	sent  atomic.Int64 // bytes given to the kernel
	// arrived is how many of the bytes sent the endpoint had confirmed when it closed its side, or -1 when that is not known. Every
	// segment confirms what had come before it was sent, so the others had not arrived then.
	arrived atomic.Int64
}

func newCarrier(conn *socket.Conn) *carrier {
	conn.Wake() // before two goroutines use it
	c := &carrier{conn: conn, settled: make(chan struct{})}
	c.sent.Store(conn.Sent())
	c.arrived.Store(-1)
	return c
}

// enter says that the socket is about to be used; it must not be closed before leave.
func (c *carrier) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.users++
	return true
}

func (c *carrier) leave() {
	c.mu.Lock()
	c.users--
	last := c.closed && c.users == 0 // nobody enters any more, so it happens once
	c.mu.Unlock()
	if last {
		c.conn.Close()
	}
}

// Read implements net.Conn.
func (c *carrier) Read(p []byte) (int, error) {
	// The library comes for more when it has dealt with all it has.
	if c.got >= frameHeader && c.got >= frameHeader+int(c.first[0])<<16+int(c.first[1])<<8+int(c.first[2]) {
		c.settle(nil)
	}
	if !c.enter() {
		c.settle(errClosed)
		return 0, errClosed
	}
	defer c.leave()
	n, err := c.conn.Read(p, 0)
	c.read.Add(int64(n))
	if n > 0 && c.got < 1<<24+frameHeader { // the longest that a frame can be
		if c.got < frameHeader {
			copy(c.first[c.got:], p[:n])
		}
		c.got += n
		if e := c.judge(); e != nil {
			err, n = e, 0
		}
	}
	if err != nil {
		c.noteEnd(err)
		c.settle(err)
	}
	return n, err
}

// judge looks at the beginning of the first frame, as far as it is there: a SETTINGS frame of stream 0 (RFC 9113 §3.4).
func (c *carrier) judge() error {
	const settings = 4
	switch {
	case c.got >= 5 && string(c.first[:5]) == "HTTP/":
		return errNotHTTP1
	case c.got >= frameHeader && (c.first[3] != settings || c.first[4] != 0 || c.first[5] != 0 || c.first[6] != 0 || c.first[7] != 0 || c.first[8] != 0):
		return errNotHTTP2
	}
	return nil
}

func (c *carrier) settle(err error) {
	c.once.Do(func() {
		c.failure = err
		close(c.settled)
	})
}

// noteEnd keeps what the end of the stream proves.
func (c *carrier) noteEnd(err error) {
	c.mu.Lock()
	ours, leaving := c.closed, c.leaving
	c.mu.Unlock()
	if ours {
		return
	}
	c.ended.Store(leaving == nil || !leaving()) // the library has not been told of the end yet
	if err != io.EOF {
		return
	}
	// Whoever writes just now makes the figures meaningless. One that is about to return is waited for, one that is stuck is not.
	for i := range 20 {
		if c.writing.TryLock() {
			if open := c.conn.Unacknowledged(); open >= 0 {
				c.arrived.Store(c.conn.Sent() - open)
			}
			c.writing.Unlock()
			return
		}
		time.Sleep(time.Duration(i) * 100 * time.Microsecond)
	}
}

// Write implements net.Conn.
func (c *carrier) Write(p []byte) (int, error) {
	if !c.enter() {
		return 0, errClosed
	}
	defer c.leave()
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.conn.Write(p, nil, writePatience)
	c.sent.Store(c.conn.Sent())
	if err != nil {
		return 0, err // the connection is of no use any more, whatever of p went out
	}
	return len(p), nil
}

// Close implements net.Conn. The socket itself is closed when nobody uses it any more.
func (c *carrier) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.users++ // no more than the others may we use a socket that is closed
	c.mu.Unlock()
	if c.writing.TryLock() {
		c.conn.CloseWrite() // best effort: the end of TLS, where there is TLS
		c.writing.Unlock()
	}
	c.conn.Kill()
	c.leave()
	return nil
}

// The rest of net.Conn. Deadlines are not the library's business.

func (c *carrier) LocalAddr() net.Addr              { return c.conn.Net().LocalAddr() }
func (c *carrier) RemoteAddr() net.Addr             { return c.conn.Net().RemoteAddr() }
func (c *carrier) SetDeadline(time.Time) error      { return nil }
func (c *carrier) SetReadDeadline(time.Time) error  { return nil }
func (c *carrier) SetWriteDeadline(time.Time) error { return nil }

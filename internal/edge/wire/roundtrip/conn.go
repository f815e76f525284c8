package roundtrip

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/socket"
)

// Conn is one HTTP/2 connection to an endpoint, for many exchanges at once. It is used by any goroutine.
type Conn struct {
	client  *http.ClientConn
	carrier *carrier
	changed func()
	streams atomic.Int64 // exchanges under way or reserved
	idle    atomic.Int64 // since when there is none, a reading of clock.Now
	retired atomic.Bool  // takes no further exchange
	scheme  string
}

// ErrSettings says that the endpoint did not begin to speak HTTP/2 in time.
var ErrSettings = errors.New("the endpoint sent no SETTINGS frame in time, so it may not speak HTTP/2; check the upstream's protocol")

// Open begins HTTP/2 on a connection that was made for it: by ALPN where it has TLS, else by prior knowledge (RFC 9113 §3). It waits
// for the endpoint's first frame until the time by, so that an endpoint which does not speak HTTP/2 is found out before a request
// is lost on it, and how many streams it takes is known. changed is called, from any goroutine, when an exchange more may fit or the
// connection is gone; it must not wait. The connection is Open's from then on, also when it fails.
func Open(conn *socket.Conn, by int64, changed func()) (*Conn, error) {
	c := &Conn{carrier: newCarrier(conn), changed: changed, scheme: "http"}
	if conn.TLS() != nil {
		c.scheme = "https"
	}
	c.idle.Store(clock.Now())
	// For the library the connection is always plain. TLS, where there is any, lies below.
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return c.carrier, nil },
		DisableCompression:     true,
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: answerHead,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReadFrameSize:              16 << 10,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxEncoderHeaderTableSize:     4 << 10,
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client, err := transport.NewClientConn(context.Background(), "http", "endpoint:80")
	if err != nil {
		c.carrier.Close()
		return nil, err
	}
	c.client = client
	c.carrier.mu.Lock()
	c.carrier.leaving = c.Leaving
	c.carrier.mu.Unlock()
	timer := time.NewTimer(max(time.Duration(by-clock.Now()), time.Millisecond))
	defer timer.Stop()
	select {
	case <-c.carrier.settled:
		err = c.carrier.failure
	case <-timer.C:
		err = ErrSettings
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	client.SetStateHook(func(*http.ClientConn) { changed() })
	return c, nil
}

// Reserve takes room for one exchange, which a Try then uses; it returns false when there is none, or the connection takes no more.
func (c *Conn) Reserve() bool {
	if c.retired.Load() {
		return false
	}
	if c.streams.Add(1) > Streams || c.client.Reserve() != nil {
		if c.streams.Add(-1) == 0 && c.retired.Load() {
			c.Close()
		}
		return false
	}
	return true
}

// Release gives back a reservation that no Try used.
func (c *Conn) Release() {
	c.client.Release()
	c.done()
}

// done ends one exchange on the connection.
func (c *Conn) done() {
	c.idle.Store(clock.Now())
	if c.streams.Add(-1) == 0 && c.retired.Load() {
		c.Close()
	}
	c.changed()
}

// Retire lets the connection take no further exchange and closes it when those under way are over.
func (c *Conn) Retire() {
	c.retired.Store(true)
	if c.streams.Load() == 0 {
		c.Close()
	}
}

// Close closes the connection and breaks off whatever is under way on it.
func (c *Conn) Close() {
	c.retired.Store(true)
	if c.client != nil {
		c.client.Close()
	}
	c.carrier.Close()
}

// Streams is how many exchanges are under way.
func (c *Conn) Streams() int { return int(c.streams.Load()) }

// IdleSince is when the last exchange ended, or the connection began; it means something only while there are none under way.
func (c *Conn) IdleSince() int64 { return c.idle.Load() }

// Dead says that the connection is closed, by whomever.
func (c *Conn) Dead() bool { return c.client.Err() != nil }

// Ended says that it was the endpoint who closed it, without having said so (GOAWAY) while there was nothing under way.
func (c *Conn) Ended() bool { return c.carrier.ended.Load() }

// Leaving says that the endpoint takes no further exchange although none is under way: it has said GOAWAY.
func (c *Conn) Leaving() bool {
	return c.streams.Load() == 0 && !c.Dead() && c.client.InFlight() == 0 && c.client.Available() == 0
}

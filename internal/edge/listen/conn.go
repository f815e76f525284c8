package listen

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// conn is one client connection. Its fields belong to its owner (see the package's text), place to the lot's lock.
type conn struct {
	l        *listener
	settings *inForce // when it was accepted
	sock     *socket.Conn
	session  Session
	info     exchange.Conn
	client   netip.Addr // counted in l.clients under this key; invalid when it is not
	born     int64      // when it was accepted
	heard    int64      // what of it was read when it last parked, and
	silent   int64      // since when that has been all
	place    place
	ticket   ticket // the poller's
}

// admit takes over an accepted connection that has its place in l.open.
func (l *listener) admit(nc net.Conn, shard int) {
	sock, err := socket.New(nc)
	if err != nil {
		nc.Close()
		l.gone()
		return
	}
	own := l.set.visits(nc)
	if own {
		l.set.arrived.Store(true)
	} else {
		l.accepted.Add(1)
	}
	settings := l.settings.Load()
	c := &conn{l: l, settings: settings, sock: sock, born: clock.Now(), info: exchange.Conn{
		ID:       l.set.ids.Add(1),
		Own:      own,
		Peer:     sock.Peer(),
		Local:    sock.Local(),
		Listener: settings.Name,
		Shard:    shard,
	}}
	// A trusted proxy speaks for many clients; whom it speaks for now is only known behind its header.
	proxied := !own && settings.Proxy != nil && (sock.Unix() || settings.Proxy.Contains(c.info.Peer.Addr()))
	if !proxied && !c.count() {
		c.refuse()
		sock.Close()
		l.gone()
		return
	}
	l.set.lot.enter(c)
	l.running.Add(1)
	go c.begin(proxied)
}

// count counts c for its client and says whether the client may have one more.
func (c *conn) count() bool {
	if c.settings.MaxPerClient == 0 || !c.info.Peer.IsValid() || c.info.Own {
		return true
	}
	key := clientKey(c.info.Peer.Addr())
	if !c.l.clients.take(key, c.settings.MaxPerClient) {
		return false
	}
	c.client = key
	return true
}

// refuse answers with the refusal as far as that needs no waiting.
func (c *conn) refuse() {
	c.l.refused.Add(1)
	if c.l.troubles[troubleClient].beginsNow() {
		c.l.log(slog.LevelWarn, "a client holds as many connections as one client may; further ones are refused with 503",
			slog.String("network", network(c.info.Peer.Addr())), slog.Int("limit", c.settings.MaxPerClient))
	}
	if c.settings.TLS != nil {
		return // an answer would cost the handshake that is refused
	}
	c.sock.Write(refusal, nil, 0)
	// A request left unread would make the kernel send a reset, which may overtake the answer.
	if c.sock.State() == socket.PeerTalks {
		buf := bufpool.Get(bufpool.Small)
		c.sock.Read(buf, 0)
		bufpool.Put(buf)
	}
}

// network is as much of a client's address as a log may hold without being personal data: /24 or /48.
func network(a netip.Addr) string {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

// begin is the first goroutine of a connection.
func (c *conn) begin(proxied bool) {
	if !c.guard(func() bool { return c.open(proxied) }) {
		c.end()
		c.l.running.Add(-1)
		return
	}
	c.serve()
}

// open reads what comes before the first request and opens the session. It returns false when the connection is good for nothing.
func (c *conn) open(proxied bool) bool {
	var initial []byte
	if proxied {
		buf := bufpool.Get(maxProxyHeader)
		defer bufpool.Put(buf)
		var ok bool
		if initial, ok = c.readProxy(buf); !ok {
			return false
		}
	}
	if c.settings.TLS != nil {
		if !c.secure(c.settings.TLS, initial) {
			return false
		}
		initial = nil
	}
	c.session = c.settings.handler.Open(c.sock, &c.info, c.settings.gate, initial)
	return true
}

// readProxy reads the PROXY header into buf and adopts the addresses it tells. It returns what follows the header.
func (c *conn) readProxy(buf []byte) (rest []byte, ok bool) {
	by := clock.Now() + int64(c.settings.ProxyTimeout)
	have := 0
	for {
		n, err := c.sock.Read(buf[have:], by)
		if err == io.EOF && have == 0 {
			return nil, false // a proxy that only looks whether somebody listens
		}
		if err != nil {
			c.proxyTrouble(err)
			return nil, false
		}
		have += n
		header, length, more, err := parseProxy(buf[:have])
		if err != nil {
			c.proxyTrouble(err)
			return nil, false
		}
		if more {
			continue // there is room, since no header is longer than the buffer
		}
		if header.Source.IsValid() {
			c.info.Peer, c.info.Local = header.Source, header.Destination
		}
		if c.drops() {
			return nil, false
		}
		if !c.count() {
			c.refuse()
			return nil, false
		}
		if have > length {
			rest = buf[length:have]
		}
		return rest, true
	}
}

func (c *conn) proxyTrouble(err error) {
	c.l.proxyErrors.Add(1)
	if c.l.troubles[troubleProxy].beginsNow() {
		c.l.log(slog.LevelWarn, "a trusted proxy did not send a valid PROXY header; its connection was closed",
			slog.String("peer", c.sock.Peer().String()), slog.Any("error", err))
	}
}

// serve runs the session until the connection is parked or over.
func (c *conn) serve() {
	l, gate := c.l, c.settings.gate // c is not ours any more once it is parked
	defer l.running.Add(-1)
	for c.converse() {
		if first, ok := c.session.(Opening); ok {
			if next := first.Successor(); next != nil {
				c.session = next // what the first one held is not needed any more
			}
		}
		if gate.Draining() {
			if c.lastCall() {
				c.converse()
			}
			break
		}
		if c.outstayed() {
			l.expired.Add(1)
			break
		}
		outcome := l.set.lot.park(c)
		if outcome == taken {
			return
		}
		if outcome == refused && !gate.Draining() {
			break
		}
	}
	c.end()
}

// converse has the session deal with what the client says.
func (c *conn) converse() bool {
	before := c.info.Requests
	goOn := c.guard(c.session.Serve)
	if c.info.Requests != before && !c.info.Own && !c.l.lively.Load() {
		c.l.lively.Store(true)
	}
	return goOn
}

// guard does something for the connection. A panic in it is a mistake of ours: it costs this connection and nothing else.
func (c *conn) guard(do func() bool) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			ok = false
			c.l.log(slog.LevelError, "BUG: panic while serving a connection", slog.String("panic", fmt.Sprint(p)),
				slog.String("stack", string(debug.Stack())))
		}
	}()
	return do()
}

// outstayed says that the idle time of a connection about to be parked is over, although it was woken since: by bytes that TLS keeps to
// itself, as of a record that is sent a byte at a time. Those are no words.
func (c *conn) outstayed() bool {
	now := clock.Now()
	if in := c.sock.In(); c.silent == 0 || in != c.heard {
		c.heard, c.silent = in, now
	}
	return now >= c.silent+int64(c.settings.IdleTimeout)
}

// firstWords is how long a connection without a request is spared when others are closed, for draining or to make room: its
// first one is probably on the way, and the client would not know that it may send it again.
const firstWords = time.Second

// fresh says that the connection has carried no request and may still be given time for one.
func (c *conn) fresh() bool {
	return c.info.Requests == 0 && clock.Now() < c.born+int64(firstWords)
}

// lastCall says whether there is something to read before the connection is closed for draining. It waits for the first words
// of a fresh one.
func (c *conn) lastCall() bool {
	if c.fresh() {
		c.awaitReadable(time.Duration(c.born + int64(firstWords) - clock.Now()))
	}
	state := c.sock.State()
	return state == socket.PeerTalks || state == socket.PeerClosed
}

// awaitReadable waits on the caller's goroutine for the peer to say something or go.
func (c *conn) awaitReadable(patience time.Duration) error {
	c.sock.Net().SetReadDeadline(time.Now().Add(patience))
	err := c.sock.Raw().Read(func(uintptr) bool { return c.sock.State() != socket.PeerSilent })
	// The socket must not believe in a timer that is not there any more. One that has struck it knows how to deal with.
	c.sock.Net().SetReadDeadline(time.Unix(1, 0))
	return err
}

// end closes the connection. The caller owns it.
func (c *conn) end() {
	if c.session != nil {
		c.session.Close()
	} else {
		c.sock.Close()
	}
	if c.client.IsValid() {
		c.l.clients.give(c.client)
	}
	c.l.set.lot.leave(c)
	c.l.gone()
}

// gone gives a connection's place back.
func (l *listener) gone() {
	l.open.Add(-1)
	l.set.bell.ring()
}

func (l *listener) log(level slog.Level, message string, attributes ...slog.Attr) {
	attributes = append(attributes, slog.String("listener", l.settings.Load().Name))
	l.set.log.LogAttrs(context.Background(), level, message, attributes...)
}

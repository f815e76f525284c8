package main

import (
	"bytes"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

// doors puts the edge behind the listeners.
type doors struct {
	listeners *listen.Set
	edge      *edge.Edge
	secure    *secure
	streams   streamCounts
	edges     map[string]*edge.Listener // by address, which is a listener's identity
}

// Apply implements revision.Listeners.
func (d *doors) Apply(c *compile.Compiled) error {
	way, err := d.secure.prepare(c)
	if err != nil {
		return err
	}
	settings := make([]listen.Settings, len(c.Listeners))
	handlers := make(map[string]listen.Handler, len(c.Listeners))
	edges := make(map[string]*edge.Listener, len(c.Listeners))
	for i := range c.Listeners {
		l := &c.Listeners[i]
		settings[i] = l.Listen
		settings[i].TLS, settings[i].Rules = way.listeners[i], way.rules[i]
		one := d.edges[l.Listen.Address]
		if one == nil {
			one = d.edge.Listener(d.rules(l))
		}
		edges[l.Listen.Address] = one
		handlers[l.Listen.Name] = &door{one, http1Settings(&l.HTTP1), d.http2Settings(l)}
	}
	if err := d.listeners.Apply(settings, handlers); err != nil {
		d.secure.drop(way)
		return err
	}
	for i := range c.Listeners { // for connections that are open, too: a proxy that is not trusted any more is not believed any more
		l := &c.Listeners[i]
		edges[l.Listen.Address].Use(d.rules(l))
	}
	d.edges = edges
	d.secure.keep(way, c)
	return nil
}

// rules are what the flow is told of a listener.
func (d *doors) rules(l *compile.Listener) edge.ListenerSettings {
	return edge.ListenerSettings{Trusted: l.Trusted, HSTS: l.HSTS, Redirect: l.Redirect, Challenge: d.secure.challenge()}
}

// door opens the sessions of one listener.
type door struct {
	edge  *edge.Listener
	http1 *http1.Settings
	http2 *http2.Settings // nil when it is off
}

// Open implements listen.Handler.
func (d *door) Open(c *socket.Conn, info *exchange.Conn, gate *listen.Gate, initial []byte) listen.Session {
	switch {
	case info.TLS != nil && info.TLS.Protocol == "h2" && d.http2 != nil:
		return http2.Open(c, info, gate, d.http2, d.edge, initial)
	case info.TLS != nil && info.TLS.Protocol == "acme-tls/1":
		return told{c} // the handshake was the answer (RFC 8737 §3)
	case info.TLS == nil && d.http2 != nil:
		return &greeting{door: d, conn: c, info: info, gate: gate, seen: bytes.Clone(initial)}
	}
	return http1.Open(c, info, gate, d.http1, d.edge, initial)
}

// told is the session of a connection on which there is nothing (more) to say.
type told struct{ conn *socket.Conn }

func (told) Serve() (idle bool) { return false }
func (t told) Close()           { t.conn.Close() }

// greeting is a session until its first bytes tell which HTTP the client speaks without TLS: one that knows that we speak HTTP/2
// begins with a request for it (RFC 9113 §3.3) that no HTTP/1 client makes.
type greeting struct {
	door *door
	conn *socket.Conn
	info *exchange.Conn
	gate *listen.Gate
	seen []byte // read so far, too little to tell

	session listen.Session // once it is told
}

// preface is how HTTP/2 begins, as far as it takes to tell.
const preface = "PRI "

// Serve implements listen.Session.
func (g *greeting) Serve() (idle bool) {
	for g.session == nil {
		if len(g.seen) >= len(preface) || !bytes.HasPrefix([]byte(preface), g.seen) {
			g.open(g.seen)
			break
		}
		buf, n, err := g.read()
		if err != nil {
			g.conn.Rest()
			return err == socket.ErrTimeout && len(g.seen) == 0
		}
		if len(g.seen) == 0 {
			if n >= len(preface) || !bytes.HasPrefix([]byte(preface), buf[:n]) {
				g.open(buf[:n])
			} else {
				g.seen = bytes.Clone(buf[:n])
			}
		} else {
			g.seen = append(g.seen, buf[:n]...)
		}
		bufpool.Put(buf)
	}
	return g.session.Serve()
}

// Successor implements listen.Opening.
func (g *greeting) Successor() listen.Session { return g.session }

// read waits for the first bytes for as long as a session waits for a request, and for those after them for as long as a header may
// take.
func (g *greeting) read() (buf []byte, n int, err error) {
	now := clock.Now()
	switch {
	case len(g.seen) > 0:
		return g.conn.ReadLent(bufpool.Small, now+int64(g.door.http1.Timeouts.Header))
	case g.gate.Crowded(), g.gate.Draining():
		return g.conn.TryLent(bufpool.Small)
	}
	return g.conn.ReadLent(bufpool.Small, now+hotWait)
}

// hotWait is how long a session waits on its goroutine before it lets itself be parked, in nanoseconds.
const hotWait = int64(1e9)

func (g *greeting) open(early []byte) {
	switch {
	case bytes.HasPrefix(early, []byte(preface)):
		g.session = http2.Open(g.conn, g.info, g.gate, g.door.http2, g.door.edge, early)
	case wrongPreface(early):
		g.session = told{g.conn}
	default:
		g.session = http1.Open(g.conn, g.info, g.gate, g.door.http1, g.door.edge, early)
	}
	g.seen = nil
}

// wrongPreface says whether a first line is like that of HTTP/2's preface, three words in capitals, and that of no request of HTTP/1, which has
// a slash in its version at least. To whoever means HTTP/2 an answer in HTTP/1 would be a broken frame (RFC 9113 §3.4).
func wrongPreface(early []byte) bool {
	line, _, whole := bytes.Cut(early, []byte("\r\n"))
	return whole && bytes.Count(line, []byte(" ")) == 2 && !bytes.ContainsRune(line, '/') && bytes.Equal(line, bytes.ToUpper(line))
}

// Close implements listen.Session.
func (g *greeting) Close() {
	if g.session != nil {
		g.session.Close()
		return
	}
	g.conn.Rest()
	g.conn.Close()
}

func http1Settings(h *compile.HTTP1) *http1.Settings {
	halfClosed := map[string]http1.HalfClosed{"auto": http1.AutoHalfClose, "serve": http1.ServeHalfClosed, "cancel": http1.CancelHalfClosed}
	return &http1.Settings{
		Limits:     http1.Limits{RequestLine: h.RequestLine, HeaderBytes: h.HeaderBytes, HeaderCount: h.HeaderCount, Body: h.Body},
		Timeouts:   http1.Timeouts{Header: h.Header, Progress: h.Progress, TunnelIdle: h.TunnelIdle, MinRate: h.MinRate},
		HalfClosed: halfClosed[h.HalfClosed],
	}
}

func (d *doors) http2Settings(l *compile.Listener) *http2.Settings {
	if l.HTTP2.Off {
		return nil
	}
	h := &l.HTTP1
	return &http2.Settings{
		Limits:   http2.Limits{HeaderBytes: h.HeaderBytes, HeaderCount: h.HeaderCount, Target: h.RequestLine, Body: h.Body},
		Timeouts: http2.Timeouts{Header: h.Header, Progress: h.Progress, TunnelIdle: h.TunnelIdle, MinRate: h.MinRate},
		Streams:  l.HTTP2.Streams,
		Stats:    d.streams.get(l.Listen.Name),
	}
}

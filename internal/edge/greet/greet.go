// Package greet finds out which HTTP a client speaks and opens its session: what stands between step 1, listen, and step 2, decode.
//
// With TLS the handshake has settled it (ALPN, RFC 7301). Without, the first bytes tell: a client that knows beforehand that we speak
// HTTP/2 begins with a request for it (RFC 9113 §3.3) that no client of HTTP/1 makes, and four bytes are enough to see it. Until they
// are there a connection waits as an idle one does: parked, with neither goroutine nor buffer, when it is silent.
//
// In reading order: greet.go (which session a connection gets), greeting.go (the session until that is known).
//
// It refuses to answer anything itself, to switch a connection from one HTTP to the other (Upgrade: h2c, which RFC 9113 has given up),
// and to wait longer than a request head may take for the rest of a beginning that could still be both.
package greet

import (
	"bytes"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

// Handler opens the sessions of one listener. It implements listen.Handler and is not changed once it is in use.
type Handler struct {
	HTTP1 *http1.Settings
	HTTP2 *http2.Settings // nil when the listener does not speak it
	Flow  exchange.Handler
}

// What ALPN may have settled beside HTTP/1 (IANA's registry of protocol ids).
const (
	alpnHTTP2 = "h2"
	alpnACME  = "acme-tls/1"
)

// Open implements listen.Handler.
func (h *Handler) Open(c *socket.Conn, info *exchange.Conn, gate *listen.Gate, initial []byte) listen.Session {
	return h.open(c, info, gate, initial)
}

// open is Open for whatever gate.
func (h *Handler) open(c *socket.Conn, info *exchange.Conn, gate exchange.Gate, initial []byte) listen.Session {
	switch {
	case info.TLS != nil && info.TLS.Protocol == alpnHTTP2 && h.HTTP2 != nil:
		return http2.Open(c, info, gate, h.HTTP2, h.Flow, initial)
	case info.TLS != nil && info.TLS.Protocol == alpnACME:
		return told{c} // the handshake was the answer (RFC 8737 §3)
	case info.TLS == nil && h.HTTP2 != nil:
		return &greeting{handler: h, conn: c, info: info, gate: gate, seen: bytes.Clone(initial)}
	}
	return http1.Open(c, info, gate, h.HTTP1, h.Flow, initial)
}

// told is the session of a connection on which there is nothing (more) to say.
type told struct{ conn *socket.Conn }

func (told) Serve() (idle bool) { return false }
func (t told) Close()           { t.conn.Close() }

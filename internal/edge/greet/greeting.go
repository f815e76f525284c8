package greet

import (
	"bytes"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

// preface is how HTTP/2 begins, as far as it takes to tell.
const preface = "PRI "

// greeting is a session until its first bytes tell which HTTP the client speaks without TLS. It implements listen.Opening.
type greeting struct {
	handler *Handler
	conn    *socket.Conn
	info    *exchange.Conn
	gate    exchange.Gate
	seen    []byte // read so far, too little to tell: shorter than preface, and its beginning

	session listen.Session // once it is told
}

// Serve implements listen.Session.
func (g *greeting) Serve() (idle bool) {
	if !open(g.seen) { // initial bytes may be enough
		g.settle(g.seen)
	}
	for g.session == nil {
		buf, n, err := g.read()
		if err != nil {
			g.conn.Rest()
			return err == socket.ErrTimeout && len(g.seen) == 0
		}
		g.take(buf[:n])
		bufpool.Put(buf)
	}
	return g.session.Serve()
}

// Successor implements listen.Opening.
func (g *greeting) Successor() listen.Session { return g.session }

// read waits for the first bytes for as long as a session waits for a request, and for those after them for as long as a head may
// take; there can be three such waits.
func (g *greeting) read() (buf []byte, n int, err error) {
	now := clock.Now()
	switch {
	case len(g.seen) > 0:
		return g.conn.ReadLent(bufpool.Small, now+int64(g.handler.HTTP1.Timeouts.Header))
	case g.gate.Crowded(), g.gate.Draining():
		return g.conn.TryLent(bufpool.Small)
	}
	return g.conn.ReadLent(bufpool.Small, now+exchange.HotWait)
}

// take looks at further bytes. What nearly always comes, a whole head at once, is not copied here.
func (g *greeting) take(further []byte) {
	if len(g.seen) > 0 {
		g.seen = append(g.seen, further...)
		further = g.seen
	}
	if !open(further) {
		g.settle(further)
	} else if len(g.seen) == 0 {
		g.seen = bytes.Clone(further)
	}
}

// open says that a beginning could be that of both.
func open(early []byte) bool {
	return len(early) < len(preface) && string(early) == preface[:len(early)]
}

// settle opens the session of whatever begins so. Sessions copy what was read.
func (g *greeting) settle(early []byte) {
	h := g.handler
	switch {
	case bytes.HasPrefix(early, []byte(preface)):
		g.session = http2.Open(g.conn, g.info, g.gate, h.HTTP2, h.Flow, early)
	case wrongPreface(early):
		g.session = told{g.conn}
	default:
		g.session = http1.Open(g.conn, g.info, g.gate, h.HTTP1, h.Flow, early)
	}
	g.seen = nil
}

// wrongPreface says whether a first line is like that of HTTP/2's preface, three words in capitals, and that of no request of HTTP/1,
// which has a slash in its version at least. To whoever means HTTP/2 an answer in HTTP/1 would be a broken frame (RFC 9113 §3.4).
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

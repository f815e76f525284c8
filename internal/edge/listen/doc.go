// Package listen accepts client connections and looks after them while nobody works on them. Step 1, listen.
//
// A connection's life, in order: a socket of its listener accepts it (acceptor.go), the guard lets it in (guard.go), limits admit it
// (limit.go), it gets a goroutine (conn.go), a PROXY header is read when its peer is a trusted proxy (proxy.go), TLS is agreed on
// (handshake.go), the listener's Handler opens a Session for it, and the session serves. When the session has nothing to read between
// two requests, the connection is parked (lot.go): it keeps neither goroutine nor buffer, and one epoll instance for all parked
// connections of the process waits for it. When it becomes readable it gets a fresh goroutine; when its idle time is over, or its place
// is needed, it is closed.
//
// Ownership. At any time a connection belongs to exactly one of: the goroutine that serves it, or the lot. Only the owner closes
// it. Ownership changes hands under the lot's lock. Everybody else may only Kill it, which makes the owner end it.
//
// Nothing is lost: when a limit is reached or the process runs out of descriptors, accepting pauses and connections wait in the
// kernel's queue; a listener that goes away empties that queue before it closes.
//
// The gateway looks after itself: it visits its own listeners to see whether they are served (visit.go).
//
// The package refuses to read requests, to know HTTP beyond one canned refusal, and to read configuration.
package listen

import (
	"sync/atomic"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// Session is the protocol state of one client connection.
type Session interface {
	// Serve runs until there is nothing to read between requests (true: idle, may be parked; it holds no buffers), or until the
	// connection is over (false). It runs on a goroutine of its own and is called again when a parked connection becomes
	// readable, now and then for nothing. It tries to read before it returns idle. A session that waits for the next request on
	// its goroutine does so for a second at most, and not at all when its listener is crowded or draining: whether an idle
	// connection is closed then is decided here, because the first request of a fresh one may be on its way.
	Serve() (idle bool)
	// Close closes the connection. It is called exactly once, never while Serve runs: after Serve returned false, or while the
	// session is idle. It must not block.
	Close()
}

// Opening is a session that finds out what the client speaks and leaves the rest to another.
type Opening interface {
	Session
	// Successor is the session that goes on, nil as long as it is not known. Asked after Serve.
	Successor() Session
}

// Handler opens the session of a new connection, on the connection's own goroutine. initial holds bytes that were read behind a
// PROXY header; it is nil when there are none and valid only during the call.
type Handler interface {
	Open(c *socket.Conn, info *exchange.Conn, gate *Gate, initial []byte) Session
}

// crowd is how many connections of one listener may hold goroutines before sessions are asked to park at once.
const crowd = 2048

// Gate is what a session may ask of its listener. Its methods are an atomic load or two each.
type Gate struct {
	l   *listener
	old atomic.Bool // the listener has other rules now
}

// Crowded says that so many of the listener's connections hold goroutines that a session with nothing to read should return idle
// at once and not wait on its goroutine.
func (g *Gate) Crowded() bool { return g.l.running.Load() > crowd }

// Draining says that the listener is going away, or that the connection began under rules that do not hold any more: answers should say Connection:
// close, and Serve should return at the next point between requests without waiting.
func (g *Gate) Draining() bool { return g.old.Load() || g.l.draining.Load() }

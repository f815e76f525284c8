package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// TLS is how a listener shakes hands.
type TLS struct {
	Config *tls.Config
	// Timeout is how long a handshake may take; 0 means 10 s.
	Timeout time.Duration
	// Ceiling is how many handshakes may be under way; 0 means 1024. When there is one more, the oldest is cut: honest clients are
	// done within some round trips, so it is most likely of one that only holds a place.
	Ceiling int
}

func (t *TLS) timeout() int64 {
	if t.Timeout == 0 {
		return int64(10 * time.Second)
	}
	return int64(t.Timeout)
}

func (t *TLS) ceiling() int {
	if t.Ceiling == 0 {
		return 1024
	}
	return t.Ceiling
}

// handshakes are those under way on one listener, in the order of their beginning.
type handshakes struct {
	mu             sync.Mutex
	oldest, newest *handshake
	n              int

	counts [outcomes]atomic.Uint64
}

// handshake is one under way.
type handshake struct {
	sock         *socket.Conn
	older, newer *handshake
	cut          bool
}

// Outcome is how a handshake ended.
type Outcome uint8

// The outcomes of handshakes.
const (
	Full    Outcome = iota
	Resumed         // with a ticket of an earlier one
	Late            // it took longer than it may
	Cut             // to make room for another, or because the listener goes away
	Gone            // the client left
	Refused         // the client did not like our certificate or what we offer
	NoTLS           // the client spoke something else
	Failed          // we did not like what the client offered or showed, or had no certificate for it
	outcomes
)

func (o Outcome) String() string {
	return [...]string{"full", "resumed", "timeout", "cut", "client_gone", "client_refused", "not_tls", "failed"}[o]
}

// begin counts a handshake in, and cuts the oldest when there are more than may be.
func (h *handshakes) begin(sock *socket.Conn, ceiling int) *handshake {
	one := &handshake{sock: sock}
	h.mu.Lock()
	defer h.mu.Unlock()
	one.older = h.newest
	if h.newest != nil {
		h.newest.newer = one
	} else {
		h.oldest = one
	}
	h.newest = one
	h.n++
	if h.n > ceiling {
		h.cut(h.oldest)
	}
	return one
}

// cutAll cuts those that are under way: of a listener that goes away, whose clients have had their time.
func (h *handshakes) cutAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.oldest != nil {
		h.cut(h.oldest)
	}
}

// cut makes a handshake fail. The lock is held, without which its owner cannot close the socket.
func (h *handshakes) cut(victim *handshake) {
	h.remove(victim)
	victim.cut = true
	victim.sock.Kill()
}

// end counts a handshake out and says whether it was cut.
func (h *handshakes) end(one *handshake) (cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !one.cut {
		h.remove(one)
	}
	return one.cut
}

// remove takes a handshake out of the row. The lock is held.
func (h *handshakes) remove(one *handshake) {
	if one.older != nil {
		one.older.newer = one.newer
	} else {
		h.oldest = one.newer
	}
	if one.newer != nil {
		one.newer.older = one.older
	} else {
		h.newest = one.older
	}
	one.older, one.newer = nil, nil
	h.n--
}

// underWay is how many there are.
func (h *handshakes) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// secure carries out the handshake of a connection, of which early was read already, and says whether it succeeded.
func (c *conn) secure(t *TLS, early []byte) bool {
	h := &c.l.handshakes
	if cut, err := c.shakeHands(t, early); err != nil {
		outcome := Cut
		if !cut {
			outcome = c.explain(err)
		}
		if !c.info.Own {
			h.counts[outcome].Add(1)
			c.report(outcome)
		}
		// A stranger can make any number of these: they are for whoever looks for a cause, and cost nobody else anything.
		if c.l.set.log.Enabled(context.Background(), slog.LevelDebug) {
			c.l.log(slog.LevelDebug, "a handshake failed", slog.String("outcome", outcome.String()), slog.Any("cause", err),
				slog.String("network", network(c.info.Peer.Addr())))
		}
		if outcome == Failed || outcome == NoTLS {
			c.sock.Linger(clock.Now() + lingerTime) // the client gets to see why
		}
		return false
	}
	state := c.sock.TLS()
	c.info.Secure = true
	c.info.TLS = &exchange.TLS{
		Version:  state.Version,
		Resumed:  state.DidResume,
		Name:     strings.ToLower(state.ServerName),
		Protocol: state.NegotiatedProtocol,
	}
	if len(state.VerifiedChains) > 0 {
		c.info.TLS.Client = state.PeerCertificates[0]
	}
	switch {
	case c.info.Own:
	case state.DidResume:
		h.counts[Resumed].Add(1)
	default:
		h.counts[Full].Add(1)
	}
	return true
}

// lingerTime is how long a client that is refused has to read why, in nanoseconds.
const lingerTime = int64(500 * time.Millisecond)

// shakeHands is secure without the accounting.
func (c *conn) shakeHands(t *TLS, early []byte) (cut bool, err error) {
	growStack()
	h := &c.l.handshakes
	one := h.begin(c.sock, t.ceiling())
	defer func() { cut = h.end(one) }()
	patience := t.timeout()
	if c.l.draining.Load() {
		patience = min(patience, int64(firstWords))
	}
	return false, c.sock.ServeTLS(t.Config, early, clock.Now()+patience, c.l.set.turns)
}

// growStack makes the goroutine's stack as large as a handshake needs, at once. Growing it step by step copies it four times, which was
// a twentieth of a handshake.
//
//go:noinline
func growStack() {
	var room [10 << 10]byte
	use(&room)
}

//go:noinline
func use(*[10 << 10]byte) {}

// explain says what a failed handshake was. A client that speaks HTTP without TLS is told so.
func (c *conn) explain(err error) Outcome {
	var record tls.RecordHeaderError
	switch {
	case err == socket.ErrTimeout:
		return Late
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Gone
	case errors.As(err, &record):
		if record.Conn != nil && speaksHTTP(record.RecordHeader) {
			c.sock.WritePlain(wrongScheme)
		}
		return NoTLS
	case socket.Alert(err),
		// OpenSSL says without encryption that it does not accept our certificate, where TLS 1.3 has it encrypted already.
		strings.Contains(err.Error(), "bad record MAC"):
		return Refused
	}
	return Failed
}

// speaksHTTP says whether the first bytes of a connection are those of a request line.
func speaksHTTP(first [5]byte) bool {
	for _, method := range [...]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET"} {
		if string(first[:]) == method {
			return true
		}
	}
	return false
}

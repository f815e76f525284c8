// Package http1 is HTTP/1.1 and 1.0 in both roles: steps 2 (decode) and 10 (encode) towards the client, and the messages of step 7
// towards endpoints. It turns bytes into an exchange and back, following RFC 9110 and RFC 9112 strictly: whatever two readers
// could take in two ways is refused, because the other reader is the endpoint behind us.
//
// What names, values, targets and hosts may be made of stands in package grammar. In reading order: head.go (lines and fields),
// request.go and response.go (heads), body.go and chunk.go (content in), encode.go (heads and content out), session.go (a client's
// connection), try.go (one request to an endpoint), tunnel.go (after 101).
//
// Nothing is allocated for an ordinary request: names and values are views of the read buffer, and what an exchange needs comes
// from pools and goes back when it is over.
//
// It refuses to route, to decide whether a request may be retried, and to buffer bodies.
package http1

import "time"

// Limits are what a client may send. A breach closes the connection after an answer.
type Limits struct {
	RequestLine int   // bytes of the request line; 414 beyond
	HeaderBytes int   // bytes of all fields; 431 beyond
	HeaderCount int   // number of fields; 431 beyond
	Body        int64 // bytes of content, 0 for no limit; 413 beyond
}

// Timeouts say how patient we are with a client. Bodies are judged by progress, never by a total.
type Timeouts struct {
	Header     time.Duration // from the first byte of a head to its last; 408 beyond
	Progress   time.Duration // without a byte moving, in either direction
	TunnelIdle time.Duration // without a byte moving in a tunnel, in both directions
	// MinRate is in bytes a second, measured over the time spent waiting for the client, never over our own; 0 for none.
	MinRate int64
}

// HalfClosed says what a client's FIN means while its request is being worked on.
type HalfClosed uint8

// The meanings of a FIN.
const (
	// AutoHalfClose: the client left, unless it had announced that this request is its last (Connection: close or HTTP/1.0).
	AutoHalfClose HalfClosed = iota
	ServeHalfClosed
	CancelHalfClosed
)

// Settings are those of one listener. They do not change during a connection.
type Settings struct {
	Limits     Limits
	Timeouts   Timeouts
	HalfClosed HalfClosed
}

const (
	// upstreamHead bounds the head of an endpoint's answer, in bytes and in fields.
	upstreamHead       = 64 << 10
	upstreamHeadFields = 256
	// drainLimit is how much of a body nobody wanted is read to save the connection for the next request, in bytes.
	drainLimit = 256 << 10
)

// Package http2 is HTTP/2 in the server role: steps 2 (decode) and 10 (encode) for clients that speak it, over TLS or with prior
// knowledge. It turns frames into exchanges and back, following RFC 9113, RFC 7541 and RFC 8441 strictly; the flow between is the
// same as for HTTP/1.1.
//
// What names, values, paths and hosts may be made of stands in package grammar. In reading order: frame.go (frames), block.go and
// request.go (header blocks to requests), session.go (a client's connection), receive.go (frames in), settle.go (streams and the
// connection come to an end), guard.go (budgets against abuse), stream.go (one request and its codec), body.go (content in), field.go
// and encode.go (responses), out.go (frames out), tunnel.go (WebSocket).
//
// Who runs. The connection's own goroutine reads and does nothing else: it never waits for a stream, and it keeps the time for all of
// them. Each request has a goroutine from the end of its header block to the end of its exchange. What they send gathers in one
// buffer, and a goroutine that exists only while there is something in it writes that out, so that many small responses share one
// system call. Between requests a session holds neither goroutine nor buffer.
//
// Frames are read where they lie in the read buffer. golang.org/x/net/http2's Framer would copy each payload once more, allocate a
// struct for each header block and keep a buffer for each connection; it is the counterpart in the tests instead. Header blocks are
// decoded by golang.org/x/net/http2/hpack. They are encoded here, without a dynamic table: the values are views of buffers that will
// be used again.
//
// It refuses to route, to decide whether a request may be retried, to push, and to act on priorities.
package http2

import "time"

// Limits are what a client may send.
type Limits struct {
	HeaderBytes int   // bytes of all fields as HTTP/1.1 lines would have them; 431 beyond
	HeaderCount int   // number of fields; 431 beyond
	Target      int   // bytes of :path; 414 beyond
	Body        int64 // bytes of content, 0 for no limit; 413 beyond
}

// Timeouts say how patient we are with a client. Bodies are judged by progress, never by a total.
type Timeouts struct {
	Header     time.Duration // from the first byte of a preface or header block to its last
	Progress   time.Duration // without a byte moving on a stream that is waited for, in either direction
	TunnelIdle time.Duration // without a byte moving in a tunnel, in both directions
	// MinRate is in bytes a second, measured over the time spent waiting for the client, never over our own; 0 for none.
	MinRate int64
}

// Settings are those of one listener. They do not change during a connection.
type Settings struct {
	Limits   Limits
	Timeouts Timeouts
	// Streams is how many may be open or still being worked on, for each connection; 0 is 128.
	Streams int
	// StreamWindow and ConnWindow are how many bytes of content a client may send ahead of who takes them, for a stream and for all
	// of a connection together: 65,535 to 2³¹−1. 0 is 256 KiB and 1 MiB.
	StreamWindow, ConnWindow int
	// Stats counts for all sessions that share these settings; nil counts nothing.
	Stats *Stats
}

func (s *Settings) streams() int { return orDefault(s.Streams, 128) }

func (s *Settings) streamWindow() int64 { return int64(orDefault(s.StreamWindow, 256<<10)) }

func (s *Settings) connWindow() int64 { return int64(orDefault(s.ConnWindow, 1<<20)) }

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Package roundtrip is HTTP/2 towards endpoints: the messages of step 7 over connections that carry many exchanges at once. The
// protocol itself is the standard library's (http.ClientConn); here an exchange becomes what that takes, and what that gives becomes
// an exchange again, with the faults, the phases and the patience that http1 has for HTTP/1.1.
//
// In reading order: conn.go (one connection) and carrier.go (what lies under it), try.go (one request), outbound.go (the request on
// its way out), inbound.go (the answer on its way in), fail.go (what went wrong), ask.go (one request without an exchange, for health
// checks).
//
// It refuses to pool connections, to retry, to tunnel, and to buffer bodies beyond a few runs.
package roundtrip

import "time"

const (
	// Streams is how many exchanges one connection carries at once at most; the endpoint may allow fewer.
	Streams = 64
	// streamWindow is how much of an answer may be on its way to a client that does not take it, in bytes. The windows of all streams
	// add up to less than that of the connection, so that slow clients cannot stop the answers to others.
	streamWindow     = 64 << 10
	connectionWindow = Streams*streamWindow - 1 // the library adds the 64 KiB that each connection begins with

	// answerHead bounds the head of an answer, in bytes, and maxInterims the interim answers before it.
	answerHead  = 64 << 10
	maxInterims = 32
	// maxTrailers bounds the fields of a trailer section.
	maxTrailers = 64

	// writePatience is how long an endpoint may take not one byte of what all exchanges of a connection have for it.
	writePatience = int64(30 * time.Second)
	// continueWait is how long an endpoint is given to answer Expect: 100-continue before the client is told to go on
	// (RFC 9110 §10.1.1).
	continueWait = time.Second
	// doubtAfter is how long a whole connection has to be silent before one that waits in vain takes it for dead, in nanoseconds.
	doubtAfter = int64(2 * time.Second)
	// tick is how often a wait is interrupted to look whether it still makes sense, in nanoseconds.
	tick = int64(250 * time.Millisecond)
)

// Package load sends requests at a rate that does not depend on the answers (an open loop, so that a slow answer delays no later request
// and nothing of its cost is left out), or as fast as a number of connections answer (a closed loop, as wrk does), and measures what came of it.
//
// It serves no step of a request: it is a client of its own, sharing no codec with the data plane, so that bugs of one do not hide in the
// other. It refuses to retry, to follow redirects and to run without bounds. (A request that an HTTP/2 peer says it has not looked at is sent
// once more, as everybody does; it is due when it was.)
package load

import (
	"crypto/tls"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Plan is one run.
type Plan struct {
	Address string      // host:port or unix:/path to connect to
	TLS     *tls.Config // nil is plain text
	HTTP2   bool        // by ALPN, or with prior knowledge where there is no TLS

	Requests []Request // chosen by weight, in an order that Seed makes; at least one
	Seed     uint64

	Rate        float64       // requests a second, all together; 0 is a closed loop
	Connections int           // that are open at once; of an open loop, the most
	Streams     int           // of HTTP/2, at a time on a connection
	NoKeepAlive bool          // a connection a request
	Resume      bool          // TLS sessions are resumed; else each handshake is a full one
	Workers     int           // loops that share the connections; 0 is half of the processors
	Warmup      time.Duration // not counted
	Duration    time.Duration // counted, after it
	Requested   uint64        // stop after so many counted ones; 0 is by time alone
	Timeout     time.Duration // of one request, from when it was due
}

// Request is one kind of request.
type Request struct {
	Name   string // in reports
	Method string
	Host   string // Host or :authority
	Target string // path and query, as sent
	Fields []Field
	Body   []byte
	Weight float64 // above 0
}

// Field is a header field.
type Field struct{ Name, Value string }

// Result is what came of a run. Times are from when a request was due (open loop) or was sent (closed loop) to the last byte of its answer.
type Result struct {
	Started  time.Time
	Elapsed  time.Duration // counted
	Wanted   float64       // Plan.Rate
	Due      uint64        // counted requests that should have been sent
	Done     uint64        // of them answered whole, whatever the status and however late
	Answered uint64        // answers that came within Elapsed, also to requests that were due before: what the target served in that time
	Statuses map[int]uint64
	Errors   map[Failure]uint64
	Late     uint64 // open loop: due, and not sent within Timeout for want of a free connection; they are among Errors too
	Sent     uint64 // bytes
	Received uint64
	Opened   uint64                  // connections
	Latency  *hdrhistogram.Histogram // microseconds, 1 µs to 60 s, three digits; answered ones
	Service  *hdrhistogram.Histogram // the same from when it was sent
	Lag      *hdrhistogram.Histogram // open loop: from when a request was due and a connection free until it was sent; the generator's own part
	Kinds    map[string]*Kind        // by Request.Name
	Series   []Second
	CPU      time.Duration // of this process in the counted time
}

// Kind is what came of one kind of request.
type Kind struct {
	Done, Failed uint64
	Latency      *hdrhistogram.Histogram
}

// Second is what happened in one second of the counted time.
type Second struct {
	At            time.Duration // since it began
	Done, Failed  uint64
	P50, P99, Max time.Duration
}

// Failure is why a request was not answered: a small fixed set of words.
type Failure string

const (
	Refused   Failure = "connect" // no connection could be opened
	TimedOut  Failure = "timeout"
	Broken    Failure = "broken"    // the connection ended before the answer did
	Malformed Failure = "malformed" // what came is no HTTP
	Handshake Failure = "tls"
)

// Progress is what a run shows of itself about four times a second.
type Progress struct {
	Elapsed, Total time.Duration // both with the warm-up; Total is 0 when only the number of requests ends the run
	Warm           bool          // the counted time has begun
	Rate           float64       // answers a second, lately
	Done, Failed   uint64
	P50, P95, P99  time.Duration // of the counted time so far
}

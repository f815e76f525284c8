// Package mix makes the requests of a run from what an operator has: a file that lists them with their weights, or an access log.
//
// It serves no step of a request. It refuses to send what a log masked: a query that was redacted is left out, and it says so. It refuses to
// repeat from a log what may change something: a log has no bodies, and a request that changed something once may not be meant twice.
//
// In reading order: mix.go (what comes of both), file.go (a file), line.go (one line of a log), log.go (a whole one) and kind.go (which
// requests are told as one).
package mix

import (
	"strings"

	"straum.dev/straum/internal/load"
)

// Bounds of what is taken. What is beyond is refused in a file, and told of a log.
const (
	MaxRequests = 1000     // of a file
	MaxBody     = 16 << 20 // bytes of one body
	MaxBodies   = 64 << 20 // bytes of all
	MaxPaths    = 10_000   // of a log: the most frequent
	MaxLine     = 64 << 10 // bytes of a line of a log
)

// Mix is the requests of a run, and what has to be known about them.
type Mix struct {
	Requests []load.Request
	Notes    []string // what was left out and why, in words
	// Of a log: requests a second on average and in the busiest second, of all requests, also those left out. 0 when lines have no times.
	Mean, Busiest float64
}

// reserved are fields that the generator makes itself.
var reserved = map[string]string{
	"host":              "write it as host",
	"content-length":    "it follows from the body",
	"transfer-encoding": "a body is sent with its length",
	"connection":        "connections are kept or not by --no-keepalive",
	"keep-alive":        "connections are kept or not by --no-keepalive",
	"proxy-connection":  "connections are kept or not by --no-keepalive",
	"upgrade":           "the protocol is chosen by --http2",
	"te":                "the generator reads no trailers",
}

// Reserved says why a header field cannot be given; empty when it can.
func Reserved(name string) string { return reserved[strings.ToLower(name)] }

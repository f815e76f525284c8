package upstream

import (
	"math"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

// grpcCall is what of a call is peculiar to gRPC. An answer's status is in its trailers there, or in its head when that is all of it,
// and breaker, health and retry rules judge it by the HTTP status that means the same (fault.Code.Status): UNAVAILABLE is 503, INTERNAL,
// UNKNOWN and DATA_LOSS are 500, DEADLINE_EXCEEDED is 504. Nothing is held against the endpoint when it says DEADLINE_EXCEEDED to a
// request that set a deadline by itself, or CANCELLED: clients must not be able to open a breaker. An answer in the trailers can be
// judged only when it is over, and comes too late for another try; one that is a head alone is tried again where the rules list the
// status and allow the method.
type grpcCall struct {
	spoken  bool // the request is one of gRPC
	timed   bool // it has a deadline of its own,
	bounds  bool // which comes before the one that was configured
	invalid bool // grpc-timeout cannot be read
	pending bool // the answer has begun, and its status is still to come
}

// excluded is the status of what says nothing about the endpoint.
const excluded = 0

// beginGRPC looks whether the request is one of gRPC, and for the deadline that it sets.
func (c *Call) beginGRPC() {
	contentType, ok := c.x.Request.Header.Get(exchange.ContentType)
	if !ok || !fault.SpeaksGRPC(contentType) {
		return
	}
	c.grpc.spoken = true
	value, ok := c.x.Request.Header.Header("grpc-timeout")
	if !ok {
		return
	}
	timeout, ok := parseTimeout(value)
	if !ok {
		c.grpc.invalid = true
		return
	}
	c.grpc.timed = true
	by := c.x.Times.Start + min(timeout, math.MaxInt64-c.x.Times.Start)
	if c.deadline == 0 || by < c.deadline {
		c.deadline, c.grpc.bounds = by, true
	}
}

// parseTimeout reads the value of grpc-timeout: one to eight digits and a unit. The result is in nanoseconds; what would be more than
// fits, some 292 years, is as much as fits.
func parseTimeout(value string) (int64, bool) {
	const mostDigits = 8
	digits := len(value) - 1
	if digits < 1 || digits > mostDigits {
		return 0, false
	}
	n, ok := grammar.Decimal(value[:digits])
	if !ok {
		return 0, false
	}
	var unit time.Duration
	switch value[digits] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64, true
	}
	return n * int64(unit), true
}

// open says whether the status of an answer is still to come.
func (g *grpcCall) open(x *exchange.Exchange) bool {
	if !g.spoken || x.Response.Status != 200 {
		return false
	}
	_, known := x.Response.GRPCStatus() // the trailers are still to come
	g.pending = !known
	return g.pending
}

// status is the HTTP status that an answer's status of gRPC stands for. One that has none, or none
// yet, is as good as its head.
func (g *grpcCall) status(x *exchange.Exchange) int {
	value, ok := x.Response.GRPCStatus()
	if !ok {
		return x.Response.Status
	}
	code, _ := fault.ParseCode(value)
	if code == fault.Cancelled || code == fault.DeadlineExceeded && g.timed {
		return excluded
	}
	return code.Status()
}

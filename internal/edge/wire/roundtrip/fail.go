package roundtrip

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

var (
	errSwitch      = errors.New("the endpoint switched protocols, which HTTP/2 cannot")
	errInterims    = errors.New("the endpoint sent too many interim answers")
	errStatus      = errors.New("the status of the answer is not one from 200 to 599")
	errLengths     = errors.New("the answer states more than one Content-Length")
	errLength      = errors.New("the Content-Length of the answer is not a plain decimal number")
	errTrailers    = errors.New("the trailer section of the answer has too many fields")
	errTrailerName = errors.New("the trailer section of the answer holds a field that belongs into the header")
	errRefused     = errors.New("the endpoint refused the stream (REFUSED_STREAM)")
)

func invalid(err error) *fault.Fault { return fault.At(fault.UpstreamInvalid, fault.Answered, err) }

// The library's words for what it has no exported errors for. A test meets each of them, so that a new release of the library that
// says it differently is noticed.
const (
	saysGoAway    = "http2: Transport received Server's graceful shutdown GOAWAY"
	saysGoAwayToo = "http2: Transport received GOAWAY from server"
	saysInvalid   = "invalid "
	saysTooLarge  = "request header list larger than peer's advertised limit"
)

// streamError is the library's error of one stream, which it fills into any struct that looks like this.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error " + strconv.Itoa(int(e.Code)) }

// codeRefused is REFUSED_STREAM: nothing of the request was processed (RFC 9113 §8.7).
const codeRefused = 7

// failed turns what the library failed with, before the head of the answer was there, into a fault.
func (t *Try) failed(err error) *fault.Fault {
	if f := t.out.failure.Load(); f != nil {
		return f
	}
	text := err.Error()
	var stream streamError
	switch {
	case errors.As(err, &stream) && stream.Code == codeRefused:
		return fault.At(fault.UpstreamRefused, fault.NotSent, errRefused)
	case strings.HasPrefix(text, saysGoAway), strings.HasPrefix(text, saysGoAwayToo):
		return fault.At(fault.UpstreamReset, fault.NotSent, err) // above the last stream that the endpoint will look at (RFC 9113 §6.8)
	case strings.Contains(text, saysTooLarge):
		return &fault.Fault{Kind: fault.HeaderTooLarge, Detail: "The header is larger than the API behind this route takes.", Cause: err}
	case errors.As(err, &stream) && !fromEndpoint(stream):
		return invalid(err)
	case !t.sentHead.Load() && strings.Contains(text, saysInvalid):
		return fault.New(fault.Malformed, err) // the library would not send it
	case !t.sentHead.Load(), t.unsent(): // the connection was on its way out, or is gone
		return fault.At(fault.UpstreamReset, fault.NotSent, err)
	}
	return fault.At(fault.UpstreamReset, fault.MaybeProcessed, err)
}

// fromEndpoint says that a stream was reset by the endpoint, and not by us for what the endpoint did.
func fromEndpoint(e streamError) bool {
	return e.Cause != nil && e.Cause.Error() == "received from peer"
}

// unsent says whether it is proven that the endpoint has not seen the request: it closed the connection before the end of the request's
// head had arrived there.
func (t *Try) unsent() bool {
	arrived := t.conn.carrier.arrived.Load()
	return arrived >= 0 && arrived < t.sentMark.Load()
}

// broken turns what the library failed with in the body of an answer into a fault.
func (t *Try) broken(err error) *fault.Fault {
	if f := t.out.failure.Load(); f != nil {
		return f
	}
	var stream streamError
	var network net.Error
	switch {
	case errors.As(err, &stream) && !fromEndpoint(stream), strings.Contains(err.Error(), "declared Content-Length"):
		return fault.At(fault.UpstreamInvalid, fault.ResponseBegun, err)
	case errors.Is(err, socket.ErrTimeout), errors.As(err, &network) && network.Timeout():
		return fault.At(fault.UpstreamTimeout, fault.ResponseBegun, err)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fault.At(fault.UpstreamReset, fault.ResponseBegun, err)
}

package fault

import "strings"

// Code is a status of gRPC, as the field grpc-status carries it
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
type Code uint8

// The codes, by their numbers on the wire.
const (
	OK Code = iota
	Cancelled
	Unknown
	InvalidArgument
	DeadlineExceeded
	NotFound
	AlreadyExists
	PermissionDenied
	ResourceExhausted
	FailedPrecondition
	AbortedByPeer
	OutOfRange
	Unimplemented
	InternalError
	Unavailable
	DataLoss
	Unauthenticated
	numCodes
)

// SpeaksGRPC says whether a request of this content type is one of gRPC, whose client has to be told of faults in gRPC's way
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func SpeaksGRPC(contentType string) bool {
	const name = "application/grpc"
	return len(contentType) >= len(name) && strings.EqualFold(contentType[:len(name)], name) &&
		(len(contentType) == len(name) || contentType[len(name)] == '+' || contentType[len(name)] == ';')
}

// CodeOf is the code for an answer that gRPC does not know: the mapping gRPC gives for answers of proxies
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md), except for 429 and for what is too large. Both mean
// a limit here, and Unavailable, which gRPC names for 429, would make clients try again at once.
func CodeOf(status int) Code {
	switch status {
	case 400:
		return InternalError
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 413, 429, 431:
		return ResourceExhausted
	case 502, 503, 504:
		return Unavailable
	}
	return Unknown
}

// Status is the HTTP status that means what a code means, as seen from the gateway: 200 for whatever is between the client and the
// API. Breakers, health and retries, whose rules name statuses, judge gRPC answers by it.
func (c Code) Status() int {
	switch c {
	case Unknown, InternalError, DataLoss:
		return 500
	case Unimplemented:
		return 501
	case Unavailable:
		return 503
	case DeadlineExceeded:
		return 504
	case ResourceExhausted:
		return 429
	}
	return 200
}

// ParseCode reads the value of grpc-status: a decimal number without leading zeros. Numbers that no code has count as Unknown, as
// gRPC demands; ok is false for what is no number.
func ParseCode(value string) (code Code, ok bool) {
	if value == "" || len(value) > 1 && value[0] == '0' {
		return Unknown, false
	}
	n := 0
	for i := range len(value) {
		digit := value[i] - '0'
		if digit > 9 {
			return Unknown, false
		}
		n = min(n*10+int(digit), int(numCodes))
	}
	if n >= int(numCodes) {
		return Unknown, true
	}
	return Code(n), true
}

// AppendMessage appends text as the value of grpc-message: percent-encoded where it is not visible ASCII
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func AppendMessage(b []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

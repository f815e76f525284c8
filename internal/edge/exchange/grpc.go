package exchange

import "straum.dev/straum/internal/edge/fault"

// GRPCStatus is the value of grpc-status, ok being false without one. An answer that is a head alone has it there, others in their
// trailers, once those have come (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func (r *Response) GRPCStatus() (value string, ok bool) {
	if value, ok = r.Header.Header(grpcStatus); ok {
		return value, true
	}
	return r.Trailer.Header(grpcStatus)
}

const grpcStatus = "grpc-status"

// GRPC is the status of gRPC that an answer of gRPC ended with. ok is false for any other answer, and for one whose status is missing
// or no number. It counts with 200 alone: a client of gRPC goes by any other status of HTTP before it looks further, and one who
// counts both would count one answer twice.
func (r *Response) GRPC() (code fault.Code, ok bool) {
	if r.Status != 200 {
		return 0, false
	}
	if kind, _ := r.Header.Get(ContentType); !fault.SpeaksGRPC(kind) {
		return 0, false
	}
	value, _ := r.GRPCStatus()
	return fault.ParseCode(value)
}

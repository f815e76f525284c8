package edge

import (
	"strconv"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// grpcContentType is what an answer of gRPC says of itself, also one that has no content.
const grpcContentType = "application/grpc"

// speaksGRPC says whether the client knows answers of gRPC only.
func (t *trip) speaksGRPC() bool {
	contentType, ok := t.x.Request.Header.Get(exchange.ContentType)
	return ok && fault.SpeaksGRPC(contentType)
}

// tellGRPC makes the response an answer of trailers only: a head that holds the status of gRPC, and nothing behind it.
func (t *trip) tellGRPC(code fault.Code, message string) {
	h := &t.x.Response.Header
	h.Set(exchange.ContentType, grpcContentType)
	h.SetHeader("grpc-status", strconv.Itoa(int(code)))
	t.text = fault.AppendMessage(t.text[:0], message)
	h.SetHeader("grpc-message", view(t.text))
}

// translate puts an answer of our own that is no fault, such as a policy's, into gRPC for a client that speaks nothing else: its status
// by the mapping of fault.CodeOf, its fields as they are, and its content left out.
func (t *trip) translate() {
	x := t.x
	r := &x.Response
	if !r.Own || r.Status < 300 || !t.speaksGRPC() {
		return
	}
	status := r.Status
	r.Status, r.Body, r.Length = 200, nil, 0
	for _, known := range [...]exchange.Known{exchange.ContentLength, exchange.ContentEncoding, exchange.Trailer} {
		r.Header.Del(known)
	}
	t.tellGRPC(fault.CodeOf(status), "the gateway answered with HTTP status "+strconv.Itoa(status))
}

package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/roundtrip"
)

// ask2 is ask over HTTP/2, on a connection of its own, which it takes over: goroutines of the library may be writing when the probe is
// over, and whoever else closed the connection would let them write to another that got its descriptor.
func (c *Check) ask2(ctx context.Context, conn net.Conn, t Target, explain func(error) string) (Outcome, string) {
	deadline, _ := ctx.Deadline()
	by := clock.Now() + int64(time.Until(deadline))
	sock, err := socket.New(conn)
	if err != nil {
		conn.Close()
		return Own, "could not probe, the fault is ours: " + err.Error()
	}
	unhook := context.AfterFunc(ctx, sock.Kill)
	defer unhook()
	if t.TLS != nil {
		if err := sock.DialTLS(t.TLS, by); err != nil {
			sock.Close()
			return Classify(err), "TLS handshake: " + explain(err)
		}
		if sock.TLS().NegotiatedProtocol != "h2" {
			sock.Close()
			return Failure, "TLS handshake: the endpoint did not agree to speak HTTP/2 (ALPN)"
		}
	}
	stream, err := roundtrip.Open(sock, by, func() {})
	if err != nil {
		return Classify(err), "HTTP/2: " + explain(err)
	}
	defer stream.Close()
	if c.GRPC {
		return c.call(ctx, stream, t.Address, explain)
	}
	path, query, _ := strings.Cut(c.Path, "?")
	reply, err := stream.Ask(ctx, roundtrip.Question{
		Method: "GET", Authority: c.host(t.Address), Path: path, Query: query,
		Header: map[string][]string{"User-Agent": {"straum-health"}, "Accept": {"*/*"}},
	}, c.bodyLimit())
	switch {
	case reply.Status == 0:
		return Classify(err), "response: " + explain(err)
	case !c.expects(reply.Status):
		return Failure, fmt.Sprintf("status %d, want %s", reply.Status, c.wanted())
	case c.Contains == "":
		return Success, fmt.Sprintf("status %d", reply.Status)
	}
	return c.search(reply.Status, reply.Body, err, explain)
}

// bodyLimit is how much of the body is read.
func (c *Check) bodyLimit() int64 {
	if c.Contains == "" {
		return 0
	}
	return MaxProbeBody
}

const (
	// maxService bounds the name of a service, so that its length is one byte in the message.
	maxService = 127
	// maxCheckReply bounds the message that is read: one small number, with room for fields to come.
	maxCheckReply = 1 << 10
	grpcHeader    = 5 // bytes before each message of gRPC: compressed or not, and its length
)

// servingWords are the values of grpc.health.v1.HealthCheckResponse.ServingStatus.
var servingWords = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// call asks grpc.health.v1.Health/Check (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). Its two messages have one
// field each, so they are written and read here by hand.
func (c *Check) call(ctx context.Context, stream *roundtrip.Conn, address string, explain func(error) string) (Outcome, string) {
	reply, err := stream.Ask(ctx, roundtrip.Question{
		Method: "POST", Authority: c.host(address), Path: "/grpc.health.v1.Health/Check",
		Header: map[string][]string{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"straum-health"}},
		Body:   checkRequest(c.Service),
	}, maxCheckReply)
	if err != nil {
		return Classify(err), "response: " + explain(err)
	}
	if reply.Status != 200 {
		return Failure, fmt.Sprintf("status %d, want 200 as gRPC answers", reply.Status)
	}
	value, message := grpcStatus(reply)
	code, ok := fault.ParseCode(value)
	switch {
	case value == "":
		return Failure, "the answer has no grpc-status"
	case ok && code == fault.Unimplemented:
		return Failure, "grpc-status 12: the endpoint does not offer the service grpc.health.v1.Health"
	case ok && code == fault.NotFound:
		return Failure, fmt.Sprintf("grpc-status 5: the endpoint does not know the service %q", c.Service)
	case !ok || code != fault.OK:
		return Failure, fmt.Sprintf("grpc-status %.16q %.100q", value, message)
	}
	status, err := checkReply(reply.Body)
	if err != nil {
		return Failure, "message: " + err.Error()
	}
	if status == serving {
		return Success, "SERVING"
	}
	if status < uint64(len(servingWords)) {
		return Failure, servingWords[status] + ", want SERVING"
	}
	return Failure, fmt.Sprintf("serving status %d, want SERVING", status)
}

// grpcStatus is the status of an answer, from its trailers, or its head when that is all of it.
func grpcStatus(r roundtrip.Reply) (status, message string) {
	for _, fields := range [...]map[string][]string{r.Header, r.Trailer} {
		if v := fields["Grpc-Status"]; len(v) > 0 {
			status = v[0]
		}
		if v := fields["Grpc-Message"]; len(v) > 0 {
			message = v[0]
		}
	}
	return status, message
}

// checkRequest is the message HealthCheckRequest{service} as gRPC sends it. The default, no name, is no field.
func checkRequest(service string) []byte {
	message := []byte{}
	if service != "" {
		message = append([]byte{1<<3 | 2, byte(len(service))}, service...) // field 1, length-delimited
	}
	return append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
}

var errMessage = errors.New("it is no well-formed HealthCheckResponse")

// checkReply reads field 1, a number, of a HealthCheckResponse. Fields that are not known are passed over.
func checkReply(b []byte) (status uint64, err error) {
	if len(b) < grpcHeader || b[0] != 0 {
		return 0, fmt.Errorf("%d bytes are no message, or it is compressed", len(b))
	}
	size := uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
	b = b[grpcHeader:]
	if size != uint64(len(b)) {
		return 0, fmt.Errorf("it has %d bytes and states %d", len(b), size)
	}
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, errMessage
		}
		b = b[n:]
		var skip uint64
		switch key & 7 {
		case 0:
			value, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, errMessage
			}
			if key>>3 == 1 {
				status = value
			}
			skip = uint64(n)
		case 1:
			skip = 8
		case 2:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)) {
				return 0, errMessage
			}
			skip = uint64(n) + length
		case 5:
			skip = 4
		default:
			return 0, errMessage
		}
		if skip > uint64(len(b)) {
			return 0, errMessage
		}
		b = b[skip:]
	}
	return status, nil
}

package exchange

import (
	"testing"

	"straum.dev/straum/internal/edge/fault"
)

// TestGRPC holds where the status of gRPC is looked for, and of which answers.
func TestGRPC(t *testing.T) {
	f := func(status int, kind, head, trailer, value string, want fault.Code, found bool) {
		t.Helper()
		r := Response{Status: status}
		for _, field := range []struct {
			into        *Fields
			name, value string
		}{{&r.Header, "Content-Type", kind}, {&r.Header, "Grpc-Status", head}, {&r.Trailer, "grpc-status", trailer}} {
			if field.value != "" {
				field.into.Add(field.name, field.value)
			}
		}
		if got, ok := r.GRPCStatus(); got != value || ok != (value != "") {
			t.Errorf("%d, %q, %q: the value is %q, %v", status, head, trailer, got, ok)
		}
		if got, ok := r.GRPC(); ok != found || ok && got != want {
			t.Errorf("%d, %q, %q, %q: %d, %v", status, kind, head, trailer, got, ok)
		}
		if raceEnabled {
			return
		}
		if n := testing.AllocsPerRun(100, func() { r.GRPC() }); n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
	}
	f(200, "application/grpc", "", "0", "0", fault.OK, true)
	f(200, "application/grpc+proto", "13", "", "13", fault.InternalError, true)
	f(200, "application/grpc", "5", "13", "5", fault.NotFound, true) // a head alone has no trailers that count
	f(200, "application/grpc", "", "99", "99", fault.Unknown, true)
	f(200, "application/grpc", "", "", "", 0, false)
	f(200, "application/grpc", "", "x", "x", 0, false)
	f(200, "application/json", "", "14", "14", 0, false)
	f(200, "", "", "14", "14", 0, false)
	f(503, "application/grpc", "14", "", "14", 0, false)
	f(0, "application/grpc", "14", "", "14", 0, false)
}

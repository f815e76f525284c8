package grpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"straum.dev/straum/test/gateway"
)

// The cases by which implementations of gRPC are held against each other.
func TestInterop(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	f.each(t, func(t *testing.T, c *grpc.ClientConn, _ *endpoint) {
		ctx, tc := limited(t), grpc_testing.NewTestServiceClient(c)
		for _, run := range []struct {
			name string
			run  func()
		}{
			{"empty_unary", func() { interop.DoEmptyUnaryCall(ctx, tc) }},
			{"large_unary", func() { interop.DoLargeUnaryCall(ctx, tc) }},
			{"client_streaming", func() { interop.DoClientStreaming(ctx, tc) }},
			{"server_streaming", func() { interop.DoServerStreaming(ctx, tc) }},
			{"ping_pong", func() { interop.DoPingPong(ctx, tc) }},
			{"empty_stream", func() { interop.DoEmptyStream(ctx, tc) }},
			{"timeout_on_sleeping_server", func() { interop.DoTimeoutOnSleepingServer(ctx, tc) }},
			{"cancel_after_begin", func() { interop.DoCancelAfterBegin(ctx, tc) }},
			{"cancel_after_first_response", func() { interop.DoCancelAfterFirstResponse(ctx, tc) }},
			{"custom_metadata", func() { interop.DoCustomMetadata(ctx, tc) }},
			{"status_code_and_message", func() { interop.DoStatusCodeAndMessage(ctx, tc) }},
			{"special_status_message", func() { interop.DoSpecialStatusMessage(ctx, tc) }},
			{"unimplemented_method", func() { interop.DoUnimplementedMethod(ctx, c) }},
			{"unimplemented_service", func() { interop.DoUnimplementedService(ctx, grpc_testing.NewUnimplementedServiceClient(c)) }},
		} {
			t.Run(run.name, func(t *testing.T) {
				defer func() {
					if wrong := recover(); wrong != nil {
						t.Error(wrong)
					}
				}()
				run.run()
			})
		}
	})
	gateway.Await(t, "nothing to be under way", func() bool { return f.Number("straum_endpoint_active_requests") == 0 })
	var lines []gateway.Line
	gateway.Await(t, "the lines of the last calls", func() bool {
		lines = f.Access()
		last := 0
		for _, l := range lines {
			if strings.HasSuffix(l.Text("path"), "UnimplementedService/UnimplementedCall") {
				last++
			}
		}
		return last == 4
	})
	for _, l := range lines { // those who cancel and give up are the client's own
		if l.Text("fault") != "" && l.Text("side") != "client" || l.Text("proto") != "HTTP/2" || l.Number("status") != 200 && l.Text("end") == "" {
			t.Errorf("got the line %v", l)
		}
	}
}

// Large messages, and many calls at a time on one connection.
func TestMessages(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	f.each(t, func(t *testing.T, c *grpc.ClientConn, _ *endpoint) {
		ctx, tc := limited(t), grpc_testing.NewTestServiceClient(c)
		for _, n := range []int{0, 1, 16_384, 1 << 20, 16 << 20} {
			body := bytes.Repeat([]byte("x"), n)
			r, err := tc.UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseSize: int32(n), Payload: &grpc_testing.Payload{Body: body}})
			if err != nil || len(r.GetPayload().GetBody()) != n {
				t.Errorf("a message of %d bytes: %d came back, %v", n, len(r.GetPayload().GetBody()), err)
			}
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for range 5 {
					if r, err := tc.UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseSize: 1000}); err != nil || len(r.GetPayload().GetBody()) != 1000 {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

// A stream in both directions takes turns for as long as both like, over reloads too.
func TestStream(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	f.each(t, func(t *testing.T, c *grpc.ClientConn, _ *endpoint) {
		stream, err := grpc_testing.NewTestServiceClient(c).FullDuplexCall(limited(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: int32(i * 100)}, {Size: 7}}}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []int{i * 100, 7} {
				if r, err := stream.Recv(); err != nil || len(r.GetPayload().GetBody()) != want {
					t.Fatalf("turn %d: %v, %v", i, r, err)
				}
			}
			if i%10 == 5 {
				config := f.config
				if i%20 == 5 {
					config = strings.Replace(config, "rise: 1", "rise: 2", 1) + "\nshutdown: { drain: 3s }\n"
				}
				if err := f.Reload(config); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("the end is %v", err)
		}
	})
}

// What a client gives up is given up at the endpoint too, and the time it allows is known there.
func TestDeadlineAndCancel(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	f.each(t, func(t *testing.T, c *grpc.ClientConn, e *endpoint) {
		tc := grpc_testing.NewTestServiceClient(c)
		name := t.Name()
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(limited(t), "x-wait", "1", "x-test", name+" deadline"), 300*time.Millisecond)
		defer cancel()
		if _, err := tc.EmptyCall(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a call beyond its time: %v", err)
		}
		if got := e.awaitCall(t, "x-test", name+" deadline"); !got.deadline || got.ctx == nil {
			t.Errorf("the endpoint saw %+v", got)
		}

		ctx, leave := context.WithCancel(metadata.AppendToOutgoingContext(context.WithoutCancel(t.Context()), "x-test", name+" cancel"))
		stream, err := tc.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: 10}}}) // Recv shows
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		leave()
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("a call that was given up: %v", err)
		}
		if got := e.awaitCall(t, "x-test", name+" cancel"); got.deadline || !errors.Is(got.ctx, context.Canceled) {
			t.Errorf("the endpoint saw %+v", got)
		}
	})
	gateway.Await(t, "nothing to be under way", func() bool { return f.Number("straum_endpoint_active_requests") == 0 })
}

// Faults of the gateway are statuses of gRPC.
func TestFaults(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	for _, secure := range []bool{true, false} {
		for _, test := range []struct {
			host string
			code codes.Code
		}{{"none.example", codes.Unavailable}, {"nowhere.example", codes.Unimplemented}} {
			tc := grpc_testing.NewTestServiceClient(f.dial(t, test.host, secure))
			_, err := tc.EmptyCall(limited(t), &grpc_testing.Empty{})
			if status.Code(err) != test.code || status.Convert(err).Message() == "" || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%s: %v, want %v", test.host, err, test.code)
			}
			stream, err := tc.FullDuplexCall(limited(t))
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != test.code {
				t.Errorf("%s: a stream: %v, want %v", test.host, err, test.code)
			}
		}
	}
	// An endpoint that dies in the middle of a call: the client must not take it for a good end.
	stream, err := grpc_testing.NewTestServiceClient(f.dial(t, "plain.example", true)).FullDuplexCall(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: 10}}}) // Recv shows
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	f.endpoints["plain.example"].server.Stop()
	if _, err := stream.Recv(); status.Code(err) == codes.OK || err == io.EOF || status.Code(err) == codes.DeadlineExceeded {
		t.Errorf("the endpoint died: %v", err)
	}
	n := f.Numbers()
	if n.Sum("straum_faults_total", `kind="no_route"`) != 4 || n.Sum("straum_faults_total", `kind="connect_failed"`) != 4 {
		t.Errorf("%v and %v faults are counted, want 4 and 4", n.Sum("straum_faults_total", `kind="no_route"`), n.Sum("straum_faults_total", `kind="connect_failed"`))
	}
}

// Probes speak gRPC's own health protocol.
func TestHealth(t *testing.T) {
	t.Parallel()
	f := open(t, "")
	healthy := func() float64 { return f.Number("straum_endpoint_healthy", `upstream="plain"`) }
	tc := grpc_testing.NewTestServiceClient(f.dial(t, "plain.example", true))
	call := func() codes.Code {
		_, err := tc.EmptyCall(limited(t), &grpc_testing.Empty{})
		return status.Code(err)
	}
	gateway.Await(t, "it is healthy", func() bool { return healthy() == 1 })
	if got := call(); got != codes.OK {
		t.Errorf("a call to a healthy endpoint: %v", got)
	}
	e := f.endpoints["plain.example"]
	e.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	gateway.Await(t, "it is sick", func() bool { return healthy() == 0 })
	if got := call(); got != codes.Unavailable && got != codes.OK { // with no other endpoint a sick one may be tried
		t.Errorf("a call to a sick endpoint: %v", got)
	}
	e.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	gateway.Await(t, "it is healthy again", func() bool { return healthy() == 1 })
	if got := call(); got != codes.OK {
		t.Errorf("a call to a healthy endpoint: %v", got)
	}
}

// A gateway that stops lets calls under way end, and its clients go elsewhere.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := open(t, "shutdown: { drain: 30s }\n")
	stream, err := grpc_testing.NewTestServiceClient(f.dial(t, "plain.example", true)).FullDuplexCall(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	turn := func() {
		t.Helper()
		stream.Send(&grpc_testing.StreamingOutputCallRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: 10}}}) // Recv shows
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	f.Signal(syscall.SIGTERM)
	gateway.Await(t, "readiness is off", func() bool { return f.Readyz() == 503 })
	for range 20 {
		turn()
	}
	stream.CloseSend() // Recv shows
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	if code := f.Wait(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	if f.Logged("connections were cut") {
		t.Error("the log tells of connections that were cut")
	}
}

package edge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/edge/wire/http2"
	"straum.dev/straum/test/wire"
)

// serveGRPC starts grpc-go's own server with its interoperability service, whose calls may be replaced.
func serveGRPC(t *testing.T, service testgrpc.TestServiceServer, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(server, service)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// dialGRPC connects grpc-go's client to the gateway, which speaks HTTP/2 without TLS.
func dialGRPC(t *testing.T, g *gateway) *grpc.ClientConn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings := &http2.Settings{
		Limits:   http2.Limits{Target: 8 << 10, HeaderBytes: 32 << 10, HeaderCount: 100},
		Timeouts: http2.Timeouts{Header: wire.Patience, Progress: wire.Patience, TunnelIdle: wire.Patience},
	}
	handler := g.edge.Listener(edge.ListenerSettings{})
	g.sessions.Go(func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.open[nc] = true
			g.mu.Unlock()
			g.sessions.Go(func() {
				conn, err := socket.New(nc)
				if err != nil {
					t.Error(err)
					return
				}
				session := http2.Open(conn, &exchange.Conn{Peer: conn.Peer(), Local: conn.Local(), Listener: "test"}, gate{}, settings, handler, nil)
				for session.Serve() {
				}
				session.Close()
			})
		}
	})
	client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		listener.Close()
	})
	return client
}

func overHTTP2(s *setup) { s.upstream.Protocol = upstream.HTTP2 }

// until is a context that ends long after anything should have.
func until(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
	t.Cleanup(cancel)
	return ctx
}

// gRPC's own interoperability tests pass through the gateway. They end the process when they fail.
func TestGRPCInterop(t *testing.T) {
	g := start(t, overHTTP2, serveGRPC(t, interop.NewTestServer()))
	conn := dialGRPC(t, g)
	client := testgrpc.NewTestServiceClient(conn)
	for name, test := range map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
	} {
		t.Run(name, func(t *testing.T) { test(until(t), client) })
	}
	t.Run("unimplemented_method", func(t *testing.T) { interop.DoUnimplementedMethod(until(t), conn) })
	t.Run("unimplemented_service", func(t *testing.T) {
		interop.DoUnimplementedService(until(t), testgrpc.NewUnimplementedServiceClient(conn))
	})
	await(t, "all streams to end", func() bool { return g.stats().Endpoints[0].Streams == 0 })
	if s := g.endpoint(); s.Open != 1 || s.Opened["cold"] != 1 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// replaced is the interoperability service with some calls that do as a test says.
type replaced struct {
	testgrpc.TestServiceServer
	empty  func(ctx context.Context) error
	duplex func(stream testgrpc.TestService_FullDuplexCallServer) error
}

func (r *replaced) EmptyCall(ctx context.Context, in *testgrpc.Empty) (*testgrpc.Empty, error) {
	if r.empty == nil {
		return r.TestServiceServer.EmptyCall(ctx, in)
	}
	return &testgrpc.Empty{}, r.empty(ctx)
}

func (r *replaced) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	if r.duplex == nil {
		return r.TestServiceServer.FullDuplexCall(stream)
	}
	return r.duplex(stream)
}

// Whatever goes wrong in the gateway, a client of gRPC is told in gRPC's way.
func TestFaultsInGRPC(t *testing.T) {
	p := &failing{}
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.chain.Add("test", p)
	}, dead(t))
	client := testgrpc.NewTestServiceClient(dialGRPC(t, g))
	for _, k := range fault.Kinds() {
		if k.Status == 0 {
			continue
		}
		p.f.Store(&fault.Fault{Kind: k, Detail: "Ein Ärgernis: 100 %.", Cause: errors.New("10.9.8.7 is secret")})
		_, err := client.EmptyCall(until(t), &testgrpc.Empty{})
		if s := status.Convert(err); s.Code() != codes.Code(k.Code) || s.Message() != "Ein Ärgernis: 100 %." {
			t.Errorf("%s: %v", k.Word, err)
		}
		if r := g.next(); r.fault != k.Word {
			t.Errorf("%s: the log has %+v", k.Word, r)
		}
	}
	p.f.Store(nil)
	_, err := client.EmptyCall(until(t), &testgrpc.Empty{})
	if r := g.next(); status.Code(err) != codes.Unavailable || r.fault != "connect_failed" {
		t.Errorf("%v, %+v", err, r)
	}
}

// The deadline that a client sets by grpc-timeout holds in the gateway too, and what it strikes is not the endpoint's failure.
func TestGRPCDeadline(t *testing.T) {
	left := make(chan struct{}, 8)
	service := &replaced{TestServiceServer: interop.NewTestServer(), empty: func(ctx context.Context) error {
		<-ctx.Done()
		left <- struct{}{}
		return ctx.Err()
	}}
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 1, Cooldown: time.Minute, MaxCooldown: time.Minute, Probes: 1, Successes: 1, ProbeTimeout: time.Second}
		s.upstream.BreakerErrors = []int{500, 503, 504}
	}, serveGRPC(t, service))
	// The gateway's own clock has to strike: the client sends its deadline and does not look at it.
	c := wire.Dial(t, g.addr)
	ask := func(timeout string) (*wire.Message, record) {
		return g.askOn(c, "POST /grpc.testing.TestService/EmptyCall HTTP/1.1\nHost: a\nContent-Type: application/grpc\nTE: trailers\nConnection: te\n"+
			"grpc-timeout: "+timeout+"\nContent-Length: 5\n\n\x00\x00\x00\x00\x00")
	}
	m, r := ask("50m")
	if m.Status() != 200 || m.Get("grpc-status") != "4" || m.Get("Content-Type") != "application/grpc" || len(m.Body) != 0 {
		t.Errorf("%s%s", m, m.Body)
	}
	if r.fault != "client_deadline" && r.fault != "" || r.upstream.Tries != 1 { // the endpoint has the same deadline, and may be first
		t.Errorf("%+v", r)
	}
	wait(t, "the endpoint's call to be called off", left)
	if s := g.stats(); s.Breaker.State != breaker.Closed {
		t.Errorf("the client's deadline has opened the breaker: %+v", s.Breaker)
	}
	for _, invalid := range []string{"", "5", "m", "123456789m", "1x", "-1S", "1.5S", "1 S"} {
		if m, r := ask(invalid); m.Get("grpc-status") != "3" || r.fault != "bad_deadline" || r.upstream.Tries != 0 {
			t.Errorf("%q: %s %+v", invalid, m, r)
		}
	}
}

// A client that leaves takes its stream with it, and only that.
func TestGRPCCancel(t *testing.T) {
	began, left := make(chan struct{}, 8), make(chan struct{}, 8)
	service := &replaced{TestServiceServer: interop.NewTestServer(), empty: func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		left <- struct{}{}
		return ctx.Err()
	}}
	g := start(t, overHTTP2, serveGRPC(t, service))
	client := testgrpc.NewTestServiceClient(dialGRPC(t, g))
	stream, err := client.FullDuplexCall(until(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(until(t))
	go func() {
		<-began
		cancel()
	}()
	if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
	wait(t, "the endpoint's call to be called off", left)
	if r := g.next(); r.fault != "client_gone" {
		t.Errorf("%+v", r)
	}
	// The other stream on the connection goes on.
	if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 3}}}); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || len(answer.Payload.Body) != 3 {
		t.Errorf("%v, %v", answer, err)
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
	if s := g.endpoint(); s.Failed != 0 || s.Opened["cold"] != 1 || s.Reused != 1 {
		t.Errorf("%+v", s)
	}
}

// The breaker learns from the status in the trailers, and from the one in the head when that is all.
func TestGRPCBreaker(t *testing.T) {
	f := func(name string, code codes.Code, headFirst, opens bool) {
		t.Run(name, func(t *testing.T) {
			service := &replaced{TestServiceServer: interop.NewTestServer(), empty: func(ctx context.Context) error {
				if headFirst {
					grpc.SendHeader(ctx, metadata.Pairs("x-head", "first"))
				}
				return status.Error(code, "as told")
			}}
			g := start(t, func(s *setup) {
				overHTTP2(s)
				s.upstream.Breaker = &breaker.Settings{ConsecutiveErrors: 3, Cooldown: time.Minute, MaxCooldown: time.Minute, Probes: 1, Successes: 1, ProbeTimeout: time.Second}
				s.upstream.BreakerErrors = []int{500, 502, 503, 504}
			}, serveGRPC(t, service))
			client := testgrpc.NewTestServiceClient(dialGRPC(t, g))
			for range 3 {
				if _, err := client.EmptyCall(until(t), &testgrpc.Empty{}); status.Code(err) != code || status.Convert(err).Message() != "as told" {
					t.Fatal(err)
				}
				g.next()
				g.endpoint()
			}
			want := breaker.Closed
			if opens {
				want = breaker.Open
			}
			if s := g.stats(); s.Breaker.State != want {
				t.Errorf("the breaker is %v, want %v", s.Breaker.State, want)
			}
			if _, err := client.EmptyCall(until(t), &testgrpc.Empty{}); opens && (status.Code(err) != codes.Unavailable || status.Convert(err).Message() == "as told") {
				t.Error(err)
			}
		})
	}
	f("unavailable, head only", codes.Unavailable, false, true)
	f("unavailable in trailers", codes.Unavailable, true, true)
	f("internal", codes.Internal, true, true)
	f("not found", codes.NotFound, true, false)
	f("resource exhausted", codes.ResourceExhausted, false, false)
	f("cancelled", codes.Canceled, true, false)
	f("deadline of the endpoint's own", codes.DeadlineExceeded, true, false) // until sets grpc-timeout, so it may be the client's
}

// An answer that breaks off in its middle ends with a status too.
func TestGRPCBreaksOff(t *testing.T) {
	hold := make(chan struct{})
	service := &replaced{TestServiceServer: interop.NewTestServer(), duplex: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: []byte("first")}})
		select {
		case <-hold:
		case <-stream.Context().Done():
		}
		return nil
	}}
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.upstream.Timeouts.Idle = short
	}, serveGRPC(t, service))
	defer close(hold)
	client := testgrpc.NewTestServiceClient(dialGRPC(t, g))
	stream, err := client.FullDuplexCall(until(t))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || string(answer.Payload.Body) != "first" {
		t.Fatalf("%v, %v", answer, err)
	}
	_, err = stream.Recv()
	if s := status.Convert(err); s.Code() != codes.DeadlineExceeded || s.Message() != fault.UpstreamTimeout.Detail {
		t.Errorf("%v", err)
	}
	if r := g.next(); r.fault != "upstream_timeout" {
		t.Errorf("%+v", r)
	}
}

// Package grpc proves from outside that gRPC passes whole: its own client and server in Go, on both sides of the gateway, by TLS and
// without on either.
package grpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(stern{grpclog.NewLoggerV2(os.Stderr, os.Stderr, os.Stderr)})
	os.Exit(gateway.Main(m))
}

// stern is a logger for the functions of gRPC's interoperability tests, which end the process where they find something wrong: it
// panics instead, and says nothing otherwise.
type stern struct{ grpclog.LoggerV2 }

func (stern) FatalDepth(_ int, args ...any)  { panic(fmt.Sprint(args...)) }
func (stern) InfoDepth(int, ...any)          {}
func (stern) WarningDepth(int, ...any)       {}
func (stern) ErrorDepth(int, ...any)         {}
func (stern) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (stern) Info(...any)                    {}
func (stern) Infoln(...any)                  {}
func (stern) Infof(string, ...any)           {}
func (stern) Warning(...any)                 {}
func (stern) Warningln(...any)               {}
func (stern) Warningf(string, ...any)        {}
func (stern) Error(...any)                   {}
func (stern) Errorln(...any)                 {}
func (stern) Errorf(string, ...any)          {}

// endpoint is a gRPC server with the interoperability service and health.
type endpoint struct {
	addr   string
	server *grpc.Server
	health *health.Server

	mu   sync.Mutex
	done []call
}

// call is what the endpoint saw of one call.
type call struct {
	method   string
	deadline bool  // the context had one
	ctx      error // when the handler returned
	meta     metadata.MD
}

func newEndpoint(t *testing.T, creds credentials.TransportCredentials) *endpoint {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{addr: listener.Addr().String(), health: health.NewServer()}
	e.server = grpc.NewServer(grpc.Creds(creds), grpc.MaxRecvMsgSize(64<<20),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := handler(srv, ss)
			e.saw(ss.Context(), info.FullMethod)
			return err
		}),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if meta, _ := metadata.FromIncomingContext(ctx); len(meta.Get("x-wait")) > 0 {
				<-ctx.Done()
				e.saw(ctx, info.FullMethod)
				return nil, status.FromContextError(ctx.Err()).Err() // its time may be over before the client's
			}
			answer, err := handler(ctx, request)
			e.saw(ctx, info.FullMethod)
			return answer, err
		}))
	grpc_testing.RegisterTestServiceServer(e.server, interop.NewTestServer())
	grpc_health_v1.RegisterHealthServer(e.server, e.health)
	go e.server.Serve(listener)
	t.Cleanup(e.server.Stop)
	return e
}

func (e *endpoint) saw(ctx context.Context, method string) {
	_, deadline := ctx.Deadline()
	meta, _ := metadata.FromIncomingContext(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = append(e.done, call{method, deadline, ctx.Err(), meta})
}

// awaitCall waits for the end of a call that has a field.
func (e *endpoint) awaitCall(t *testing.T, field, value string) (found call) {
	t.Helper()
	gateway.Await(t, "the endpoint has done with the call "+value, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, c := range e.done {
			if strings.Join(c.meta.Get(field), ",") == value {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// front is a gateway in front of an endpoint without TLS (host plain.example) and one with (secure.example).
type front struct {
	*gateway.Gateway
	plain, secure string // addresses of the listeners
	authority     *gateway.Authority
	config        string
	endpoints     map[string]*endpoint // by host
}

func open(t *testing.T, more string) *front {
	t.Helper()
	a := gateway.NewAuthority(t)
	f := &front{plain: gateway.Free(t), secure: gateway.Free(t), authority: a, endpoints: map[string]*endpoint{
		"plain.example":  newEndpoint(t, insecure.NewCredentials()),
		"secure.example": newEndpoint(t, credentials.NewServerTLSFromCert(&a.Issue([]string{"127.0.0.1"}).TLS)),
	}}
	f.config = fmt.Sprintf(`
listeners:
  - { name: plain, address: %q }
  - { name: secure, address: %q, tls: { certificates: [%s] } }
upstreams:
  plain:
    endpoints: [%q]
    protocol: http2
    ejection: off
    health: { grpc: any, every: 100ms, timeout: 100ms, rise: 1, fall: 1 }
  secure:
    endpoints: [%q]
    tls: { ca: %q }
    protocol: http2
    health: { grpc: any, every: 1s, timeout: 1s }
  none:
    endpoints: [%q]
    protocol: http2
    ejection: off
    retry: { attempts: 0 }
routes:
  - { name: plain, match: { host: plain.example, path: /* }, upstream: plain }
  - { name: secure, match: { host: secure.example, path: /* }, upstream: secure }
  - { name: none, match: { host: none.example, path: /* }, upstream: none }
%s`, f.plain, f.secure, a.Issue([]string{"plain.example", "secure.example", "none.example", "nowhere.example"}).YAML(), f.endpoints["plain.example"].addr,
		f.endpoints["secure.example"].addr, a.File, gateway.Free(t), more)
	f.Gateway = gateway.Start(t, f.config)
	return f
}

// dial opens a client for a host, by TLS or without.
func (f *front) dial(t *testing.T, host string, secure bool) *grpc.ClientConn {
	t.Helper()
	addr, creds := f.plain, insecure.NewCredentials()
	if secure {
		addr, creds = f.secure, credentials.NewClientTLSFromCert(f.authority.Pool, "")
	}
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority(host),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// each runs a test over all combinations.
func (f *front) each(t *testing.T, test func(t *testing.T, c *grpc.ClientConn, e *endpoint)) {
	t.Helper()
	for _, host := range []string{"plain.example", "secure.example"} {
		for _, secure := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s tls=%v", host, secure), func(t *testing.T) { test(t, f.dial(t, host, secure), f.endpoints[host]) })
		}
	}
}

// limited is a context with an end.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gateway.Patience)
	t.Cleanup(cancel)
	return ctx
}

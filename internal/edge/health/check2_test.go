package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// ask probes one target once.
func ask(t *testing.T, c Check, target Target) (Outcome, string) {
	t.Helper()
	c.Every, c.Timeout = time.Hour, 10*time.Second
	p, err := NewProber(c, nil, rand.Uint64, func(string, Outcome, string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.probe(context.Background(), target)
}

// certificate borrows that of net/http's test server, for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return server.TLS.Certificates[0], pool
}

// grpc-go's own health service, asked with and without TLS.
func TestGRPCCheck(t *testing.T) {
	pair, pool := certificate(t)
	for name, secure := range map[string]bool{"clear": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			var options []grpc.ServerOption
			var config *tls.Config
			if secure {
				options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
				config = &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"h2"}}
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, service := grpc.NewServer(options...), health.NewServer()
			pb.RegisterHealthServer(server, service)
			go server.Serve(listener)
			defer server.Stop()
			service.SetServingStatus("orders", pb.HealthCheckResponse_SERVING)
			service.SetServingStatus("bills", pb.HealthCheckResponse_NOT_SERVING)
			target := Target{ID: "x", Address: listener.Addr().String(), TLS: config}
			f := func(service string, outcome Outcome, detail string) {
				t.Helper()
				if o, d := ask(t, Check{GRPC: true, Service: service}, target); o != outcome || !strings.Contains(d, detail) {
					t.Errorf("%q: %v, %s", service, o, d)
				}
			}
			f("", Success, "SERVING")
			f("orders", Success, "SERVING")
			f("bills", Failure, "NOT_SERVING, want SERVING")
			f("other", Failure, `does not know the service "other"`)
			service.Shutdown()
			f("", Failure, "NOT_SERVING")
		})
	}
	t.Run("no such service", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		go server.Serve(listener)
		defer server.Stop()
		if o, d := ask(t, Check{GRPC: true}, Target{Address: listener.Addr().String()}); o != Failure || !strings.Contains(d, "does not offer the service") {
			t.Errorf("%v, %s", o, d)
		}
	})
}

// What is not gRPC is not healthy.
func TestGRPCCheckOfOthers(t *testing.T) {
	f := func(handler http.HandlerFunc, detail string) {
		t.Helper()
		server := httptest.NewUnstartedServer(handler)
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		defer server.Close()
		if o, d := ask(t, Check{GRPC: true}, Target{Address: server.Listener.Addr().String()}); o != Failure || !strings.Contains(d, detail) {
			t.Errorf("%v, %s, want %s", o, d, detail)
		}
	}
	f(http.NotFound, "status 404, want 200")
	f(func(http.ResponseWriter, *http.Request) {}, "no grpc-status")
	f(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Grpc-Status", "0")
		w.Write([]byte{0, 0, 0, 0, 9, 8, 1})
	}, "it has 2 bytes and states 9")
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if o, d := ask(t, Check{GRPC: true}, Target{Address: server.Listener.Addr().String()}); o != Failure || !strings.Contains(d, "HTTP/2") {
		t.Errorf("%v, %s", o, d)
	}
}

// GET goes over whatever the endpoint is spoken to in.
func TestChecksOverTLSAndHTTP2(t *testing.T) {
	f := func(two, secure bool) {
		t.Helper()
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (r.ProtoMajor == 2) != two || (r.TLS != nil) != secure || r.URL.RawQuery != "q=1" || r.Host != "api.example" {
				w.WriteHeader(500)
			}
			w.Write([]byte("all is well"))
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(!two)
		server.Config.Protocols.SetUnencryptedHTTP2(two)
		server.Config.Protocols.SetHTTP2(two)
		target, check := Target{}, Check{HTTP2: two, Path: "/healthz?q=1", Host: "api.example", Contains: "well"}
		if secure {
			server.EnableHTTP2 = two
			server.StartTLS()
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			protocol := "http/1.1"
			if two {
				protocol = "h2"
			}
			target.TLS = &tls.Config{RootCAs: pool, ServerName: "example.com", NextProtos: []string{protocol}}
		} else {
			server.Start()
		}
		defer server.Close()
		target.Address = server.Listener.Addr().String()
		if o, d := ask(t, check, target); o != Success {
			t.Errorf("HTTP/2 %v, TLS %v: %v, %s", two, secure, o, d)
		}
		check.Contains = "ill"
		if o, d := ask(t, check, target); o != Failure || !strings.Contains(d, `"ill" is not in the body`) {
			t.Errorf("HTTP/2 %v, TLS %v: %v, %s", two, secure, o, d)
		}
		check.Contains, check.Expect = "", []Statuses{{204, 204}}
		if o, d := ask(t, check, target); o != Failure || d != "status 200, want 204" {
			t.Errorf("HTTP/2 %v, TLS %v: %v, %s", two, secure, o, d)
		}
		if secure {
			target.TLS = &tls.Config{ServerName: "example.com", NextProtos: target.TLS.NextProtos} // without its CA
			if o, d := ask(t, check, target); o != Failure || !strings.Contains(d, "TLS handshake: ") {
				t.Errorf("HTTP/2 %v: %v, %s", two, o, d)
			}
		}
	}
	f(false, false)
	f(false, true)
	f(true, false)
	f(true, true)
}

// The messages made and read by hand are those of protobuf.
func TestCheckMessages(t *testing.T) {
	for _, service := range []string{"", "a", "orders.v1.Orders", strings.Repeat("x", maxService)} {
		made := checkRequest(service)
		want, err := proto.Marshal(&pb.HealthCheckRequest{Service: service})
		if err != nil || !bytes.Equal(made[grpcHeader:], want) || int(made[4]) != len(want) {
			t.Errorf("%q: %x, want %x", service, made, want)
		}
	}
	for status := range pb.HealthCheckResponse_ServingStatus_name {
		message, err := proto.Marshal(&pb.HealthCheckResponse{Status: pb.HealthCheckResponse_ServingStatus(status)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := checkReply(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
		if err != nil || got != uint64(status) {
			t.Errorf("%d: %d, %v", status, got, err)
		}
		if servingWords[status] != pb.HealthCheckResponse_ServingStatus_name[status] {
			t.Errorf("%d is called %s", status, servingWords[status])
		}
	}
	f := func(message string, want uint64, ok bool) {
		t.Helper()
		got, err := checkReply(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
		if (err == nil) != ok || got != want {
			t.Errorf("%x: %d, %v", message, got, err)
		}
	}
	f("\x12\x03abc\x08\x01", 1, true) // an unknown field before
	f("\x08\x01\x15abcd\x11abcdefgh", 1, true)
	f("\x08", 0, false)
	f("\x80", 0, false)
	f("\x12\x09abc", 0, false)
	f("\x15abc", 0, false)
	f("\x0b", 0, false)
	if _, err := checkReply([]byte{1, 0, 0, 0, 0}); err == nil {
		t.Error("a compressed message was read")
	}
}

func TestGRPCCheckValid(t *testing.T) {
	c := Check{GRPC: true, Every: time.Second, Timeout: time.Second, Service: strings.Repeat("x", maxService)}
	if err := c.Valid(); err != nil {
		t.Error(err)
	}
	c.Service += "x"
	if err := c.Valid(); err == nil {
		t.Error("a name whose length does not fit is taken")
	}
}

// Package dns proves from outside that endpoints given by name follow the name, and that a name server that fails takes nothing away.
package dns

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// endpoints listen at one port of several addresses, and answer with theirs.
func endpoints(t *testing.T, addresses ...string) (port string) {
	t.Helper()
	_, port, _ = net.SplitHostPort(gateway.Free(t))
	for _, a := range addresses {
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(a), a)
		traffic.NewScriptedAt(t, "tcp", net.JoinHostPort(a, port), func(c net.Conn, _ int64) { traffic.Serve(c, answer) })
	}
	return port
}

func start(t *testing.T, s *nameServer, port string) (*gateway.Gateway, string) {
	t.Helper()
	listen := gateway.Free(t)
	return gateway.Start(t, gateway.Simple(listen, []string{"api.test:" + port},
		"    balance: round_robin\n    resolve: { every: 1s, server: "+s.addr+" }")), listen
}

// from is who answers a request; the status when it is not 200.
func from(t *testing.T, listen string) string {
	t.Helper()
	r, body, err := traffic.Once(listen, traffic.Get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		return r.Status
	}
	return body
}

// TestChange moves a name from address to address under load: requests follow, and none fails.
func TestChange(t *testing.T) {
	t.Parallel()
	port := endpoints(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	s := newNameServer(t, "127.0.0.2")
	g, listen := start(t, s, port)
	gateway.Await(t, "the first address", func() bool { return from(t, listen) == "127.0.0.2" })
	load := traffic.Start(traffic.Plan{Addr: listen, Conns: 4, Pause: time.Millisecond})
	s.set("127.0.0.3")
	gateway.Await(t, "the second address", func() bool { return from(t, listen) == "127.0.0.3" })
	s.set("127.0.0.3", "127.0.0.4")
	gateway.Await(t, "both addresses", func() bool {
		n := g.Numbers()
		one, other := from(t, listen), from(t, listen)
		return n.Sum("straum_endpoint_healthy") == 2 && one != other
	})
	s.set("127.0.0.4")
	gateway.Await(t, "the third address alone", func() bool {
		return g.Number("straum_endpoint_healthy") == 1 && from(t, listen) == "127.0.0.4" && from(t, listen) == "127.0.0.4"
	})
	if r := load.Stop(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed while the name moved, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// TestFailure lets the name server fail in every way: the last good addresses stay, and later answers count again.
func TestFailure(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(s *nameServer){
		"server failure": func(s *nameServer) { s.fail(dnsmessage.RCodeServerFailure, false) },
		"no such name":   func(s *nameServer) { s.fail(dnsmessage.RCodeNameError, false) },
		"no addresses":   func(s *nameServer) { s.set() },
		"silence":        func(s *nameServer) { s.fail(dnsmessage.RCodeSuccess, true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := endpoints(t, "127.0.0.2", "127.0.0.3")
			s := newNameServer(t, "127.0.0.2")
			g, listen := start(t, s, port)
			gateway.Await(t, "the first address", func() bool { return from(t, listen) == "127.0.0.2" })
			fail(s)
			queries := s.queries.Load()
			gateway.Await(t, "a failure is told and further queries come", func() bool {
				if got := from(t, listen); got != "127.0.0.2" {
					t.Fatalf("got the answer of %q while the name server fails", got)
				}
				return g.Logged("name does not resolve") && s.queries.Load() >= queries+4
			})
			s.set("127.0.0.3")
			gateway.Await(t, "the second address", func() bool { return from(t, listen) == "127.0.0.3" })
			if !g.Logged("name resolves again") {
				t.Error("the log does not tell that the name resolves again")
			}
		})
	}
}

// TestUnknownAtStart starts with a name that does not resolve: requests are answered 503 until it does.
func TestUnknownAtStart(t *testing.T) {
	t.Parallel()
	port := endpoints(t, "127.0.0.2")
	s := newNameServer(t)
	s.fail(dnsmessage.RCodeNameError, false)
	g, listen := start(t, s, port)
	if got := from(t, listen); !strings.HasPrefix(got, "503") {
		t.Errorf("got %q without an address, want 503", got)
	}
	g.AwaitAccess("of the refusal", func(l gateway.Line) bool { return l.Text("fault") == "no_endpoint" })
	s.set("127.0.0.2")
	gateway.Await(t, "the address", func() bool { return from(t, listen) == "127.0.0.2" })
}

// TestReload changes other settings while the name server fails: the addresses stay.
func TestReload(t *testing.T) {
	t.Parallel()
	port := endpoints(t, "127.0.0.2")
	s := newNameServer(t, "127.0.0.2")
	g, listen := start(t, s, port)
	gateway.Await(t, "the address", func() bool { return from(t, listen) == "127.0.0.2" })
	s.fail(dnsmessage.RCodeServerFailure, false)
	gateway.Await(t, "a failure is told", func() bool { return g.Logged("name does not resolve") })
	config, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(strings.Replace(string(config), "round_robin", "random", 1)); err != nil {
		t.Fatal(err)
	}
	if got := from(t, listen); got != "127.0.0.2" {
		t.Errorf("got the answer of %q after a reload while the name server fails", got)
	}
}

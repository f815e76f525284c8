package cache

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// staleFrom answers with what is stale from the beginning: it says that it is as old as it may be. Each answer has a number.
func staleFrom(control string, number int64) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: %s\r\nAge: 10\r\nETag: \"v\"\r\nContent-Length: 1\r\n\r\n%d", control, number%10)
}

// TestEndpointDown asks for what is stale while the endpoint is down: whoever allowed it gets it, and whoever forbade it does not. The latter are
// what the public suite cannot pass.
func TestEndpointDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		control, policy string
		served          bool
	}{
		{"max-age=10, stale-if-error=60", "", true},
		{"max-age=10", "cache: { stale_if_error: 60s }", true},
		{"max-age=10, stale-if-error=0", "cache: { stale_if_error: 60s }", false},
		{"max-age=10, stale-if-error=60, must-revalidate", "cache: { stale_if_error: 60s }", false},
		{"max-age=10, stale-if-error=60, proxy-revalidate", "cache: { stale_if_error: 60s }", false},
		{"max-age=60, stale-if-error=60, no-cache", "cache: { stale_if_error: 60s }", false},
		{"s-maxage=10, stale-if-error=60", "cache: { stale_if_error: 60s }", false},
		{"s-maxage=2", "", false},
	} {
		t.Run(strings.ReplaceAll(test.control+" "+test.policy, "/", "-"), func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				if p.TryBody(m, "") != nil || asked.Add(1) > 1 {
					return false // it closes without an answer
				}
				p.Send(staleFrom(test.control, 1))
				return true
			})
			f := open(t, setting{endpoint: endpoint.Addr, policy: test.policy, upstream: "breaker: { consecutive_errors: 3, cooldown: 60s }"})
			if got := f.get("/a"); got.status != http.StatusOK || string(got.body) != "1" {
				t.Fatalf("%d %q", got.status, got.body)
			}
			for i := range 8 { // the breaker opens meanwhile
				got := f.get("/a")
				if test.served && (got.status != http.StatusOK || string(got.body) != "1" || !got.hit() && !strings.Contains(got.header.Get("Cache-Status"), "fwd=stale")) {
					t.Errorf("request %d: %d %q %v", i+2, got.status, got.body, got.header)
				}
				if age, _ := strconv.Atoi(got.header.Get("Age")); test.served && age < 10 {
					t.Errorf("request %d: Age is %q", i+2, got.header.Get("Age"))
				}
				if !test.served && (got.status < 502 || got.status > 504 || string(got.body) == "1") {
					t.Errorf("request %d: %d %q %v", i+2, got.status, got.body, got.header)
				}
			}
			if asked.Load() < 2 {
				t.Error("the endpoint was not asked again")
			}
		})
	}
}

// TestStaleWhileRevalidate: what may be used while it is renewed is there at once though the endpoint takes its time, and the endpoint is asked once.
func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	hold := make(chan struct{})
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false
		}
		n := asked.Add(1)
		if n == 1 {
			p.Send(staleFrom("max-age=10, stale-while-revalidate=60", n))
			return true
		}
		if m.Get("If-None-Match") != `"v"` {
			t.Errorf("a renewal without a condition: %s", m)
		}
		<-hold
		p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"w\"\r\nContent-Length: 1\r\n\r\n2")
		return true
	})
	f := open(t, setting{endpoint: endpoint.Addr})
	f.get("/a")
	for range 20 {
		if got := f.get("/a"); got.status != http.StatusOK || string(got.body) != "1" || !got.hit() {
			t.Fatalf("%d %q %v", got.status, got.body, got.header)
		}
	}
	gateway.Await(t, "the endpoint is asked for the renewal", func() bool { return asked.Load() == 2 })
	close(hold)
	gateway.Await(t, "the renewed answer is served", func() bool { return string(f.get("/a").body) == "2" })
	if n := asked.Load(); n != 2 {
		t.Errorf("the endpoint was asked %d times", n)
	}
}

package edge_test

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/wire"
)

// A banned client is refused before anything else, wherever it comes in; nobody is refused for what somebody says about where a request
// came from.
func TestBanned(t *testing.T) {
	r := &wire.Recorder{}
	e := wire.Listen(t, wire.Recording(r, func(*wire.Message) string { return wire.OK("fine") }))
	banned := netip.MustParseAddr("203.0.113.7")
	f := func(name, request, who string, trusted []string, want string, keeps bool) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			g := start(t, func(s *setup) {
				s.trusted, s.refuses = trusted, func(a netip.Addr) bool { return a == banned }
			}, e.Addr)
			r.Take()
			m, rec := g.ask(request)
			if rec.client.String() != who || rec.fault != want || rec.keepAlive != keeps {
				t.Errorf("%+v", rec)
			}
			reached := len(r.Take())
			if want == "" && (m.Status() != 200 || reached != 1) || want != "" && (m.Status() != 403 || reached != 0 || readProblem(t, m).Code != "banned" || m.Get("Retry-After") != "") {
				t.Errorf("%s, an endpoint was asked %d times", m, reached)
			}
		})
	}
	proxy := []string{"127.0.0.0/8"}
	f("through a trusted proxy", get+"\nX-Forwarded-For: 203.0.113.7", "203.0.113.7", proxy, "banned", true)
	f("said by somebody else behind it", get+"\nX-Forwarded-For: 203.0.113.7, 198.51.100.1", "198.51.100.1", proxy, "", true)
	f("said by somebody who is not trusted", get+"\nX-Forwarded-For: 203.0.113.7", "127.0.0.1", nil, "", true)
	f("about the gateway itself", "OPTIONS * HTTP/1.1\nHost: api.example.com\nX-Forwarded-For: 203.0.113.7", "203.0.113.7", proxy, "banned", true)
	f("without a route", "GET /nothing HTTP/1.1\nHost: api.example.com\nX-Forwarded-For: 203.0.113.7", "203.0.113.7", proxy, "banned", true)
}

// A ban holds on connections that are older than it, and ends them.
func TestBannedMeanwhile(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	var banned atomic.Bool
	g := start(t, func(s *setup) { s.refuses = func(netip.Addr) bool { return banned.Load() } }, e.Addr)
	c := wire.Dial(t, g.addr)
	if m, rec := g.askOn(c, get); m.Status() != 200 || !rec.keepAlive {
		t.Fatalf("%s, %+v", m, rec)
	}
	banned.Store(true)
	m, rec := g.askOn(c, get)
	if m.Status() != 403 || rec.fault != "banned" || rec.keepAlive || m.Get("Connection") != "close" {
		t.Errorf("%s, %+v", m, rec)
	}
}

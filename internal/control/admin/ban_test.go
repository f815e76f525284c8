package admin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/document"
)

func TestBans(t *testing.T) {
	a := newWorld(t).admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	f := func(method, target, body string, status int, want string) {
		t.Helper()
		got, _, answer := ask(t, c, method, target, body, nil)
		if got != status || !strings.Contains(answer, want) {
			t.Errorf("%s %s %s: %d %s; want %d, %s", method, target, body, got, answer, status, want)
		}
	}
	f("GET", "/v1/bans?network=2001:db8:5:9::/64", "", 200, `"total":1`)
	f("GET", "/v1/bans?network=2000::/3&limit=1", "", 200, `"total":1`)
	f("GET", "/v1/bans?network=203.0.113.7", "", 200, `"total":1`)
	f("GET", "/v1/bans?network=203.0.113.8", "", 200, `"total":0,"bans":[]`)
	f("GET", "/v1/bans?network=203.0.113", "", 422, `found \"203.0.113\"; allowed`)
	f("GET", "/v1/bans?offset=1", "", 200, `"total":2,"bans":[{"network":"2001:db8:5::/48"`)

	f("POST", "/v1/bans", `{"network":"2001:db8:9::5","for_seconds":0}`, 200, `"network":"2001:db8:9::/64"`)
	f("GET", "/v1/bans?network=2001:db8:9::/64", "", 200, `"count":1,"by":"admin"`)
	f("POST", "/v1/bans", `{"network":"192.0.2.1","how":"refuse"}`, 200, `"how":"refuse"`)
	f("GET", "/v1/bans?network=192.0.2.1", "", 200, `"until":"2026-11-03T10:12:00Z"`) // a day
	f("POST", "/v1/bans", `{"network":"192.0.2.1/24"}`, 422, `did you mean 192.0.2.0/24?`)
	f("POST", "/v1/bans", `{"network":"example.com"}`, 422, `allowed: an address or a network`)
	f("POST", "/v1/bans", `{"network":"192.0.2.1","reason":"two\nlines"}`, 422, `no plain text`)
	f("POST", "/v1/bans", `{"network":"127.0.0.1"}`, 422, `loopback`)
	f("POST", "/v1/bans", `{"network":"0.0.0.0/0"}`, 422, `never banned`)
	f("POST", "/v1/bans", `{"network":"192.0.2.1","how":"slow"}`, 422, `how`)
	f("POST", "/v1/bans", `{"network":"192.0.2.1","for":"1h"}`, 422, `for`)

	f("GET", "/v1/bans/why?address=::ffff:203.0.113.7", "", 200, `"address":"203.0.113.7"`)
	f("GET", "/v1/bans/why?address=2001:db8:9::77", "", 200, `"how":"drop","bans":[{"network":"2001:db8:9::/64"`)
	f("GET", "/v1/bans/why?address=203.0.113.0/24", "", 422, `allowed: an address`)
	f("GET", "/v1/bans/why", "", 422, `address`)

	f("POST", "/v1/bans/remove", `{"network":"203.0.113.8"}`, 404, `203.0.113.8/32 is not banned`)
	f("POST", "/v1/bans/remove", `{"network":"2001:db8:5:1::1"}`, 404, `part of 2001:db8:5::/48`)
	f("POST", "/v1/bans/remove", `{"network":"2001:db8:9::1"}`, 200, `"network":"2001:db8:9::/64"`)
	f("GET", "/v1/bans/why?address=2001:db8:9::77", "", 200, `"how":"none","bans":[],"count":0`)

	// A gateway whose configuration has none, and one that has no engine.
	bare := newWorld(t).admin()
	bare.sources.Bans = nil
	path = socketIn(t)
	bare.serveFor(t, Settings{Socket: path})
	c = caller(t, "unix", path)
	f("GET", "/v1/bans", "", 200, `"on":false`)
	f("POST", "/v1/bans", `{"network":"192.0.2.1"}`, http.StatusConflict, `bans are off`)
	f("POST", "/v1/bans/remove", `{"network":"192.0.2.1"}`, http.StatusConflict, `bans are off`)
	f("GET", "/v1/bans/why?address=192.0.2.1", "", http.StatusConflict, `bans are off`)
}

// TestOperators are named by those who were let in, and by nobody else.
func TestOperators(t *testing.T) {
	w := newWorld(t)
	a := w.admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path, Address: "127.0.0.1:0", Token: document.NewSecret(secret)})
	says := func(address, token string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(OperatorField, address)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		}
	}
	socket, tcp := caller(t, "unix", path), caller(t, "tcp", a.Addr().String())
	ask(t, socket, "GET", "/v1/bans", "", says("203.0.113.50", ""))
	ask(t, socket, "GET", "/v1/bans", "", says("nonsense", ""))
	ask(t, socket, "GET", "/v1/bans", "", nil)
	ask(t, tcp, "GET", "/v1/bans", "", says("203.0.113.51", ""))
	ask(t, tcp, "GET", "/v1/bans", "", says("203.0.113.52", "wrong"))
	ask(t, tcp, "GET", "/v1/bans", "", says("2001:db8::53", secret))
	if want := []netip.Addr{netip.MustParseAddr("203.0.113.50"), netip.MustParseAddr("2001:db8::53")}; !slices.Equal(w.operators, want) {
		t.Errorf("told of %v, want %v", w.operators, want)
	}
}

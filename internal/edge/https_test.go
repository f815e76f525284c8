package edge_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/test/wire"
)

func TestRedirectToHTTPS(t *testing.T) {
	f := func(port int, request, want string) {
		t.Helper()
		g := start(t, func(s *setup) { s.listener.Redirect = port })
		m, r := g.ask(request)
		if m.Status() != 308 || m.Get("Location") != want || len(m.Body) > 0 {
			t.Errorf("%q is answered %s, want a redirect to %s", request, m, want)
		}
		if r.fault != "" || r.end != exchange.Completed {
			t.Errorf("%+v", r)
		}
	}
	f(443, "GET / HTTP/1.1\nHost: api.example.com", "https://api.example.com/")
	f(443, "GET /a/%2e%2e/b?c=d&e HTTP/1.1\nHost: API.example.com:8080", "https://api.example.com/a/%2e%2e/b?c=d&e")
	f(8443, "POST /x HTTP/1.1\nHost: [::1]\nContent-Length: 0", "https://[::1]:8443/x")
	f(443, "GET http://api.example.com/y HTTP/1.1\nHost: api.example.com", "https://api.example.com/y")
	f(443, "GET //evil.example/ HTTP/1.1\nHost: api.example.com", "https://api.example.com//evil.example/")
	f(443, "OPTIONS * HTTP/1.1\nHost: api.example.com", "https://api.example.com")

	g := start(t, func(s *setup) { s.listener.Redirect = 443 })
	if m, r := g.ask("GET / HTTP/1.0"); m.Status() != 400 || r.fault != "bad_host" || !strings.Contains(string(m.Body), "https") {
		t.Errorf("without a host: %s, %+v", m, r)
	}
}

func TestChallenge(t *testing.T) {
	var asked atomic.Int64
	challenge := func(host, token string) (string, bool) {
		asked.Add(1)
		return token + ".thumbprint", host == "api.example.com" && token == "abc"
	}
	const question = "GET /.well-known/acme-challenge/abc HTTP/1.1\nHost: api.example.com"
	g := start(t, func(s *setup) { s.listener.Redirect, s.listener.Challenge = 443, challenge })
	if m, _ := g.ask(question); m.Status() != 200 || string(m.Body) != "abc.thumbprint" {
		t.Errorf("the authority is answered %s", m)
	}
	for _, other := range []string{"GET /.well-known/acme-challenge/abcd HTTP/1.1\nHost: api.example.com", "GET /.well-known/acme-challenge/abc HTTP/1.1\nHost: b.example.com"} {
		if m, _ := g.ask(other); m.Status() != 308 {
			t.Errorf("%s is answered %s", other, m)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	// What no authority waits for is an ordinary request, and over TLS nobody asks.
	endpoint := wire.Listen(t, wire.Answering(crlf("HTTP/1.1 200 OK\nContent-Length: 3\n\nend"))).Addr
	g = start(t, func(s *setup) { s.listener.Challenge, s.secure = challenge, true }, endpoint)
	if m, _ := g.ask(question); string(m.Body) != "end" {
		t.Errorf("over TLS: %s", m)
	}
}

func TestHSTS(t *testing.T) {
	endpoint := wire.Listen(t, wire.Answering(crlf("HTTP/1.1 200 OK\nStrict-Transport-Security: max-age=1\nContent-Length: 3\n\nend"))).Addr
	f := func(secure bool, request, want string) {
		t.Helper()
		g := start(t, func(s *setup) { s.listener.HSTS, s.secure = "max-age=60", secure }, endpoint)
		if m, _ := g.ask(request); m.Get("Strict-Transport-Security") != want {
			t.Errorf("secure %v, %s: %s, want %q", secure, request, m, want)
		}
	}
	f(true, "GET / HTTP/1.1\nHost: a", "max-age=60")
	f(true, "GET / HTTP/1.1", "max-age=60") // a fault's answer
	f(false, "GET / HTTP/1.1", "")          // RFC 6797 §7.2: not over plain HTTP
	f(false, "GET / HTTP/1.1\nHost: a", "max-age=1")
}

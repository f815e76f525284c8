package upstream

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// The port that the scheme implies is no part of the Host, the name to prove is never an address with a port, and each protocol offers
// what it needs.
func TestLines(t *testing.T) {
	set := newTestSet(t, func(string) []string { return nil })
	f := func(address string, secure bool, protocol Protocol, host, name string, offers ...string) {
		t.Helper()
		s := plainSettings("api", address)
		s.Protocol = protocol
		if secure {
			s.TLS = &TLS{Config: &tls.Config{NextProtos: []string{"other"}}, Identity: "a"}
		}
		v := prepare(t, set, s)["api"].view.Load()
		if v.hosts[0] != host {
			t.Errorf("%s: Host is %s, want %s", address, v.hosts[0], host)
		}
		l := v.lines[0]
		switch {
		case !secure && (l.agreed != nil || l.http1 != nil || l.probing(nil) != nil):
			t.Errorf("%s: TLS without being asked for", address)
		case secure && (l.agreed.ServerName != name || !slices.Equal(l.agreed.NextProtos, offers)):
			t.Errorf("%s: %q, %q", address, l.agreed.ServerName, l.agreed.NextProtos)
		case secure && !slices.Equal(l.http1.NextProtos, []string{"http/1.1"}):
			t.Errorf("%s: %q", address, l.http1.NextProtos)
		}
	}
	f("192.0.2.1:80", false, HTTP1, "192.0.2.1", "")
	f("192.0.2.1:443", false, Auto, "192.0.2.1:443", "")
	f("192.0.2.1:80", true, HTTP1, "192.0.2.1:80", "192.0.2.1", "http/1.1")
	f("192.0.2.1:443", true, HTTP2, "192.0.2.1", "192.0.2.1", "h2")
	f("[2001:db8::1]:443", true, Auto, "[2001:db8::1]", "2001:db8::1", "h2", "http/1.1")
	f("unix:/run/x", true, HTTP2, "localhost", "localhost", "h2")
}

// Settings that mean the same keep their line; others get one of their own, and so does a name that has to be proved anew.
func TestLineIdentity(t *testing.T) {
	set := newTestSet(t, func(string) []string { return nil })
	var last *line
	f := func(change func(*Settings), keeps bool) {
		t.Helper()
		s := plainSettings("api", "192.0.2.1:443")
		change(&s)
		l := prepare(t, set, s)["api"].view.Load().lines[0]
		if (l == last) != keeps {
			t.Errorf("kept %v, want %v", l == last, keeps)
		}
		if last != nil && !keeps && last.pool.closed.Load() != uint32(Changed)+1 {
			t.Error("the line before is still open")
		}
		last = l
	}
	with := func(identity, name string, protocol Protocol) func(*Settings) {
		return func(s *Settings) {
			s.Protocol = protocol
			s.TLS = &TLS{Config: &tls.Config{}, Identity: identity, ServerName: name}
		}
	}
	plain := func(*Settings) {}
	f(plain, false)
	f(plain, true)
	f(func(s *Settings) { s.Protocol = Auto }, true) // there is no TLS to decide it
	f(with("a", "", HTTP1), false)
	f(with("a", "", HTTP1), true)
	f(with("b", "", HTTP1), false)
	f(with("b", "other.example", HTTP1), false)
	f(with("b", "other.example", Auto), false)
	f(plain, false)
}

// TLS needs a configuration, and an identity: two settings without one could pass for the same.
func TestTLSIsWhole(t *testing.T) {
	f := func(settings TLS, want string) {
		t.Helper()
		s := plainSettings("api", "192.0.2.1:443")
		s.TLS = &settings
		if err := s.valid(); err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(TLS{Identity: "a"}, "no configuration")
	f(TLS{Config: &tls.Config{}}, "no identity")
	f(TLS{Config: &tls.Config{}, Identity: "a"}, "")
}

// grpc-timeout is read as gRPC writes it, and nothing else.
func TestParseTimeout(t *testing.T) {
	f := func(value string, want int64, ok bool) {
		t.Helper()
		if got, valid := parseTimeout(value); got != want || valid != ok {
			t.Errorf("%q: %d, %v", value, got, valid)
		}
	}
	f("1n", 1, true)
	f("2u", 2e3, true)
	f("30m", 30e6, true)
	f("004S", 4e9, true)
	f("5M", 300e9, true)
	f("1H", 3600e9, true)
	f("0S", 0, true)
	f("99999999m", 99999999e6, true)
	f("99999999H", 1<<63-1, true)
	for _, invalid := range []string{"", "S", "1", "123456789n", "1s", "-1S", "+1S", " 1S", "1 S", "1.0S", "1Sx", "١S"} {
		f(invalid, 0, false)
	}
}

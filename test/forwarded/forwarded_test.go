package forwarded

import (
	"net"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// front starts a gateway that believes the networks of trusted, in front of an endpoint that records.
func front(t *testing.T, seen *wire.Recorder, trusted string) (*gateway.Gateway, string) {
	t.Helper()
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, wire.Recording(seen, func(*wire.Message) string { return wire.OK("") }))
	return gateway.Start(t, `
listeners:
  - address: `+addr+`
    trusted_proxies: [`+trusted+`]
upstreams:
  app:
    endpoints: ["`+endpoint.Addr+`"]
routes:
  - { name: all, match: { path: /* }, upstream: app }
`), addr
}

// told are the values of the fields that say who asked; "" for a field that is not there.
func told(m *wire.Message) map[string]string {
	all := map[string]string{}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded"} {
		all[name] = m.Get(name)
	}
	return all
}

func want(t *testing.T, m *wire.Message, what string, fields map[string]string) {
	t.Helper()
	got := told(m)
	for name, value := range fields {
		if got[name] != value {
			t.Errorf("%s: %s is %q, want %q", what, name, got[name], value)
		}
	}
}

func port(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

const spoof = "X-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nx-forwarded-for: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 666\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6;proto=https\r\n"

// Whom nobody vouches for can claim nothing: what it says is replaced by what the gateway knows.
func TestSpoofing(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	g, addr := front(t, &seen, "")
	c := wire.Dial(t, addr)
	for _, claims := range []string{"", spoof} {
		c.Send("GET /who HTTP/1.1\r\nHost: api.example:8080\r\n" + claims + "\r\n")
		c.Answer("GET")
		want(t, seen.One(t), claims, map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "api.example:8080", "X-Forwarded-Port": port(addr),
			"X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1;proto=http"})
	}
	gateway.Await(t, "both lines", func() bool { return len(g.Access()) == 2 })
	for _, l := range g.Access() {
		if l.Text("client") != "127.0.0.1" {
			t.Errorf("%v", l)
		}
	}
}

// A trusted proxy's list is continued, and the client is the nearest address that is not trusted, from the right.
func TestTrusted(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	g, addr := front(t, &seen, "127.0.0.0/8, 10.0.0.0/8, \"2001:db8::/32\"")
	c := wire.Dial(t, addr)
	clients := map[string]string{} // by the path asked for
	for i, test := range []struct{ claims, client, list string }{
		{"", "127.0.0.1", "127.0.0.1"},
		{"X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1"},
		{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9", "6.6.6.6, 203.0.113.9, 10.1.2.3, 127.0.0.1"},
		{"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9,10.0.0.1\r\n", "203.0.113.9", "6.6.6.6, 203.0.113.9,10.0.0.1, 127.0.0.1"},
		{"X-Forwarded-For: 10.0.0.9, 10.0.0.1\r\n", "10.0.0.9", "10.0.0.9, 10.0.0.1, 127.0.0.1"},
		{"X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9", "203.0.113.9:4711, 127.0.0.1"},
		{"X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9", "::ffff:203.0.113.9, 127.0.0.1"},
		{"X-Forwarded-For: 2001:db9::7, 2001:db8::1\r\n", "2001:db9::7", "2001:db9::7, 2001:db8::1, 127.0.0.1"},
		{"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n", "10.0.0.1", "6.6.6.6, unknown, 10.0.0.1, 127.0.0.1"}, // left of what is no address all may be made up
		{"X-Forwarded-For: 6.6.6.6, \r\n", "127.0.0.1", ""},
		{"X-Forwarded-For: <script>\r\n", "127.0.0.1", ""},
	} {
		path := "/" + strings.Repeat("x", i)
		c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + test.claims + "\r\n")
		c.Answer("GET")
		m := seen.One(t)
		want(t, m, test.claims, map[string]string{"X-Real-IP": test.client})
		if test.list != "" {
			want(t, m, test.claims, map[string]string{"X-Forwarded-For": test.list})
		}
		clients[path] = test.client
	}
	gateway.Await(t, "the lines", func() bool { return len(g.Access()) == len(clients) })
	for _, l := range g.Access() {
		if want := clients[l.Text("path")]; l.Text("client") != want {
			t.Errorf("the client is %s, want %s: %v", l.Text("client"), want, l)
		}
	}

	c.Send("GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=\"[2001:db9::7]\";proto=https\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
	c.Answer("GET")
	want(t, seen.One(t), "the proxy's other fields", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "outer.example", "X-Forwarded-Port": "443",
		"Forwarded": "for=\"[2001:db9::7]\";proto=https, for=127.0.0.1;proto=http", "X-Real-IP": "127.0.0.1"})
}

// The fields stand once each, behind those of the client.
func TestOnce(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	_, addr := front(t, &seen, "127.0.0.1")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + spoof + "X-Mine: 1\r\n\r\n")
	c.Answer("GET")
	names := seen.One(t).Names()
	for i, name := range names {
		if slices.ContainsFunc(names[:i], func(n string) bool { return strings.EqualFold(n, name) }) {
			t.Errorf("%s stands twice in %q", name, names)
		}
	}
	if len(names) != 8 || names[0] != "Host" || names[1] != "X-Mine" {
		t.Errorf("%q", names)
	}
}

// A list that grows along a chain of proxies, or by malice, does not grow without end: the header limit bounds it.
func TestLongList(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	_, addr := front(t, &seen, "127.0.0.0/8, 10.0.0.0/8")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9" + strings.Repeat(", 10.0.0.1", 1000) + "\r\n\r\n")
	if m := c.Answer("GET"); m.Status() != 200 {
		t.Fatalf("%s", m)
	}
	want(t, seen.One(t), "beyond the hops that are looked at", map[string]string{"X-Real-IP": "10.0.0.1"})
}

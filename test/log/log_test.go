package log

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// front starts a gateway that logs as settings say, in front of an endpoint that answers every request but those for /reset.
func front(t *testing.T, settings string) (*gateway.Gateway, string, *wire.Endpoint) {
	t.Helper()
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if p.TryBody(m, "") != nil {
			return false
		}
		if m.Target() == "/reset" {
			p.Reset()
			return false
		}
		p.Send(wire.OK("ok"))
		return true
	})
	config := `
listeners:
  - { name: front, address: "` + addr + `", trusted_proxies: [127.0.0.1] }
upstreams:
  app: { endpoints: ["` + endpoint.Addr + `"], ejection: off }
routes:
  - { name: all, match: { host: a, path: /* }, upstream: app }
`
	if settings != "" {
		config += "log: { access: { to: " + t.TempDir() + "/own.log, " + settings + " } }\n"
	}
	g := gateway.Start(t, config)
	if settings != "" {
		g.AccessPath = strings.TrimSuffix(strings.Fields(config[strings.Index(config, "to: ")+4:])[0], ",")
	}
	return g, addr, endpoint
}

// lines waits for n lines. Those of different connections come in any order.
func lines(t *testing.T, g *gateway.Gateway, n int) []gateway.Line {
	t.Helper()
	gateway.Await(t, fmt.Sprintf("%d lines", n), func() bool { return len(g.Access()) >= n })
	all := g.Access()
	if len(all) != n {
		t.Fatalf("%d lines, want %d: %v", len(all), n, all)
	}
	return all
}

// of returns the line with a value in a field.
func of(t *testing.T, all []gateway.Line, field, value string) gateway.Line {
	t.Helper()
	for _, l := range all {
		if l.Text(field) == value {
			return l
		}
	}
	t.Fatalf("no line with %s %q: %v", field, value, all)
	return nil
}

// The lines of ordinary requests say what docs/log.md says, and leave the ordinary out.
func TestFields(t *testing.T) {
	t.Parallel()
	g, addr, endpoint := front(t, "")
	c := wire.Dial(t, addr)
	first := "GET /a/../b?c=d HTTP/1.1\r\nHost: A:80\r\nUser-Agent: me/1\r\nReferer: http://r/\r\n\r\n"
	c.Send(first)
	one := c.Answer("GET")
	second := "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000)
	c.Send(second)
	two := c.Answer("POST")
	c.Send("POST /y HTTP/1.0\r\nHost: b\r\n\r\n")
	c.Answer("POST")
	all := lines(t, g, 3)

	l := all[0]
	for field, want := range map[string]any{"client": "127.0.0.1", "listener": "front", "method": "GET", "host": "a", "path": "/b", "query": "c=d", "status": 200.0, "route": "all", "upstream": "app",
		"endpoint": endpoint.Addr, "user_agent": "me/1", "bytes_in": float64(len(first)), "bytes_out": float64(len(one.String()) + 4)} {
		if l[field] != want {
			t.Errorf("%s is %v, want %v: %v", field, l[field], want, l)
		}
	}
	if l.Text("opened") == "" {
		t.Errorf("a connection was opened, and the line does not say why: %v", l)
	}
	for _, absent := range []string{"proto", "upstream_status", "tries", "why", "upstream_bytes_in", "upstream_bytes_out", "fault", "side", "cause", "end", "verdicts", "referer"} {
		if _, ok := l[absent]; ok {
			t.Errorf("%s is there and is ordinary: %v", absent, l)
		}
	}
	if total, own, up := l.Number("total_us"), l.Number("own_us"), l.Number("upstream_us"); total <= 0 || own < 0 || up <= 0 || own+up > total+2 || own+up < total-2 {
		t.Errorf("the shares do not add up: %v", l)
	}
	if l = all[1]; l["opened"] != nil || l.Number("bytes_in") != float64(len(second)) || l.Number("bytes_out") != float64(len(two.String())+4) {
		t.Errorf("sent %d, got %d: %v", len(second), len(two.String())+4, l)
	}
	if l = all[2]; l.Text("proto") != "HTTP/1.0" || l.Number("status") != 404 || l.Text("fault") != "no_route" || l.Text("side") != "client" || l["route"] != nil || l["endpoint"] != nil || l["upstream"] != nil {
		t.Errorf("%v", l)
	}
}

// What failed, whose fault it was, and what lies behind.
func TestFaults(t *testing.T) {
	t.Parallel()
	g, addr, endpoint := front(t, "")
	c := wire.Dial(t, addr)
	c.Send("POST /reset HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Answer("POST")
	c.Send("GARBAGE\r\n\r\n")
	c.Answer("GET")
	c = wire.Dial(t, addr)
	c.Send("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
	c.Reset()
	all := lines(t, g, 3)
	if l := of(t, all, "fault", "upstream_reset"); l.Text("side") != "upstream" || l.Number("status") != 502 || l["upstream_status"] != nil || l.Text("endpoint") != endpoint.Addr || l.Text("cause") == "" || l.Text("why") == "" {
		t.Errorf("%v", l)
	}
	if l := of(t, all, "fault", "malformed"); l.Text("side") != "client" || l.Number("status") != 400 || l["path"] != nil || l.Number("bytes_in") != float64(len("GARBAGE\r\n\r\n")) {
		t.Errorf("%v", l)
	}
	if l := of(t, all, "fault", "client_gone"); l.Text("side") != "client" || l.Number("status") != 0 {
		t.Errorf("%v", l)
	}
}

// By default addresses are cut and queries lose their values; nothing else personal of the header is written.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	g, addr, _ := front(t, "buffer: 1MiB")
	c := wire.Dial(t, addr)
	c.Send("GET /x?token=secret1&mail=secret2@example.com&flag&=secret3 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.77\r\nAuthorization: Bearer secret4\r\nCookie: s=secret5\r\nReferer: http://r/?secret6\r\nX-Api-Key: secret7\r\n\r\n")
	c.Answer("GET")
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8:1:2:3:4:5:6\r\nContent-Length: 7\r\n\r\nsecret8")
	c.Answer("POST")
	all := lines(t, g, 2)
	if all[0].Text("client") != "203.0.113.0" || all[1].Text("client") != "2001:db8:1::" {
		t.Errorf("the clients are %s and %s", all[0].Text("client"), all[1].Text("client"))
	}
	if q := all[0].Text("query"); q != "token=…&mail=…&flag&=…" {
		t.Errorf("the query is %q", q)
	}
	text, err := os.ReadFile(g.AccessPath)
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "203.0.113.77") {
		t.Errorf("%v %s", err, text)
	}
}

func TestNothingPersonal(t *testing.T) {
	t.Parallel()
	g, addr, _ := front(t, "addresses: none, query: none")
	c := wire.Dial(t, addr)
	c.Send("GET /x?token=secret HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Answer("GET")
	if l := lines(t, g, 1)[0]; l["client"] != nil || l["query"] != nil {
		t.Errorf("%v", l)
	}
}

// No value can end its line or its string, or command a terminal.
func TestInjection(t *testing.T) {
	t.Parallel()
	g, addr, _ := front(t, "")
	attacks := []string{`","status":999,"x":"`, "\\", "\\u000a", "\x80\xff", "\u2028{}\u2029", "\u202egnp.exe", "\xc2\x9b31m", strings.Repeat("A", 5000), `{"time":"x"}`, "%0d%0a{}", "<script>", "${jndi:ldap://x}"}
	c := wire.Dial(t, addr)
	for i, attack := range attacks {
		c.Send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\nUser-Agent: %s\r\n\r\n", i, attack))
		c.Answer("GET")
	}
	// In the path and the query only what a URI may hold gets as far as a route; the rest is refused, and logged all the same.
	n := len(attacks)
	for _, target := range []string{`/"},{"`, "/%22%0a%0d%00", "/\x1b[31m", "/\xff", "/a?\"}\\", "/%e2%80%ae", "/a%0a{}"} {
		c := wire.Dial(t, addr)
		c.Send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		c.Answer("GET")
		n++
	}
	c = wire.Dial(t, addr)
	c.Send("G\"ET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Answer("GET")
	n++
	all := lines(t, g, n)
	for i, attack := range attacks {
		if l := of(t, all, "path", fmt.Sprintf("/%d", i)); l.Number("status") != 200 {
			t.Errorf("%q: %v", attack, l)
		}
	}
	for _, l := range all {
		if s := l.Number("status"); s != 200 && s != 400 {
			t.Errorf("%v", l)
		}
	}
	text, err := os.ReadFile(g.AccessPath)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !json.Valid([]byte(line)) || len(line) > 8192 {
			t.Errorf("%q", line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\u202e' || r == '\ufffd' {
				t.Errorf("%q holds %U as it is", line, r)
			}
		}
	}
}

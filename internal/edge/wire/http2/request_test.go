package http2

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// facts puts what a request was taken for in one line: only what differs from the plainest request is named.
func facts(x *exchange.Exchange) string {
	r := &x.Request
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s", r.Method, r.Path)
	put := func(word string, value, plain any) {
		if value != plain {
			fmt.Fprintf(&s, " %s=%v", word, value)
		}
	}
	put("query", r.Query, "")
	put("host", r.Host, "example.com")
	put("port", r.Port, "")
	put("scheme", r.Scheme, "http")
	put("version", fmt.Sprint(r.Major, ".", r.Minor), "2.1")
	put("length", r.Length, int64(0))
	put("upgrade", r.Upgrade, "")
	put("continue", r.Continue, false)
	put("trailers", r.TakesTrailers, false)
	for _, f := range r.Header.All() {
		if f.Known != exchange.Host {
			fmt.Fprintf(&s, " %s:%s", f.Name, f.Value)
		}
	}
	if host, ok := r.Header.Get(exchange.Host); !ok {
		s.WriteString(" without Host")
	} else {
		put("Host", host, "example.com")
	}
	return s.String()
}

// fields makes names and values of lines "name: value".
func fields(text string) (list []string) {
	for line := range strings.SplitSeq(text, "\n") {
		at := strings.Index(line[1:], ": ") + 1
		list = append(list, line[:at], line[at+2:])
	}
	return list
}

const plainRequest = ":method: GET\n:scheme: http\n:path: /\n:authority: example.com"

// Each header section is taken for what it is, answered, or refused as malformed. All are sent on one connection, which every one of
// them leaves in order.
func TestRequests(t *testing.T) {
	set := roomy()
	set.Limits = Limits{HeaderBytes: 4 << 10, HeaderCount: 20, Target: 100, Body: 1000}
	p := serve(t, set, handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			x.Respond(f.Kind.Status, "text/plain", []byte(f.Told()))
		} else if x.Request.Upgrade != "" {
			x.Respond(403, "text/plain", []byte(facts(x)))
		} else {
			x.Respond(200, "text/plain", []byte(facts(x)))
		}
		c.Encode(x)
	}))
	c := connect(t, p)
	id := uint32(1)
	send := func(end bool, section string) string {
		t.Helper()
		c.ask(id, end, fields(section)...)
		s := c.done(id)
		id += 2
		switch {
		case len(s.heads) == 0:
			return s.reset
		case s.status() != "200":
			return s.status() + " " + s.data.String()
		}
		return s.data.String()
	}
	is := func(section, want string) {
		t.Helper()
		if got := send(true, section); got != want {
			t.Errorf("%q\ngot  %q\nwant %q", section, got, want)
		}
	}
	starts := func(section, want string) {
		t.Helper()
		if got := send(true, section); !strings.HasPrefix(got, want) {
			t.Errorf("%q\ngot  %q\nwant %q…", section, got, want)
		}
	}
	const malformed = "protocol_error"
	path := func(path string) string { return strings.Replace(plainRequest, ":path: /", ":path: "+path, 1) }
	host := func(host string) string { return strings.Replace(plainRequest, "example.com", host, 1) }
	with := func(lines string) string { return plainRequest + "\n" + lines }

	is(plainRequest, "GET /")
	is(path("/a/b?c=d"), "GET /a/b query=c=d")
	is(path("/a?b?c"), "GET /a query=b?c")
	is(with("accept: */*\nx-a: b"), "GET / accept:*/* x-a:b")
	is(with("x-empty: "), "GET / x-empty:")
	is(with("x-tab: a\tb"), "GET / x-tab:a\tb")
	is(with("x-high: \xc3\xa9"), "GET / x-high:\xc3\xa9")
	is(strings.Replace(plainRequest, "GET", "M-SEARCH", 1), "M-SEARCH /")
	is(strings.Replace(path("*"), "GET", "OPTIONS", 1), "OPTIONS *")
	is(strings.Replace(plainRequest, "http", "HTTPS", 1), "GET /") // https counts only on a connection that has TLS

	// Hosts.
	is(host("EXAMPLE.com."), "GET / Host=EXAMPLE.com.")
	is(host("a.example:8080"), "GET / host=a.example port=8080 Host=a.example:8080")
	is(host("[2001:DB8::1]:443"), "GET / host=[2001:db8::1] port=443 Host=[2001:DB8::1]:443")
	is(":method: GET\n:scheme: http\n:path: /\nhost: example.com", "GET /")
	is(with("host: Example.COM"), "GET / Host=Example.COM")
	starts(with("host: other.example"), "400 :authority names another host")
	starts(with("host: example.com:81"), "400 :authority names another host")
	starts(with("host: example.com\nhost: example.com"), "400 Host stands more than once")
	starts(":method: GET\n:scheme: http\n:path: /", "400 Neither :authority nor Host")
	for _, bad := range []string{"", "a@example.com", "a b", "a/b", "a..b", ".a", "a:b", "a:99999", "[::1", "[::1%eth0]", "%61", "a,b", "a\\b"} {
		if got := send(true, host(bad)); !strings.HasPrefix(got, "400 ") {
			t.Errorf("host %q: got %q", bad, got)
		}
	}

	// Pseudo fields.
	is(with(":path: /b"), malformed)
	is(":path: /b\n"+plainRequest, malformed)
	is("accept: */*\n"+plainRequest, malformed)
	is(":unknown: a\n"+plainRequest, malformed)
	is(":status: 200\n"+plainRequest, malformed)
	is(":method: GET\n:scheme: http\n:authority: a", malformed)
	is(":method: GET\n:path: /\n:authority: a", malformed)
	is(":scheme: http\n:path: /\n:authority: a", malformed)
	is(path(""), malformed)
	is(strings.Replace(plainRequest, "GET", "", 1), malformed)
	is(strings.Replace(plainRequest, "GET", "GET /", 1), malformed)
	is(strings.Replace(plainRequest, "GET", "G\x00T", 1), malformed)
	is(path("/a\r\nx: y"), malformed)
	is(path(" /"), malformed)
	starts(path("/a b"), "400 The path holds a byte")
	starts(path("/\xc3\xa9"), "400 The path holds a byte")
	starts(path("a"), "400 The path does not begin with a slash")
	starts(path("*"), "400 The path does not begin with a slash")
	starts(path("http://example.com/"), "400 The path does not begin with a slash")
	starts(path("/#a"), "400 The path holds a fragment")
	starts(path("/"+strings.Repeat("a", 100)), "414 ")
	is(path("/"+strings.Repeat("a", 99)), "GET /"+strings.Repeat("a", 99))
	starts(strings.Replace(plainRequest, ":scheme: http", ":scheme: ftp", 1), "400 The scheme")

	// Names and values.
	for _, name := range []string{"", "Accept", "x y", "x:y", "x\x00", "x\r\ny", "\xc3\xa9", "x(", "X"} {
		c.ask(id, true, ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a", name, "v")
		if got := c.outcome(id); got != malformed {
			t.Errorf("name %q: got %q", name, got)
		}
		id += 2
	}
	for _, value := range []string{"a\r\nx: y", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\x01", " a", "a ", "\ta", "a\t", "01234567\x00", "0123456789abcde\x1f"} {
		c.ask(id, true, append(fields(plainRequest), "x-a", value)...)
		if got := c.outcome(id); got != malformed {
			t.Errorf("value %q: got %q", value, got)
		}
		id += 2
	}

	// Fields of HTTP/1.1 connections.
	for _, field := range []string{"connection: close", "connection: x", "keep-alive: timeout=5", "proxy-connection: keep-alive", "transfer-encoding: chunked", "transfer-encoding: identity", "upgrade: websocket", "te: gzip", "te: trailers, gzip", "te: "} {
		is(with(field), malformed)
	}
	is(with("te: trailers"), "GET / trailers=true")
	is(with("proxy-authorization: Basic eA=="), "GET /")
	is(with("x_forwarded_for: 192.0.2.1\nx_other: a"), "GET / x_other:a")

	// Lengths.
	is(with("content-length: 0"), "GET / content-length:0")
	for _, field := range []string{"content-length: 5", "content-length: -0", "content-length: +0", "content-length: 0, 0", "content-length: 0x0", "content-length: ", "content-length: 0\ncontent-length: 0", "content-length: 0\ncontent-length: 1", "content-length: 9999999999999999999"} {
		is(with(field), malformed)
	}
	starts(with("expect: something"), "417 ")
	is(with("expect: 100-continue"), "GET /")

	// Cookies come together again where they first stood.
	is(with("cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3"), "GET / Cookie:a=1; b=2; c=3 x:y")

	// Limits.
	is(with("x: "+strings.Repeat("a", 4<<10-5)), "GET / x:"+strings.Repeat("a", 4<<10-5))
	starts(with("x: "+strings.Repeat("a", 4<<10-4)), "431 ")
	is(with(strings.Repeat("x: y\n", 19)+"x: y"), "GET /"+strings.Repeat(" x:y", 20))
	starts(with(strings.Repeat("x: y\n", 20)+"x: y"), "431 ")

	// CONNECT.
	starts(":method: CONNECT\n:authority: example.com:443", "501 ")
	is(":method: CONNECT", malformed)
	is(strings.Replace(plainRequest, "GET", "CONNECT", 1), malformed)
	is(with(":protocol: websocket"), malformed)
	starts(strings.Replace(plainRequest, "GET", "CONNECT", 1)+"\n:protocol: websocket\nx: y", "403 GET / upgrade=websocket x:y Sec-WebSocket-Key:")
	starts(strings.Replace(plainRequest, "GET", "CONNECT", 1)+"\n:protocol: connect-udp", "501 ")
	is(":method: CONNECT\n:authority: a\n:protocol: websocket", malformed)

	is(plainRequest, "GET /")
	if len(c.goAways) > 0 {
		t.Errorf("the connection was ended: %v", c.goAways)
	}
}

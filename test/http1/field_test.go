package http1

import (
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

// own are the fields the gateway adds to a request: test/forwarded is about those.
var own = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded"}

// without returns the lines of fields but for those of the names.
func without(m *wire.Message, names ...string) []string {
	var lines []string
	for _, f := range m.Fields {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, f.Name) }) {
			lines = append(lines, f.Name+": "+f.Value)
		}
	}
	return lines
}

// What is end to end arrives as it was sent: names in their case, lines in their order, duplicates apart, values untouched but for
// white space around them.
func TestFieldsKept(t *testing.T) {
	t.Parallel()
	lines := []string{"uSER-aGENT: Some  Agent/1.0 (it; \"quotes\")", "aCCEPT: text/html, */*;q=0.1", "X-Twice: 1", "cookie: a=1; b=2", "X-twice: 2", "Cookie: c=3",
		"X-Empty: ", "X-Bytes: \x80\xff\xe4", "x-tab: a\tb", "Authorization: Basic Og==", "Trailer: X-Sum", "Cache-Control: no-cache", "Via: 1.0 other",
		"X_Free_Name: is kept", "Content-Type: text/plain", "!#$%&'*+.^`|~9: every mark", "Range: bytes=0-5", "Priority: u=1"}
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }), "")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
	c.Answer("GET")
	m := seen.One(t)
	if got := without(m, append(own, "Host")...); !slices.Equal(got, lines) {
		t.Errorf("the endpoint got\n%q, want\n%q", got, lines)
	}
	if m.Fields[0].Name != "Host" {
		t.Errorf("Host is not the first field: %s", m)
	}

	c.Send("GET / HTTP/1.1\r\nX-Wide:  \t a b \t \r\nHost:a\r\nX-None:\r\n\r\n")
	c.Answer("GET")
	if m := seen.One(t); m.Get("X-Wide") != "a b" || m.Get("Host") != "a" || !m.Has("X-None") {
		t.Errorf("the endpoint got %s", m)
	}
}

func TestAnswerFieldsKept(t *testing.T) {
	t.Parallel()
	lines := []string{"sERVER: Some  Server/1.0", "Set-Cookie: a=1; Path=/", "X-Twice: 1", "Set-Cookie: b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "set-cookie: a=3",
		"X-twice: 2", "date: Sat, 01 Aug 2026 00:00:00 GMT", "ETag: W/\"x\"", "X-Bytes: \x80\xff", "X-Empty: ", "WWW-Authenticate: Basic realm=\"a, b\"", "WWW-Authenticate: Bearer",
		"Alt-Svc: h3=\":443\"", "X_Free_Name: kept", "Content-Length: 2"}
	addr := front(t, wire.Answering("HTTP/1.1 202 Whatever\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\nok"), "")
	c := wire.Dial(t, addr)
	for range 2 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		m := c.Answer("GET")
		if got := without(m); !slices.Equal(got, lines) || string(m.Body) != "ok" {
			t.Errorf("the client got\n%q, want\n%q", got, lines)
		}
	}
}

// Fields that are about one connection end there (RFC 9110 §7.6.1), together with those that Connection lists.
func TestHopByHop(t *testing.T) {
	t.Parallel()
	hop := []string{"Connection: keep-alive, X-Listed , x-other", "X-LISTED: 1", "x-listed: 2", "X-Other: 3", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
		"Proxy-Authorization: Basic Og==", "TE: gzip;q=0.5", "Upgrade: foo/1"}
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string {
		return "HTTP/1.1 200 OK\r\nConnection: x-back\r\nX-Back: 1\r\nKeep-Alive: timeout=7\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\nContent-Length: 2\r\nX-Kept: 1\r\n\r\nok"
	}), "")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Join(hop, "\r\n") + "\r\nX-Kept: 1\r\n\r\n")
	m := c.Answer("GET")
	if got := without(seen.One(t), append(own, "Host")...); !slices.Equal(got, []string{"X-Kept: 1"}) {
		t.Errorf("the endpoint got %q", got)
	}
	if got := without(m, "Date"); !slices.Equal(got, []string{"Content-Length: 2", "X-Kept: 1"}) {
		t.Errorf("the client got %q", got)
	}

	// What a message cannot do without is not taken off by being listed, nor is what tells the endpoint who asks.
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, X-Forwarded-For, Forwarded, X-Real-IP, Authorization, Cookie\r\n" +
		"Authorization: x\r\nCookie: a=b\r\nContent-Length: 2\r\n\r\nhi")
	c.Answer("POST")
	m = seen.One(t)
	for _, name := range []string{"Host", "Content-Length", "X-Forwarded-For", "Forwarded", "X-Real-IP", "Authorization", "Cookie"} {
		if len(m.Values(name)) != 1 {
			t.Errorf("%s was taken off, or stands more than once: %s", name, m)
		}
	}

	// TE: trailers is told on, as the gateway's own (RFC 9110 §10.1.4).
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip, trailers\r\n\r\n")
	c.Answer("GET")
	if m := seen.One(t); m.Get("TE") != "trailers" || !strings.EqualFold(m.Get("Connection"), "te") {
		t.Errorf("the endpoint got %s", m)
	}
}

// Endpoints that take underscores for hyphens must not be told things through names that only look like ours.
func TestUnderscoreShadows(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }), "")
	c := wire.Dial(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nx_forwarded-for: 6.6.6.6\r\nX-Real_IP: 6.6.6.6\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n" +
		"X_Request_Id: 6\r\nCONTENT-LENGTH: 2\r\nMy_Own_Field: 1\r\n\r\nhi")
	c.Answer("POST")
	m := seen.One(t)
	for _, f := range m.Fields {
		if strings.Contains(f.Name, "_") && f.Name != "My_Own_Field" {
			t.Errorf("%s reached the endpoint", f.Name)
		}
	}
	if !m.Has("My_Own_Field") || string(m.Body) != "hi" {
		t.Errorf("the endpoint got %s%q", m, m.Body)
	}
}

// The target goes on as it came, but for the path's canonical form.
func TestTargets(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }), "")
	c := wire.Dial(t, addr)
	for _, test := range []struct{ target, want string }{
		{"/", "/"},
		{"/a?", "/a"},
		{"/a?b=c&&d=%zz?/../x", "/a?b=c&&d=%zz?/../x"},
		{"http://a/x?y", "/x?y"},
		{"HTTP://A", "/"},
		{"http://a?q", "/?q"},
	} {
		c.Send("GET " + test.target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		c.Answer("GET")
		if m := seen.One(t); m.Target() != test.want && !(test.target == "/a?" && m.Target() == "/a?") {
			t.Errorf("%s reached the endpoint as %s, want %s", test.target, m.Target(), test.want)
		}
	}
	c.Send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("OPTIONS"); m.Status() != 204 || len(seen.Take()) != 0 {
		t.Errorf("OPTIONS * is about the gateway itself; the answer is %s", m)
	}
}

// Methods are anything that is a token, and pass as they are.
func TestMethods(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }), "")
	c := wire.Dial(t, addr)
	for _, method := range []string{"GET", "OPTIONS", "PATCH", "QUERY", "PROPFIND", "M-SEARCH", "get", "X", "TRACE", strings.Repeat("LONG", 20)} {
		c.Send(method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.Answer(method)
		if m := seen.One(t); m.Method() != method {
			t.Errorf("%s reached the endpoint as %s", method, m.Method())
		}
	}
}

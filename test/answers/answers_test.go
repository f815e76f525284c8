package answers

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// problem is what the gateway answers when it has to answer by itself (RFC 9457).
type problem struct {
	Title, Code, Detail string
	Status              int
	RequestID           string `json:"request_id"`
}

// read takes a problem apart and checks what holds for all of them.
func read(t *testing.T, m *wire.Message) problem {
	t.Helper()
	var p problem
	decoder := json.NewDecoder(strings.NewReader(string(m.Body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("%v: %s%s", err, m, m.Body)
	}
	if m.Get("Content-Type") != "application/problem+json" || m.Get("Cache-Control") != "no-store" || !m.Has("Date") || p.Status != m.Status() || p.Title == "" ||
		!strings.HasSuffix(p.Detail, ".") || !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(p.RequestID) {
		t.Errorf("%s%s", m, m.Body)
	}
	return p
}

const id = "  - request_id: {}\n"

// front starts a gateway whose routes show each fault of the upstream side.
func front(t *testing.T) (*gateway.Gateway, string) {
	t.Helper()
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		switch m.Target() {
		case "/reset":
			p.Reset()
		case "/ends":
			p.Close()
		case "/garbage":
			p.Send("garbage\r\n\r\n")
		case "/slow":
			p.Gone()
		case "/date":
			p.Send("HTTP/1.1 200 OK\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok")
			return true
		case "/503":
			p.Send("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nbad")
			return true
		default:
			p.Send(wire.OK("ok"))
			return true
		}
		return false
	})
	return gateway.Start(t, `
listeners:
  - address: `+addr+`
upstreams:
  app:
    endpoints: ["`+endpoint.Addr+`"]
    ejection: off
    timeouts: { first_byte: 300ms }
  none:
    endpoints: ["`+gateway.Free(t)+`"]
    ejection: off
    retry: { attempts: 0 }
  crowded:
    endpoints: ["`+endpoint.Addr+`"]
    breaker: { max_active: 1 }
    timeouts: { first_byte: 10s }
policies:
`+id+`routes:
  - { name: all, match: { host: a, path: /* }, upstream: app }
  - { name: timed, match: { host: timed, path: /* }, upstream: app, server_timing: true }
  - { name: none, match: { host: none, path: /* }, upstream: none }
  - { name: crowded, match: { host: crowded, path: /* }, upstream: crowded }
  - { name: few, match: { host: few, path: /x, methods: [GET, PUT] }, upstream: app }
`), addr
}

// Each fault is answered in one form, tells the client what helps and nothing of the inside, and carries the id of its log line.
func TestProblems(t *testing.T) {
	t.Parallel()
	g, addr := front(t)
	faults := map[string]string{} // by the id of the request
	for _, test := range []struct {
		method, host, path string
		status             int
		code               string
		goesOn             bool
	}{
		{"POST", "a", "/reset", 502, "upstream_reset", true},
		{"POST", "a", "/ends", 502, "upstream_reset", true},
		{"POST", "a", "/garbage", 502, "upstream_invalid", true},
		{"POST", "a", "/slow", 504, "upstream_timeout", true},
		{"GET", "none", "/", 502, "connect_failed", true},
		{"GET", "nobody", "/", 404, "no_route", true},
		{"GET", "few", "/y", 404, "no_route", true},
		{"POST", "few", "/x", 405, "method_not_allowed", true},
		{"GET", "a", "/a%2Fb", 400, "bad_path", false},
		{"GET", "a", "/../b", 400, "bad_path", false},
		{"CONNECT", "a", "a:443", 501, "no_tunnel", false},
		{"GET", "a b", "/", 400, "bad_host", false},
		{"GET", "a\r\nContent-Length: x", "/", 400, "framing", false},
		{"GET", "a\r\nTransfer-Encoding: gzip, chunked", "/", 501, "unknown_coding", false},
		{"POST", "a\r\nContent-Length: 1\r\nExpect: 200-ok", "/", 417, "bad_expectation", false},
		{"GET", "a\r\nbad field: 1", "/", 400, "malformed", false},
	} {
		c := wire.Dial(t, addr)
		c.Send(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", test.method, test.path, test.host))
		m := c.Answer(test.method)
		what := test.method + " " + test.host + test.path
		if m.Status() != test.status {
			t.Errorf("%s: %s%s", what, m, m.Body)
			continue
		}
		p := read(t, m)
		if p.Code != test.code || test.goesOn == m.Has("Connection") {
			t.Errorf("%s: %s%s", what, m, m.Body)
		}
		if inner := regexp.MustCompile(`127\.0\.0\.1|[0-9]{5}|goroutine|\.go:`).Find([]byte(p.Detail + p.Title)); inner != nil {
			t.Errorf("%s: the client is told %q: %s", what, inner, m.Body)
		}
		faults[p.RequestID] = fmt.Sprintf("%s %d", test.code, test.status)
		if m.Get("X-Request-Id") != p.RequestID {
			t.Errorf("%s: X-Request-Id is %q, the problem's %q", what, m.Get("X-Request-Id"), p.RequestID)
		}
		if test.goesOn {
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if m := c.Answer("GET"); string(m.Body) != "ok" {
				t.Errorf("%s: the connection does not go on: %s", what, m)
			}
		} else {
			c.Gone()
		}
	}
	gateway.Await(t, "a line for each", func() bool {
		found := 0
		for _, l := range g.Access() {
			if want, ok := faults[l.Text("id")]; ok {
				found++
				if got := fmt.Sprintf("%s %.0f", l.Text("fault"), l.Number("status")); got != want {
					t.Fatalf("the line of %s is %v", want, l)
				}
			}
		}
		return found == len(faults)
	})
}

// HTTP/1.0 and HEAD get the same, as far as they can.
func TestProblemForms(t *testing.T) {
	t.Parallel()
	_, addr := front(t)
	c := wire.Dial(t, addr)
	c.Send("HEAD / HTTP/1.1\r\nHost: nobody\r\n\r\n")
	if m := c.Answer("HEAD"); m.Status() != 404 || m.Get("Content-Type") != "application/problem+json" || m.Get("Content-Length") == "0" {
		t.Errorf("%s", m)
	}
	c.Send("POST / HTTP/1.1\r\nHost: nobody\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("POST"); m.Status() != 404 {
		t.Errorf("%s", m)
	}
	if m := c.Answer("GET"); string(m.Body) != "ok" { // behind a body nobody wanted
		t.Errorf("%s", m)
	}
	c = wire.Dial(t, addr)
	c.Send("GET / HTTP/1.0\r\nHost: nobody\r\n\r\n")
	read(t, c.Answer("GET"))
	c.Ended()
}

// When no more may be under way, the client is told so at once.
func TestSaturated(t *testing.T) {
	t.Parallel()
	g, addr := front(t)
	first := wire.Dial(t, addr)
	first.Send("GET /slow HTTP/1.1\r\nHost: crowded\r\n\r\n")
	gateway.Await(t, "the first to be under way", func() bool { return g.Number("straum_endpoint_active_requests", `upstream="crowded"`) == 1 })
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: crowded\r\n\r\n")
	m := c.Answer("GET")
	if p := read(t, m); p.Code != "saturated" || m.Status() != 503 {
		t.Errorf("%s%s", m, m.Body)
	}
}

// An answer of the endpoint is its own, whatever its status; a Date is added where it has none (RFC 9110 §6.6.1).
func TestEndpointAnswers(t *testing.T) {
	t.Parallel()
	_, addr := front(t)
	c := wire.Dial(t, addr)
	c.Send("GET /503 HTTP/1.1\r\nHost: a\r\n\r\n")
	m := c.Answer("GET")
	if m.Status() != 503 || string(m.Body) != "bad" || m.Get("Content-Type") != "text/plain" {
		t.Errorf("%s", m)
	}
	date, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", m.Get("Date"))
	if off := time.Since(date); err != nil || off < -time.Minute || off > time.Minute {
		t.Errorf("Date is %q: %v", m.Get("Date"), err)
	}
	c.Send("GET /date HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("GET"); m.Get("Date") != "Sat, 01 Aug 2026 00:00:00 GMT" {
		t.Errorf("%s", m)
	}
}

// Server-Timing tells the shares where a route asks for it, and only there.
func TestServerTiming(t *testing.T) {
	t.Parallel()
	_, addr := front(t)
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: timed\r\n\r\n")
	if m := c.Answer("GET"); !regexp.MustCompile(`^gateway;dur=\d+\.\d{3}, upstream;dur=\d+\.\d{3}$`).MatchString(m.Get("Server-Timing")) {
		t.Errorf("%s", m)
	}
	c.Send("GET /a%2Fb HTTP/1.1\r\nHost: timed\r\n\r\n")
	c.Answer("GET")
	c = wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("GET"); m.Has("Server-Timing") {
		t.Errorf("%s", m)
	}
}

// The id the endpoint, the client and the log see is one.
func TestRequestID(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := gateway.Free(t)
	endpoint := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }))
	g := gateway.Start(t, gateway.Simple(addr, []string{endpoint.Addr}, "")+"policies:\n"+id)
	c := wire.Dial(t, addr)
	ids := map[string]bool{}
	for range 5 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: of-the-client\r\n\r\n")
		m := c.Answer("GET")
		id := m.Get("X-Request-Id")
		if got := seen.One(t).Get("X-Request-Id"); got != id || len(id) != 32 || ids[id] {
			t.Errorf("the endpoint got %q, the client %q", got, id)
		}
		ids[id] = true
	}
	gateway.Await(t, "a line with each id", func() bool {
		found := 0
		for _, l := range g.Access() {
			if ids[l.Text("id")] {
				found++
			}
		}
		return found == len(ids)
	})
}

package edge_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/test/wire"
)

// problem is what a client can read of a fault.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
}

// failing is a policy that ends every exchange with a fault.
type failing struct{ f atomic.Pointer[fault.Fault] }

func (p *failing) Request(x *exchange.Exchange) { x.Fail(p.f.Load()) }

func readProblem(t *testing.T, m *wire.Message) problem {
	t.Helper()
	var p problem
	d := json.NewDecoder(strings.NewReader(string(m.Body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%s: %v in %q", m.Start, err, m.Body)
	}
	if m.Get("Content-Type") != "application/problem+json" || m.Get("Cache-Control") != "no-store" || p.Status != m.Status() {
		t.Errorf("%s%s", m, m.Body)
	}
	return p
}

// Every fault that is told is told as a problem, with the id that the log has, and without what caused it.
func TestEveryFaultIsAProblem(t *testing.T) {
	p := &failing{}
	g := start(t, func(s *setup) { s.chain.Add("test", p) }, dead(t))
	for _, k := range fault.Kinds() {
		if k.Status == 0 {
			continue
		}
		p.f.Store(&fault.Fault{Kind: k, RetryAfter: 7, Allow: "GET, HEAD", Cause: fmt.Errorf("dial 10.9.8.7:65000: \"secret\"")})
		m, r := g.ask(get)
		got := readProblem(t, m)
		if got.Status != k.Status || got.Code != k.Word || got.Title != k.Title || got.Detail != k.Detail || got.RequestID != r.id || len(r.id) != 32 {
			t.Errorf("%s: %+v, the log has %+v", k.Word, got, r)
		}
		if text := m.String() + string(m.Body); strings.Contains(text, "10.9.8.7") || strings.Contains(text, "secret") {
			t.Errorf("%s: the client is told of what is inside: %s", k.Word, text)
		}
		if m.Get("Retry-After") != "7" || (m.Get("Allow") == "GET, HEAD") != (k == fault.MethodNotAllowed) {
			t.Errorf("%s: %s", k.Word, m)
		}
		if closes := m.Get("Connection") == "close"; closes != k.Close || r.keepAlive == k.Close {
			t.Errorf("%s: connection closes: %v, want %v", k.Word, closes, k.Close)
		}
		if r.fault != k.Word || r.end != exchange.Completed {
			t.Errorf("%s: %+v", k.Word, r)
		}
	}
	// What a policy has to say in its own words need not be plain text to be valid JSON.
	p.f.Store(&fault.Fault{Kind: fault.BadPath, Detail: "a\"b\\c\x01\n\xffé\u2028😀\x7f"})
	m, _ := g.ask(get)
	if got := readProblem(t, m); got.Detail != "a\"b\\c\x01\n\ufffdé\u2028😀\x7f" {
		t.Errorf("%q", got.Detail)
	}
	// The answer to HEAD has no body, and the connection goes on.
	p.f.Store(&fault.Fault{Kind: fault.NoRoute})
	c := wire.Dial(t, g.addr)
	for range 2 {
		c.Send("HEAD /things HTTP/1.1\r\nHost: a\r\n\r\n")
		if m := c.Answer("HEAD"); m.Status() != 404 || m.Get("Content-Length") == "0" {
			t.Errorf("%s", m)
		}
	}
}

// The faults that requests and endpoints bring about themselves.
func TestFaults(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("")))
	garbage := wire.Listen(t, wire.Answering("ICY 200 OK\r\n\r\n"))
	once := func(s *setup) { s.upstream.Retry.MaxAttempts = 1 }
	f := func(name, word string, status int, request string, change func(*setup), endpoints ...string) {
		t.Run(name, func(t *testing.T) {
			g := start(t, change, endpoints...)
			m, r := g.ask(request)
			got := readProblem(t, m)
			if got.Status != status || got.Code != word || r.fault != word || got.RequestID != r.id {
				t.Errorf("%+v, %+v", got, r)
			}
			for _, inner := range append(endpoints, "127.0.0.1", "nowhere") {
				if inner != "" && strings.Contains(m.String()+string(m.Body), inner) {
					t.Errorf("the client is told %s: %s%s", inner, m, m.Body)
				}
			}
		})
	}
	f("malformed", "malformed", 400, "GET /a b HTTP/1.1\nHost: a", nil, e.Addr)
	f("path", "bad_path", 400, "GET /%00 HTTP/1.1\nHost: a", nil, e.Addr)
	f("escaped slash", "bad_path", 400, "GET /a%2Fb HTTP/1.1\nHost: a", nil, e.Addr)
	f("host", "no_route", 404, "GET / HTTP/1.1\nHost: b", func(s *setup) { s.spec.Hosts = []string{"a"} }, e.Addr)
	f("no path", "no_route", 404, "GET /b HTTP/1.1\nHost: b", func(s *setup) { s.spec.Paths = []string{"/a"} }, e.Addr)
	f("condition", "no_route", 404, "GET /b HTTP/1.1\nHost: b", func(s *setup) { s.spec.Headers = map[string]string{"x-a": "1"} }, e.Addr)
	f("refused", "connect_failed", 502, get, once, dead(t))
	f("garbage", "upstream_invalid", 502, get, once, garbage.Addr)
	f("no endpoint", "no_endpoint", 503, get, func(s *setup) { s.upstream.Endpoints[0].Weight = 0 }, e.Addr)
	f("no upstream", "internal", 500, get, nil)
	f("unresolved", "no_endpoint", 503, get, func(s *setup) { s.lookup = new(names).lookup }, "nowhere.example:80")
}

func TestMethodNotAllowed(t *testing.T) {
	g := start(t, func(s *setup) { s.spec.Methods = []string{"GET", "PUT"} }, dead(t))
	m, _ := g.ask("POST / HTTP/1.1\nHost: a")
	if readProblem(t, m).Code != "method_not_allowed" || m.Get("Allow") != "GET, HEAD, PUT" {
		t.Errorf("%s", m)
	}
}

func TestOptionsOfTheGateway(t *testing.T) {
	g := start(t, nil, dead(t))
	if m, r := g.ask("OPTIONS * HTTP/1.1\nHost: a"); m.Status() != 204 || r.fault != "" || r.upstream.Tries != 0 {
		t.Errorf("%s, %+v", m, r)
	}
}

// step is a policy that panics in the step it is told to.
type step struct{ at atomic.Int32 }

func (p *step) Request(*exchange.Exchange)          { p.panicAt(4) }
func (p *step) UpstreamResponse(*exchange.Exchange) { p.panicAt(8) }
func (p *step) Response(*exchange.Exchange)         { p.panicAt(9) }
func (p *step) panicAt(at int) {
	if int(p.at.Load()) == at {
		panic(fmt.Sprintf("mistake in step %d", at))
	}
}

// Observe is for step 11.
func (p *step) Observe(*exchange.Exchange) { p.panicAt(11) }

// A panic costs the exchange that met it, which is answered and logged, and its connection; nothing else.
func TestPanicCostsOneExchange(t *testing.T) {
	for _, at := range []int{4, 8, 9, 11} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			p := &step{}
			e := wire.Listen(t, wire.Answering(wire.OK("fine")))
			g := start(t, func(s *setup) {
				s.chain.Add("test", p)
				s.observers = append(s.observers, p)
				s.upstream.Breaker = &breaker.Settings{MaxActive: 1, Cooldown: time.Hour, MaxCooldown: time.Hour, Probes: 1, Successes: 1, ProbeTimeout: time.Hour}
			}, e.Addr)
			c := wire.Dial(t, g.addr)
			g.askOn(c, get)
			p.at.Store(int32(at))
			m, r := g.askOn(c, get)
			c.Ended()
			p.at.Store(0)
			if !g.log.has(fmt.Sprintf("mistake in step %d", at)) || !g.log.has(r.id) {
				t.Error("the log does not tell")
			}
			if at < 11 {
				if got := readProblem(t, m); got.Code != "internal" || r.fault != "internal" || r.status != 500 || r.end != exchange.Completed {
					t.Errorf("%+v, %+v", got, r)
				}
			} else if m.Status() != 200 {
				t.Errorf("%s", m.Start)
			}
			// Whatever the exchange held was given back, the breaker's one place first of all.
			for range 3 {
				g.endpoint()
				if m, r := g.ask(get); m.Status() != 200 || r.fault != "" {
					t.Errorf("%s, %+v", m.Start, r)
				}
			}
			if s := g.endpoint(); s.Open != int64(s.Idle) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Once the head was passed on, which does not wait for a body, the connection is all that can tell of an answer that broke off.
func TestAnswerBreaks(t *testing.T) {
	f := func(name, answer, sent string) {
		t.Run(name, func(t *testing.T) {
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Send(answer)
				return false
			})
			g := start(t, func(s *setup) {
				s.upstream.Health.Failures = 5
				s.upstream.Health.EjectBase, s.upstream.Health.EjectMax = time.Hour, time.Hour
			}, e.Addr)
			c := wire.Dial(t, g.addr)
			c.Send(crlf(get))
			m := c.Head()
			err := c.TryBody(m, "GET")
			r := g.next()
			if m.Status() != 200 || err == nil || string(m.Body) != sent || r.end != exchange.UpstreamBroke || r.keepAlive {
				t.Errorf("%q, %v, %+v", m.Body, err, r)
			}
			if r.fault != "upstream_reset" || r.upstream.Tries != 1 {
				t.Errorf("%+v", r)
			}
			if s := g.endpoint(); s.Failed != 1 || s.Opened["cold"] != 1 || s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	f("behind the head", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "")
	f("in its body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "12345")
	f("without a body yet", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "")
	f("between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "12345")
}

// broken is a policy of step 9 whose body fails with what it is told to before its first byte.
type broken struct{ f atomic.Pointer[fault.Fault] }

func (p *broken) Response(x *exchange.Exchange) {
	if !x.Response.Own {
		x.Response.Body = p
	}
}
func (p *broken) Next() ([]byte, error) { return nil, p.f.Load() }
func (p *broken) Buffered() bool        { return true }

// A body that fails before anything was sent leaves room for an answer.
func TestAnswerInstead(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	p := &broken{}
	p.f.Store(fault.At(fault.UpstreamInvalid, fault.Answered, io.ErrUnexpectedEOF))
	g := start(t, func(s *setup) { s.chain.Add("test", p) }, e.Addr)
	c := wire.Dial(t, g.addr)
	m, r := g.askOn(c, get)
	if got := readProblem(t, m); got.Code != "upstream_invalid" || r.fault != "upstream_invalid" || r.end != exchange.Completed || r.status != 502 {
		t.Errorf("%+v, %+v", got, r)
	}
	if s := g.endpoint(); s.Failed != 1 || s.Open != 0 {
		t.Errorf("%+v", s)
	}
	p.f.Store(fault.New(fault.ClientGone, io.EOF))
	c = wire.Dial(t, g.addr)
	c.Send(crlf(get))
	c.Ended()
	if r := g.next(); r.end != exchange.ClientGone || r.status != 0 || r.fault != "client_gone" {
		t.Errorf("%+v", r)
	}
}

// A response whose end is only shown by its connection must not look complete when it broke off.
func TestBrokenWithoutFraming(t *testing.T) {
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
		return false
	})
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	c.Send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	c.Head()
	buf := make([]byte, 64)
	var err error
	for err == nil {
		_, err = c.In.Read(buf)
	}
	if !strings.Contains(err.Error(), "reset") {
		t.Errorf("the end looks like %v", err)
	}
}

func TestHosts(t *testing.T) {
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }))
	_, port, _ := net.SplitHostPort(e.Addr)
	n := &names{}
	n.set("api.internal", "127.0.0.1")
	for _, test := range hostTests(port) {
		t.Run(test.name, func(t *testing.T) {
			g := start(t, func(s *setup) {
				s.lookup = n.lookup
				s.upstream.Host, s.route.Host = test.upstream, test.route
			}, "api.internal:"+port)
			await(t, "the name to resolve", func() bool { return len(g.stats().Endpoints) == 1 })
			g.ask("GET / HTTP/1.1\nHost: public.example:8443")
			if got := seen.One(t).Get("Host"); got != test.want {
				t.Errorf("the endpoint is called %q, want %q", got, test.want)
			}
		})
	}
}

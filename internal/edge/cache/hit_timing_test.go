package cache

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// hits is an exchange that hits again and again, as on a connection.
func hits(t testing.TB, terms func(*Terms), fields, request string) func() {
	w := newWorld(t, terms)
	w.answers(fields, strings.Repeat("x", 1024))
	w.ask(request)
	x := &exchange.Exchange{}
	fillRequest(t, x, request)
	v := &Visit{}
	gone := func() bool { return false }
	conn, route, asked := &exchange.Conn{}, x.Route, x.Request
	kept := append([]exchange.Field(nil), x.Request.Header.All()...)
	return func() {
		x.Begin(conn, 1)
		q := &x.Request
		q.Method, q.Scheme, q.Host, q.Path, q.Query, x.Route = asked.Method, asked.Scheme, asked.Host, asked.Path, asked.Query, route
		for _, f := range kept {
			q.Header.Append(f.Known, f.Name, f.Value)
		}
		w.route.Look(x, v, w, gone)
		if x.Cached.Outcome != exchange.CacheHit {
			t.Fatalf("%s: no hit but %s", request, x.Cached.Outcome)
		}
		if x.Response.Body != nil {
			x.Response.Body.Next()
			x.Response.Body.Next()
		}
		v.End(x)
	}
}

const usual = "Cache-Control: max-age=60\nDate: Fri, 15 Jan 2027 08:00:00 GMT\nContent-Type: application/json\nETag: \"abcdef\"\nLast-Modified: Thu, 14 Jan 2027 08:00:00 GMT\nX-One: 1\nX-Two: 2\nServer: test"

func TestHitAllocatesNothing(t *testing.T) {
	f := func(name string, terms func(*Terms), fields, request string) {
		t.Helper()
		hit := hits(t, terms, fields, request)
		if n := testing.AllocsPerRun(200, hit); n != 0 {
			t.Errorf("%s: a hit allocates %v times", name, n)
		}
	}
	same := func(*Terms) {}
	f("plain", same, usual, "GET /a?b=c")
	f("with a range", same, usual, "GET /a\nRange: bytes=1-2")
	f("not modified", same, usual, "GET /a\nIf-None-Match: \"abcdef\"")
	f("HEAD", same, usual, "GET /a")
	f("variant", same, usual+"\nVary: Accept-Encoding", "GET /a\nAccept-Encoding: gzip, br")
	f("of keyed fields", func(t *Terms) { t.Parts.Headers, t.Parts.Cookies = []string{"x-kind"}, []string{"a"} }, usual, "GET /a\nX-Kind: b\nCookie: a=b; c=d")
	f("steered", same, usual, "GET /a\nX-Forwarded-Host: b.test")
	f("early", func(t *Terms) { t.Early = 0.1 }, usual, "GET /a")
}

func BenchmarkHit(b *testing.B) {
	for _, c := range []struct{ name, fields, request string }{
		{"plain", usual, "GET /a?b=c\nUser-Agent: test\nAccept: */*\nAccept-Encoding: gzip"},
		{"variant", usual + "\nVary: Accept-Encoding", "GET /a?b=c\nUser-Agent: test\nAccept: */*\nAccept-Encoding: gzip"},
	} {
		b.Run(c.name, func(b *testing.B) {
			hit := hits(b, func(t *Terms) { t.Early = 0.1 }, c.fields, c.request)
			b.ReportAllocs()
			for b.Loop() {
				hit()
			}
		})
	}
}

func BenchmarkMissStored(b *testing.B) {
	w := newWorld(b)
	w.answers(usual, strings.Repeat("x", 1024))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		w.requests = w.requests[:0]
		w.ask(fmt.Sprintf("GET /%d", i))
	}
}

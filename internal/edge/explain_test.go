package edge_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy/rewrite"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/test/wire"
)

// cached gives the setup's route a cache in memory.
func cached(t *testing.T, s *setup, parts cache.Parts) *cache.Cache {
	t.Helper()
	c := cache.New(cache.Options{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(c.Close)
	if err := c.Use(cache.Settings{Memory: 8 << 20, MaxObject: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	terms := cache.Terms{Parts: parts, Wait: wire.Patience, Renew: time.Minute, Variants: 8, Status: true}
	terms.Rules.Partitioned = parts.Consumer
	s.chain.Add("cache", c.Route("all", terms))
	return c
}

// outcome is what is explained of a question.
func outcome(t *testing.T, g *gateway, q edge.Question) edge.Explanation {
	t.Helper()
	e, err := g.edge.Explain(q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return e
}

// What is explained is what happens, before and after something is stored, and explaining changes nothing.
func TestExplain(t *testing.T) {
	r := &wire.Recorder{}
	e := wire.Listen(t, wire.Recording(r, func(*wire.Message) string {
		return "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nVary: Accept-Language\r\nETag: \"v1\"\r\nContent-Length: 4\r\n\r\nfine"
	}))
	g := start(t, func(s *setup) {
		s.spec.Hosts, s.spec.Paths = []string{"a.example"}, []string{"/orders/{id}"}
		cached(t, s, cache.Parts{})
		s.chain.Add("rewrite", policytest.New(t).Policy(rewrite.Kind, "path: /v2/orders/{path.id}").Chain.Requests[0])
	}, e.Addr)
	question := edge.Question{URL: "HTTP://A.example:80/orders/%37?a=1", Header: [][2]string{{"Accept-Language", "no"}}}
	for range 2 {
		got := outcome(t, g, question)
		if got.Outcome != exchange.CacheMiss || got.Stored != nil || got.Route != "all" || got.Method != "GET" || got.URL != "http://a.example/orders/7?a=1" || len(got.Key) == 0 {
			t.Errorf("before: %+v", got)
		}
	}
	if n := len(r.Take()); n != 0 {
		t.Fatalf("the endpoint was asked %d times", n)
	}
	g.ask("GET /orders/7?a=1 HTTP/1.1\nHost: a.example\nAccept-Language: no")
	for range 2 {
		got := outcome(t, g, question)
		if got.Outcome != exchange.CacheHit || got.Stored == nil || got.Stored.Status != 200 || got.Stored.ETag != `"v1"` || got.Stored.Bytes != 4 || len(got.Rules) == 0 {
			t.Errorf("after: %+v, %+v", got, got.Stored)
		}
	}
	other := question
	other.Header = [][2]string{{"Accept-Language", "de"}}
	if got := outcome(t, g, other); got.Outcome == exchange.CacheHit {
		t.Errorf("another variant: %+v", got)
	}
	other = question
	other.Method = "POST"
	if got := outcome(t, g, other); got.Outcome != exchange.CacheBypass {
		t.Errorf("POST: %+v", got)
	}
	other = question
	other.Header = append(other.Header, [2]string{"Cache-Control", "no-cache"})
	if got := outcome(t, g, other); got.Outcome == exchange.CacheHit {
		t.Errorf("no-cache: %+v", got)
	}
}

// A part of the cache that is a consumer's is explained for that consumer alone.
func TestExplainConsumers(t *testing.T) {
	g := start(t, func(s *setup) { cached(t, s, cache.Parts{Consumer: true}) }, dead(t))
	nobody := outcome(t, g, edge.Question{URL: "https://a/"})
	acme := outcome(t, g, edge.Question{URL: "https://a/", Caller: exchange.Caller{Consumer: &consumer.Consumer{ID: "acme"}}})
	anna := outcome(t, g, edge.Question{URL: "https://a/", Caller: exchange.Caller{Issuer: "https://id", Subject: "anna"}})
	if nobody.Outcome != exchange.CacheBypass || acme.Outcome != exchange.CacheMiss || anna.Outcome != exchange.CacheMiss {
		t.Errorf("nobody %s, acme %s, anna %s", nobody.Outcome, acme.Outcome, anna.Outcome)
	}
}

func TestNotExplained(t *testing.T) {
	g := start(t, func(s *setup) {
		s.spec.Hosts, s.spec.Paths, s.spec.Methods = []string{"a.example", "[2001:db8::1]"}, []string{"/orders/*"}, []string{"GET"}
		s.spec.Headers = map[string]string{"X-Beta": "1"}
	}, dead(t))
	beta := [][2]string{{"x-beta", "1"}}
	f := func(q edge.Question, is error, want string) {
		t.Helper()
		_, err := g.edge.Explain(q)
		if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", q, err, want)
		}
		if is == nil && (errors.Is(err, edge.ErrNoCache) || errors.Is(err, edge.ErrNoRoute)) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	f(edge.Question{URL: "http://a.example/orders/1", Header: beta}, edge.ErrNoCache, "it is the route all")
	f(edge.Question{URL: "https://[2001:DB8::1]:8443/orders", Header: beta}, edge.ErrNoCache, "all")
	f(edge.Question{URL: "http://a.example/orders/1", Header: beta, Method: "HEAD"}, edge.ErrNoCache, "all")
	f(edge.Question{URL: "http://a.example/orders/1"}, edge.ErrNoRoute, "fields or query parameters")
	f(edge.Question{URL: "http://b.example/orders/1", Header: beta}, edge.ErrNoRoute, "none is for this host")
	f(edge.Question{URL: "http://a.example/carts", Header: beta}, edge.ErrNoRoute, "none of this host is for this path")
	f(edge.Question{URL: "http://a.example/orders/1", Header: beta, Method: "POST"}, edge.ErrNoRoute, "routes for GET, HEAD, but none for POST")
	f(edge.Question{URL: "/orders/1"}, nil, "a whole URL")
	f(edge.Question{URL: "ftp://a.example/"}, nil, "a whole URL")
	f(edge.Question{URL: "http:///orders"}, nil, `"" is not a host`)
	f(edge.Question{URL: "http://anna:secret@a.example/"}, nil, "a name or password stands before the host; leave it out")
	f(edge.Question{URL: "http://a.example:99999/"}, nil, "is not a host")
	f(edge.Question{URL: "http://a.example/#top"}, nil, "without #")
	f(edge.Question{URL: "http://a.example/ørders"}, nil, "visible ASCII")
	f(edge.Question{URL: "http://a.example/%zz"}, nil, "would be refused")
	f(edge.Question{URL: "http://a.example/orders/a%2Fb", Header: beta}, nil, "would be refused")
	f(edge.Question{URL: "http://a.example/", Method: "G T"}, nil, "is no method")
	f(edge.Question{URL: "http://a.example/", Header: [][2]string{{"X A", "1"}}}, nil, "is no field name")
	f(edge.Question{URL: "http://a.example/", Header: [][2]string{{"X-A", "1\r\nX-B: 2"}}}, nil, "characters that no field may have")
	f(edge.Question{URL: "http://a.example/", Header: [][2]string{{"Host", "b.example"}}}, nil, "part of the URL")
	f(edge.Question{URL: "http://a.example/", Header: make([][2]string, 101)}, nil, "at most 100")
	if _, err := edge.New(slog.New(slog.DiscardHandler)).Explain(edge.Question{URL: "http://a/"}); !errors.Is(err, edge.ErrUnready) {
		t.Errorf("before the first revision: %v", err)
	}
}

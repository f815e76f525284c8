package cache

import (
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
)

func want(t *testing.T, g *got, status int, body string, outcome exchange.CacheOutcome) {
	t.Helper()
	if g.status != status || g.body != body || g.cached.Outcome != outcome {
		t.Errorf("got %d %q %s (why %q, fault %v), want %d %q %s", g.status, g.body, g.cached.Outcome, g.cached.Why, g.fault, status, body, outcome)
	}
}

func TestHit(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60\nDate: "+date(0)+"\nX-Kind: a", "hello")
	g := w.ask("GET /a")
	want(t, g, 200, "hello", exchange.CacheMiss)
	if s := g.all("Cache-Status"); s != "Straum; fwd=uri-miss; stored; ttl=60" {
		t.Errorf("cache status of the miss: %s", s)
	}
	w.pass(10 * time.Second)
	g = w.ask("GET /a")
	want(t, g, 200, "hello", exchange.CacheHit)
	if age, s := g.all("Age"), g.all("Cache-Status"); age != "10" || s != "Straum; hit; ttl=50" || g.get("X-Kind") != "a" {
		t.Errorf("age %s, cache status %s, fields %v", age, s, g.header.All())
	}
	g = w.ask("HEAD /a")
	want(t, g, 200, "", exchange.CacheHit)
	if g.length != 5 || g.get("Content-Length") == "" {
		t.Errorf("HEAD has length %d, fields %v", g.length, g.header.All())
	}
	w.pass(51 * time.Second)
	want(t, w.ask("GET /a"), 200, "hello", exchange.CacheExpired)
	if n := w.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60\nETag: \"v1\"\nLast-Modified: "+date(-time.Hour)+"\nContent-Type: text/plain", "hello")
	w.ask("GET /a")
	for _, line := range []string{`If-None-Match: "v1"`, `If-None-Match: "v0", W/"v1"`, "If-Modified-Since: " + date(-time.Hour), "If-Modified-Since: " + date(0)} {
		g := w.ask("GET /a\n" + line)
		want(t, g, 304, "", exchange.CacheHit)
		if g.get("ETag") != `"v1"` || g.get("Content-Type") != "" || g.get("Cache-Control") == "" {
			t.Errorf("%s: fields %v", line, g.header.All())
		}
	}
	for _, line := range []string{`If-None-Match: "v2"`, "If-Modified-Since: " + date(-2*time.Hour), "If-None-Match: \"v2\"\nIf-Modified-Since: " + date(0)} {
		want(t, w.ask("GET /a\n"+line), 200, "hello", exchange.CacheHit)
	}
	if n := w.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestColdConditionIsOurs(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60\nETag: \"v1\"", "hello")
	g := w.ask("GET /a\nIf-None-Match: \"v1\"")
	want(t, g, 304, "", exchange.CacheMiss)
	if w.last().get("If-None-Match") != "" {
		t.Error("the client's condition went to the endpoint, so that nothing could be stored")
	}
	want(t, w.ask("GET /a"), 200, "hello", exchange.CacheHit)
}

func TestRevalidation(t *testing.T) {
	w := newWorld(t)
	w.endpoint = func(q *asked) *reply {
		if q.get("If-None-Match") == `"v1"` {
			return &reply{status: 304, fields: "Cache-Control: max-age=60\nETag: \"v1\"\nX-New: 2"}
		}
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nETag: \"v1\"\nX-New: 1\nX-Old: 1", body: "hello"}
	}
	w.ask("GET /a")
	w.pass(time.Minute)
	g := w.ask("GET /a")
	want(t, g, 200, "hello", exchange.CacheRevalidated)
	if g.all("X-New") != "2" || g.all("X-Old") != "1" || g.all("Cache-Status") != "Straum; fwd=stale; fwd-status=304; stored; ttl=60" {
		t.Errorf("fields %v", g.header.All())
	}
	g = w.ask("GET /a")
	want(t, g, 200, "hello", exchange.CacheHit)
	if g.all("X-New") != "2" || g.all("Age") != "0" {
		t.Errorf("fields %v", g.header.All())
	}
	w.pass(time.Minute)
	g = w.ask("GET /a\nIf-None-Match: \"v0\"\nRange: bytes=1-2")
	want(t, g, 206, "el", exchange.CacheRevalidated)
	if q := w.last(); q.get("If-None-Match") != `"v1"` || q.get("Range") != "" {
		t.Errorf("the endpoint was asked %v", q.header.All())
	}
	w.pass(time.Minute)
	want(t, w.ask("GET /a\nIf-None-Match: \"v1\""), 304, "", exchange.CacheRevalidated)
	if n := w.count(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

func TestRanges(t *testing.T) {
	w := newWorld(t)
	w.endpoint = func(q *asked) *reply {
		if q.get("Range") != "" {
			return &reply{status: 206, fields: "Cache-Control: max-age=60\nContent-Range: bytes 0-1/10", body: "01"}
		}
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nETag: \"v1\"", body: "0123456789"}
	}
	want(t, w.ask("GET /a\nRange: bytes=0-1"), 206, "01", exchange.CacheMiss)
	want(t, w.ask("GET /a"), 200, "0123456789", exchange.CacheMiss) // the part was not taken for the whole
	f := func(line string, status int, body, contentRange string) {
		t.Helper()
		g := w.ask("GET /a\n" + line)
		want(t, g, status, body, exchange.CacheHit)
		if g.all("Content-Range") != contentRange || g.length != int64(len(body)) {
			t.Errorf("%s: content range %q, length %d", line, g.all("Content-Range"), g.length)
		}
	}
	f("Range: bytes=2-4", 206, "234", "bytes 2-4/10")
	f("Range: bytes=-3", 206, "789", "bytes 7-9/10")
	f("Range: bytes=8-", 206, "89", "bytes 8-9/10")
	f("Range: bytes=10-", 416, "", "bytes */10")
	f("Range: bytes=0-1,3-4", 200, "0123456789", "")
	f("Range: bytes=0-1\nIf-Range: \"v1\"", 206, "01", "bytes 0-1/10")
	f("Range: bytes=0-1\nIf-Range: \"v2\"", 200, "0123456789", "")
	want(t, w.ask("HEAD /a\nRange: bytes=0-1"), 200, "", exchange.CacheHit)
	if n := w.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestVariants(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Variants = 2 })
	w.endpoint = func(q *asked) *reply {
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nVary: X-Kind", body: "kind " + q.get("X-Kind")}
	}
	f := func(kind string, outcome exchange.CacheOutcome) {
		t.Helper()
		w.pass(time.Millisecond)
		want(t, w.ask("GET /a\nX-Kind: "+kind), 200, "kind "+kind, outcome)
	}
	f("a", exchange.CacheMiss)
	f("a", exchange.CacheHit)
	f("b", exchange.CacheMiss)
	f("a", exchange.CacheHit)
	f("b", exchange.CacheHit)
	f("c", exchange.CacheMiss) // drives out a, the oldest
	f("c", exchange.CacheHit)
	f("b", exchange.CacheHit)
	f("a", exchange.CacheMiss)
	g := w.ask("GET /a")
	want(t, g, 200, "kind ", exchange.CacheMiss)
	if s := g.all("Cache-Status"); !strings.HasPrefix(s, "Straum; fwd=vary-miss; stored") {
		t.Errorf("cache status %s", s)
	}
}

func TestNeverStored(t *testing.T) {
	f := func(fields, why string) {
		t.Helper()
		w := newWorld(t)
		w.answers(fields, "x")
		g := w.ask("GET /a")
		if g.cached.Stored || g.cached.Why != why {
			t.Errorf("%s: stored %v, why %q, want %q", fields, g.cached.Stored, g.cached.Why, why)
		}
		want(t, w.ask("GET /a"), 200, "x", exchange.CacheMiss)
	}
	f("Cache-Control: no-store", "no_store")
	f("Cache-Control: private, max-age=60", "private")
	f("Cache-Control: max-age=60\nVary: *", "vary")
	f("Cache-Control: max-age=60\nVary: X-Forwarded-For", "vary_client")
	f("Cache-Control: max-age=60\nSet-Cookie: a=b", "set_cookie")
	f("Cache-Control: max-age=60\nSurrogate-Key: "+strings.Repeat("k", 9000), "too_many_tags")
}

// What a list of variants has no place for takes none in memory either.
func TestVariantsAreForgotten(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Variants = 4 })
	w.answers("Cache-Control: max-age=60\nVary: X-Kind", "x")
	for i := range 50 {
		w.ask("GET /a\nX-Kind: " + strings.Repeat("k", i))
	}
	if n := w.cache.Stat().Memory.Objects; n != 5 {
		t.Errorf("%d objects, want 4 variants and their list", n)
	}
}

func TestWordsAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range Words() {
		if seen[string(w)] || Explain(w) == "" {
			t.Errorf("%s: said twice, or not explained: %q", w, Explain(w))
		}
		seen[string(w)] = true
	}
	if len(seen) >= len(tally{}) {
		t.Errorf("%d words, and places for %d", len(seen), len(tally{}))
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	f := func(request string, outcome exchange.CacheOutcome, last string) {
		t.Helper()
		e := w.route.Explain(w.request(request))
		if e.Outcome != outcome || len(e.Rules) == 0 || !strings.Contains(e.Rules[len(e.Rules)-1].Result, last) {
			t.Errorf("%s: %s, rules %q, want %s and %q last", request, e.Outcome, e.Rules, outcome, last)
		}
		if (e.Stored != nil) != (outcome == exchange.CacheHit || outcome == exchange.CacheStale || outcome == exchange.CacheExpired) {
			t.Errorf("%s: stored %+v", request, e.Stored)
		}
	}
	f("GET /a", exchange.CacheMiss, "asked once for all")
	f("POST /a\n\nx", exchange.CacheBypass, "Only answers to GET")
	f("GET /a\nCache-Control: only-if-cached", exchange.CacheOnly, "504")
	w.answers("Cache-Control: max-age=60, stale-while-revalidate=60\nVary: X-Kind", "x")
	w.ask("GET /a")
	f("GET /a", exchange.CacheHit, "as it is")
	f("GET /a\nX-Kind: other", exchange.CacheMiss, "asked once for all")
	f("GET /a\nCache-Control: no-cache", exchange.CacheExpired, "the client is told so")
	w.pass(70 * time.Second)
	f("GET /a", exchange.CacheStale, "renewed in the background")
	w.pass(70 * time.Second)
	f("GET /a", exchange.CacheExpired, "")
	w.answers("Cache-Control: private", "x")
	w.ask("GET /b")
	if e := w.route.Explain(w.request("GET /b")); !strings.Contains(e.Last, "private") || e.Outcome != exchange.CacheMiss {
		t.Errorf("last %q, %s", e.Last, e.Outcome)
	}
	if n := w.count(); n != 2 {
		t.Errorf("to explain took %d requests", n-2)
	}
}

// A 304 to the client's own condition is the client's.
func TestClientsOwnCondition(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60\nETag: \"v1\"", "old")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	w.endpoint = func(q *asked) *reply {
		if q.get("If-None-Match") == `"v9"` {
			return &reply{status: 304, fields: "ETag: \"v9\""}
		}
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nETag: \"v9\"", body: "new"}
	}
	want(t, w.ask("GET /a\nCache-Control: no-store\nIf-None-Match: \"v9\""), 304, "", exchange.CacheExpired)
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheExpired)
}

// A 304 that names another Vary is served and not stored: it would be found under the wrong requests.
func TestVaryChanges(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60\nETag: \"v1\"\nVary: A", "x")
	w.ask("GET /a\nA: 1\nB: 1")
	w.pass(70 * time.Second)
	w.endpoint = func(q *asked) *reply {
		if q.get("If-None-Match") != "" {
			return &reply{status: 304, fields: "Cache-Control: max-age=60\nETag: \"v1\"\nVary: B"}
		}
		return &reply{status: 200, fields: "Cache-Control: max-age=60\nVary: B", body: "for " + q.get("B")}
	}
	want(t, w.ask("GET /a\nA: 1\nB: 1"), 200, "x", exchange.CacheRevalidated)
	if g := w.ask("GET /a\nA: 1\nB: 2"); g.cached.Outcome == exchange.CacheHit {
		t.Errorf("got %q as a hit", g.body)
	}
}

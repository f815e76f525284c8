package cache

import (
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func TestStaleWhileRevalidate(t *testing.T) {
	w := newWorld(t)
	n := 0
	w.endpoint = func(q *asked) *reply {
		n++
		return &reply{status: 200, fields: "Cache-Control: max-age=60, stale-while-revalidate=30", body: string(rune('0' + n))}
	}
	w.ask("GET /a")
	w.pass(70 * time.Second)
	g := w.ask("GET /a")
	want(t, g, 200, "1", exchange.CacheStale)
	if s := g.all("Cache-Status"); s != "Straum; hit; ttl=-10" {
		t.Errorf("cache status %s", s)
	}
	w.settle()
	want(t, w.ask("GET /a"), 200, "2", exchange.CacheHit)
	if n := w.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	w.pass(100 * time.Second)
	want(t, w.ask("GET /a"), 200, "3", exchange.CacheExpired)
}

// A renewal that fails is not tried again at once, and what is stale is served on.
func TestRenewalFails(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60, stale-while-revalidate=3600\nETag: \"v1\"", "x")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	w.endpoint = func(*asked) *reply { return nil }
	for range 5 {
		want(t, w.ask("GET /a"), 200, "x", exchange.CacheStale)
		w.settle()
	}
	if n := w.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	w.pass(2 * time.Second)
	w.ask("GET /a")
	w.settle()
	if n := w.count(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	w.endpoint = func(q *asked) *reply {
		if q.get("If-None-Match") != `"v1"` {
			t.Errorf("asked without the condition: %v", q.header.All())
		}
		return &reply{status: 304, fields: "Cache-Control: max-age=60\nETag: \"v1\""}
	}
	w.pass(3 * time.Second)
	w.ask("GET /a")
	w.settle()
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheHit)
	if s := w.cache.Stat(); s.Renewals != 3 || s.RenewalsFailed != 2 {
		t.Errorf("stat %+v", s)
	}
}

// A renewal that brings what is not for all ends what was stored.
func TestRenewalTurnsPrivate(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60, stale-while-revalidate=3600", "public")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	w.answers("Cache-Control: private", "private")
	want(t, w.ask("GET /a"), 200, "public", exchange.CacheStale)
	w.settle()
	want(t, w.ask("GET /a"), 200, "private", exchange.CacheMiss)
}

func TestRenewalsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60, stale-while-revalidate=3600", "x")
	path := func(i int) string { return "GET /" + string(rune('a'+i%26)) + string(rune('a'+i/26)) }
	for i := range maxRenewals + 10 {
		w.ask(path(i))
	}
	w.pass(70 * time.Second)
	held := make(chan struct{})
	w.endpoint = func(*asked) *reply {
		<-held
		return &reply{status: 200, fields: "Cache-Control: max-age=60", body: "y"}
	}
	for range 3 { // once a key
		for i := range maxRenewals + 10 {
			want(t, w.ask(path(i)), 200, "x", exchange.CacheStale)
		}
	}
	if s := w.cache.Stat(); s.Renewals != maxRenewals || s.RenewalsSkipped < 10 {
		t.Errorf("%d renewals, %d skipped; want %d and at least 10", s.Renewals, s.RenewalsSkipped, maxRenewals)
	}
	close(held)
	w.settle()
}

func TestEarlyRenewal(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Early = 0.1 })
	w.answers("Cache-Control: max-age=100", "x")
	w.ask("GET /a")
	w.pass(50 * time.Second)
	for range 2 * enough {
		w.ask("GET /a")
	}
	w.settle()
	if n := w.count(); n != 1 {
		t.Errorf("%d requests in the middle of the lifetime, want 1", n)
	}
	w.pass(45 * time.Second)
	for range enough - 1 {
		w.ask("GET /a")
	}
	w.settle()
	if n := w.count(); n != 1 {
		t.Errorf("%d requests for what few ask for, want 1", n)
	}
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheHit)
	w.settle()
	if n := w.count(); n != 2 {
		t.Errorf("%d requests for what many ask for, want 2", n)
	}
	w.pass(50 * time.Second)
	want(t, w.ask("GET /a"), 200, "x", exchange.CacheHit)
}

func TestStaleIfError(t *testing.T) {
	w := newWorld(t)
	fresh := func() {
		w.answers("Cache-Control: max-age=60, stale-if-error=60", "x")
	}
	fresh()
	w.ask("GET /a")
	w.pass(70 * time.Second)
	f := func(r *reply, why, status string) {
		t.Helper()
		w.endpoint = func(*asked) *reply { return r }
		g := w.ask("GET /a")
		want(t, g, 200, "x", exchange.CacheStale)
		if g.cached.Why != why || g.all("Cache-Status") != status {
			t.Errorf("why %s, cache status %s", g.cached.Why, g.all("Cache-Status"))
		}
	}
	f(&reply{status: 503, body: "down"}, "server_error", "Straum; fwd=stale; fwd-status=503; detail=server_error")
	f(&reply{fault: fault.New(fault.BreakerOpen, nil)}, "breaker_open", "Straum; fwd=stale; detail=breaker_open")
	f(&reply{fault: fault.New(fault.UpstreamTimeout, nil)}, "upstream_timeout", "Straum; fwd=stale; detail=upstream_timeout")
	f(nil, "connect_failed", "Straum; fwd=stale; detail=connect_failed")
	w.endpoint = func(*asked) *reply { return &reply{fault: fault.New(fault.ClientGone, nil)} }
	if g := w.ask("GET /a"); g.status != 0 || g.fault == nil {
		t.Errorf("one who left got %d, fault %v", g.status, g.fault)
	}
	w.endpoint = func(*asked) *reply { return &reply{status: 404, body: "gone"} }
	want(t, w.ask("GET /a"), 404, "gone", exchange.CacheExpired)
	w.pass(60 * time.Second)
	w.endpoint = func(*asked) *reply { return nil }
	if g := w.ask("GET /a"); g.fault == nil || g.fault.Kind != fault.ConnectFailed {
		t.Errorf("after the time for errors: %d, fault %v", g.status, g.fault)
	}
}

func TestMustRevalidateIsNeverStale(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Rules.StaleIfError, t.Rules.StaleWhileRevalidate = time.Hour, time.Hour })
	w.answers("Cache-Control: max-age=60, must-revalidate", "x")
	w.ask("GET /a")
	w.pass(70 * time.Second)
	w.endpoint = func(*asked) *reply { return &reply{status: 503, body: "down"} }
	want(t, w.ask("GET /a"), 503, "down", exchange.CacheExpired)
}

func TestOnlyIfCached(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60", "x")
	g := w.ask("GET /a\nCache-Control: only-if-cached")
	if g.fault == nil || g.fault.Kind.Status != 504 || g.cached.Outcome != exchange.CacheOnly || w.count() != 0 {
		t.Errorf("got %d, fault %v, %s, %d requests", g.status, g.fault, g.cached.Outcome, w.count())
	}
	w.ask("GET /a")
	want(t, w.ask("GET /a\nCache-Control: only-if-cached"), 200, "x", exchange.CacheHit)
}

func TestRequestDirectives(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60", "x")
	w.ask("GET /a")
	w.pass(30 * time.Second)
	f := func(cc string, outcome exchange.CacheOutcome, fwd string) {
		t.Helper()
		g := w.ask("GET /a\nCache-Control: " + cc)
		want(t, g, 200, "x", outcome)
		if s := g.all("Cache-Status"); len(s) < len(fwd) || s[:len(fwd)] != fwd {
			t.Errorf("%s: cache status %s, want %s", cc, s, fwd)
		}
	}
	f("max-age=40", exchange.CacheHit, "Straum; hit")
	f("max-age=20", exchange.CacheExpired, "Straum; fwd=request")
	w.pass(30 * time.Second)
	f("min-fresh=40", exchange.CacheExpired, "Straum; fwd=request")
	f("no-cache", exchange.CacheExpired, "Straum; fwd=request")
	w.pass(70 * time.Second)
	f("max-stale=20", exchange.CacheStale, "Straum; hit; ttl=-10")
	f("max-stale=5", exchange.CacheExpired, "Straum; fwd=stale")
}

package cache

import (
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
)

// One host may be written in several ways, which endpoints are sent as they came. One of those that takes them for different hosts must not spoil
// what is stored for those who write it as everybody does.
func TestSpellingsOfHost(t *testing.T) {
	for _, spelled := range []string{"A.test", "a.test.", "a.test:80", "a.test:00080", "a.tesT:080"} {
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60", "spoiled")
		x := w.request("GET /a")
		x.Request.Header.Del(exchange.Host)
		x.Request.Header.Append(exchange.Host, "Host", spelled)
		w.run(x, &Visit{}, nil)
		w.answers("Cache-Control: max-age=60", "good")
		if g := w.ask("GET /a"); g.body != "good" {
			t.Errorf("%s: others get %q", spelled, g.body)
		}
		want(t, w.ask("GET /a"), 200, "good", exchange.CacheHit)
	}
}

// A credential that endpoints do not get cannot tell variants apart: neither callers, nor them from anybody.
func TestVaryByHiddenCredential(t *testing.T) {
	for _, vary := range []string{"Authorization", "Accept, authorization"} {
		w := newWorld(t)
		ask := func(who string) *got {
			x := w.request("GET /a")
			if who != "" {
				x.Caller.Method, x.Caller.Consumer = "basic", &consumer.Consumer{ID: who}
			}
			return w.run(x, &Visit{}, nil)
		}
		answer := func(body string) { w.answers("Cache-Control: public, max-age=60\nVary: "+vary, body) }
		answer("a's")
		want(t, ask("a"), 200, "a's", exchange.CacheMiss)
		answer("b's")
		want(t, ask("b"), 200, "b's", exchange.CacheMiss)
		answer("anybody's")
		want(t, ask(""), 200, "anybody's", exchange.CacheMiss)
		want(t, ask(""), 200, "anybody's", exchange.CacheHit)
		answer("c's")
		want(t, ask("c"), 200, "c's", exchange.CacheMiss)
		want(t, ask(""), 200, "anybody's", exchange.CacheHit)
		x := w.request("GET /a\nAuthorization: Basic x") // the endpoint gets it
		want(t, w.run(x, &Visit{}, nil), 200, "c's", exchange.CacheMiss)
		want(t, w.ask("GET /a\nAuthorization: Basic x"), 200, "c's", exchange.CacheHit)
	}
}

// A clock that is set back makes nothing live longer than it was to, again: neither by its age, nor because a purge or an unsafe method seems to be
// older.
func TestClockSetBack(t *testing.T) {
	stored := func() *world {
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60", "old")
		w.ask("GET /a")
		w.pass(-24 * time.Hour)
		w.answers("Cache-Control: max-age=60", "new")
		return w
	}
	w := stored()
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheExpired)
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheHit)

	w = newWorld(t)
	w.answers("Cache-Control: max-age=60", "old")
	w.ask("GET /a")
	w.pass(-10 * time.Second)
	want(t, w.ask("GET /a"), 200, "old", exchange.CacheHit)
	if _, err := w.cache.Purge(Purge{All: true}); err != nil {
		t.Fatal(err)
	}
	w.answers("Cache-Control: max-age=60", "new")
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheMiss)
	want(t, w.ask("GET /a"), 200, "new", exchange.CacheHit)

	w.pass(-10 * time.Second)
	w.ask("DELETE /a")
	w.answers("Cache-Control: max-age=60", "newer")
	want(t, w.ask("GET /a"), 200, "newer", exchange.CacheMiss)
	want(t, w.ask("GET /a"), 200, "newer", exchange.CacheHit)
}

// What another gateway deleted while it was being validated does not come back.
func TestDeletedAgainstValidation(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60\nETag: \"1\"", "old")
		w.ask("GET /a")
		w.pass(2 * time.Minute)
		x, v := w.request(method+" /a"), &Visit{}
		w.route.Look(x, v, w, func() bool { return false })
		k := v.key
		w.endpoint = func(*asked) *reply {
			if method == "HEAD" {
				return &reply{status: 200, fields: "Cache-Control: max-age=60\nETag: \"1\"", body: "old"}
			}
			return &reply{status: 304, fields: "Cache-Control: max-age=60\nETag: \"1\""}
		}
		w.forward(x)
		w.pass(time.Second)
		fleet{w.cache}.Deleted(k, w.clock.Load())
		v.Store(x)
		v.End(x)
		w.answers("Cache-Control: max-age=60", "new")
		want(t, w.ask("GET /a"), 200, "new", exchange.CacheMiss)
	}
}

// An endpoint that has no time for a renewal does not make what is stored useless.
func TestRenewalIsLimited(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Rules.StaleWhileRevalidate = time.Hour })
	w.answers("Cache-Control: max-age=60", "old")
	w.ask("GET /a")
	w.pass(2 * time.Minute)
	w.endpoint = func(*asked) *reply { return &reply{status: 429, fields: "Retry-After: 5", body: "no"} }
	want(t, w.ask("GET /a"), 200, "old", exchange.CacheStale)
	w.settle()
	want(t, w.ask("GET /a"), 200, "old", exchange.CacheStale)
	w.settle()
}

// Thousands of variants of one resource stay as many as may be, and take no more room than that.
func TestVariantFlood(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Variants = 16 })
	w.answers("Cache-Control: max-age=60\nVary: X-A, X-B, Accept-Language", "x")
	for i := range 3000 {
		n := time.Duration(i).String()
		w.ask("GET /a\nX-A: " + n + "\nX-B: " + n + "\nAccept-Language: " + n)
	}
	if n := w.cache.stores.Load().memory.Figures().Objects; n > 17 {
		t.Errorf("%d objects are left of a flood of variants, want 17", n)
	}
	w.answers("Cache-Control: max-age=60\nVary: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q", "x")
	want(t, w.ask("GET /b"), 200, "x", exchange.CacheMiss)
	want(t, w.ask("GET /b"), 200, "x", exchange.CacheMiss)
}

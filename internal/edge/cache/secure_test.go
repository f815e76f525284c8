package cache

import (
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
)

// What is in no key must not change what others get.
func TestPoisoning(t *testing.T) {
	for _, c := range []struct {
		name, request string
		spoils        bool // its answer is what everybody gets who asks the same way, and nobody else
	}{
		{"fat GET", "GET /a\n\nq=evil", false},
		{"GET of unknown content", "GET /a\nTransfer-Encoding: chunked\n\nx", false},
		{"method override", "GET /a\nX-HTTP-Method-Override: POST", false},
		{"method override in small letters", "GET /a\nx-http-method-override: POST", false},
		{"method override, short", "GET /a\nX-HTTP-Method: DELETE", false},
		{"method override, other", "GET /a\nX-Method-Override: PUT", false},
		{"original URL", "GET /a\nX-Original-URL: /admin", false},
		{"rewritten URL", "GET /a\nX-Rewrite-URL: /admin", false},
		{"forwarded host", "GET /a\nX-Forwarded-Host: evil.test", false},
		{"forwarded scheme", "GET /a\nX-Forwarded-Scheme: http", false},
		{"forwarded protocol", "GET /a\nX-Forwarded-Proto: gopher", false},
		{"forwarded port", "GET /a\nX-Forwarded-Port: 1", false},
		{"forwarded prefix", "GET /a\nX-Forwarded-Prefix: /evil", false},
		{"another host", "GET /a\nX-Host: evil.test", false},
		{"precondition", "GET /a\nIf-Match: \"x\"", false},
		{"unmodified since", "GET /a\nIf-Unmodified-Since: " + date(0), false},
		{"no store", "GET /a\nCache-Control: no-store", false},
		{"authorization", "GET /a\nAuthorization: Basic x", false},
	} {
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60", "spoiled")
		w.ask(c.request)
		w.ask(c.request)
		w.answers("Cache-Control: max-age=60", "good")
		if g := w.ask("GET /a"); g.body != "good" {
			t.Errorf("%s: others get %q", c.name, g.body)
		}
		// And who asks so does not get what is stored for others.
		before := w.count()
		w.ask(c.request)
		if c.name != "no store" && c.name != "precondition" && c.name != "unmodified since" && c.name != "authorization" && w.count() == before && w.last().get("X-Forwarded-Host") == "" {
			// its own answer from before may serve it
			if g := w.ask(c.request); g.body == "good" {
				t.Errorf("%s: it gets what is stored for others", c.name)
			}
		}
	}
}

// Answers that speak of the request are never stored, whatever they say.
func TestAnswersAboutTheRequest(t *testing.T) {
	for _, status := range []int{206, 304, 412, 416, 417, 429, 431} {
		w := newWorld(t)
		w.endpoint = func(*asked) *reply {
			return &reply{status: status, fields: "Cache-Control: public, max-age=60", body: ""}
		}
		w.ask("GET /a")
		w.answers("Cache-Control: max-age=60", "good")
		if g := w.ask("GET /a"); g.status != 200 {
			t.Errorf("%d was stored", status)
		}
	}
}

func TestAuthenticatedAnswersAreNotShared(t *testing.T) {
	w := newWorld(t)
	ask := func(who string) *got {
		x := w.request("GET /a")
		if who != "" {
			x.Caller.Method, x.Caller.Consumer = "api_key", &consumer.Consumer{ID: who}
		}
		return w.run(x, &Visit{}, nil)
	}
	w.answers("Cache-Control: max-age=60", "for one")
	want(t, ask("a"), 200, "for one", exchange.CacheMiss)
	want(t, ask("b"), 200, "for one", exchange.CacheMiss)
	w.answers("Cache-Control: public, max-age=60", "for all")
	want(t, ask("a"), 200, "for all", exchange.CacheMiss)
	want(t, ask("b"), 200, "for all", exchange.CacheHit)
}

func TestPartitioned(t *testing.T) {
	w := newWorld(t, func(t *Terms) { t.Parts.Consumer, t.Rules.Partitioned = true, true })
	ask := func(who string) *got {
		x := w.request("GET /a")
		if who != "" {
			x.Caller.Method, x.Caller.Consumer = "api_key", &consumer.Consumer{ID: who}
		}
		return w.run(x, &Visit{}, nil)
	}
	w.answers("Cache-Control: private, max-age=60", "a's")
	want(t, ask("a"), 200, "a's", exchange.CacheMiss)
	w.answers("Cache-Control: private, max-age=60", "b's")
	want(t, ask("b"), 200, "b's", exchange.CacheMiss)
	want(t, ask("a"), 200, "a's", exchange.CacheHit)
	want(t, ask("b"), 200, "b's", exchange.CacheHit)
	want(t, ask(""), 200, "b's", exchange.CacheBypass)
}

func TestRoutesAreApart(t *testing.T) {
	w := newWorld(t)
	w.answers("Cache-Control: max-age=60", "one")
	w.ask("GET /a")
	w.answers("Cache-Control: max-age=60", "two")
	x := w.request("GET /a")
	x.Route = &exchange.Route{Name: "other"}
	want(t, w.run(x, &Visit{}, nil), 200, "two", exchange.CacheMiss)
}

func TestInvalidation(t *testing.T) {
	f := func(request string, status int, fields string, target string, gone bool) {
		t.Helper()
		w := newWorld(t)
		w.answers("Cache-Control: max-age=60", "x")
		w.ask("GET " + target)
		w.pass(time.Second)
		w.endpoint = func(*asked) *reply { return &reply{status: status, fields: fields, body: "done"} }
		x := w.request(request)
		x.Route = &exchange.Route{Name: "writes"} // another route than the one that reads
		w.run(x, &Visit{}, nil)
		w.pass(time.Second)
		w.answers("Cache-Control: max-age=60", "y")
		if g := w.ask("GET " + target); (g.body == "y") != gone {
			t.Errorf("%s, %d %s: %s is answered %q", request, status, fields, target, g.body)
		}
	}
	f("POST /a\n\nx", 200, "", "/a", true)
	f("PUT /a\n\nx", 204, "", "/a", true)
	f("DELETE /a", 204, "", "/a", true)
	f("M-SEARCH /a", 200, "", "/a", true)
	f("POST /a\n\nx", 303, "", "/a", true)
	f("POST /a\n\nx", 500, "", "/a", false)
	f("POST /a\n\nx", 404, "", "/a", false)
	f("OPTIONS /a", 200, "", "/a", false)
	f("GET /a\n\nx", 200, "", "/a", false)
	f("POST /b\n\nx", 200, "", "/a", false)
	f("POST /b\n\nx", 201, "Location: /a", "/a", true)
	f("POST /b\n\nx", 201, "Location: http://a.test/a", "/a", true)
	f("POST /b\n\nx", 201, "Location: http://A.test:80/a#part", "/a", true)
	f("POST /b/c\n\nx", 201, "Location: ../a?q=1", "/a?q=1", true)
	f("POST /b\n\nx", 200, "Content-Location: /a", "/a", true)
	f("POST /b\n\nx", 201, "Location: http://b.test/a", "/a", false)
	f("POST /b\n\nx", 201, "Location: https://a.test/a", "/a", false)
	f("POST /b\n\nx", 201, "Location: http://a.test:8080/a", "/a", false)
}

// The table of invalidations forgets nothing, whatever comes: it may only take too much for useless.
func TestInvalidTable(t *testing.T) {
	var table invalid
	name := func(i int) string { return "http://a.test/" + time.Duration(i).String() }
	const n = 4 * invalidSets * invalidWays
	for i := range n {
		table.note(name(i), int64(i+1))
	}
	for i := range n {
		if !table.after(name(i), int64(i+1)) || !table.after(name(i), int64(i)) {
			t.Fatalf("%d was forgotten", i)
		}
		if table.after(name(i), n+1) {
			t.Fatalf("%d counts for what came later", i)
		}
	}
	fine := 0
	for i := range 1000 {
		if !table.after(name(n+i), n-100) {
			fine++
		}
	}
	if fine < 900 {
		t.Errorf("of 1000 that nobody changed lately %d are fine", fine)
	}
}

func TestPostForGet(t *testing.T) {
	f := func(fields string, stored bool) {
		t.Helper()
		w := newWorld(t)
		w.answers(fields, "posted")
		w.ask("POST /a?q=1\n\nx")
		w.pass(time.Second)
		w.answers("Cache-Control: max-age=60", "got")
		if g := w.ask("GET /a?q=1"); (g.body == "posted") != stored {
			t.Errorf("%s: GET is answered %q, %s", fields, g.body, g.cached.Outcome)
		}
	}
	f("Cache-Control: max-age=60\nContent-Location: /a?q=1", true)
	f("Cache-Control: max-age=60\nContent-Location: http://a.test/a?q=1", true)
	f("Cache-Control: max-age=60\nContent-Location:", false)
	f("Cache-Control: max-age=60\nContent-Location: /a", false)
	f("Cache-Control: max-age=60\nContent-Location: http://b.test/a?q=1", false)
	f("Cache-Control: max-age=60", false)
	f("Cache-Control: private, max-age=60\nContent-Location: /a?q=1", false)
	f("Last-Modified: "+date(-time.Hour)+"\nContent-Location: /a?q=1", false)
}

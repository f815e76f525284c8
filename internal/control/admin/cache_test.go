package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
)

// stored is a cache that stands still.
type stored struct{ asked []string }

func (*stored) Stat() cache.Stat {
	return cache.Stat{
		Memory: &cache.StoreStat{Objects: 11250, Bytes: 40 << 20, Room: 64 << 20, Hits: 9000, Misses: 3000, Stored: 2900, Evicted: 120, Healthy: true,
			Waited: 210 * time.Millisecond},
		Disk: &cache.StoreStat{Objects: 402, Bytes: 3 << 30, Room: 10 << 30, Hits: 30, Misses: 2970, Stored: 402, Dropped: 31, Failed: 2,
			Why: "writing to /var/lib/straum/cache: no space left on device", Waited: 1400 * time.Millisecond},
		Flights: 1, Collapsed: 499, Renewals: 37, RenewalsFailed: 1, Invalidated: 5, Purges: 2, Unstored: map[string]uint64{"private": 12, "no_store": 71},
	}
}

func (s *stored) Purge(p cache.Purge) (int, error) {
	s.asked = append(s.asked, fmt.Sprintf("%+v", p))
	if p.Tag == "late" {
		return 1, &cache.NotTold{Cause: errors.New("it does not answer")}
	}
	if strings.HasPrefix(p.Prefix, "api.") {
		return 0, errors.New("prefix: found no scheme")
	}
	return 12, nil
}

// explain knows one route with a cache and one without.
func (s *stored) explain(q edge.Question) (edge.Explanation, error) {
	s.asked = append(s.asked, strings.TrimSpace(fmt.Sprint(q.Method, " ", q.URL, " ", q.Header, " ", q.Caller.Consumer != nil, " ", q.Caller.Issuer, " ", q.Caller.Subject)))
	switch {
	case strings.HasSuffix(q.URL, "/unready"):
		return edge.Explanation{}, edge.ErrUnready
	case strings.HasSuffix(q.URL, "/search"):
		return edge.Explanation{}, fmt.Errorf("%w: it is the route search", edge.ErrNoCache)
	case strings.HasSuffix(q.URL, "/nowhere"):
		return edge.Explanation{}, fmt.Errorf("%w: none is for this host", edge.ErrNoRoute)
	case !strings.Contains(q.URL, "://"):
		return edge.Explanation{}, errors.New("no whole URL")
	}
	return edge.Explanation{Route: "orders", Method: q.Method, URL: q.URL, Explanation: cache.Explanation{
		Outcome: exchange.CacheHit,
		Key:     []cache.KeyPart{{Name: "route", Value: "orders"}, {Name: "host", Value: "api.example.com"}, {Name: "path", Value: "/orders/7"}},
		Rules: []cache.Rule{{Name: "method", Source: "RFC 9111 §4", Found: "GET", Result: "may be answered from the cache"},
			{Name: "lifetime", Source: "RFC 9111 §4.2.1", Found: "max-age=60, age 12s", Result: "fresh"}},
		Stored: &cache.Stored{Store: "memory", Status: 200, Age: 12*time.Second + 204567*time.Microsecond, Lifetime: time.Minute, Left: 47*time.Second + 795433*time.Microsecond,
			WhileRevalidating: 30 * time.Second, IfError: -1, ETag: `"v7"`, Vary: []string{"accept-language"}, Variants: 2, Bytes: 1310, Tags: []string{"order-7"}},
	}}, nil
}

func TestCache(t *testing.T) {
	w := newWorld(t)
	a := w.admin()
	path := socketIn(t)
	a.serveFor(t, Settings{Socket: path})
	c := caller(t, "unix", path)
	f := func(method, target, body string, status int, want string) {
		t.Helper()
		got, _, answer := ask(t, c, method, target, body, nil)
		if got != status || !strings.Contains(answer, want) {
			t.Errorf("%s %s %s: %d %s; want %d, %s", method, target, body, got, answer, status, want)
		}
	}
	f("GET", "/v1/cache", "", 200, `"not_stored":[{"why":"no_store","count":71,`)
	f("GET", "/v1/cache", "", 200, `"not_stored_total":83`)
	f("POST", "/v1/cache/purge", `{"url":"https://api.example.com/orders/7"}`, 200, `{"removed":12,"soft":false}`)
	f("POST", "/v1/cache/purge", `{"prefix":"https://api.example.com/","soft":true}`, 200, `"soft":true`)
	f("POST", "/v1/cache/purge", `{"tag":"a"}`, 200, `12`)
	f("POST", "/v1/cache/purge", `{"all":true}`, 200, `12`)
	f("POST", "/v1/cache/purge", `{"prefix":"api.example.com"}`, 422, `prefix: found no scheme`)
	want := []string{"{URL:https://api.example.com/orders/7 Prefix: Tag: All:false Soft:false}", "{URL: Prefix:https://api.example.com/ Tag: All:false Soft:true}",
		"{URL: Prefix: Tag:a All:false Soft:false}", "{URL: Prefix: Tag: All:true Soft:false}", "{URL: Prefix:api.example.com Tag: All:false Soft:false}"}
	if !slices.Equal(w.cache.asked, want) {
		t.Errorf("the cache was asked %v", w.cache.asked)
	}
	f("POST", "/v1/cache/purge", `{"tag":"late"}`, 200, `"removed":1,"soft":false,"fleet_later":"the purge is in force on this gateway;`)
	w.cache.asked = nil
	f("POST", "/v1/cache/purge", `{"soft":true}`, 422, `one of url, prefix, tag, and all: true`)
	f("POST", "/v1/cache/purge", `{"all":false}`, 422, `one of url`)
	f("POST", "/v1/cache/purge", `{"all":true,"tag":"a"}`, 422, `found tag and all`)
	f("POST", "/v1/cache/purge", `{"tags":"a"}`, 422, `tags`)
	if len(w.cache.asked) != 0 {
		t.Errorf("the cache was asked %v", w.cache.asked)
	}

	f("POST", "/v1/cache/explain", `{"url":"https://api.example.com/orders/7"}`, 200, `"age_seconds":12.205,"lifetime_seconds":60,"left_seconds":47.795`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/","method":"HEAD","consumer":"acme","headers":[{"name":"Accept","value":"a"},{"name":"Accept","value":"b"}]}`, 200, `"method":"HEAD"`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/","consumer":"nobody"}`, 404, `there is no consumer \"nobody\"`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/nowhere"}`, 404, `no route is for this request: none is for this host`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/search"}`, 409, `does not have the policy cache`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/unready"}`, 503, `no configuration is in force yet`)
	f("POST", "/v1/cache/explain", `{"url":"/orders"}`, 422, `no whole URL`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/","issuer":"https://id","subject":"anna"}`, 200, `"hit"`)
	f("POST", "/v1/cache/explain", `{}`, 422, `url`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/","headers":{"Accept":"a"}}`, 422, `headers`)
	want = []string{"GET https://api.example.com/orders/7 [] false", "HEAD https://a/ [[Accept a] [Accept b]] true", "GET https://a/nowhere [] false",
		"GET https://a/search [] false", "GET https://a/unready [] false", "GET /orders [] false", "GET https://a/ [] false https://id anna"}
	if !slices.Equal(w.cache.asked, want) {
		t.Errorf("explained %q", w.cache.asked)
	}

	// A gateway without a cache.
	bare := newWorld(t).admin()
	bare.sources.Cache, bare.sources.Explain = nil, nil
	path = socketIn(t)
	bare.serveFor(t, Settings{Socket: path})
	c = caller(t, "unix", path)
	f("GET", "/v1/cache", "", 200, `"stores":[]`)
	f("POST", "/v1/cache/purge", `{"all":true}`, 409, `no cache`)
	f("POST", "/v1/cache/explain", `{"url":"https://a/"}`, 409, `no cache`)
}

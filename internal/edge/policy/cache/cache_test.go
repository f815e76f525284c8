package cache

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/policytest"
)

// options are a document of their own.
type options struct{ document.Node }

func (options) Scope() string                 { return "orders" }
func (options) Upstream(string, string) error { return nil }
func (options) Beside(path string) string     { return path }
func (o options) Errorf(key, format string, args ...any) error {
	return o.Node.Errorf(key+": "+format, args...)
}

func built(t *testing.T, yaml string) *unbound {
	t.Helper()
	d, err := document.Parse("test.yaml", []byte(yaml), document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := build(options{d.Root()})
	if err != nil {
		t.Fatalf("%s: %v", yaml, err)
	}
	return b.(*unbound)
}

// Without options the standards count.
func TestDefaults(t *testing.T) {
	u := built(t, "{}")
	if u.scope != "orders" {
		t.Errorf("the scope is %q", u.scope)
	}
	want := cache.Terms{Wait: 5 * time.Second, Renew: 30 * time.Second, Early: 0.1, Variants: 64, Status: true}
	want.Rules.Heuristic, want.Rules.HeuristicMax, want.Rules.Targets = 0.1, time.Hour, []string{"cdn-cache-control"}
	if !reflect.DeepEqual(u.terms, want) {
		t.Errorf("%+v\nwant\n%+v", u.terms, want)
	}
}

// Each option changes what it says and nothing else.
func TestOptions(t *testing.T) {
	f := func(yaml string, change func(*cache.Terms)) {
		t.Helper()
		want := built(t, "{}").terms
		change(&want)
		if got := built(t, yaml).terms; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", yaml, got, want)
		}
	}
	f("ttl: 1m", func(w *cache.Terms) { w.Rules.TTL = time.Minute })
	f("ttl_by_status: { 404: 10s, 301: 1h }", func(w *cache.Terms) {
		w.Rules.TTLs = map[int]time.Duration{404: 10 * time.Second, 301: time.Hour}
	})
	f("default_ttl: 2m", func(w *cache.Terms) { w.Rules.DefaultTTL = 2 * time.Minute })
	f("{ heuristic: 25%, heuristic_max: 24h }", func(w *cache.Terms) { w.Rules.Heuristic, w.Rules.HeuristicMax = 0.25, 24*time.Hour })
	f("heuristic: 0%", func(w *cache.Terms) { w.Rules.Heuristic = 0 })
	f("stale_while_revalidate: 30s", func(w *cache.Terms) { w.Rules.StaleWhileRevalidate = 30 * time.Second })
	f("stale_if_error: 1h", func(w *cache.Terms) { w.Rules.StaleIfError = time.Hour })
	f("statuses: [200, 404]", func(w *cache.Terms) { w.Rules.Statuses = map[int]bool{200: true, 404: true} })
	f("query: none", func(w *cache.Terms) { w.Parts.NoQuery = true })
	f("query: all", func(*cache.Terms) {})
	f("query: { only: [page, size] }", func(w *cache.Terms) { w.Parts.Only = []string{"page", "size"} })
	f("query: { without: [utm_source], sort: true }", func(w *cache.Terms) { w.Parts.Without, w.Parts.SortQuery = []string{"utm_source"}, true })
	f("query: { sort: true }", func(w *cache.Terms) { w.Parts.SortQuery = true })
	f("headers: X-Tenant", func(w *cache.Terms) { w.Parts.Headers = []string{"x-tenant"} })
	f("headers: [X-Tenant, Accept-Language]", func(w *cache.Terms) { w.Parts.Headers = []string{"x-tenant", "accept-language"} })
	f("cookies: Lang", func(w *cache.Terms) { w.Parts.Cookies = []string{"Lang"} }) // the names of cookies have case
	f("by: consumer", func(w *cache.Terms) { w.Parts.Consumer, w.Rules.Partitioned = true, true })
	f("ignore_client: true", func(w *cache.Terms) { w.Rules.IgnoreRequest = true })
	f("strip_cookies: true", func(w *cache.Terms) { w.Rules.StripCookies = true })
	f("store_cookies: true", func(w *cache.Terms) { w.Rules.StoreCookies = true })
	f("targets: [Straum-Cache-Control, CDN-Cache-Control]", func(w *cache.Terms) { w.Rules.Targets = []string{"straum-cache-control", "cdn-cache-control"} })
	f("targets: []", func(w *cache.Terms) { w.Rules.Targets = nil })
	f("wait: 0", func(w *cache.Terms) { w.Wait = 1 })
	f("renew_within: 5s", func(w *cache.Terms) { w.Renew = 5 * time.Second })
	f("early: 0%", func(w *cache.Terms) { w.Early = 0 })
	f("variants: 8", func(w *cache.Terms) { w.Variants = 8 })
	f("max_object: 64KiB", func(w *cache.Terms) { w.MaxObject = 64 << 10 })
	f("cache_status: false", func(w *cache.Terms) { w.Status = false })
}

// A class stands for its statuses but for those that are never stored; what is said of one status comes before its class, in whatever
// order they are written.
func TestClasses(t *testing.T) {
	u := built(t, `{ statuses: [2xx, 404], ttl_by_status: { 404: 5s, 4xx: 1m, 2xx: 1h } }`)
	if s := u.terms.Rules.Statuses; !s[200] || !s[299] || !s[404] || s[206] || s[403] || s[304] || len(s) != 100 {
		t.Errorf("%d statuses: %v", len(s), s)
	}
	ttls := u.terms.Rules.TTLs
	if ttls[404] != 5*time.Second || ttls[200] != time.Hour || ttls[206] != 0 || ttls[403] != 0 || len(ttls) != 100 {
		t.Errorf("%v", ttls)
	}
	ttls = built(t, "ttl_by_status: { 3xx: 1m, 301: 2m }").terms.Rules.TTLs
	if ttls[301] != 2*time.Minute || ttls[302] != time.Minute || len(ttls) != 99 {
		t.Errorf("%v", ttls)
	}
}

func TestRefused(t *testing.T) {
	w := policytest.New(t)
	f := func(yaml, want string) {
		t.Helper()
		got := w.Refused(Kind, yaml)
		if !strings.HasPrefix(got, "test.yaml:1:") || !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", yaml, got, want)
		}
	}
	f("tll: 1m", `did you mean "ttl"?`)
	f("ttl: 60", "which has no unit")
	f("ttl: 500ms", "allowed: 0 or 1s to 8784h")
	f("ttl_by_status: { 99: 1m }", "a status such as 404, or a class such as 5xx")
	f("ttl_by_status: { 404: 0 }", "found 0s for 404; allowed: 1s to 8784h")
	f("ttl_by_status: { 5xx: 9000h }", "1s to 8784h")
	f("ttl_by_status: { 206: 1m }", "only whole ones are stored")
	f("ttl_by_status: { 304: 1m }", "no answer to store")
	f(`{ statuses: 200, ttl_by_status: { 404: 1m } }`, "404 has a lifetime and is not among statuses")
	f(`{ statuses: 2xx, ttl_by_status: { 5xx: 1s } }`, "none of it is among statuses")
	f("{ ttl: 1m, default_ttl: 1m }", "never counts")
	f("{ strip_cookies: true, store_cookies: true }", "either with the field")
	f("{ heuristic: 0%, heuristic_max: 2h }", "never makes")
	f("heuristic: 0.1", "which has no unit")
	f("heuristic: 101%", "0% to 100%")
	f("statuses: []", "1 to 64")
	f("statuses: 206", "RFC 9111 §3.3")
	f("statuses: [1xx]", "which is no status from 200 to 599")
	f("statuses: [600]", "which is no status from 200 to 599")
	f("query: some", "all, none")
	f("query: { only: [a], without: [b] }", "only one of only, without")
	f("query: { only: [a, a] }", "a is there twice")
	f(`query: { only: [""] }`, "empty name")
	f("headers: [X-A, x-a]", "x-a is there twice")
	f(`headers: ["x a"]`, "is not a field name")
	for name, why := range map[string]string{"Host": "anyway", "cookie": "with cookies", "Authorization": "by: consumer", "Range": "a part or a condition",
		"If-None-Match": "a part or a condition", "Cache-Control": "ignore_client", "Pragma": "ignore_client", "Connection": "one connection", "Content-Length": "one message",
		"Traceparent": "nothing would ever be found", "X-Forwarded-Proto": "part of the key anyway", "X-Consumer-ID": "by: consumer"} {
		f("headers: "+name, why)
	}
	f(`cookies: ["a=b"]`, "not the name of a cookie")
	f("by: credential", "all, consumer")
	f("targets: [Cache-Control]", "counts anyway")
	f("targets: [X-Lifetime]", "RFC 9213")
	f(`targets: ["a b-cache-control"]`, "not a field name")
	f("targets: [CDN-Cache-Control, cdn-cache-control]", "there twice")
	f("wait: 6m", "0 or 10ms to 5m")
	f("renew_within: 0", "100ms to 10m")
	f("early: 60%", "0% to 50%")
	f("variants: 0", "1 to 1024")
	f("max_object: 1", "0 or 1KiB")
}

// A revision that is only judged has no cache, and its routes neither.
func TestJudgedOnly(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{}")
	if r.Chain.Cache != nil {
		t.Errorf("%v", r.Chain.Cache)
	}
}

// Every option that breaks a rule of the standard says which.
func TestWhatIsBrokenIsSaid(t *testing.T) {
	breaks := map[string]bool{"TTL": true, "TTLByStatus": true, "Query": true, "By": true, "IgnoreClient": true}
	shape := reflect.TypeFor[Options]()
	for i := range shape.NumField() {
		f := shape.Field(i)
		if says := strings.Contains(f.Tag.Get("doc"), "reaks RFC 9111 §"); says != breaks[f.Name] {
			t.Errorf("%s: says that it breaks a rule: %v", f.Name, says)
		}
	}
}

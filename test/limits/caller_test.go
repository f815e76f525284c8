package limits

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// What a consumer may have is what its plan says, and for who has none what the route says; over either protocol it is the same.
func TestPlans(t *testing.T) {
	t.Parallel()
	f := open(t, setting{
		plans: map[string]string{"acme": "gold", "bob": "free"},
		more: `
plans:
  gold: { rates: [ { requests: 7, per: 1h } ], quotas: [ { requests: 9, per: day }, { requests: 100, per: month } ] }
  free: { rates: [ { requests: 2, per: 1h }, { requests: 30, per: 24h } ], quotas: [ { requests: 4, per: month } ] }
`,
		routes: `
  - { name: rate,  match: { path: /rate },  upstream: app, policies: [ api_key: {}, rate_limit: { plan: true, rate: 3/h } ] }
  - { name: other, match: { path: /other }, upstream: app, policies: [ api_key: {}, rate_limit: { plan: true } ] }
  - { name: quota, match: { path: /quota }, upstream: app, policies: [ api_key: {}, quota: { plan: true, requests: 5, per: day, zone: ` + noon() + ` } ] }
`})
	for _, c := range []struct {
		path, who string
		want      int
	}{
		{"/rate", "acme", 7}, {"/rate", "bob", 2}, {"/rate", "carl", 3},
		{"/quota", "acme", 9}, {"/quota", "bob", 4}, {"/quota", "carl", 5},
	} {
		half := c.want / 2
		for range half {
			f.want("over HTTP/2", f.over(f.h2, c.path, as(c.who)...), 200, "")
		}
		if got := half + f.left(c.path, as(c.who)...); got != c.want {
			t.Errorf("%s granted %s %d, want %d", c.path, c.who, got, c.want)
		}
		f.want("over HTTP/2, used up", f.over(f.h2, c.path, as(c.who)...), 429, map[string]string{"/rate": "rate_limited", "/quota": "quota_exceeded"}[c.path])
	}
	f.use("no limit without a plan", 20, "/other", as("carl")...)
	f.want("another route", f.get("/other", as("bob")...), 200, "") // counts apart
	if a := f.get("/other", as("bob")...); a.header.Get("RateLimit-Policy") != `"plan";q=2;w=3600, "plan-2";q=30;w=86400` {
		t.Errorf("the rates of a plan are told as %q", a.header.Get("RateLimit-Policy"))
	}
}

// A flood of keys that are made up is refused by address before any of them is looked at, and who comes from elsewhere is not touched by it. IPv6
// counts by /64.
func TestBeforeAuthentication(t *testing.T) {
	t.Parallel()
	f := open(t, setting{routes: `
  - { name: all, match: { path: /all }, upstream: app, policies: [ api_key: {}, rate_limit: { rate: 1/h, burst: 10, by: address } ] }
`})
	const attacker = "198.51.100.7"
	for n := range 60 {
		a := f.get("/all", "X-Api-Key", fmt.Sprintf("made-up-%d-and-of-some-length", n), "X-Forwarded-For", attacker)
		if n < 10 {
			f.want("made up", a, 401, "unauthenticated")
		} else {
			f.want("made up, and too many", a, 429, "rate_limited")
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge == "") != (n >= 10) {
			t.Errorf("request %d: the challenge is %q", n, challenge)
		}
	}
	f.want("a good key from there", f.get("/all", append(as("acme"), from(attacker)...)...), 429, "rate_limited")
	f.want("a good key from elsewhere", f.get("/all", append(as("acme"), from("198.51.100.8")...)...), 200, "")
	gateway.Await(t, "all are in the access log", func() bool { return len(f.Access()) >= 62 })
	refused := 0
	for _, l := range f.Access() {
		verdicts := fmt.Sprint(l["verdicts"])
		switch l.Number("status") {
		case 429:
			refused++
			if verdicts != "[rate_limit:limited]" || l.Text("auth") != "" || l.Text("consumer") != "" {
				t.Errorf("of a request that was refused before authentication the log has verdicts %s, auth %q, consumer %q", verdicts, l.Text("auth"), l.Text("consumer"))
			}
		case 401:
			if verdicts != "[api_key:unknown]" {
				t.Errorf("of a key that is made up the log has verdicts %s", verdicts)
			}
		}
	}
	if refused != 51 {
		t.Errorf("the log has %d refusals, want 51", refused)
	}
	if n := f.Number("straum_policy_rate_limit_limited_total", `scope="all"`, `limit="default"`); n != 51 {
		t.Errorf("the metrics have %v refusals, want 51", n)
	}
	if n := f.arrived.Load(); n != 1 {
		t.Errorf("%d requests reached the endpoint, want 1", n)
	}

	// One who has a whole /64 has no more for it, and IPv4 written as IPv6 is IPv4.
	for n := range 10 {
		f.want("IPv6", f.get("/all", append(as("acme"), from(fmt.Sprintf("2001:db8:0:1:%x::%x", n, n+1))...)...), 200, "")
	}
	f.want("the same /64", f.get("/all", append(as("acme"), from("2001:db8:0:1:ffff::1")...)...), 429, "rate_limited")
	f.want("the next /64", f.get("/all", append(as("acme"), from("2001:db8:0:2::1")...)...), 200, "")
	f.want("IPv4 as IPv6", f.get("/all", append(as("acme"), from("::ffff:"+attacker)...)...), 429, "rate_limited")
}

// number is one of the numbers in a field.
func number(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is not of the form %s", text, pattern)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Good answers and refusals tell what is left (draft-ietf-httpapi-ratelimit-headers-11 §3, §4), and who waits as long as Retry-After says passes.
func TestTold(t *testing.T) {
	t.Parallel()
	f := open(t, setting{routes: `
  - { name: one,   match: { path: /one },   upstream: app, policies: [ rate_limit: { rate: 2/h, burst: 3, by: address } ] }
  - { name: two,   match: { path: /two },   upstream: app, policies: [ rate_limit: { rate: 100/s, burst: 500, by: route, fields: both, limits: [ { name: day, rate: 2/d, burst: 2 } ] } ] }
  - { name: none,  match: { path: /none },  upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 1, by: route, fields: none } ] }
  - { name: dry,   match: { path: /dry },   upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 1, by: route, dry_run: true } ] }
  - { name: short, match: { path: /short }, upstream: app, policies: [ rate_limit: { rate: 1/s, burst: 2, by: route } ] }
  - { name: quota, match: { path: /quota }, upstream: app, policies: [ quota: { requests: 2, per: day, by: route, zone: ` + noon() + ` } ] }
`})
	for n, want := range []struct{ status, left, reset int }{{200, 2, 1800}, {200, 1, 3600}, {200, 0, 5400}, {429, 0, 5400}} {
		a := f.get("/one")
		f.want("one", a, want.status, "")
		if got := a.header.Get("RateLimit-Policy"); got != `"default";q=3;w=5400` {
			t.Errorf("answer %d: RateLimit-Policy is %q", n, got)
		}
		// The seconds are counted while the test runs.
		if left, reset := a.told(), number(t, a.header.Get("RateLimit"), `^"default";r=\d+;t=(\d+)$`); left != want.left || reset > want.reset || reset < want.reset-60 {
			t.Errorf("answer %d: RateLimit is %q, want r=%d and t=%d", n, a.header.Get("RateLimit"), want.left, want.reset)
		}
		if after := a.header.Get("Retry-After"); want.status == 429 {
			// What it takes, and by chance a tenth and a second more.
			if seconds := number(t, after, `^(\d+)$`); seconds < 1800-60 || seconds > 1800+181 {
				t.Errorf("Retry-After is %q", after)
			}
		} else if after != "" {
			t.Errorf("answer %d: Retry-After is %q", n, after)
		}
	}
	f.use("two", 1, "/two")
	for _, status := range []int{200, 429} {
		a := f.get("/two")
		f.want("two", a, status, "")
		h := a.header
		if h.Get("RateLimit-Policy") != `"default";q=500;w=5, "day";q=2;w=86400` || !strings.HasPrefix(h.Get("RateLimit"), `"day";r=0;t=`) {
			t.Errorf("%d: RateLimit-Policy is %q, RateLimit %q", status, h.Get("RateLimit-Policy"), h.Get("RateLimit"))
		}
		if h.Get("X-Ratelimit-Limit") != "2" || h.Get("X-Ratelimit-Remaining") != "0" || number(t, h.Get("X-Ratelimit-Reset"), `^(\d+)$`) > 86400 {
			t.Errorf("%d: the other fields are %v", status, h)
		}
	}
	for _, c := range []struct {
		path   string
		status int
	}{{"/none", 200}, {"/none", 429}, {"/dry", 200}, {"/dry", 200}} {
		a := f.get(c.path)
		f.want(c.path, a, c.status, "")
		for name := range a.header {
			if strings.Contains(strings.ToLower(name), "ratelimit") {
				t.Errorf("%s tells %s", c.path, name)
			}
		}
	}
	f.AwaitAccess("the dry run", func(l gateway.Line) bool {
		return strings.Contains(fmt.Sprint(l["verdicts"]), "rate_limit:would_limit")
	})
	for _, status := range []int{200, 200, 429} {
		a := f.get("/quota")
		f.want("quota", a, status, "")
		if got := a.header.Get("RateLimit-Policy"); got != `"quota-day";q=2;w=86400` {
			t.Errorf("quota, %d: RateLimit-Policy is %q", status, got)
		}
		left := number(t, a.header.Get("RateLimit"), `^"quota-day";r=\d+;t=(\d+)$`)
		if status == 429 {
			if after := number(t, a.header.Get("Retry-After"), `^(\d+)$`); after < left-60 || after > left+31 {
				t.Errorf("quota: %d seconds are left, and Retry-After is %d", left, after)
			}
		}
	}

	for range 3 {
		var a answer
		gateway.Await(t, "the limit is hit", func() bool { a = f.get("/short"); return a.status == 429 })
		time.Sleep(time.Duration(number(t, a.header.Get("Retry-After"), `^(\d+)$`)) * time.Second)
		f.want("after Retry-After", f.get("/short"), 200, "")
	}
}

// Nobody can read from the store, from the files, from the metrics or from the log who was counted: neither keys nor the values of fields, in no
// form, and consumers only where the access log names them.
func TestCanary(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	const value, address, neighbour = "canary-value-of-a-header", "203.0.113.77", "2001:db8:77:77::77"
	text := &strings.Builder{}
	for n, by := range []string{"consumer", "credential", "address", "header:X-Who", "[consumer, header:X-Who, address]"} {
		for _, store := range []string{"redis", "leased", "local"} {
			fmt.Fprintf(text, "  - { name: rate-%d-%s, match: { path: /rate/%[1]d/%[2]s }, upstream: app, policies: [ api_key: {}, rate_limit: { rate: 30/m, burst: 2, by: %s, store: %[2]s } ] }\n", n, store, by)
			if store != "leased" {
				fmt.Fprintf(text, "  - { name: quota-%d-%s, match: { path: /quota/%[1]d/%[2]s }, upstream: app, policies: [ api_key: {}, quota: { requests: 2, per: month, by: %s, store: %[2]s } ] }\n", n, store, by)
			}
		}
	}
	access := filepath.Join(t.TempDir(), "access.log") // as private as it comes
	f := open(t, setting{routes: text.String(), more: redis.sharing("1s") + fmt.Sprintf("log: { access: { to: %q } }\n", access)})
	f.AccessPath = access
	f.up(1)
	for n := range 5 {
		for _, path := range []string{"rate/%d/redis", "rate/%d/leased", "rate/%d/local", "quota/%d/redis", "quota/%d/local"} {
			path := fmt.Sprintf("/"+path, n)
			for _, from := range []string{address, neighbour} {
				for range 3 { // the third is refused
					if a := f.get(path, append(as("acme"), "X-Who", value, "X-Forwarded-For", from)...); a.status != 200 && a.status != 429 {
						t.Fatalf("%s: got %v", path, a)
					}
				}
			}
		}
	}
	kept := redis.all()
	if n := len(strings.Fields(redis.do("--scan"))); n < 15 {
		t.Errorf("redis has %d keys, which cannot be all", n)
	}
	gateway.Await(t, "quotas are in files", func() bool { return f.Number("straum_policy_quota_written_bytes_total") > 0 })
	f.lines(150)
	metrics := regexp.MustCompile(`(?m)^straum_consumer_requests_total.*$`).ReplaceAllString(f.page("/metrics").text, "") // it is there to name consumers
	places := map[string]string{"redis": kept, "log": f.Log(), "metrics": metrics, "access log": f.accessText()}
	for _, file := range f.stateFiles("quota-*") {
		places["file of quotas"] += string(read(t, file))
	}
	for place, text := range places {
		if text == "" {
			t.Errorf("there is no %s", place)
		}
		for what, secret := range map[string]string{"key": key("acme"), "value": value, "secret": fleetSecret, "consumer": "acme", "address": address, "IPv6 address": "2001:db8:77:77:"} {
			if what == "consumer" && (place == "access log" || place == "log") { // its own place, and paths of files
				continue
			}
			if how := holds(text, secret); how != "" {
				t.Errorf("the %s tells a %s (%s)", place, what, how)
			}
		}
	}
}

// holds says in which form a text has a secret in it; empty when it has not.
func holds(text, secret string) string {
	sum := sha256.Sum256([]byte(secret))
	for how, form := range map[string]string{
		"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret)), "in base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		"its SHA-256": string(sum[:16]), "its SHA-256 in hexadecimal": hex.EncodeToString(sum[:16]), "its SHA-256 in base64": base64.RawStdEncoding.EncodeToString(sum[:15]),
		"its SHA-256 in base64url": base64.RawURLEncoding.EncodeToString(sum[:15]),
	} {
		if bytes.Contains([]byte(text), []byte(form)) {
			return how
		}
	}
	return ""
}

// What callers say of themselves does not give them more: a limit by a field is by its first, and a second consumer on the same connection has its own.
func TestWhoIsCounted(t *testing.T) {
	t.Parallel()
	f := open(t, setting{routes: `
  - { name: field, match: { path: /field }, upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 2, by: header:X-Who } ] }
  - { name: both,  match: { path: /both },  upstream: app, policies: [ api_key: {}, rate_limit: { rate: 1/h, burst: 2, by: consumer, limits: [ { name: address, rate: 1/h, burst: 3, by: address } ] } ] }
  - { name: costs, match: { path: /costs }, upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 6, by: route, cost: 5, costs: { HEAD: 1, OPTIONS: 0 } } ] }
`})
	f.use("a value", 2, "/field", "X-Who", "a")
	f.want("used up", f.get("/field", "X-Who", "a"), 429, "rate_limited")
	f.want("and another after it", f.get("/field", "X-Who", "a", "X-Who", "b"), 429, "rate_limited")
	f.use("another value", 2, "/field", "X-Who", "b")
	f.use("without one: the address", 2, "/field", from("192.0.2.1")...)
	f.want("the address, used up", f.get("/field", append(from("192.0.2.1"), "X-Who", "")...), 429, "rate_limited")

	// All have one address: what one moment used stays used when the other refuses.
	f.use("a consumer", 2, "/both", as("acme")...)
	f.want("the consumer's is used up", f.get("/both", as("acme")...), 429, "rate_limited")
	f.want("now the address's is too", f.get("/both", as("bob")...), 429, "rate_limited")
	f.use("from elsewhere", 2, "/both", append(as("bob"), from("192.0.2.1")...)...)

	method := func(method string) int {
		r, err := http.NewRequest(method, "http://"+f.plain+"/costs", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := f.h1.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	for n, c := range []struct {
		method string
		want   int
	}{{"GET", 200}, {"GET", 429}, {"HEAD", 200}, {"HEAD", 429}, {"OPTIONS", 200}, {"GET", 429}, {"OPTIONS", 200}} {
		if got := method(c.method); got != c.want {
			t.Errorf("request %d, %s: got %d, want %d", n, c.method, got, c.want)
		}
	}
}

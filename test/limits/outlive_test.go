package limits

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// hundred is how many routes there are that each have a limit.
const hundred = 100

// routes are so many, but for those whose burst is 0, and more.
func routes(burst func(n int) int, more string) string {
	text := &strings.Builder{}
	for n := range hundred {
		if b := burst(n); b > 0 {
			fmt.Fprintf(text, "  - { name: r%d, match: { path: /r%d }, upstream: app, policies: [ rate_limit: { rate: 1/h, burst: %d, by: address } ] }\n", n, n, b)
		}
	}
	return text.String() + more
}

// Each of a hundred routes keeps its own buckets over a reload that changes the limits of some, takes a route away, puts others in another order and
// adds one.
func TestHundredRoutes(t *testing.T) {
	t.Parallel()
	before := routes(func(int) int { return 10 }, "")
	f := open(t, setting{routes: before})
	used := func(n int) int { return n % 7 }
	for n := range hundred {
		f.use("before", used(n), fmt.Sprintf("/r%d", n), from("192.0.2.1")...)
	}
	after := routes(func(n int) int {
		switch n {
		case 5: // smaller, and beyond what was used
			return 6
		case 6: // smaller than what was used: what was used beyond it is forgiven, and nothing is left
			return 4
		case 12: // larger
			return 20
		case 50: // gone
			return 0
		}
		return 10
	}, "  - { name: new, match: { path: /new }, upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 10, by: address } ] }\n")
	lines := strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	slices.Reverse(lines)
	f.change(before, strings.Join(lines, "\n")+"\n")
	for n := range hundred {
		path, want := fmt.Sprintf("/r%d", n), 10-used(n)
		switch n {
		case 5, 6:
			want = max(0, map[int]int{5: 6, 6: 4}[n]-used(n))
		case 12:
			want += 10
		case 50:
			f.want("a route that is gone", f.get(path, from("192.0.2.1")...), 404, "")
			continue
		}
		if got := f.left(path, from("192.0.2.1")...); got != want {
			t.Errorf("route %d granted %d more, want %d", n, got, want)
		}
		if got := f.left(path, from("192.0.2.2")...); n < 3 && got != 10 {
			t.Errorf("route %d granted another %d, want 10", n, got)
		}
	}
	if got := f.left("/new", from("192.0.2.1")...); got != 10 {
		t.Errorf("a new route granted %d, want 10", got)
	}
}

// counted is a setting with every kind of count, and two upstreams to be split between.
func counted(t *testing.T) setting {
	named := func(name string) string {
		return wire.Listen(t, wire.Answering(wire.OK(name))).Addr
	}
	return setting{
		upstreams: fmt.Sprintf("  one: { endpoints: [%q] }\n  two: { endpoints: [%q] }\n", named("one"), named("two")),
		plans:     map[string]string{"acme": "gold"},
		routes: `
  - { name: rate,  match: { path: /rate },  upstream: app, policies: [ api_key: {}, rate_limit: { rate: 1/h, burst: 10, by: consumer } ] }
  - { name: quota, match: { path: /quota }, upstream: app, policies: [ api_key: {}, quota: { requests: 20, per: month, zone: ` + noon() + ` } ] }
  - { name: plan,  match: { path: /plan },  upstream: app, policies: [ api_key: {}, quota: { plan: true, zone: ` + noon() + ` } ] }
  - { name: split, match: { path: /split }, upstream: app, policies: [ split: { to: { one: 50, two: 50 }, by: cookie } ] }
  - { name: login, match: { path: /login }, upstream: app, policies: [ api_key: {}, rate_limit: { rate: 1/h, burst: 1, by: address } ] }
`,
		more: `
plans: { gold: { quotas: [ { requests: 8, per: day } ] } }
bans: { signals: { limited: 10 }, threshold: 100 }
`,
	}
}

// browsers are some that were sent somewhere by a split, each with its cookie.
func (f *front) browsers() (cookies, went []string) {
	f.t.Helper()
	for range 24 {
		a := f.get("/split")
		c := (&http.Response{Header: a.header}).Cookies()
		if a.status != 200 || len(c) != 1 {
			f.t.Fatalf("split: got %v", a)
		}
		cookies, went = append(cookies, c[0].Name+"="+c[0].Value), append(went, a.text)
	}
	if !slices.Contains(went, "one") || !slices.Contains(went, "two") {
		f.t.Errorf("all of %d browsers went to %s: it proves nothing", len(went), went[0])
	}
	return cookies, went
}

// goWhereTheyWent fails unless each browser is sent to where it was.
func (f *front) goWhereTheyWent(what string, cookies, went []string) {
	f.t.Helper()
	for n, c := range cookies {
		if a := f.get("/split", "Cookie", c); a.text != went[n] || len(a.header.Values("Set-Cookie")) > 0 {
			f.t.Errorf("%s: browser %d went to %s, and now: %v", what, n, went[n], a)
		}
	}
}

// A reload keeps what was used of rates and quotas, who is banned and where a browser is sent. An orderly restart keeps quotas, bans and splits; what
// a rate counted here alone it forgets, as the page says.
func TestOutlives(t *testing.T) {
	t.Parallel()
	f := open(t, counted(t))
	f.use("before", 3, "/rate", as("acme")...)
	f.use("before", 5, "/quota", as("acme")...)
	f.use("before", 2, "/quota", as("bob")...)
	f.use("before", 3, "/plan", as("acme")...)
	cookies, went := f.browsers()
	const banned = "198.51.100.7"
	for n := 0; f.get("/login", from(banned)...).status != 403; n++ { // its own limit hit ten times and a bit
		if n > 30 {
			t.Fatal("who hits a limit again and again is not banned")
		}
	}
	stays := func(what string) {
		t.Helper()
		f.want(what+": banned", f.get("/split", from(banned)...), 403, "banned")
		f.want(what+": a neighbour", f.get("/split", from("198.51.100.8")...), 200, "")
		f.goWhereTheyWent(what, cookies, went)
	}
	stays("before")

	f.change("burst: 10", "burst: 12")
	f.change("requests: 20", "requests: 30")
	f.change("requests: 8", "requests: 9")
	f.change("path: /login", "path: /log-in")
	stays("after a reload")
	for _, c := range []struct {
		path, who string
		want      int
	}{{"/rate", "acme", 9}, {"/rate", "bob", 12}, {"/plan", "acme", 6}} {
		if got := f.left(c.path, as(c.who)...); got != c.want {
			t.Errorf("after a reload %s grants %s %d, want %d", c.path, c.who, got, c.want)
		}
	}
	for who, want := range map[string]int{"acme": 24, "bob": 27} {
		if a := f.get("/quota", as(who)...); a.told() != want {
			t.Errorf("after a reload the quota leaves %s %d, want %d: %v", who, a.told(), want, a)
		}
	}

	if code := f.Stop(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	f.restart()
	stays("after a restart")
	for _, c := range []struct {
		path, who string
		want      int
	}{{"/rate", "acme", 12}, {"/plan", "acme", 0}, {"/quota", "acme", 24}, {"/quota", "bob", 27}, {"/quota", "carl", 30}} {
		if got := f.left(c.path, as(c.who)...); got != c.want {
			t.Errorf("after a restart %s grants %s %d, want %d", c.path, c.who, got, c.want)
		}
	}
}

// A crash costs a quota what was counted since it was last brought to the disk, and nothing before it; a file with a torn end loads.
func TestCrash(t *testing.T) {
	t.Parallel()
	f := open(t, counted(t))
	written := func() float64 {
		f.t.Helper()
		return f.Number("straum_policy_quota_written_bytes_total", `store="local"`)
	}
	grown := func(since float64) {
		t.Helper()
		gateway.Await(t, "counts are written", func() bool { return written() > since })
	}
	f.use("before", 9, "/quota", as("acme")...)
	since := written()
	f.use("before", 1, "/quota", as("acme")...)
	grown(since) // perhaps by a write that had begun before the last request
	since = written()
	f.use("before", 1, "/quota", as("bob")...)
	grown(since) // the next one: the ten are on the disk
	f.use("in the last second", 4, "/quota", as("acme")...)
	f.Signal(syscall.SIGKILL)
	f.Wait()
	files := f.stateFiles("quota-*.counts")
	if len(files) == 0 {
		t.Fatalf("there are no counts in %v", f.stateFiles("*"))
	}
	f.restart()
	first := f.left("/quota", as("acme")...)
	if first < 6 || first > 10 {
		t.Errorf("after a crash the quota leaves %d, want 6 to 10 of 20", first)
	}
	t.Logf("the crash lost %d of 14", first-6)

	// What is left behind when the box loses its power in the middle of a write.
	if code := f.Stop(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	for _, file := range f.stateFiles("quota-*.counts") {
		torn, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := torn.WriteString("\x40\x00\x00\x00torn"); err != nil {
			t.Fatal(err)
		}
		torn.Close()
	}
	f.restart()
	if got := f.left("/quota", as("acme")...); got != 0 {
		t.Errorf("with a torn end the quota leaves %d, want 0", got)
	}
	if !f.Logged("cannot be read as a whole") {
		t.Error("the log does not tell of a torn end")
	}
}

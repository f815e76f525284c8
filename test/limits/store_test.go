package limits

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// The store is emptied, stops answering, dies and comes back with nothing, under load: every request is answered without waiting for it, what is
// granted stays within bounds, and gateways stay ready and say what they miss. Where the route says so all pass meanwhile, or none.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	const burst, rate, budget = 60, 40, 100 * time.Millisecond
	const batch = 4
	redis := startRedis(t)
	setting := setting{more: redis.sharing(budget.String()), routes: `
  - { name: exact,  match: { path: /exact },  upstream: app, policies: [ rate_limit: { rate: 40/s, burst: 60, by: route, store: redis, nodes: 2 } ] }
  - { name: leased, match: { path: /leased }, upstream: app, policies: [ rate_limit: { rate: 40/s, burst: 60, by: route, store: leased, nodes: 2 } ] }
  - { name: open,   match: { path: /open },   upstream: app, policies: [ rate_limit: { rate: 1/h, burst: 1, by: route, store: redis, when_unavailable: open } ] }
  - { name: closed, match: { path: /closed }, upstream: app, policies: [ rate_limit: { rate: 1000/s, by: route, store: redis, when_unavailable: closed } ] }
  - { name: quota,  match: { path: /quota },  upstream: app, policies: [ quota: { requests: 1000000, by: route, zone: ` + noon() + `, store: redis, nodes: 2 } ] }
`}
	fleet := []*front{open(t, setting), open(t, setting)}
	for _, f := range fleet {
		f.up(1)
	}
	exact, leased := gather("exact"), gather("leased")
	for _, f := range fleet {
		exact.add(2, f, f.h1, "/exact")
		exact.add(2, f, f.h2, "/exact")
		leased.add(2, f, f.h1, "/leased")
		leased.add(2, f, f.h2, "/leased")
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			exact.end(t)
			leased.end(t)
		}
	}
	defer end()
	goesOn := func(what string, granted int64) {
		t.Helper()
		exact.goesOn(t, what, granted, 50)
		leased.goesOn(t, what, granted, 50)
		for _, f := range fleet {
			f.use(what, 3, "/quota")
		}
	}
	well := func(what string) {
		t.Helper()
		for n, f := range fleet {
			gateway.Await(t, fmt.Sprintf("%s: gateway %d asks the store, and misses nothing", what, n), func() bool { // a busy machine may be late a few times
				return f.Number("straum_policy_redis_up") == 1 && f.degraded() == "" && f.get("/closed").status == 200
			})
		}
		goesOn(what, 10)
	}
	away := func(what string) {
		t.Helper()
		for n, f := range fleet {
			f.up(0)
			if d := f.degraded(); d != "redis" {
				t.Errorf("%s: gateway %d is degraded: %q, want redis", what, n, d)
			}
			f.use(what+": open", 5, "/open")
			a := f.get("/closed")
			f.want(what+": closed", a, 503, "limit_unavailable")
			if a.header.Get("Retry-After") != "1" {
				t.Errorf("%s: closed: Retry-After is %q, want 1", what, a.header.Get("Retry-After"))
			}
		}
		goesOn(what, 10)
	}
	well("at first")
	for _, f := range fleet { // one of the two may have the only one
		if a := f.get("/open"); a.status != 200 && a.status != 429 {
			t.Errorf("open: got %v", a)
		}
	}
	gateway.Await(t, "open, while the store is there: somebody else had the only one", func() bool { return fleet[0].get("/open").code() == "rate_limited" })

	redis.do("FLUSHALL")
	goesOn("emptied", burst-10) // full once more
	well("emptied")

	gateway.Pause(t, redis.cmd.Process)
	goesOn("stopped", burst/2-10) // nobody waits until it is resumed: that comes after this
	away("stopped")
	redis.signal(syscall.SIGCONT)
	well("resumed")

	redis.kill()
	goesOn("killed", 10)
	away("killed")
	redis.start()
	well("started again")
	end()

	// It began full three times: at first, emptied, and started again with nothing. Besides, each gateway has its share, which is full once and comes
	// back at its part of the rate.
	last := max(lastOf(exact), lastOf(leased)).Seconds()
	for c, most := range map[*crowd]float64{exact: 4*burst + 2*rate*last, leased: 4*burst + 3*2*batch + 2*rate*last} {
		if n := float64(c.granted.Load()); n > most || n < 2*burst {
			t.Errorf("%s: %v were granted in %.1f s, want at most %.0f, and twice the burst of %d at least", c.name, n, last, most, burst)
		}
	}
	for n, f := range fleet {
		commands := f.Numbers()
		if late := commands.Sum("straum_policy_redis_commands_total", `outcome="timeout"`); late == 0 {
			t.Errorf("gateway %d: no command ended by the budget", n)
		}
		if skipped := commands.Sum("straum_policy_redis_commands_total", `outcome="skipped"`); skipped == 0 {
			t.Errorf("gateway %d: nobody went on without asking", n)
		}
		// That nobody waits for the store was seen while it was stopped. Beyond the budget, this is the time of a busy machine.
		longest := 0.0
		for _, l := range f.Access() {
			longest = max(longest, l.Number("own_us"))
			if own := l.Number("own_us"); own > 2e6 {
				t.Errorf("gateway %d: a request took %v µs of the gateway's own: %v", n, own, l)
			}
		}
		t.Logf("gateway %d: the longest that a request took of its own is %.0f ms", n, longest/1000)
		for _, word := range []string{"rate_limit:degraded", "rate_limit:unchecked", "rate_limit:unavailable", "rate_limit:limited", "quota:degraded"} {
			if !strings.Contains(f.accessText(), `"`+word+`"`) {
				t.Errorf("gateway %d: the access log has no %s", n, word)
			}
		}
	}
}

func lastOf(c *crowd) time.Duration {
	return slices.MaxFunc(c.grants, func(a, b grant) int { return int(a.got - b.got) }).got
}

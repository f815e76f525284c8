package limits

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// crowd is many clients at once who share one limit. Each asks over and over until the crowd is told to stop.
type crowd struct {
	name    string
	began   time.Time
	stop    chan struct{}
	done    sync.WaitGroup
	granted atomic.Int64
	refused atomic.Int64
	wrong   atomic.Int64    // neither of these
	turns   []*atomic.Int64 // answers, by client

	mu     sync.Mutex
	grants []grant
	first  answer // of those that were wrong
}

// grant is one request that passed, in time since the crowd began.
type grant struct{ sent, got time.Duration }

func gather(name string) *crowd {
	return &crowd{name: name, began: time.Now(), stop: make(chan struct{})}
}

// add sends n clients to a gateway.
func (c *crowd) add(n int, f *front, client *http.Client, path string, fields ...string) {
	for range n {
		turns := &atomic.Int64{}
		c.turns = append(c.turns, turns)
		c.done.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				sent := time.Since(c.began)
				a := f.over(client, path, fields...)
				got := time.Since(c.began)
				switch {
				case a.err == nil && a.status == 200:
					c.mu.Lock()
					c.grants = append(c.grants, grant{sent, got})
					c.mu.Unlock()
					c.granted.Add(1)
				case a.err == nil && a.status == 429 && a.header.Get("Retry-After") != "" && a.told() == 0:
					c.refused.Add(1)
				default:
					c.mu.Lock()
					if c.wrong.Add(1) == 1 {
						c.first = a
					}
					c.mu.Unlock()
				}
				turns.Add(1)
				time.Sleep(time.Millisecond) // the machine is others' too
			}
		})
	}
}

// goesOn waits until so many more have passed and were refused, and no client still waits for what it asked before.
func (c *crowd) goesOn(t *testing.T, what string, granted, refused int64) {
	t.Helper()
	g, r := c.granted.Load(), c.refused.Load()
	var before []int64
	for _, turns := range c.turns {
		before = append(before, turns.Load())
	}
	gateway.Await(t, fmt.Sprintf("%s: %s goes on", c.name, what), func() bool {
		if c.wrong.Load() > 0 {
			return true
		}
		for n, turns := range c.turns {
			if turns.Load() < before[n]+2 {
				return false
			}
		}
		return c.granted.Load() >= g+granted && c.refused.Load() >= r+refused
	})
}

// end tells it to stop and fails unless each was granted or refused.
func (c *crowd) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.done.Wait()
	t.Logf("%s: %d granted, %d refused in %s", c.name, c.granted.Load(), c.refused.Load(), time.Since(c.began).Round(time.Millisecond))
	if n := c.wrong.Load(); n > 0 {
		t.Errorf("%s: %d answers were neither grants nor refusals that say until when: %v", c.name, n, c.first)
	}
	if c.refused.Load() == 0 {
		t.Errorf("%s: nobody was refused: it proves nothing", c.name)
	}
}

// bound fails when more was granted than burst + rate·t in any stretch of time. A request was judged at some time between when it was sent and when its
// answer came, so all that lie in the stretch whole were judged in it: however slow the machine is, this errs to one side alone.
func (c *crowd) bound(t *testing.T, burst, rate float64) {
	t.Helper()
	byEnd := slices.SortedFunc(slices.Values(c.grants), func(a, b grant) int { return int(a.got - b.got) })
	worst, worstAt := 0.0, ""
	for _, first := range c.grants {
		n := 0.0
		for _, g := range byEnd {
			if g.sent < first.sent {
				continue
			}
			n++
			most := burst + rate*(g.got-first.sent).Seconds()
			if over := n - most - 1e-3; over > worst { // the store's clock counts microseconds
				worst, worstAt = over, fmt.Sprintf("%.0f between %s and %s, where %.1f are allowed", n, first.sent, g.got, most)
			}
		}
	}
	if worst > 0 {
		t.Errorf("%s: too much was granted: %s", c.name, worstAt)
	}
}

// Many clients at once, over HTTP/1.1 and HTTP/2, with and without TLS, on one gateway or on two with one Redis, never get more than burst + rate·t
// in any stretch of time; with leases, than that and a batch for each gateway. What is refused never reaches the endpoint. Two consumers do not share.
func TestNeverMore(t *testing.T) {
	t.Parallel()
	const burst, rate = 60, 200
	const batch = 20 // what comes back in 100 ms, which is less than half of the burst
	redis := startRedis(t)
	setting := setting{more: redis.sharing("1s"), routes: `
  - { name: local,  match: { path: /local },  upstream: app, policies: [ api_key: {}, rate_limit: { rate: 200/s, burst: 60, by: consumer } ] }
  - { name: exact,  match: { path: /exact },  upstream: app, policies: [ api_key: {}, rate_limit: { rate: 200/s, burst: 60, by: consumer, store: redis, nodes: 2 } ] }
  - { name: leased, match: { path: /leased }, upstream: app, policies: [ api_key: {}, rate_limit: { rate: 200/s, burst: 60, by: consumer, store: leased, nodes: 2 } ] }
  - { name: ample,  match: { path: /ample },  upstream: app, policies: [ api_key: {}, rate_limit: { rate: 100000/s, by: consumer, store: leased, nodes: 2 } ] }
`}
	one, two := open(t, setting), open(t, setting)
	one.up(1)
	two.up(1)
	for _, c := range []struct {
		name     string
		gateways []*front
		more     float64
	}{{"local", []*front{one}, 0}, {"exact", []*front{one, two}, 0}, {"leased", []*front{one, two}, 2 * batch}} {
		t.Run(c.name, func(t *testing.T) {
			arrived := one.arrived.Load() + two.arrived.Load()
			acme, bob := gather(c.name+" acme"), gather(c.name+" bob")
			for _, f := range c.gateways {
				for _, client := range []*http.Client{f.h1, f.h2} {
					acme.add(6, f, client, "/"+c.name, as("acme")...)
					bob.add(2, f, client, "/"+c.name, as("bob")...)
				}
			}
			acme.goesOn(t, "far beyond the burst", burst+200, 200)
			bob.goesOn(t, "far beyond the burst", 1, 50)
			acme.end(t)
			bob.end(t)
			acme.bound(t, burst+c.more, rate)
			bob.bound(t, burst+c.more, rate)
			// From the first request on, no lease was held: then nothing comes besides.
			for _, crowd := range []*crowd{acme, bob} {
				last := slices.MaxFunc(crowd.grants, func(a, b grant) int { return int(a.got - b.got) })
				if most := burst + rate*last.got.Seconds(); float64(len(crowd.grants)) > most {
					t.Errorf("%s: %d of %.1f were granted since the first", crowd.name, len(crowd.grants), most)
				}
			}
			if got, want := one.arrived.Load()+two.arrived.Load()-arrived, acme.granted.Load()+bob.granted.Load(); got != want {
				t.Errorf("%d requests reached the endpoint, and %d were granted", got, want)
			}
			for n, f := range c.gateways {
				if degraded := f.Number("straum_policy_rate_limit_degraded_total", fmt.Sprintf("scope=%q", c.name)); degraded > 0 {
					t.Errorf("gateway %d counted %v alone: the store was not asked in time, so this proves nothing about it", n, degraded)
				}
			}
		})
	}
	// That leases are batches at all: who stays within the limit costs far fewer trips than requests.
	before := one.Number("straum_policy_rate_limit_lease_draws_total")
	one.use("within the limit", 400, "/ample", as("carl")...)
	if trips := one.Number("straum_policy_rate_limit_lease_draws_total") - before; trips == 0 || trips > 200 {
		t.Errorf("400 requests took %v trips to the store", trips)
	}
}

package limit

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// patient is a budget for a machine that is busy; tests count, they do not measure.
const patient = time.Second

func share(t testing.TB, c *redis.Client, name string, tt *Terms, cost int64) Verdict {
	t.Helper()
	asks := []Ask{{Terms: tt, Cost: cost}}
	if _, err := TakeShared(c, asks, []string{name}); err != nil {
		t.Fatal(err)
	}
	return asks[0].Verdict
}

func TestShared(t *testing.T) {
	p := startPeer(t)
	c := p.dial(patient)
	slow := terms(t, 1, time.Hour, 3)
	for i, want := range []string{"true 2 0", "true 1 0", "true 0 0", "false 0 59m", "false 0 59m"} {
		v := share(t, c, "{a}:x", slow, 1)
		got := fmt.Sprint(v.OK, " ", v.Left, " ", strings.Split(time.Duration(v.Retry).String(), "m")[0])
		if want = strings.TrimSuffix(want, "m"); strings.TrimSuffix(got, "s") != want && !(i > 2 && strings.HasPrefix(got, "false 0 1h")) {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
	// What was refused was not written: the time in the value is that of the third.
	before := p.Do("GET", "straum:{a}:x")
	share(t, c, "{a}:x", slow, 1)
	if after := p.Do("GET", "straum:{a}:x"); after != before || !strings.HasPrefix(before, "2.99") && !strings.HasPrefix(before, "3 ") {
		t.Errorf("%q, then %q", before, after)
	}
	// The key goes a second after the bucket is full.
	ttl := p.Do("PTTL", "straum:{a}:x")
	if d, err := time.ParseDuration(ttl + "ms"); err != nil || d > 3*time.Hour+time.Second || d < 3*time.Hour-time.Minute {
		t.Errorf("it is kept for %s ms", ttl)
	}
	// Other numbers for the same bucket: what was used stays used.
	if v := share(t, c, "{a}:x", terms(t, 1, time.Hour, 10), 1); !v.OK || v.Left != 6 {
		t.Errorf("%+v", v)
	}
	if v := share(t, c, "{a}:x", terms(t, 1, time.Hour, 2), 1); v.OK || v.Left != 0 || v.Retry > int64(time.Hour) {
		t.Errorf("%+v", v)
	}
	// A value that is not ours, and a time that lies ahead.
	p.Do("SET", "straum:{b}:x", "something else")
	if v := share(t, c, "{b}:x", slow, 1); !v.OK || v.Left != 2 {
		t.Errorf("%+v", v)
	}
	p.Do("SET", "straum:{c}:x", "2 99999999999999999")
	if v := share(t, c, "{c}:x", slow, 1); !v.OK || v.Left != 0 {
		t.Errorf("%+v", v)
	}
	p.Do("LPUSH", "straum:{d}:x", "a")
	if _, err := TakeShared(c, []Ask{{Terms: slow, Cost: 1}}, []string{"{d}:x"}); !errors.Is(err, redis.ErrRefused) {
		t.Error(err)
	}
	if f := c.Figures(); f.Reloads != 1 {
		t.Errorf("the script was sent %d times", f.Reloads)
	}
}

// Several limits in one trip, used together or not at all, in order.
func TestSharedTogether(t *testing.T) {
	p := startPeer(t)
	c := p.dial(patient)
	many, few := terms(t, 1, time.Hour, 10), terms(t, 1, time.Hour, 2)
	names := []string{"{a}:many", "{a}:few", "{a}:last"}
	share(t, c, "warm", many, 0)
	commands := c.Figures().Commands
	for i := range 5 {
		asks := []Ask{{Terms: many, Cost: 1}, {Terms: few, Cost: 1}, {Terms: many, Cost: 3}}
		refused, err := TakeShared(c, asks, names)
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 && (refused != -1 || asks[0].Left != int64(9-i) || asks[1].Left != int64(1-i) || asks[2].Left != int64(7-3*i)) {
			t.Errorf("%d: %d %+v", i, refused, asks)
		}
		if i >= 2 && (refused != 1 || !asks[0].OK || asks[1].OK || asks[2].Verdict != Verdict{}) {
			t.Errorf("%d: %d %+v", i, refused, asks)
		}
	}
	if v := share(t, c, "{a}:many", many, 1); v.Left != 7 {
		t.Errorf("what was refused was counted: %+v", v)
	}
	if n := c.Figures().Commands - commands; n != 6 {
		t.Errorf("%d trips", n)
	}
}

// granter is a way to ask for one token, as a gateway has it.
type granter func(id int) (bool, error)

// race asks by many goroutines of several gateways, for some identities, and checks what all of them got together.
func race(t *testing.T, gateways []granter, tt *Terms, identities, each int, spare float64) {
	t.Helper()
	granted := make([]atomic.Int64, identities)
	var failed atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for _, g := range gateways {
		for c := range 8 {
			group.Go(func() {
				for i := range each {
					id := (c + i) % identities
					ok, err := g(id)
					if err != nil {
						failed.Add(1)
					} else if ok {
						granted[id].Add(1)
					}
				}
			})
		}
	}
	group.Wait()
	most := float64(tt.burst) + tt.count/float64(tt.per)*float64(time.Since(begin)) + spare
	total := int64(0)
	for i := range granted {
		n := granted[i].Load()
		total += n
		if float64(n) > most {
			t.Errorf("%d granted, at most %.1f may be", n, most)
		}
		if n < min(tt.burst, int64(each*8*len(gateways)/identities)) && failed.Load() == 0 {
			t.Errorf("%d granted of a burst of %d", n, tt.burst)
		}
	}
	t.Logf("%d granted of %d, at most %.1f for each of %d; %d not asked", total, each*8*len(gateways), most, identities, failed.Load())
}

func exactly(t testing.TB, c *redis.Client, tt *Terms) granter {
	return func(id int) (bool, error) {
		asks := []Ask{{Terms: tt, Cost: 1}}
		_, err := TakeShared(c, asks, []string{fmt.Sprintf("{%d}:x", id)})
		return asks[0].OK, err
	}
}

// Two gateways and one store: together they grant no more than the limit.
func TestSharedParallel(t *testing.T) {
	p := startPeer(t)
	for i, tt := range []*Terms{terms(t, 500, time.Second, 50), terms(t, 7, time.Second, 1), terms(t, 100_000, time.Second, 20)} {
		p.Do("FLUSHALL")
		race(t, []granter{exactly(t, p.dial(patient), tt), exactly(t, p.dial(patient), tt)}, tt, 1+i, 150, 1e-3)
	}
}

// The store is paused, killed, started anew and flushed while two gateways ask. No call waits for longer than the budget: one that is not answered
// within it is over, and soon the store is not asked at all. What the store granted stays within the limit, once more for each time it
// forgot all.
func TestSharedOutage(t *testing.T) {
	p := startPeer(t)
	tt := terms(t, 200, time.Second, 40)
	gateways := [2]*redis.Client{p.dial(50 * time.Millisecond), p.dial(50 * time.Millisecond)}
	var granted, failed, stop atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for i := range 8 {
		ask := exactly(t, gateways[i%2], tt)
		group.Go(func() {
			for stop.Load() == 0 {
				switch ok, err := ask(1); {
				case err != nil:
					failed.Add(1)
					time.Sleep(time.Millisecond)
				case ok:
					granted.Add(1)
				}
			}
		})
	}
	more := func(n *atomic.Int64, by int64, text string) {
		t.Helper()
		from := n.Load()
		redistest.Await(t, func() bool { return n.Load() >= from+by }, text)
	}
	forgot := 0.0
	more(&granted, 60, "nothing is granted")
	p.Pause()
	more(&failed, 50, "nothing fails")
	for i, c := range gateways {
		redistest.Await(t, func() bool { return !c.Health().OK }, "the store is still asked")
		if f := c.Figures(); f.Timeouts == 0 || f.Skipped == 0 || f.Timeouts > 20 { // five in a row and those under way meanwhile
			t.Errorf("gateway %d: %+v", i, f)
		}
	}
	p.Resume()
	more(&granted, 60, "nothing is granted after the pause")
	p.Kill()
	more(&failed, 50, "nothing fails")
	p.Start()
	forgot++
	more(&granted, 60, "nothing is granted after the restart")
	p.Do("FLUSHALL")
	p.Do("SCRIPT", "FLUSH")
	forgot++
	more(&granted, 60, "nothing is granted after the flush")
	stop.Store(1)
	group.Wait()
	most := (1+forgot)*40 + 200*time.Since(begin).Seconds()
	t.Logf("%d granted, at most %.0f may be; %d not asked", granted.Load(), most, failed.Load())
	if float64(granted.Load()) > most {
		t.Error("more was granted than may be")
	}
}

func BenchmarkShared(b *testing.B) {
	p := startPeer(b)
	c := p.dial(patient)
	tt := terms(b, 1e8, time.Second, 1e8)
	b.SetParallelism(32) // 64 goroutines on two processors
	b.ReportAllocs()
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		name := fmt.Sprintf("{%d}:x", next.Add(1))
		for pb.Next() {
			if v := share(b, c, name, tt, 1); !v.OK {
				b.Error(v)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

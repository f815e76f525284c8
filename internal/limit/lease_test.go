package limit

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// gateway is leases as a gateway uses them.
type gateway struct {
	*Leases
	store *redis.Client
	table *Table
}

func newGateway(c *redis.Client) *gateway { return &gateway{NewLeases(1 << 16), c, NewTable(0)} }

func (g *gateway) take(id int, tt *Terms, cost int64) (Verdict, error) {
	a := Ask{Key: g.table.name(id), Terms: tt, Cost: cost}
	name := fmt.Sprintf("{%d}:x", id)
	switch g.Take(&a, clock.Now()) {
	case Renew:
		g.Renew(g.store, &a, name, clock.Now)
	case Draw:
		if err := g.Draw(g.store, &a, name, clock.Now); err != nil {
			return Verdict{}, err
		}
	}
	return a.Verdict, nil
}

func (g *gateway) grant(tt *Terms) granter {
	return func(id int) (bool, error) {
		v, err := g.take(id, tt, 1)
		return v.OK, err
	}
}

// held is how many tokens of an identity are here.
func (g *gateway) held(id int, tt *Terms) int64 {
	k := g.table.name(id)
	s := &g.shards[k.shard()%leaseShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.get(k); one != nil {
		return one.tokens
	}
	return 0
}

// What is drawn is debited before it is granted: from a fresh start two gateways never grant more than the limit, whatever the batches.
func TestLeasedParallel(t *testing.T) {
	p := startPeer(t)
	for i, tt := range []*Terms{terms(t, 2000, time.Second, 1000), terms(t, 7, time.Second, 5), terms(t, 100_000, time.Second, 500)} {
		p.Do("FLUSHALL")
		gateways := []*gateway{newGateway(p.dial(patient)), newGateway(p.dial(patient))}
		race(t, []granter{gateways[0].grant(tt), gateways[1].grant(tt)}, tt, 1+i, 2000, 1e-3)
		for _, g := range gateways {
			f := g.Leases.Figures()
			t.Logf("%+v", f)
			if i == 2 && f.Trips > 16000/2 {
				t.Errorf("%d trips for 16000 requests", f.Trips)
			}
			g.Stop()
		}
	}
}

// The stated bound: in any stretch of time the gateways grant no more than burst, what comes back in it, and what each held at its beginning, which
// is MaxBatch at most. Here both hold as much as they ever do, and then spend it while the bucket in the store is full.
func TestLeasedOvershoot(t *testing.T) {
	p := startPeer(t)
	tt := terms(t, 1000, time.Second, 300)
	gateways := []*gateway{newGateway(p.dial(patient)), newGateway(p.dial(patient))}
	batch := tt.MaxBatch()
	if batch != 100 {
		t.Fatalf("a batch is %d at most", batch)
	}
	worst := int64(0)
	for range 3 {
		p.Do("FLUSHALL")
		for _, g := range gateways { // ask until as much is held as can be
			for end := time.Now().Add(2 * time.Second); g.held(1, tt) < batch*3/4 && time.Now().Before(end); {
				if _, err := g.take(1, tt, 1); err != nil {
					t.Fatal(err)
				}
			}
			if g.held(1, tt) > batch {
				t.Fatalf("%d are held", g.held(1, tt))
			}
		}
		p.Do("DEL", "straum:{1}:x") // as if time had passed for the store alone: its bucket is full
		begin, granted := time.Now(), int64(0)
		for range 1500 {
			for _, g := range gateways {
				v, err := g.take(1, tt, 1)
				if err != nil {
					t.Fatal(err)
				}
				if v.OK {
					granted++
				}
			}
		}
		strict := 300 + int64(time.Since(begin).Seconds()*1000) + 1
		worst = max(worst, granted-strict)
		if granted > strict+2*batch {
			t.Errorf("%d granted: more than %d and two batches of %d", granted, strict, batch)
		}
	}
	t.Logf("at most %d beyond burst + rate·t, of %d that may be", worst, 2*batch)
	for _, g := range gateways {
		g.Stop()
	}
}

// What is left of a batch is lost after a second, and what the store refused is refused here for as long as it said.
func TestLeaseEnds(t *testing.T) {
	p := startPeer(t)
	g := newGateway(p.dial(patient))
	tt := terms(t, 1000, time.Hour, 100_000) // little comes back
	tt.interval = tick * second / 1000       // and a batch is 100
	one := Ask{Key: g.table.name(1), Terms: tt, Cost: 1}
	now := second
	at := func() int64 { return now }
	ask := func() Step {
		step := g.Take(&one, now)
		if step == Draw {
			if err := g.Draw(g.store, &one, "{1}:x", at); err != nil {
				t.Fatal(err)
			}
		}
		return step
	}
	if ask() != Draw || g.held(1, tt) != 0 {
		t.Errorf("the first draws one and no more: %d are held", g.held(1, tt))
	}
	now += 1e6
	if ask() != Draw || g.held(1, tt) != 100 {
		t.Errorf("the second in a millisecond draws a batch: %d are held", g.held(1, tt))
	}
	if ask() != Done || g.held(1, tt) != 99 {
		t.Error("a batch is not used")
	}
	now += LeaseLife
	if ask() != Draw || g.held(1, tt) >= 99 {
		t.Errorf("a batch outlives its time: %d are held", g.held(1, tt))
	}
	// Less than two a second: nothing in advance, since it would be lost.
	now += 10 * second
	for range 5 {
		now += second * 10 / 19
		if ask() != Draw || g.held(1, tt) != 0 {
			t.Errorf("%d are held for one who asks less than twice a second", g.held(1, tt))
		}
	}
	none := terms(t, 1, time.Hour, 1)
	two := Ask{Key: g.table.name(2), Terms: none, Cost: 1}
	for i := range 4 {
		trips := g.Leases.Figures().Trips
		if g.Take(&two, now) == Draw {
			if err := g.Draw(g.store, &two, "{2}:x", at); err != nil {
				t.Fatal(err)
			}
		}
		if asked := g.Leases.Figures().Trips > trips; two.OK != (i == 0) || asked != (i < 2) || !two.OK && two.Retry <= 0 {
			t.Errorf("%d: %+v, asked %v", i, two.Verdict, asked)
		}
	}
	now += LeaseLife // it is never refused for longer without asking
	if g.Take(&two, now) != Draw {
		t.Error("refused without asking after a second")
	}
	g.Return(&one, now)
	if g.held(1, tt) != 0 {
		t.Error("given back to a batch that is over")
	}
	g.Stop()
}

// As many identities as leases are for, and more: the rest costs trips and grants no more.
func TestLeaseRoom(t *testing.T) {
	l := NewLeases(leaseShards * 4)
	table, tt := NewTable(0), terms(t, 100, time.Second, 100)
	for i := range 10_000 {
		l.begin(&Ask{Key: table.name(i), Terms: tt, Cost: 1}, second)
	}
	if n := l.Figures().Leases; n != leaseShards*4 {
		t.Errorf("%d leases", n)
	}
}

// The store is gone: what is held is used, then calls fail; nothing is left running.
func TestLeasedOutage(t *testing.T) {
	p := startPeer(t)
	before := goleak.IgnoreCurrent()
	c := p.dial(50 * time.Millisecond)
	g, tt := newGateway(c), terms(t, 1000, time.Second, 1000)
	for g.held(1, tt) < 50 {
		if _, err := g.take(1, tt, 1); err != nil {
			t.Fatal(err)
		}
	}
	p.Kill()
	var err error
	for range 1000 {
		if _, err = g.take(1, tt, 1); err != nil {
			break
		}
	}
	if !errors.Is(err, redis.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	p.Start()
	redistest.Await(t, func() bool { v, err := g.take(1, tt, 1); return err == nil && v.OK }, "it does not go on")
	g.Stop()
	c.Close()
	goleak.VerifyNone(t, before)
	a := Ask{Key: g.table.name(1), Terms: tt, Cost: 1}
	g.Renew(c, &a, "{1}:x", clock.Now) // of an exchange that began before
}

// One ask at a time at a rate that the lease is for: what it costs beside a local bucket.
func TestLeasedAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l, table, tt := NewLeases(100), NewTable(0), terms(t, 1e8, time.Second, 1e8)
	a := Ask{Key: table.name(1), Terms: tt, Cost: 1}
	l.begin(&a, second)
	l.end(&a, 1e6, 1, Verdict{OK: true}, second, true, true)
	if n := testing.AllocsPerRun(1000, func() {
		if l.Take(&a, second) != Done || !a.OK {
			t.Fatal("not granted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLeased(b *testing.B) {
	p := startPeer(b)
	g, tt := newGateway(p.dial(patient)), terms(b, 1e9, time.Second, 1e9)
	a := Ask{Key: g.table.name(1), Terms: tt, Cost: 1}
	b.ReportAllocs()
	for b.Loop() {
		switch g.Take(&a, clock.Now()) {
		case Renew:
			g.Renew(g.store, &a, "{1}:x", clock.Now)
		case Draw:
			if err := g.Draw(g.store, &a, "{1}:x", clock.Now); err != nil {
				b.Fatal(err)
			}
		}
	}
	f := g.Leases.Figures()
	b.ReportMetric(float64(f.Trips)/float64(b.N), "trips/op")
	g.Stop()
}

// BenchmarkLeasedPaced asks as a gateway with 20,000 requests a second does.
func BenchmarkLeasedPaced(b *testing.B) {
	p := startPeer(b)
	g, tt := newGateway(p.dial(patient)), terms(b, 1e6, time.Second, 1e6)
	a := Ask{Key: g.table.name(1), Terms: tt, Cost: 1}
	var once sync.Once
	var began atomic.Int64
	for i := 0; b.Loop(); i++ {
		once.Do(func() { began.Store(clock.Now()) })
		for clock.Now() < began.Load()+int64(i)*50_000 {
		}
		switch g.Take(&a, clock.Now()) {
		case Renew:
			g.Renew(g.store, &a, "{1}:x", clock.Now)
		case Draw:
			if err := g.Draw(g.store, &a, "{1}:x", clock.Now); err != nil {
				b.Fatal(err)
			}
		}
	}
	f := g.Leases.Figures()
	b.ReportMetric(1000*float64(f.Trips)/float64(b.N), "trips/1000")
	g.Stop()
}

// Nobody is refused while there are tokens: a batch may have come while a request was on its way to the store, which had none for it.
func TestSpendsBeforeRefusing(t *testing.T) {
	l, table := NewLeases(64), NewTable(0)
	tt, err := NewTerms(100, time.Second, 50)
	if err != nil {
		t.Fatal(err)
	}
	a := Ask{Key: table.name(1), Terms: &tt, Cost: 1}
	l.begin(&a, 1)
	l.end(&a, 3, 0, Verdict{OK: true}, 2, true, true)
	l.end(&a, 0, 1, Verdict{Retry: int64(time.Second)}, 3, false, true)
	for n := range 3 {
		if step := l.Take(&a, 4); step == Draw || !a.OK {
			t.Errorf("token %d was not given out: step %d, %+v", n+1, step, a.Verdict)
		}
	}
	if step := l.Take(&a, 5); step != Done || a.OK {
		t.Errorf("step %d, granted %v; nothing is left, and the store has just refused", step, a.OK)
	}
}

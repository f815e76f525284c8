package quota

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func spansAt(now time.Time) *Spans { return NewCalendar(time.UTC).At(now) }

// number is an ID that spreads over the shards.
func number(n uint64) (id ID) {
	binary.LittleEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(id[8:], ^n)
	return id
}

func ask(l *Ledger, id ID, cost int64, limits Limits, now time.Time) Outcome {
	return l.Take(id, cost, &limits, spansAt(now), now.Unix())
}

// So many at once never use more than there is, and what is refused uses nothing.
func TestTakeAtOnce(t *testing.T) {
	l := NewLedger(1000)
	limits := Limits{Day: 1000, Month: 1500}
	var passed atomic.Int64
	storm := func(now time.Time) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				cost := int64(i%3 + 1)
				for range 500 {
					if o := ask(l, number(1), cost, limits, now); !o.Refused {
						passed.Add(cost)
					}
				}
			})
		}
		all.Wait()
	}
	storm(noon)
	if n := passed.Load(); n != 1000 {
		t.Errorf("%d on the first day", n)
	}
	storm(noon.AddDate(0, 0, 1))
	if n := passed.Load(); n != 1500 {
		t.Errorf("%d after the second day", n)
	}
	o := ask(l, number(1), 1, limits, noon.AddDate(0, 0, 1))
	if !o.Refused || o.By != Month || o.Used != [periods]int64{500, 1500} || o.Rest != [periods]int64{43200, 7*86400 + 43200} {
		t.Errorf("%+v", o)
	}
}

// Whatever is asked, no one gets more in a day or month than the limit, and all of it if asked for one by one.
func TestTakeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLedger(64)
		limits := Limits{Day: rapid.Int64Range(0, 20).Draw(t, "day"), Month: rapid.Int64Range(0, 40).Draw(t, "month")}
		now := noon
		used := map[[2]int64]int64{} // by period and its beginning
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 12*3600).Draw(t, "later")) * time.Second)
			cost := rapid.Int64Range(1, 5).Draw(t, "cost")
			s := spansAt(now)
			fits := true
			for p := range limits {
				if limits[p] != 0 && used[[2]int64{int64(p), s[p].Start}]+cost > limits[p] {
					fits = false
				}
			}
			o := ask(l, number(1), cost, limits, now)
			if o.Refused == fits {
				t.Fatalf("%v: refused %v with %v used", now, o.Refused, used)
			}
			for p := range limits {
				at := [2]int64{int64(p), s[p].Start}
				if fits {
					used[at] += cost
				}
				if limits[p] != 0 && o.Used[p] != used[at] {
					t.Fatalf("%d used, want %d", o.Used[p], used[at])
				}
			}
		}
	})
}

// A clock that is set back over midnight gives nobody a day again; one that had been years ahead does not keep its day for years.
func TestClockSteps(t *testing.T) {
	l := NewLedger(64)
	limits := Limits{Day: 2}
	f := func(now time.Time, refused bool) {
		t.Helper()
		if o := ask(l, number(1), 1, limits, now); o.Refused != refused {
			t.Errorf("%v: %+v", now, o)
		}
	}
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	f(midnight.Add(-time.Second), false)
	f(midnight, false)
	f(midnight.Add(-time.Second), false) // counts for the day after
	f(midnight.Add(-time.Second), true)
	f(midnight.Add(time.Second), true)
	f(midnight.AddDate(10, 0, 0), false)
	f(midnight.AddDate(10, 0, 0), false)
	f(midnight.AddDate(10, 0, 0), true)
	f(midnight.Add(2*time.Second), false)
}

// When there is no room, newcomers share, nobody's count is reset, and days that are over make room again.
func TestFull(t *testing.T) {
	l := NewLedger(640) // 10 a shard
	limits := Limits{Day: 3}
	victim := number(0)
	for range 3 {
		ask(l, victim, 1, limits, noon)
	}
	passed, shared := 0, 0
	for n := uint64(1); n < 100_000; n++ {
		o := ask(l, number(n), 1, limits, noon)
		if o.Shared {
			shared++
			if !o.Refused {
				passed++
			}
		}
	}
	if l.Len() != 640 || shared != 100_000-640 || passed != 3*shards {
		t.Errorf("%d counted by themselves, %d together, of which %d passed", l.Len(), shared, passed)
	}
	if o := ask(l, victim, 1, limits, noon); !o.Refused || o.Shared {
		t.Errorf("the flood gave a caller its quota back: %+v", o)
	}
	tomorrow := noon.AddDate(0, 0, 1)
	for n := uint64(200_000); n < 200_300; n++ {
		if o := ask(l, number(n), 1, limits, tomorrow); o.Shared || o.Refused {
			t.Fatalf("no room on the next day: %+v", o)
		}
	}
}

// Ten million callers take no more memory than there is room for.
func TestFlood(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("long")
	}
	l := NewLedger(1 << 18)
	limits := Limits{Day: 100}
	var before, after runtime.MemStats
	fill := func(from, to uint64) {
		s := spansAt(noon)
		for n := from; n < to; n++ {
			l.Take(number(n), 1, &limits, s, noon.Unix())
		}
	}
	fill(0, 1<<19)
	runtime.GC()
	runtime.ReadMemStats(&before)
	fill(1<<19, 10_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d MiB for %d counts", after.HeapAlloc>>20, l.Len())
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("it grew by %d bytes", grown)
	}
	runtime.KeepAlive(l)
}

func TestAllow(t *testing.T) {
	l := NewLedger(64)
	limits := Limits{Month: 5}
	for n := range uint64(1000) {
		ask(l, number(n), 1, limits, noon)
	}
	l.Allow(640)
	if o := ask(l, number(5000), 1, limits, noon); o.Shared {
		t.Error("no room once there is more")
	}
	l.Allow(64)
	if o := ask(l, number(5000), 4, limits, noon); o.Refused || o.Used[Month] != 5 {
		t.Errorf("a count was lost: %+v", o)
	}
}

func TestTakeAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l, limits, s := NewLedger(1000), Limits{Day: 1 << 50, Month: 1 << 50}, spansAt(noon)
	if n := testing.AllocsPerRun(1000, func() { l.Take(number(1), 1, &limits, s, noon.Unix()) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l, limits, s := NewLedger(1<<18), Limits{Day: 1 << 50, Month: 1 << 50}, spansAt(noon)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for random := rand.New(rand.NewPCG(rand.Uint64(), 1)); pb.Next(); {
			l.Take(number(random.Uint64N(10_000)), 1, &limits, s, noon.Unix())
		}
	})
}

func TestLimits(t *testing.T) {
	var l Limits
	if !l.None() {
		t.Error(l)
	}
	l.Lower(Day, 10)
	l.Lower(Day, 20)
	l.Lower(Month, 3)
	l.Lower(Month, 2)
	if l != (Limits{10, 2}) || l.None() || l.Share(4) != (Limits{2, 1}) || (Limits{Month: 9}).Share(2) != (Limits{0, 4}) {
		t.Error(l, l.Share(4))
	}
}

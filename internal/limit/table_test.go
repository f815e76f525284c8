package limit

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (t *Table) name(i int) Key {
	return t.Key(binary.LittleEndian.AppendUint64(nil, uint64(i)))
}

func one(table *Table, i int, tt *Terms, cost int64, c *Crowd, now int64) Verdict {
	asks := [1]Ask{{Key: table.name(i), Terms: tt, Cost: cost, Crowd: c}}
	table.Take(asks[:], now)
	return asks[0].Verdict
}

// Many who ask at once, each at a time of its own that others may be ahead of: no identity ever gets more than burst + rate·t.
func TestParallel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.Int64Range(1, 100).Draw(t, "burst")
		rate := rapid.Float64Range(1, 100_000).Draw(t, "rate")
		identities := rapid.IntRange(1, 5).Draw(t, "identities")
		callers := rapid.IntRange(2, 8).Draw(t, "callers")
		cost := rapid.Int64Range(1, min(3, burst)).Draw(t, "cost")
		tt, err := NewTerms(rate, time.Second, burst)
		if err != nil {
			t.Fatal(err)
		}
		table, crowd := NewTable(0), NewCrowd()
		var clock atomic.Int64
		clock.Store(second)
		granted := make([]atomic.Int64, identities)
		var group sync.WaitGroup
		for c := range callers {
			group.Go(func() {
				for i := range 300 {
					now := clock.Add(int64((c*i)%7) * 1000)
					who := (c + i) % identities
					if one(table, who, &tt, cost, crowd, now).OK {
						granted[who].Add(cost)
					}
				}
			})
		}
		group.Wait()
		most := float64(burst) + rate*float64(clock.Load()-second)/1e9
		for i := range granted {
			if got := float64(granted[i].Load()); got > most {
				t.Fatalf("%v granted, at most %v may be", got, most)
			} else if got < float64(min(burst, 300/cost/int64(identities))-cost) {
				t.Fatalf("%v granted of a burst of %d", got, burst)
			}
		}
	})
}

// Several limits are used together or not at all, whoever else asks; the first that refuses is named, and those after it are not asked.
func TestTogether(t *testing.T) {
	table := NewTable(0)
	wide, narrow := terms(t, 0.001, time.Second, 1000), terms(t, 0.001, time.Second, 30)
	crowds := [2]*Crowd{NewCrowd(), NewCrowd()}
	var passed, first, second atomic.Int64
	var group sync.WaitGroup
	for c := range 8 {
		group.Go(func() {
			for i := range 200 {
				asks := []Ask{{Key: table.name(1), Terms: wide, Cost: 1, Crowd: crowds[0]}, {Key: table.name(2 + i%10), Terms: narrow, Cost: 1, Crowd: crowds[1]}}
				if (c+i)%2 == 0 {
					asks[0], asks[1] = asks[1], asks[0]
				}
				switch refused := table.Take(asks, 1e9); {
				case refused < 0:
					passed.Add(1)
				case asks[refused].Terms == wide:
					first.Add(1)
				default:
					second.Add(1)
					if refused == 0 && asks[1].Verdict != (Verdict{}) {
						t.Error("a limit after the one that refused was asked")
					}
				}
			}
		})
	}
	group.Wait()
	// Ten identities of thirty each: 300 may pass, and only those are counted in what they share.
	if passed.Load() != 300 || first.Load() != 0 || second.Load() != 8*200-300 {
		t.Errorf("%d passed, %d and %d refused", passed.Load(), first.Load(), second.Load())
	}
	if v := one(table, 1, wide, 1, crowds[0], 1e9); v.Left != 1000-300-1 {
		t.Errorf("%d are left of what they share", v.Left)
	}
}

// One limit may be asked twice as one, as two names for the same thing.
func TestSameTwice(t *testing.T) {
	table, tt, crowd := NewTable(0), terms(t, 1, time.Second, 3), NewCrowd()
	asks := []Ask{{Key: table.name(1), Terms: tt, Cost: 1, Crowd: crowd}, {Key: table.name(1), Terms: tt, Cost: 1, Crowd: crowd}}
	if refused := table.Take(asks, 1e9); refused != -1 {
		t.Error(refused)
	}
	if v := one(table, 1, tt, 1, crowd, 1e9); !v.OK || v.Left != 0 {
		t.Errorf("%+v", v)
	}
}

// A table grows, and nothing that was used is forgotten; what is full again leaves its place to others.
func TestGrow(t *testing.T) {
	table, tt, crowd := NewTable(8<<20), terms(t, 1, time.Hour, 2), NewCrowd()
	const n = 200_000
	for i := range n {
		if v := one(table, i, tt, 1, crowd, 1e9); !v.OK || v.Left != 1 || v.Crowded {
			t.Fatalf("%d: %+v", i, v)
		}
	}
	for i := range n {
		if v := one(table, i, tt, 1, crowd, 1e9); !v.OK || v.Left != 0 {
			t.Fatalf("%d was forgotten: %+v", i, v)
		}
	}
	f := table.Figures(1e9)
	if f.Buckets != n || f.Bytes != 8<<20 || f.Most != 8<<20 || f.Crowded != 0 {
		t.Errorf("%+v", f)
	}
	later := int64(1e9 + 3*3600e9)
	if f := table.Figures(later); f.Buckets != 0 {
		t.Errorf("%+v", f)
	}
	for i := range n {
		one(table, n+i, tt, 1, crowd, later)
	}
	if f := table.Figures(later); f.Buckets != n || f.Bytes != 8<<20 || f.Crowded != 0 {
		t.Errorf("%+v", f)
	}
}

// How full a table gets before somebody finds no place, and that Allow never takes anything back.
func TestFull(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("two million take a while")
	}
	table, tt, crowd := NewTable(64<<20), terms(t, 1, time.Hour, 2), NewCrowd()
	const places = 64 << 20 / bucketBytes
	first := 0
	for i := range places {
		if one(table, i, tt, 1, crowd, 1e9).Crowded {
			first = i
			break
		}
	}
	share := float64(first) / places
	t.Logf("the first who finds no place comes when %.1f %% are taken", 100*share)
	if share < 0.85 {
		t.Error("that is early")
	}
	table.Allow(0)
	if f := table.Figures(1e9); f.Most != 64<<20 {
		t.Errorf("%+v", f)
	}
	table.Allow(128 << 20)
	if one(table, first, tt, 1, crowd, 1e9).Crowded {
		t.Error("no place where there is memory")
	}
}

// Ten million identities, faster than their buckets come back: memory stays flat, whoever had used something has still used it, and newcomers
// together get what the buckets they share allow and no more.
func TestFlood(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("ten million take a while")
	}
	const megabytes, victims, flood = 16, 1000, 10_000_000
	table, crowd := NewTable(megabytes<<20), NewCrowd()
	victim, other := terms(t, 1, time.Hour, 5), terms(t, 100, time.Hour, 100)
	for i := range victims {
		for range 5 {
			one(table, -1-i, victim, 1, crowd, second)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	floodCrowd := NewCrowd()
	var own, shared int
	var group sync.WaitGroup
	counts := make([][2]int, 2)
	for half := range 2 {
		group.Go(func() {
			for i := half; i < flood; i += 2 {
				now := second + int64(i)*100 // ten million a second
				if v := one(table, i, other, 1, floodCrowd, now); v.OK && v.Crowded {
					counts[half][1]++
				} else if v.OK {
					counts[half][0]++
				}
			}
		})
	}
	group.Wait()
	own, shared = counts[0][0]+counts[1][0], counts[0][1]+counts[1][1]
	runtime.GC()
	runtime.ReadMemStats(&after)
	f := table.Figures(2 * second)
	t.Logf("%d with a bucket of their own, %d of %d in shared ones; %d MiB for buckets, heap %+.1f MiB", own, shared, flood-own, f.Bytes>>20,
		float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20))
	if f.Bytes > megabytes<<20 || int64(after.HeapAlloc)-int64(before.HeapAlloc) > (megabytes+2)<<20 {
		t.Errorf("%d bytes", f.Bytes)
	}
	if own < megabytes<<20/bucketBytes*8/10 || own > megabytes<<20/bucketBytes {
		t.Errorf("%d had a bucket of their own", own)
	}
	if most := shards * (100 + 1); shared > most || shared < shards*100 {
		t.Errorf("%d got through shared buckets, at most %d may", shared, most)
	}
	for i := range victims {
		if v := one(table, -1-i, victim, 1, crowd, 2*second); v.OK || v.Crowded {
			t.Fatalf("the flood set somebody's bucket back: %+v", v)
		}
	}
	// An hour later all is as if nothing had been.
	if v := one(table, -1, victim, 1, crowd, 6*3600*second); !v.OK || v.Crowded || v.Left != 4 {
		t.Errorf("%+v", v)
	}
}

// Shared buckets of one limit are not those of another, and are strict.
func TestCrowd(t *testing.T) {
	table, tt := NewTable(0), terms(t, 1, time.Hour, 3)
	filler, a, b := NewCrowd(), NewCrowd(), NewCrowd()
	for i := range 1 << 16 {
		one(table, -1-i, tt, 1, filler, second)
	}
	n := 0
	for i := range shards * 40 {
		v := one(table, i, tt, 1, a, second)
		if !v.Crowded {
			t.Fatal("the table is not full")
		}
		if v.OK {
			n++
		}
	}
	if n != shards*3 {
		t.Errorf("%d pass by one limit's shared buckets", n)
	}
	if v := one(table, 0, tt, 1, b, second); !v.OK || !v.Crowded {
		t.Errorf("another limit: %+v", v)
	}
	before := one(table, 1, tt, 0, b, second)
	both := []Ask{{Key: table.name(1), Terms: tt, Cost: 1, Crowd: b}, {Key: table.name(2), Terms: tt, Cost: 1, Crowd: a}}
	if refused := table.Take(both, second); refused != 1 || !both[1].Crowded {
		t.Errorf("%d %+v", refused, both)
	}
	if after := one(table, 1, tt, 0, b, second); after != before || !after.Crowded || after.Left == 0 {
		t.Errorf("what was refused was used of a shared bucket: %+v, then %+v", before, after)
	}
	if table.CrowdedAt() != second || table.Figures(second).Crowded == 0 {
		t.Error("nobody is told")
	}
}

// A limit whose numbers change keeps what was used.
func TestChange(t *testing.T) {
	table, crowd := NewTable(0), NewCrowd()
	old := terms(t, 10, time.Second, 20)
	for range 15 {
		one(table, 1, old, 1, crowd, second)
	}
	if v := one(table, 1, terms(t, 1, time.Minute, 100), 1, crowd, second); v.Left != 100-15-1 {
		t.Errorf("%+v", v)
	}
	// A smaller burst: what was used beyond it is forgiven, no more.
	if v := one(table, 1, terms(t, 1, time.Minute, 4), 1, crowd, second); v.OK || v.Retry != int64(time.Minute) {
		t.Errorf("%+v", v)
	}
	if v := one(table, 1, terms(t, 1, time.Minute, 4), 1, crowd, second+int64(time.Minute)); !v.OK {
		t.Errorf("%+v", v)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	table, tt, crowd := NewTable(1<<20), terms(t, 1e6, time.Second, 1e6), NewCrowd()
	name, now := []byte("an identity"), second
	one(table, 1, tt, 1, crowd, now)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		asks := [3]Ask{{Key: table.Key(name), Terms: tt, Cost: 1, Crowd: crowd}, {Key: table.name(7), Terms: tt, Cost: 1, Crowd: crowd}}
		if table.Take(asks[:1], now) != -1 || table.Take(asks[:2], now) != -1 {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, identities := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(identities), func(b *testing.B) {
			table, tt, crowd := NewTable(64<<20), terms(b, 1e6, time.Hour, 1e6), NewCrowd()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				one(table, i%identities, tt, 1, crowd, second+int64(i)*100)
			}
		})
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	table, tt, crowd := NewTable(64<<20), terms(b, 1e6, time.Hour, 1e6), NewCrowd()
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int(next.Add(1)) * 1000; pb.Next(); i++ {
			one(table, i%10000, tt, 1, crowd, second+int64(i)*100)
		}
	})
}

func BenchmarkTakeThree(b *testing.B) {
	table, tt, crowd := NewTable(64<<20), terms(b, 1e6, time.Hour, 1e6), NewCrowd()
	var keys [2000]Key
	for i := range keys {
		keys[i] = table.name(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		asks := [3]Ask{{Key: keys[i%1000], Terms: tt, Cost: 1, Crowd: crowd}, {Key: keys[1000+i%999], Terms: tt, Cost: 1, Crowd: crowd},
			{Key: keys[1999], Terms: tt, Cost: 1, Crowd: crowd}}
		table.Take(asks[:], second+int64(i)*100)
	}
}

package replay

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func thing(n int) [32]byte { return sha256.Sum256([]byte(fmt.Sprint(n))) }

// TestModel compares a table with a list of all that was ever used.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.IntRange(1, 1000).Draw(t, "life"))
		table, now := New(shards*1000, life), int64(0)
		used := map[int]int64{}
		owners := []string{"a", "b", "c"}
		grown := false
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 50).Draw(t, "grow") == 0 {
				longer := time.Duration(rapid.IntRange(1, 2000).Draw(t, "longer"))
				for n, at := range used { // what is forgotten already stays so
					if now-at >= int64(life) {
						delete(used, n)
					}
				}
				table.Grow(shards*rapid.IntRange(1, 1000).Draw(t, "most"), longer, now)
				life, grown = max(life, longer), true
			}
			now += int64(rapid.IntRange(0, 300).Draw(t, "wait"))
			n := rapid.IntRange(0, 20).Draw(t, "thing")
			verdict := table.Use(thing(n), owners[n%len(owners)], now)
			at, ever := used[n]
			switch age := now - at; {
			case verdict == Full:
				t.Fatal("full")
			case grown && verdict == Used && ever:
			case ever && age < int64(life) && verdict != Used:
				t.Fatalf("forgotten after %d of %d", age, life)
			case !grown && (!ever || age > 2*int64(life)+8) && verdict != Fresh: // a short life is rounded up
				t.Fatalf("remembered for %d of %d", age, life)
			}
			if verdict == Fresh {
				used[n] = now
			}
		}
	})
}

// A full table refuses what is new, still knows what is old, and has room again once that is over.
func TestFull(t *testing.T) {
	const life = time.Minute
	table := New(shards*10, life)
	full, kept := 0, []int{}
	if len(table.Full(0)) > 0 {
		t.Error("full at once")
	}
	for i := range 1000 {
		switch table.Use(thing(i), "a", 0) {
		case Full:
			full++
		case Fresh:
			kept = append(kept, i)
		}
	}
	if len(kept) != shards*5 || full != 1000-len(kept) || table.Len(0) != len(kept) {
		t.Errorf("%d kept, %d refused, %d there", len(kept), full, table.Len(0))
	}
	for _, i := range kept {
		if table.Use(thing(i), "a", int64(life)) != Used {
			t.Errorf("%d is forgotten", i)
		}
	}
	if all := table.Full(int64(life)); len(all) != 1 || all[0] != "a" {
		t.Errorf("full for %q", all)
	}
	later := 2 * int64(life)
	if len(table.Full(later)) > 0 {
		t.Error("full for ever")
	}
	if n := table.Len(later); n != 0 {
		t.Errorf("%d are left", n)
	}
	if v := table.Use(thing(kept[0]), "a", later); v != Fresh {
		t.Error(v)
	}
	// A clock that runs backwards forgets nothing.
	if v := table.Use(thing(kept[0]), "a", 0); v != Used {
		t.Error(v)
	}
}

// One who uses more than its share is refused, and others are not: neither by one who is greedy nor by several.
func TestShares(t *testing.T) {
	const most = shards * 1000
	table, n := New(most, time.Minute), 0
	use := func(owner string) Verdict {
		n++
		return table.Use(thing(n), owner, 0)
	}
	for _, greedy := range []string{"a", "b", "c", "d"} {
		got := 0
		for range 2 * most {
			if use(greedy) == Fresh {
				got++
			}
		}
		if got == 0 || got > most/2 {
			t.Errorf("%s has %d of %d", greedy, got, most)
		}
		for range 50 { // few for a shard
			if v := use("modest " + greedy); v != Fresh {
				t.Fatalf("one who is modest is refused after %s took %d", greedy, got)
			}
		}
	}
	if all := table.Full(0); len(all) == 0 || all[0] != "a" || slices.Contains(all, "modest a") {
		t.Errorf("full for %q", all)
	}
	// Owners are forgotten with what they used.
	if table.Len(int64(time.Hour)); len(table.shards[0].owners) != 0 {
		t.Errorf("%v", table.shards[0].owners)
	}
	if use("a"); n == 0 {
		t.Error("nothing was used")
	}
}

// Of many who use one thing at once, one is the first.
func TestOneWins(t *testing.T) {
	table := New(1000, time.Minute)
	for i := range 100 {
		var won atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if table.Use(thing(i), "a", 0) == Fresh {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	}
}

func BenchmarkUse(b *testing.B) {
	table, things := New(1<<24, time.Minute), make([][32]byte, 1<<16)
	for i := range things {
		things[i] = thing(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Use(things[i%len(things)], "a", int64(i)*1000)
	}
}

// BenchmarkMemory says what an entry takes.
func BenchmarkMemory(b *testing.B) {
	const n = 1 << 20
	things := make([][32]byte, n)
	for i := range things {
		things[i] = thing(i)
	}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		table := New(2*n, time.Minute)
		for i := range things {
			table.Use(things[i], "a", int64(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/entry")
		runtime.KeepAlive(table)
	}
}

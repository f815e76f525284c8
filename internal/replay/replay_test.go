package replay

import (
	"crypto/sha256"
	"fmt"
	"runtime"
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
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += int64(rapid.IntRange(0, 300).Draw(t, "wait"))
			n := rapid.IntRange(0, 20).Draw(t, "thing")
			verdict := table.Use(thing(n), now)
			at, ever := used[n]
			switch age := now - at; {
			case verdict == Full:
				t.Fatal("full")
			case ever && age < int64(life) && verdict != Used:
				t.Fatalf("forgotten after %d of %d", age, life)
			case (!ever || age > 2*int64(life)+8) && verdict != Fresh: // a short life is rounded up
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
	if table.Full(0) {
		t.Error("full at once")
	}
	for i := range 1000 {
		switch table.Use(thing(i), 0) {
		case Full:
			full++
		case Fresh:
			kept = append(kept, i)
		}
	}
	if len(kept) != shards*10 || full != 1000-len(kept) || table.Len(0) != len(kept) {
		t.Errorf("%d kept, %d refused, %d there", len(kept), full, table.Len(0))
	}
	for _, i := range kept {
		if table.Use(thing(i), int64(life)) != Used {
			t.Errorf("%d is forgotten", i)
		}
	}
	if !table.Full(0) || !table.Full(int64(life)) {
		t.Error("not full")
	}
	later := 2 * int64(life)
	if table.Full(later) {
		t.Error("full for ever")
	}
	if n := table.Len(later); n != 0 {
		t.Errorf("%d are left", n)
	}
	if v := table.Use(thing(kept[0]), later); v != Fresh {
		t.Error(v)
	}
	// A clock that runs backwards forgets nothing.
	if v := table.Use(thing(kept[0]), 0); v != Used {
		t.Error(v)
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
				if table.Use(thing(i), 0) == Fresh {
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
		table.Use(things[i%len(things)], int64(i)*1000)
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
			table.Use(things[i], int64(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "bytes/entry")
		runtime.KeepAlive(table)
	}
}

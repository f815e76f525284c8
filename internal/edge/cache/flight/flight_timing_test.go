package flight

import (
	"io"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// ready is a body that is there as a whole, and can be read again.
type ready struct {
	body []byte
	read bool
}

func (r *ready) Next() ([]byte, error) {
	if r.read {
		return nil, io.EOF
	}
	r.read = true
	return r.body, nil
}

func (r *ready) Buffered() bool { return true }

// miss takes a body through a flight that nobody else joins.
func miss(tb testing.TB, table *Table, k object.Key, source *ready, length int64, keep Keep) {
	source.read = false
	f, leader := table.Join(k)
	if !leader {
		tb.Fatal("joined another")
	}
	body := f.Land(nil, source, length, keep)
	for {
		if _, err := body.Next(); err != nil {
			break
		}
	}
	f.Finish()
}

// A miss with a small body that is there costs the flight and the body that is stored.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop at random")
	}
	table, source := New(roomy, nil), &ready{body: content(1 << 10)}
	keep := Keep{Max: 1 << 20, Stored: func([]byte) {}}
	for _, length := range []int64{1 << 10, exchange.Unknown} {
		if got := testing.AllocsPerRun(100, func() { miss(t, table, key, source, length, keep) }); got != 2 {
			t.Errorf("length %d: %v allocations, want 2", length, got)
		}
	}
}

func BenchmarkMiss1KiB(b *testing.B) {
	table, source := New(roomy, nil), &ready{body: content(1 << 10)}
	keep := Keep{Max: 1 << 20, Stored: func([]byte) {}}
	b.ReportAllocs()
	for b.Loop() {
		miss(b, table, key, source, 1<<10, keep)
	}
}

func BenchmarkMiss1KiBChunked(b *testing.B) {
	table, source := New(roomy, nil), &ready{body: content(1 << 10)}
	keep := Keep{Max: 1 << 20, Stored: func([]byte) {}}
	b.ReportAllocs()
	for b.Loop() {
		miss(b, table, key, source, exchange.Unknown, keep)
	}
}

func BenchmarkMissParallel(b *testing.B) {
	table := New(roomy, nil)
	keep := Keep{Max: 1 << 20, Stored: func([]byte) {}}
	body := content(1 << 10)
	var keys atomic.Uint32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		source, k := &ready{body: body}, object.Key{2: byte(keys.Add(1))}
		for pb.Next() {
			k[1]++
			k[0] = k[1] * 37
			miss(b, table, k, source, 1<<10, keep)
		}
	})
}

// BenchmarkStream takes 1 MiB that comes run by run through a goroutine of the flight.
func BenchmarkStream1MiB(b *testing.B) {
	table, want := New(roomy, nil), content(1<<20)
	keep := Keep{Max: 1 << 20, Stored: func([]byte) {}}
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		f, _ := table.Join(key)
		source := &runs{rest: want, size: 16 << 10}
		body := f.Land(nil, source, 1<<20, keep)
		for {
			if _, err := body.Next(); err != nil {
				break
			}
		}
		f.Finish()
	}
}

// runs is a body that comes in runs of a size, each of which has to be waited for.
type runs struct {
	rest []byte
	size int
}

func (r *runs) Next() ([]byte, error) {
	if len(r.rest) == 0 {
		return nil, io.EOF
	}
	n := min(r.size, len(r.rest))
	run := r.rest[:n]
	r.rest = r.rest[n:]
	return run, nil
}

func (r *runs) Buffered() bool { return false }

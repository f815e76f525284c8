package accesslog

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func discard(t testing.TB) *Log {
	l, err := start(Options{Shards: 2}, func(string) (sink, error) { return nowhere{}, nil }, clock.Now, clock.Wall, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func TestObserveAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := discard(t)
	plain, failed := ordinary(), eventful()
	failed.Fault = fault.New(fault.Malformed, nil)
	escaped := ordinary()
	escaped.Request.Path = "/\x00\xff\u2028"
	// Batches are made as they are first needed; have enough of them.
	for range 10_000 {
		l.Observe(plain)
	}
	f := func(name string, observe func()) {
		if n := testing.AllocsPerRun(2000, observe); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("ordinary", func() { l.Observe(plain) })
	f("failed", func() { l.Observe(failed) })
	f("escaped", func() { l.Observe(escaped) })
	failed.Fault.Cause = errors.New("no address in here")
	f("with a cause", func() { l.Observe(failed) })
}

// undriven is a log whose writer does not run: a benchmark that outruns the writer would measure how cheaply lines are dropped.
func undriven() *Log {
	l := &Log{depot: newDepot(DefaultBuffer), now: clock.Now, shards: make([]shard, 2)}
	l.settings.Store(&Settings{To: "nowhere"})
	for i := range l.shards {
		l.shards[i].at.wall = clock.Wall
	}
	l.writer = newWriter(l, nowhere{}, clock.Wall, time.Second)
	return l
}

// carry does what the writer would do with the batches that are full, but for the writing.
func carry(l *Log) {
	select {
	case <-l.writer.full:
		for b := l.depot.next(); b != nil; b = l.depot.next() {
			l.depot.giveBack(b)
		}
	default:
	}
}

// BenchmarkLine is the making of a line alone, with a query and a user agent; BenchmarkShortLine is without.
func BenchmarkLine(b *testing.B) { benchmarkLine(b, ordinary()) }

func BenchmarkShortLine(b *testing.B) { benchmarkLine(b, short()) }

func benchmarkLine(b *testing.B, x *exchange.Exchange) {
	s, at := &Settings{}, &stamp{wall: wallAt}
	line := make([]byte, 0, maxLine)
	b.ReportAllocs()
	for b.Loop() {
		line = appendLine(line[:0], x, s, at, x.Times.Done, "")
	}
	b.SetBytes(int64(len(line)))
}

func BenchmarkObserve(b *testing.B) { observe(b, ordinary()) }

func BenchmarkObserveFailed(b *testing.B) { observe(b, eventful()) }

func observe(b *testing.B, x *exchange.Exchange) {
	l := undriven()
	b.ReportAllocs()
	for b.Loop() {
		l.Observe(x)
		carry(l)
	}
	mustLoseNone(b, l)
}

// BenchmarkObserveParallel is two connections of different shards on two processors.
func BenchmarkObserveParallel(b *testing.B) {
	l := undriven()
	var shard atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		x := ordinary()
		x.Conn.Shard = int(shard.Add(1))
		for pb.Next() {
			l.Observe(x)
			carry(l)
		}
	})
	mustLoseNone(b, l)
}

func mustLoseNone(b *testing.B, l *Log) {
	if s := l.Stats(); s.Lost.Total() > 0 {
		b.Errorf("%+v: dropping is not what is to be measured", s)
	}
}

// BenchmarkObserveStuck is the cost of dropping a line.
func BenchmarkObserveStuck(b *testing.B) {
	stuck := newFake()
	stuck.block()
	l, err := start(Options{Buffer: MinBuffer}, stuck.open, clock.Now, clock.Wall, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	x := ordinary()
	b.ReportAllocs()
	for b.Loop() {
		l.Observe(x)
	}
	stuck.unblock()
	_ = l.Close(context.Background())
}

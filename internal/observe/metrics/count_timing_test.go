package metrics

import (
	"strconv"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func TestObserveAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m := New(Options{Shards: 2})
	x := ordinary(m)
	failed := ordinary(m)
	failed.Fail(fault.New(fault.UpstreamReset, nil))
	failed.Upstream.Reused, failed.Upstream.Opened, failed.Upstream.Tries = false, "none_idle", 3
	failed.Response.Header.Append(exchange.ContentType, "Content-Type", "application/grpc")
	failed.Response.Trailer.Add("grpc-status", "14")
	known := accepted(m)
	m.Observe(failed) // the first use of a word makes room for it
	m.Observe(known)
	if n := testing.AllocsPerRun(1000, func() { m.Observe(x); m.Observe(failed); m.Observe(known) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// accepted is an exchange of a consumer.
func accepted(m *Metrics) *exchange.Exchange {
	x := ordinary(m)
	x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "acme"}, Method: "jwt"}
	x.Judge("jwt", "accepted")
	return x
}

func BenchmarkObserveConsumer(b *testing.B) {
	m := New(Options{Shards: 2})
	for i := range MaxConsumers {
		x := ordinary(m)
		x.Caller.Consumer = &consumer.Consumer{ID: strconv.Itoa(i)}
		if i > 0 {
			m.Observe(x)
		} else {
			m.Observe(accepted(m))
		}
	}
	x := accepted(m)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(x)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := New(Options{Shards: 2})
	x := ordinary(m)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(x)
	}
}

// BenchmarkObserveParallel is two connections of different shards on two processors.
func BenchmarkObserveParallel(b *testing.B) {
	m := New(Options{Shards: 2})
	var shard atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		x := ordinary(m)
		x.Conn.Shard = int(shard.Add(1))
		for pb.Next() {
			m.Observe(x)
		}
	})
}

// BenchmarkScrape gathers a gateway of a hundred routes.
func BenchmarkScrape(b *testing.B) {
	m := New(Options{Shards: 2})
	for i := range 100 {
		x := ordinary(m)
		x.Route.Slot = m.Routes.Of(string(rune('A' + i)))
		m.Observe(x)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Registry().Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

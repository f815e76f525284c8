package health

import (
	"testing"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/test/script"
)

func BenchmarkAttemptSuccess(b *testing.B) {
	g := script.Must(NewGroup(usual))
	e := g.Join("a", &balance.Load{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e.Attempt(2, 1, Success)
		}
	})
}

func BenchmarkAttemptMixed(b *testing.B) {
	g := script.Must(NewGroup(usual))
	e := g.Join("a", &balance.Load{})
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += 1e6
		e.Attempt(now, now, Outcome(now/1e6%2))
	}
}

package retry

import (
	"testing"
	"time"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/test/script"
)

func BenchmarkBudgetRequest(b *testing.B) {
	budget := script.Must(NewBudget(Share{PerRequest: .2, PerSecond: 10}, 0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := int64(0)
		for pb.Next() {
			now += 20_000
			budget.Request(now)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	budget := script.Must(NewBudget(Share{PerRequest: .2, PerSecond: 10_000}, 0))
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += int64(time.Millisecond)
		usual.Decide(Attempt{Phase: fault.Answered, Status: 503, Idempotent: true, BodyReplayable: true, Attempts: 1}, budget, now, uint64(now))
	}
}

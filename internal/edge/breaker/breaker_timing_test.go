package breaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

func benchmark(b *testing.B, change func(*Settings), force State, outcome Outcome) {
	s := usual
	change(&s)
	br, err := New(s, 0, rand.Uint64, nil)
	if err != nil {
		b.Fatal(err)
	}
	if force != Closed {
		br.Force(0, force)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := int64(0)
		for pb.Next() {
			now += 1000
			p, _ := br.Allow(now, true)
			p.Done(now, outcome, 1000)
		}
	})
}

func BenchmarkClosedConsecutive(b *testing.B) {
	benchmark(b, func(*Settings) {}, Closed, Success)
}

func BenchmarkClosedRatios(b *testing.B) {
	benchmark(b, func(s *Settings) { s.ErrorRatio, s.SlowRatio, s.SlowCall = .5, .5, time.Second }, Closed, Success)
}

func BenchmarkClosedRatiosFailing(b *testing.B) {
	benchmark(b, func(s *Settings) { s.ConsecutiveErrors, s.ErrorRatio, s.MinVolume = 0, .5, maxCount/2 }, ForcedClosed, Failure)
}

func BenchmarkForcedOpen(b *testing.B) {
	benchmark(b, func(*Settings) {}, ForcedOpen, Success)
}

package clock

import "testing"

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}

func BenchmarkDate(b *testing.B) {
	now := Now()
	b.ReportAllocs()
	for b.Loop() {
		Date(now)
	}
}

func BenchmarkWall(b *testing.B) {
	now := Now()
	b.ReportAllocs()
	for b.Loop() {
		Wall(now)
	}
}

package config

import "testing"

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		data := manyRoutes(n)
		b.Run(map[int]string{10: "10", 1000: "1000", 100_000: "100000"}[n], func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("x.yaml", data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

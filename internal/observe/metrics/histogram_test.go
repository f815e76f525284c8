package metrics

import (
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it); got:\n%s", path, got)
	}
}

// TestBounds holds the ends that /metrics shows.
func TestBounds(t *testing.T) {
	f := func(i int, unit uint64, want time.Duration) {
		t.Helper()
		if got := time.Duration(bound(i, unit)); got != want {
			t.Errorf("bucket %d ends at %v, want %v", i, got, want)
		}
	}
	f(15, spanUnit, 500*time.Microsecond)
	f(19, spanUnit, time.Millisecond)
	f(spanBuckets-2, spanUnit, 65536*time.Millisecond)
	f(3, ownUnit, 10*time.Microsecond)
	f(5, ownUnit, 15*time.Microsecond)
	f(7, ownUnit, 20*time.Microsecond)
	f(ownBuckets-2, ownUnit, 163840*time.Microsecond)
}

// TestBucket compares the shift with a search through the ends.
func TestBucket(t *testing.T) {
	for _, h := range []struct {
		unit    uint64
		buckets int
	}{{spanUnit, spanBuckets}, {ownUnit, ownBuckets}} {
		var ends []int64
		for i := range h.buckets - 1 {
			ends = append(ends, bound(i, h.unit))
		}
		if !slices.IsSorted(ends) {
			t.Fatalf("the ends are not in order: %v", ends)
		}
		check := func(t interface{ Fatalf(string, ...any) }, ns int64) {
			want, _ := slices.BinarySearch(ends, ns)
			if got := bucket(ns, h.unit, h.buckets); got != want {
				t.Fatalf("%d ns is in bucket %d, want %d", ns, got, want)
			}
		}
		for _, end := range ends {
			for d := int64(-1); d <= 1; d++ {
				check(t, end+d)
			}
		}
		check(t, 0)
		check(t, -5)
		check(t, 1<<63-1)
		rapid.Check(t, func(t *rapid.T) { check(t, rapid.Int64().Draw(t, "ns")) })
	}
}

// TestQuantile compares the estimate with the exact value: it must lie in the same bucket.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(1, 60*int64(time.Second)), 1, 200).Draw(t, "durations")
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		var counts [spanBuckets]uint64
		for _, d := range all {
			counts[spanBucket(d)]++
		}
		slices.Sort(all)
		rank := 0
		for rank+1 < len(all) && float64(rank+1) < q*float64(len(all)) {
			rank++
		}
		got, exact := int64(quantile(counts[:], spanUnit, q)), all[rank]
		in := spanBucket(exact)
		from := int64(0)
		if in > 0 {
			from = bound(in-1, spanUnit)
		}
		if got < from || got > bound(in, spanUnit) {
			t.Fatalf("got %d, exactly it is %d: between %d and %d", got, exact, from, bound(in, spanUnit))
		}
	})
	var none, beyond [spanBuckets]uint64
	beyond[spanBuckets-1] = 1
	if got := quantile(none[:], spanUnit, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := quantile(beyond[:], spanUnit, 0.5); got != 65536*time.Millisecond {
		t.Errorf("of one beyond the end: %v", got)
	}
}

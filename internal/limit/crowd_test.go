package limit

import (
	"sync"
	"testing"
)

// TestCrowdTakesMemoryLate: a limit whose callers all find a place takes no buckets to share, and those who need them first at the same time share
// the same.
func TestCrowdTakesMemoryLate(t *testing.T) {
	table, terms := NewTable(0), mustTerms(t)
	crowd := NewCrowd()
	for i := range 100 {
		table.Take([]Ask{{Key: table.Key([]byte{byte(i)}), Terms: &terms, Cost: 1, Crowd: crowd}}, 1)
	}
	if crowd.buckets.Load() != nil {
		t.Error("a crowd nobody is in takes memory")
	}
	var all sync.WaitGroup
	for at := range shards {
		all.Go(func() { crowd.bucket(at).full = int64(at) })
	}
	all.Wait()
	for at := range shards {
		if crowd.bucket(at).full != int64(at) {
			t.Errorf("bucket %d was lost", at)
		}
	}
}

func mustTerms(t *testing.T) Terms {
	terms, err := NewTerms(1, 1e9, 10)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

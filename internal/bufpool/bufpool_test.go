package bufpool

import (
	"fmt"
	"testing"
)

func TestGet(t *testing.T) {
	f := func(asked, want int) {
		t.Helper()
		b := Get(asked)
		if len(b) != want || cap(b) != want {
			t.Errorf("asked for %d: got %d of %d, want %d", asked, len(b), cap(b), want)
		}
		Put(b)
	}
	f(0, Small)
	f(1, Small)
	f(Small, Small)
	f(Small+1, Medium)
	f(Medium, Medium)
	f(Medium+1, Large)
	f(Large, Large)
	f(Large+1, Large+1)
}

// Whatever was done to a buffer, the pool lends whole ones only.
func TestPutOfParts(t *testing.T) {
	put := func(size int, change func([]byte) []byte) {
		for range 10 { // the pool may drop some
			Put(change(Get(size)))
		}
		for _, asked := range []int{Small, Medium, Large} {
			b := Get(asked)
			if len(b) != asked || cap(b) != asked {
				t.Fatalf("asked for %d: got %d of %d", asked, len(b), cap(b))
			}
			for i := range b { // and all of it is there
				b[i] = byte(i)
			}
		}
	}
	for _, size := range []int{Small, Medium, Large} {
		put(size, func(b []byte) []byte { return b[:0] })
		put(size, func(b []byte) []byte { return b[:1] })
		put(size, func(b []byte) []byte { return b[1:] })
		put(size, func(b []byte) []byte { return b[: size/2 : size/2] })
		put(size, func(b []byte) []byte { return append(b, 1) })
	}
	put(0, func([]byte) []byte { return nil })
	put(0, func([]byte) []byte { return make([]byte, 100) })
}

// No two borrowers share a buffer.
func TestLentOnce(t *testing.T) {
	lent := map[*byte]string{}
	for i := range 100 {
		for _, size := range []int{Small, Medium, Large} {
			b := Get(size)
			if who, ok := lent[&b[0]]; ok {
				t.Fatalf("the buffer lent to %s was lent again", who)
			}
			lent[&b[0]] = fmt.Sprint(i, size)
		}
	}
}

func TestLendingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop at random")
	}
	for _, size := range []int{Small, Medium, Large} {
		if got := testing.AllocsPerRun(100, func() { Put(Get(size)) }); got != 0 {
			t.Errorf("size %d: %v allocations, want none", size, got)
		}
	}
}

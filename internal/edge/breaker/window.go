package breaker

import "sync/atomic"

// window counts calls, errors and slow calls of the last ten steps of time. Each bucket is one word, so counting and
// forgetting are one compare-and-swap and readers never see half an update:
//
//	63..48 which step (mod 2^16)   47..32 calls   31..16 errors   15..0 slow
//
// A bucket that is full halves its three counts, which keeps their ratios. After 65536 rounds of the ring (a week with
// steps of a second) without a single call in a bucket, its old counts could be taken for new ones.
type window struct{ buckets [steps]atomic.Uint64 }

const (
	steps    = 10
	maxCount = 1<<16 - 1
)

func (w *window) add(now, width int64, failed, slow bool) {
	step := now / width
	bucket, stamp := &w.buckets[step%steps], uint16(step/steps)
	for {
		old := bucket.Load()
		word := old
		switch age := int16(stamp - uint16(old>>48)); {
		case age == -1:
			return // a latecomer, a whole window behind the others
		case age != 0:
			word = uint64(stamp) << 48
		case old>>32&maxCount == maxCount:
			word = uint64(stamp)<<48 | old>>1&0x7FFF7FFF7FFF
		}
		word += 1 << 32
		if failed {
			word += 1 << 16
		}
		if slow {
			word++
		}
		if bucket.CompareAndSwap(old, word) {
			return
		}
	}
}

// Counts is what the window holds.
type Counts struct{ Calls, Errors, Slow int }

func (w *window) sum(now, width int64) (c Counts) {
	last := now / width
	for step := max(last-steps+1, 0); step <= last; step++ {
		if word := w.buckets[step%steps].Load(); uint16(word>>48) == uint16(step/steps) {
			c.Calls += int(word >> 32 & maxCount)
			c.Errors += int(word >> 16 & maxCount)
			c.Slow += int(word & maxCount)
		}
	}
	return c
}

func (w *window) clear() {
	for i := range w.buckets {
		w.buckets[i].Store(0)
	}
}

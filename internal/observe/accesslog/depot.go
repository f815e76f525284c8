package accesslog

import (
	"sync"
	"sync/atomic"
)

// batch is a run of whole lines on its way to the sink. It belongs to exactly one of: a shard (open), the depot (waiting or
// free), the writer.
type batch struct {
	text  []byte // capacity: the depot's size plus maxLine, so that a line begun always fits
	lines uint64
	// held says the batch was taken from the room kept for lines that matter; ordinary ones stay out of it.
	held bool
}

// depot lends empty batches to the shards and queues full ones for the writer. It holds the log's whole budget.
type depot struct {
	size  int // bytes of lines after which a batch is full
	total int // batches there may be
	// wakeAt is how many batches are worth waking the writer for.
	wakeAt int
	keep   int // of them for lines that matter

	out atomic.Int64 // batches that are not free; read without the lock as a hint

	mu   sync.Mutex
	made int
	free []*batch
	full []*batch // oldest first
}

// The size of a batch: large enough that a write call is worth it, small enough that a reserve of a quarter is several.
const (
	largestBatch  = 64 << 10
	smallestBatch = 8 << 10
)

func newDepot(buffer int) *depot {
	d := &depot{size: min(max(buffer/16-maxLine, smallestBatch), largestBatch)}
	d.total = buffer / (d.size + maxLine)
	d.keep = max(d.total/4, 1)
	d.wakeAt = max(d.total/8, 1)
	d.free = make([]*batch, 0, d.total)
	d.full = make([]*batch, 0, d.total)
	return d
}

// open says whether a batch may be had for an ordinary line.
func (d *depot) open() bool { return int(d.out.Load()) < d.total-d.keep }

// take lends an empty batch, or nil when there is none for such lines.
func (d *depot) take(matters bool) *batch {
	out := int(d.out.Load())
	if out >= d.total || (!matters && !d.open()) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out = int(d.out.Load())
	held := out >= d.total-d.keep
	if out >= d.total || (held && !matters) {
		return nil
	}
	d.out.Add(1)
	var b *batch
	if n := len(d.free); n > 0 {
		b = d.free[n-1]
		d.free = d.free[:n-1]
	} else {
		b = &batch{text: make([]byte, 0, d.size+maxLine)}
		d.made++
	}
	b.held = held
	return b
}

// queue hands a batch to the writer, and says whether it should be woken. It is woken for several batches together: each time it
// leaves the processor for a write, the runtime watches it from a thread of its own, which at one wake-up a batch cost more than
// the writing. What is not worth waking it for goes out at its next tick.
func (d *depot) queue(b *batch) (wake bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = append(d.full, b)
	return len(d.full) >= d.wakeAt
}

// next gives the writer the oldest batch that waits, or nil.
func (d *depot) next() *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.full) == 0 {
		return nil
	}
	b := d.full[0]
	d.full = d.full[:copy(d.full, d.full[1:])]
	return b
}

// giveBack takes a batch back from the writer.
func (d *depot) giveBack(b *batch) {
	b.text, b.lines = b.text[:0], 0
	d.mu.Lock()
	d.free = append(d.free, b)
	d.out.Add(-1)
	d.mu.Unlock()
}

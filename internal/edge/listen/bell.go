package listen

import (
	"sync"
	"sync/atomic"
)

// bell wakes those who wait for a connection to end. While nobody waits, ringing it is one atomic load.
type bell struct {
	waiting atomic.Int32
	mu      sync.Mutex
	next    chan struct{} // closed by the next ring; nil until somebody waits for it
}

// hear returns a channel that is closed when the bell rings next. What is waited for must be checked after hear, or a ring may be
// missed; leave must follow.
func (b *bell) hear() <-chan struct{} {
	b.waiting.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) leave() { b.waiting.Add(-1) }

func (b *bell) ring() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// again is hear for somebody who is already waiting.
func (b *bell) again() <-chan struct{} {
	b.waiting.Add(-1)
	return b.hear()
}

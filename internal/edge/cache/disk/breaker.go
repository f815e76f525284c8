package disk

import (
	"sync"
	"time"
)

// breaker leaves a disk alone that does not answer. Times are readings of clock.Now.
type breaker struct {
	mu      sync.Mutex
	late    int   // in a row
	until   int64 // it is left alone; 0 when it is not
	pause   time.Duration
	probing bool
}

const (
	lateMost   = 3 // in a row, before the disk is left alone
	firstPause = time.Second
	maxPause   = time.Minute
)

// allow says whether the disk may be asked, and whether that is a probe: then the next judgement counts for all.
func (b *breaker) allow(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == 0 {
		return true
	}
	if now < b.until || b.probing {
		return false
	}
	b.probing = true
	return true
}

// answered notes that the disk did, and says whether it was left alone until now.
func (b *breaker) answered() (healed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	healed = b.until != 0
	b.late, b.until, b.pause, b.probing = 0, 0, 0, false
	return healed
}

// missed notes that it did not answer in time, and says whether it is left alone from now on, and was not before.
func (b *breaker) missed(now int64) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late++
	switch {
	case b.until == 0 && b.late < lateMost:
		return false
	case b.until != 0 && !b.probing:
		return false // it was asked before that
	}
	opened = b.until == 0
	b.pause = min(max(2*b.pause, firstPause), maxPause)
	b.until, b.probing = now+int64(b.pause), false
	return opened
}

// closed says whether the disk is asked.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until == 0
}

package retry

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Window is the time constant of a budget: what traffic earned this long ago is worth 1/e now.
const Window = 10 * time.Second

// Share says how many retries a budget allows: so many per request, plus so many per second whatever the traffic.
type Share struct {
	PerRequest float64 // 0 to 1: 0.2 = one retry for five requests
	PerSecond  float64 // 0 to 10,000
}

// Check returns the first value out of its range.
func (s Share) Check() error {
	if s.PerRequest < 0 || s.PerRequest > 1 {
		return fmt.Errorf("retry: budget of %v retries per request, want 0 to 1", s.PerRequest)
	}
	if s.PerSecond < 0 || s.PerSecond > 10_000 {
		return fmt.Errorf("retry: budget of %v retries per second, want 0 to 10000", s.PerSecond)
	}
	return nil
}

// Budget counts what may be retried. Each request pays in Share.PerRequest, each retry takes out 1; what is not used
// fades with Window towards the level Share.PerSecond alone would hold, PerSecond × Window. So after steady traffic of r
// requests a second the budget has (PerRequest × r + PerSecond) × Window in reserve, enough for the burst when an
// endpoint dies, and in the long run no more than PerRequest × requests + PerSecond × seconds are retried. (The idea is
// Finagle's RetryBudget; one fading number takes the place of its ring of buckets.)
//
// All state is one word, so that checking and taking are one step and the budget is never overdrawn. Safe for concurrent
// use.
type Budget struct {
	share atomic.Pointer[Share]
	_     [56]byte
	word  atomic.Uint64 // high half: float32 bits of the balance; low half: when, in ticks of 2^16 ns
	_     [56]byte
}

const (
	tick = 16
	// most is the largest balance: from there on a float32 would lose single payments.
	most = 100_000
)

// NewBudget returns a budget with the reserve that PerSecond alone gives.
func NewBudget(s Share, now int64) (*Budget, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	b := &Budget{}
	b.share.Store(&s)
	b.word.Store(pack(min(s.PerSecond*Window.Seconds(), most), now))
	return b, nil
}

// Set changes the share; the balance stays and moves from here on by the new rule.
func (b *Budget) Set(s Share, now int64) error {
	if err := s.Check(); err != nil {
		return err
	}
	for old := b.share.Load(); ; {
		word := b.word.Load()
		if b.word.CompareAndSwap(word, pack(unpack(word, now, old))) {
			break
		}
	}
	b.share.Store(&s)
	return nil
}

// Request pays in for one request (not for its retries).
func (b *Budget) Request(now int64) {
	s := b.share.Load()
	for {
		old := b.word.Load()
		balance, at := unpack(old, now, s)
		if b.word.CompareAndSwap(old, pack(min(balance+s.PerRequest, most), at)) {
			return
		}
	}
}

// Take pays for one retry and tells whether there was enough.
func (b *Budget) Take(now int64) bool {
	s := b.share.Load()
	for {
		old := b.word.Load()
		balance, at := unpack(old, now, s)
		if balance < 1 {
			return false
		}
		if b.word.CompareAndSwap(old, pack(balance-1, at)) {
			return true
		}
	}
}

// Balance returns how many retries the budget would pay for now.
func (b *Budget) Balance(now int64) float64 {
	balance, _ := unpack(b.word.Load(), now, b.share.Load())
	return balance
}

func pack(balance float64, at int64) uint64 {
	return uint64(math.Float32bits(float32(balance)))<<32 | uint64(uint32(at>>tick))
}

// unpack returns the balance as it is now, and the time it stands for: now, or a little later if another goroutine was
// ahead. Ticks wrap after 78 hours; a budget nobody asked for longer than that may fade too little once.
func unpack(word uint64, now int64, s *Share) (balance float64, at int64) {
	balance = float64(math.Float32frombits(uint32(word >> 32)))
	age := int32(uint32(now>>tick) - uint32(word))
	if age <= 0 {
		return balance, now - int64(age)<<tick
	}
	level := min(s.PerSecond*Window.Seconds(), most)
	return level + (balance-level)*math.Exp(-float64(int64(age)<<tick)/float64(Window)), now
}

package flight

import (
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Outcome is what became of waiting.
type Outcome uint8

// The outcomes.
const (
	Landed  Outcome = iota // the head is there: call Follow if the body is wanted, soon, and Leave in any case
	Failed                 // Fault says why
	Parted                 // ask yourself
	TooLong                // the time is over; ask yourself
	Gone                   // the one who waits is not wanted any more
)

// tick is how often one who waits is asked whether it still is to.
const tick = 250 * time.Millisecond

// Wait waits for the head, as long as until, a reading of clock.Now, and while gone says false; it is asked about four times a second and may be nil.
func (f *Flight) Wait(until int64, gone func() bool) Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == landed {
		if !f.followable() {
			return Parted
		}
		f.pending++
		f.others.Add(1)
		return Landed
	}
	if f.state == aloft {
		f.waiting++
		f.others.Add(1)
		f.table.waiting.Add(1)
		defer f.table.waiting.Add(-1)
	}
	for f.state == aloft { // whoever changes it has counted those who wait
		left := until - clock.Now()
		if left <= 0 {
			f.waiting--
			f.others.Add(-1)
			return TooLong
		}
		if f.sleep(&f.more, min(tick, time.Duration(left))) && f.asked(gone) && f.state == aloft {
			f.waiting--
			f.others.Add(-1)
			return Gone
		}
	}
	return [...]Outcome{landed: Landed, failed: Failed, parted: Parted}[f.state]
}

// asked asks whether somebody is gone. The lock is not held meanwhile.
func (f *Flight) asked(gone func() bool) bool {
	if gone == nil {
		return false
	}
	f.mu.Unlock()
	defer f.mu.Lock()
	return gone()
}

// Head is what landed; its Body is nil. It counts after Landed.
func (f *Flight) Head() *object.Object { return f.head }

// Fault counts after Failed.
func (f *Flight) Fault() *fault.Fault { return f.fault }

// Follow gives the body from its beginning, for one who was told Landed, and its length, which may be exchange.Unknown. It is nil when it cannot be
// had from its beginning any more. The body fails as the leader's does, and with ClientGone when gone, which is asked about four times a second while
// Next waits and may be nil, says true. Leave has to be called when it is not read any more, and with nil when it was not given.
func (f *Flight) Follow(gone func() bool) (body exchange.Body, length int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.followable() {
		return nil, 0
	}
	f.pending--
	r := &reader{flight: f, gone: gone, index: len(f.followers)}
	f.followers = append(f.followers, r)
	if length = f.length; f.ended {
		length = f.n
	}
	return r, length
}

// followable says whether the body can be had from its beginning.
func (f *Flight) followable() bool {
	return f.state == landed && !f.closed && f.start == 0 && f.told == nil
}

// Leave says that a body which Follow gave is not read any more, or, with nil, that one who was told Landed has got none and wants none. Who was told
// Landed calls it once.
func (f *Flight) Leave(body exchange.Body) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, _ := body.(*reader)
	switch {
	case body == nil:
		f.pending--
	case r == nil || r.flight != f || r == &f.leader:
		return // not one that Follow gave
	default:
		f.unhold(r)
		if r.fault == nil {
			r.fault = errGivenUp
		}
		if r.out {
			return
		}
		f.strike(r)
	}
	f.left()
}

// strike takes a follower off the list.
func (f *Flight) strike(r *reader) {
	r.out = true
	end := len(f.followers) - 1
	f.followers[r.index] = f.followers[end]
	f.followers[r.index].index = r.index
	f.followers[end] = nil
	f.followers = f.followers[:end]
}

// left takes note that one of the others is there no more.
func (f *Flight) left() {
	f.others.Add(-1)
	if f.ended {
		f.trim()
	}
	wake(&f.room)
}

// sleep waits until a channel is closed by wake, or for so long unless d is 0, and says whether it was the time. The lock is not held meanwhile.
func (f *Flight) sleep(on *chan struct{}, d time.Duration) (late bool) {
	if *on == nil {
		*on = make(chan struct{})
	}
	woken := *on
	f.mu.Unlock()
	defer f.mu.Lock()
	if d == 0 {
		<-woken
		return false
	}
	timer := f.table.timers.Get().(*time.Timer)
	timer.Reset(d)
	select {
	case <-woken:
	case <-timer.C:
		late = true
	}
	timer.Stop()
	f.table.timers.Put(timer)
	return late
}

// wake wakes all who sleep on a channel.
func wake(on *chan struct{}) {
	if *on != nil {
		close(*on)
		*on = nil
	}
}

package disk

import (
	"errors"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
)

const (
	// readsWaiting is how many readings wait for a reader.
	readsWaiting = 256
	// mostHandles is how many files are open for reading; with more, a Get is a miss.
	mostHandles = 1024
	// idleHandles is how many files of a shard are kept open that nobody reads.
	idleHandles = 8
)

// reading is something that waits for the disk.
type reading interface{ run() }

// runReader waits for the disk on behalf of those who have no time to.
func (s *Store) runReader() {
	for {
		select {
		case r := <-s.reads:
			r.run()
		case <-s.stop:
			return
		}
	}
}

// errLate is for a disk that does not answer in time.
var errLate = errors.New("disk: no answer in time")

// asked is a reading with one who waits for it, but not for ever.
type asked struct {
	do, undo func()
	begun    atomic.Bool // it is with the disk
	settled  atomic.Bool // done, or nobody waits any more
	done     chan struct{}
}

func (a *asked) run() {
	if a.settled.Load() {
		a.undo()
		return
	}
	a.begun.Store(true)
	a.do()
	if a.settled.CompareAndSwap(false, true) {
		close(a.done)
	} else {
		a.undo()
	}
}

// within has do run by a reader and waits for it. When that takes too long it returns false, and undo is called once nothing runs any more: until
// then all that do uses is the reader's.
func (s *Store) within(wait time.Duration, do, undo func()) bool {
	a := &asked{do: do, undo: undo, done: make(chan struct{})}
	began := clock.Now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.reads <- a:
	case <-s.stop:
		undo()
		return false
	case <-timer.C:
		undo()
		s.missed()
		return false
	}
	stopped := false
	select {
	case <-a.done:
	case <-s.stop:
		stopped = true
	case <-timer.C:
	}
	if a.settled.CompareAndSwap(false, true) {
		if !stopped && a.begun.Load() { // what was not begun waited for a processor, or behind those that are counted
			s.missed()
		}
		return false
	}
	<-a.done
	took := clock.Now() - began
	s.counts.waited.Add(took)
	if took <= int64(s.HeadWait) {
		s.answered()
	}
	return true
}

func (s *Store) answered() {
	if s.breaker.answered() {
		s.Log.Info("cache on disk: the disk answers again", "dir", s.Dir)
	}
}

func (s *Store) missed() {
	if s.breaker.missed(clock.Now()) {
		s.Log.Warn("cache on disk: the disk does not answer in time, so it is left alone for a while", "dir", s.Dir, "wait", s.HeadWait)
	}
}

package accesslog

import (
	"bytes"
	"context"
	"strconv"
	"sync/atomic"
	"time"
)

// How long the writer rests after a failed write: twice as long each time.
const (
	firstRest   = 100 * time.Millisecond
	longestRest = 5 * time.Second
)

// writer is the one goroutine that does I/O. Fields without an atomic type belong to it alone.
type writer struct {
	log   *Log
	every time.Duration

	full  chan struct{} // a batch is queued
	nudge chan struct{} // there is a new sink, or a reason to look at the path again
	end   chan context.Context
	done  chan struct{}

	to      sink
	current atomic.Pointer[sink] // to, for interrupt
	next    atomic.Pointer[sink] // where to go instead
	moved   atomic.Bool          // look at the path again at once
	looked  int64                // when the path was last looked at
	closing context.Context      // nil until Close

	note     *batch // tells of losses
	noted    uint64 // losses told
	notedAt  int64
	at       stamp
	failing  atomic.Bool
	left     atomic.Uint64 // lines given up at Close
	written  atomic.Uint64
	bytes    atomic.Uint64
	failures atomic.Uint64
	reopened atomic.Uint64
	err      atomic.Pointer[string]
}

func newWriter(l *Log, to sink, wall func(int64) time.Time, every time.Duration) *writer {
	w := &writer{
		log: l, every: every, to: to, note: &batch{}, at: stamp{wall: wall},
		full: make(chan struct{}, 1), nudge: make(chan struct{}, 1), end: make(chan context.Context, 1), done: make(chan struct{}),
	}
	w.current.Store(&to)
	return w
}

// wake tells the writer that a batch is queued. It never waits.
func (w *writer) wake() { signal(w.full) }

func (w *writer) reopen() {
	w.moved.Store(true)
	signal(w.nudge)
}

// redirect makes the writer go on at another place. A write stuck at the old one is interrupted where that is possible; its
// lines are written again, whole, at the new one.
func (w *writer) redirect(to sink) {
	old := *w.current.Load() // before the swap: the new sink must not be the one interrupted
	if unused := w.next.Swap(&to); unused != nil {
		_ = (*unused).Close()
	}
	old.interrupt()
	signal(w.nudge)
}

// interrupt ends a write under way, for good.
func (w *writer) interrupt() { (*w.current.Load()).interrupt() }

func (w *writer) stop(ctx context.Context) {
	w.end <- ctx
	signal(w.nudge)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *writer) run() {
	defer close(w.done)
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-w.full:
			w.drain()
		case <-tick.C:
			w.log.sweep()
			w.drain()
			w.tell()
		case <-w.nudge:
			w.follow()
		case w.closing = <-w.end:
		}
		if w.closing != nil {
			w.log.sweep()
			w.drain()
			w.tell()
			_ = w.to.Close()
			return
		}
	}
}

// drain delivers all batches that are queued.
func (w *writer) drain() {
	for b := w.log.depot.next(); b != nil; b = w.log.depot.next() {
		w.tell()
		before := w.deliver(b)
		w.written.Add(before)
		w.left.Add(b.lines - before)
		w.log.depot.giveBack(b)
	}
}

// deliver writes a batch to its end, however long that takes, and returns how many of its lines were written: fewer than all only
// when the log is being closed and its time is up. A line that broke off is completed where it broke off, or written again as
// a whole when that is not possible.
func (w *writer) deliver(b *batch) uint64 {
	rest := firstRest
	for off := 0; off < len(b.text); {
		if w.follow() {
			off = lineStart(b.text, off)
		}
		n, err := w.to.Write(b.text[off:])
		off += n
		w.bytes.Add(uint64(n))
		if err == nil {
			w.failing.Store(false)
			rest = firstRest
			continue
		}
		if w.next.Load() != nil {
			continue // interrupted to go elsewhere
		}
		w.fail(err)
		if !w.pause(rest) {
			return uint64(bytes.Count(b.text[:off], []byte{'\n'}))
		}
		rest = min(2*rest, longestRest)
		if !w.to.intact() {
			off = lineStart(b.text, off)
		}
	}
	return b.lines
}

// lineStart is where the line begins that the byte at off belongs to.
func lineStart(text []byte, off int) int { return bytes.LastIndexByte(text[:off], '\n') + 1 }

// follow goes where lines should go now; true says that this is another place than before. When the new place cannot be
// opened, lines go on to the old one.
func (w *writer) follow() bool {
	if next := w.next.Swap(nil); next != nil {
		old := w.to
		w.to = *next
		w.current.Store(next)
		_ = old.Close()
		w.failing.Store(false)
		return true
	}
	now := w.log.now()
	if !w.moved.Swap(false) && now-w.looked < int64(time.Second) {
		return false
	}
	w.looked = now
	fresh, err := w.to.renew()
	if err != nil {
		w.failures.Add(1)
		w.remember(err)
	}
	if fresh {
		w.reopened.Add(1)
	}
	return fresh
}

// fail notes that a write failed. The flag comes last: whoever sees it also finds the reason.
func (w *writer) fail(err error) {
	w.remember(err)
	w.failures.Add(1)
	w.failing.Store(true)
}

func (w *writer) remember(err error) {
	text := err.Error()
	w.err.Store(&text)
}

// pause rests before the next attempt; a reason to look again ends it early. It returns false when there should be none.
func (w *writer) pause(rest time.Duration) bool {
	timer := time.NewTimer(rest)
	defer timer.Stop()
	var over <-chan struct{}
	if w.closing != nil {
		over = w.closing.Done()
	}
	select {
	case <-timer.C:
	case <-w.nudge:
	case w.closing = <-w.end:
	case <-over:
	}
	return w.closing == nil || w.closing.Err() == nil
}

// tell writes a line about losses since the last such line, at most one a second.
func (w *writer) tell() {
	lost, _ := w.log.counts()
	now := w.log.now()
	if lost.Total() == w.noted || (w.notedAt != 0 && now-w.notedAt < int64(time.Second) && w.closing == nil) {
		return
	}
	b := append(w.note.text[:0], `{"time":"`...)
	b = w.at.append(b, now)
	b = append(b, `","lost":`...)
	b = strconv.AppendUint(b, lost.Total()-w.noted, 10)
	b = append(b, `,"lost_since_start":`...)
	b = strconv.AppendUint(b, lost.Total(), 10)
	b = append(b, `,"lost_that_matter":`...)
	b = strconv.AppendUint(b, lost.Matter, 10)
	w.note.text, w.note.lines = append(b, '}', '\n'), 1
	w.notedAt = now
	if w.deliver(w.note) == 1 {
		w.noted = lost.Total()
	}
}

func (w *writer) stats() Stats {
	s := Stats{
		Written: w.written.Load(), Bytes: w.bytes.Load(), Failures: w.failures.Load(), Reopened: w.reopened.Load(),
		Failing: w.failing.Load(),
	}
	s.Lost.Closed = w.left.Load()
	if err := w.err.Load(); err != nil {
		s.Error = *err
	}
	return s
}

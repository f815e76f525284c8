// Package accesslog writes one line of JSON for every exchange that is over. Step 11, done.
//
// A request never waits for the log. Its line is appended to an open batch in memory under a short lock; one goroutine of its
// own, the writer, carries full batches to the sink, and all open ones once a second. When the disk is slow, full or gone, the
// batches fill up to a fixed budget; then ordinary lines are dropped, the newest first, and a quarter of the budget is held
// back for lines that matter: faults, refusals, broken exchanges. What was dropped is counted, and a line says so once
// writing works again.
//
// The path of a line:
//
//	Observe ─append─▶ open batch of a shard ─full, or a second─▶ depot queue ─▶ writer ─▶ sink
//	                     ▲                                                        │
//	                     └───────────────────── depot, free ◀─────────────────────┘
//
// Lines stand in the order exchanges ended within a shard, not over all of them.
//
// By default a line holds no personal data beyond a truncated address: see docs/log.md. The package refuses to log header
// fields (but User-Agent, and Referer on request) and bodies, to sync, to compress, and to rotate: it follows a rotation that
// another program does.
package accesslog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
)

// Log is an access log. All methods may be called from any goroutine.
type Log struct {
	settings atomic.Pointer[Settings]
	shards   []shard
	depot    *depot
	writer   *writer

	setting sync.Mutex // held while settings change
	open    func(to string) (sink, error)
	now     func() int64
}

// shard is an open batch and what is counted beside it. Its lock is held for the making of one line, never for I/O, and never
// while code of others runs.
type shard struct {
	mu     sync.Mutex
	open   *batch
	at     stamp
	closed bool
	taken  uint64 // lines that went into a batch
	lost   Losses
	_      [64]byte // keeps the next shard's lock off this one's cache line
}

// Losses counts lines that were dropped, by what stood in their way.
type Losses struct {
	Slow    uint64 // the buffer was full because the sink took lines too slowly, or is stuck
	Failing uint64 // the buffer was full because writes fail: disk full, pipe closed
	Closed  uint64 // the log was closed before the line came, or before it could be written
	Matter  uint64 // how many of Slow, Failing and Closed were lines that matter
}

// Total is the number of lines lost.
func (l Losses) Total() uint64 { return l.Slow + l.Failing + l.Closed }

func (l *Losses) count(reason *uint64, matters bool) {
	*reason++
	if matters {
		l.Matter++
	}
}

// New opens the place lines go to and starts the writer. Close ends it.
func New(o Options) (*Log, error) { return start(o, openSink, clock.Now, clock.Wall, time.Second) }

func start(o Options, open func(string) (sink, error), now func() int64, wall func(int64) time.Time, every time.Duration) (*Log, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	to, err := open(o.Settings.To)
	if err != nil {
		return nil, err
	}
	l := &Log{depot: newDepot(o.Buffer), open: open, now: now}
	l.settings.Store(&o.Settings)
	// Every shard can have a batch out of what is held back.
	l.shards = make([]shard, min(o.Shards, l.depot.keep))
	for i := range l.shards {
		l.shards[i].at.wall = wall
	}
	l.writer = newWriter(l, to, wall, every)
	go l.writer.run()
	return l, nil
}

// Observe takes the line of a finished exchange. It does no I/O and keeps nothing of x.
func (l *Log) Observe(x *exchange.Exchange) {
	set := l.settings.Load()
	if set.To == Off {
		return
	}
	now := x.Times.Done
	if now == 0 {
		now = l.now()
	}
	matters := matters(x)
	cause := operatorCause(x, set.Client) // before the lock: an error's text is code of others

	sh := &l.shards[uint(x.Conn.Shard)%uint(len(l.shards))]
	if l.append(sh, x, set, now, matters, cause) {
		l.writer.wake()
	}
}

// append adds a line to the open batch of sh, if there is room; true says that the writer is to be woken.
func (l *Log) append(sh *shard, x *exchange.Exchange, set *Settings, now int64, matters bool, cause string) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock() // an exchange that is not as it should be must not wedge the shard
	b := l.room(sh, matters)
	if b == nil {
		return false
	}
	b.text = appendLine(b.text, x, set, &sh.at, now, cause)
	b.lines++
	sh.taken++
	if len(b.text) < l.depot.size {
		return false
	}
	sh.open = nil
	return l.depot.queue(b)
}

// room gives the batch the next line of sh goes into, or counts the line as lost. The shard is locked.
func (l *Log) room(sh *shard, matters bool) *batch {
	if sh.closed {
		sh.lost.count(&sh.lost.Closed, matters)
		return nil
	}
	if sh.open == nil {
		sh.open = l.depot.take(matters)
	}
	b := sh.open
	if b != nil && b.held && !matters {
		if !l.depot.open() {
			b = nil
		} else {
			b.held = false
		}
	}
	if b != nil {
		return b
	}
	if l.writer.failing.Load() {
		sh.lost.count(&sh.lost.Failing, matters)
	} else {
		sh.lost.count(&sh.lost.Slow, matters)
	}
	return nil
}

// sweep queues what the shards have open.
func (l *Log) sweep() {
	for i := range l.shards {
		sh := &l.shards[i]
		sh.mu.Lock()
		if b := sh.open; b != nil {
			sh.open = nil
			l.depot.queue(b)
		}
		sh.mu.Unlock()
	}
}

// Set changes the settings for the lines that come from now on. When s.To is another place it is opened first; on an error
// nothing changes. Lines that wait already go to the new place, none is lost. It can wait for a slow disk.
func (l *Log) Set(s Settings) error {
	if err := s.complete(); err != nil {
		return err
	}
	l.setting.Lock()
	defer l.setting.Unlock()
	if s.To != l.settings.Load().To {
		to, err := l.open(s.To)
		if err != nil {
			return err
		}
		l.writer.redirect(to)
	}
	l.settings.Store(&s)
	return nil
}

// Reopen makes the writer look at once whether its path means another file now. Without it, it looks once a second while there
// are lines to write.
func (l *Log) Reopen() { l.writer.reopen() }

// Stats are the numbers of a Log since it was made.
type Stats struct {
	Written  uint64 // lines
	Bytes    uint64
	Waiting  uint64 // lines in memory
	Lost     Losses
	Failures uint64 // writes and reopenings that failed
	Reopened uint64 // times the path was found to mean another file
	Failing  bool   // the last write failed
	Error    string // the last failure, empty before the first
}

// Stats reads the numbers. It takes each shard's lock for a moment.
func (l *Log) Stats() Stats {
	s := l.writer.stats()
	lost, taken := l.counts()
	gone := s.Lost.Closed
	s.Lost.Slow += lost.Slow
	s.Lost.Failing += lost.Failing
	s.Lost.Closed += lost.Closed
	s.Lost.Matter += lost.Matter
	s.Waiting = taken - min(taken, s.Written+gone)
	return s
}

func (l *Log) counts() (lost Losses, taken uint64) {
	for i := range l.shards {
		sh := &l.shards[i]
		sh.mu.Lock()
		lost.Slow += sh.lost.Slow
		lost.Failing += sh.lost.Failing
		lost.Closed += sh.lost.Closed
		lost.Matter += sh.lost.Matter
		taken += sh.taken
		sh.mu.Unlock()
	}
	return lost, taken
}

// Close writes what waits and ends the writer. When ctx is done first, it returns an error that says how many lines were left;
// a writer stuck in the system is then left behind. Lines that come after Close are counted as lost. Close is to be called
// once.
func (l *Log) Close(ctx context.Context) error {
	for i := range l.shards {
		sh := &l.shards[i]
		sh.mu.Lock()
		sh.closed = true
		sh.mu.Unlock()
	}
	l.writer.stop(ctx)
	select {
	case <-l.writer.done:
	case <-ctx.Done():
		l.writer.interrupt()
	}
	s := l.Stats()
	if left := s.Waiting + l.writer.left.Load(); left > 0 {
		return fmt.Errorf("access log: closed with %d lines not written: %s", left, or(s.Error, "the sink is stuck"))
	}
	return nil
}

func or(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// Package flight lets many exchanges share one answer that is under way (steps 5 and 8): the first asks the endpoint, the others wait for the head
// and are streamed the body as it comes.
//
// The first is the leader. Its exchange reads the endpoint's body until somebody else can need it too; from then on a goroutine of the flight does
// (pump.go), into memory (buffer.go), from where everybody reads at a pace of their own (reader.go) without another copy. A body that is to be kept
// lies there from its beginning to its end, and whoever comes meanwhile can follow. One that is too long, or finds no room, is a window that moves on
// with the slowest of those who read it.
//
// It refuses to decide what may be shared, and to store.
package flight

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// shards is how many locks the table has. Keys are hashes, so they spread evenly.
const shards = 64

// Table is the flights under way, one a key.
type Table struct {
	waiting atomic.Int64
	log     *slog.Logger
	budget  int64
	used    atomic.Int64 // bytes of the budget
	count   atomic.Int64
	timers  sync.Pool
	shards  [shards]shard
}

type shard struct {
	mu      sync.Mutex
	flights map[object.Key]*Flight
	_       [48]byte // a cache line each
}

// New makes an empty table. budget is how many bytes of bodies may lie in memory for all flights together; one that finds no room is not kept in
// memory any more, and goes on to those who read it already, for whom it may hold one chunk (16 KiB) beyond the budget. log is told of panics, which
// are mistakes of ours; it may be nil.
func New(budget int64, log *slog.Logger) *Table {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Table{log: log, budget: budget}
	t.timers.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return timer
	}
	for i := range t.shards {
		t.shards[i].flights = map[object.Key]*Flight{}
	}
	return t
}

// Join finds the flight of a key, or begins it: then leader is true, and the caller must end it with Land, Fail or Part, whatever happens, and call
// Finish. Since the flight of another may just have ended, a leader looks into the stores once more.
func (t *Table) Join(k object.Key) (f *Flight, leader bool) {
	s := &t.shards[k[0]%shards]
	s.mu.Lock()
	if f = s.flights[k]; f == nil {
		f, leader = &Flight{table: t, key: k}, true
		s.flights[k] = f
	}
	s.mu.Unlock()
	if leader {
		t.count.Add(1)
	}
	return f, leader
}

// remove takes a flight out, so that the next who asks for its key looks into the stores again and begins another. The flight's lock may be held.
func (t *Table) remove(f *Flight) {
	s := &t.shards[f.key[0]%shards]
	s.mu.Lock()
	was := s.flights[f.key] == f
	if was {
		delete(s.flights, f.key)
	}
	s.mu.Unlock()
	if was {
		t.count.Add(-1)
	}
}

// Waiting is how many wait for the head of an answer.
func (t *Table) Waiting() int { return int(t.waiting.Load()) }

// Len is how many flights are in the table.
func (t *Table) Len() int { return int(t.count.Load()) }

// Used is how many bytes of the budget are taken.
func (t *Table) Used() int64 { return t.used.Load() }

// reserve takes n bytes of the budget, if they are left.
func (t *Table) reserve(n int64) bool {
	if t.used.Add(n) <= t.budget {
		return true
	}
	t.used.Add(-n)
	return false
}

// Flight is one answer under way.
type Flight struct {
	table *Table
	key   object.Key

	// others is how many wait, or read, besides the leader: waiting, pending and followers. It changes under mu.
	others atomic.Int64
	// wanted says that the body is to be read on even if nobody but the leader is there, and the leader's client is not.
	wanted atomic.Bool

	mu      sync.Mutex
	state   state
	more    chan struct{} // closed when the state changes, or more of the body is there; nil while nobody waits for that
	room    chan struct{} // closed when a reader moved on or left; nil while nobody waits for that
	head    *object.Object
	fault   *fault.Fault // when failed
	waiting int          // wait for the head
	pending int          // were told that it landed, and have neither a body nor left
	tired   bool         // those pending had their time: the beginning is not held for them any more

	leader    reader
	followers []*reader

	// Whoever owns the source reads it, and writes what follows here; what others look at too it writes under mu.
	owner  owner
	source exchange.Body
	length int64
	keep   Keep
	sink   Sink
	rest   []byte // of the run that the source gave last, not buffered yet; only when window is set

	keeping  bool         // all of the body so far lies in memory, for keep.Stored
	refused  bool         // there was no room for the whole of a body whose length is announced; it is kept in chunks
	window   bool         // chunks that all have read are dropped
	closed   bool         // nobody can begin to follow
	finished bool         // the leader's exchange is over
	ended    bool         // nothing more comes
	err      error        // how it ended: io.EOF or a *fault.Fault
	told     *fault.Fault // the same for followers, nil after io.EOF

	n           int64  // bytes that came
	start       int64  // of those, the first that still lies here
	flat        []byte // the whole body's room, when its length is known; then there are no chunks
	cost        int64  // of flat, in the budget
	first, last *chunk
	one         chunk // the first of them

	// While the owner waits for room:
	edge   *chunk // the chunk that is to be dropped
	since  int64  // since when
	behind int    // how many have not read it
}

type state uint8

const (
	aloft state = iota // nobody knows yet
	landed
	failed
	parted
)

// owner says who may read the source.
type owner uint8

const (
	nobody  owner = iota // it is not to be read, before Land or after its end
	idle                 // the leader, at its first Next
	reading              // the leader's goroutine, just now
	pumping              // a goroutine of the flight
	passing              // the leader, run by run: nobody else needs the body
)

// Awaited says whether the body, or the head, is to be fetched although the leader's client has left: somebody else waits for it, or it is about to
// be stored. While a goroutine of the flight reads the body, it is true as long as the leader is there: the leader's own client is watched with
// Keep.Gone, on its own goroutine. It implements exchange.Awaited.
func (f *Flight) Awaited() bool { return f.others.Load() > 0 || f.wanted.Load() }

// Fail gives all who wait this fault. One that is of the leader's own client is nothing to them: they are parted.
func (f *Flight) Fail(fault *fault.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == aloft {
		f.fail(fault)
	}
}

func (f *Flight) fail(why *fault.Fault) {
	f.state, f.fault = failed, why
	if why.Kind.Side == fault.Client {
		f.state, f.fault = parted, nil
	}
	f.dismiss()
}

// Part says that the answer is for the leader alone: who waits asks for itself.
func (f *Flight) Part() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == aloft {
		f.state = parted
		f.dismiss()
	}
}

// dismiss wakes all who wait for a head that will not come.
func (f *Flight) dismiss() {
	f.others.Add(int64(-f.waiting))
	f.waiting = 0
	f.table.remove(f)
	wake(&f.more)
}

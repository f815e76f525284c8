package flight

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
)

// stuck is how long a reader may hold up the others before it is cut off, and pendingFor how long those are waited for who were told that the head
// landed, and have neither followed nor left.
const (
	stuck      = 10 * time.Second
	pendingFor = time.Second
)

// gather reads what is there of the body, without waiting. The caller owns the source.
func (f *Flight) gather() {
	for !f.ended && f.rest == nil && f.n < inline && f.there() {
		f.step()
	}
}

// there says whether the source can be read without waiting.
func (f *Flight) there() (yes bool) {
	f.guard("asking for an answer that is shared", func() { yes = f.source.Buffered() })
	return yes
}

// begin is the leader's first Next: it reads what came meanwhile, and has the rest read by a goroutine unless nobody else needs it. The lock is held,
// but for the reading.
func (f *Flight) begin() {
	f.owner = reading
	f.mu.Unlock()
	f.gather()
	f.mu.Lock()
	switch {
	case f.ended:
	case f.window && f.others.Load() == 0:
		f.pass()
	default:
		f.owner = pumping
		f.wanted.Store(true)
		go f.runPump()
	}
}

// pass leaves the source to the leader, for whom alone it is from now on. The lock is held.
func (f *Flight) pass() {
	f.owner, f.closed = passing, true
	f.wanted.Store(f.worthwhile())
	f.table.remove(f)
	wake(&f.more)
}

// direct is Next of a leader that has the source to itself, and has read all that was buffered.
func (f *Flight) direct() ([]byte, error) {
	f.dropAll()
	for f.rest == nil && !f.ended {
		f.mu.Unlock()
		f.step()
		f.mu.Lock()
	}
	if f.ended {
		return nil, f.err
	}
	run := f.rest
	f.skip()
	f.leader.pos = f.n
	f.wanted.Store(f.worthwhile())
	return run, nil
}

// skip passes over a run that is not buffered.
func (f *Flight) skip() {
	f.n += int64(len(f.rest))
	f.rest = nil
	f.trim()
}

func (f *Flight) runPump() { f.pump() }

// pump reads the source to its end, or until nobody needs it, or until nobody but the leader does. The caller owns the source; afterwards it does not.
func (f *Flight) pump() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ended {
		if f.leader.out {
			useful := f.worthwhile()
			f.wanted.Store(useful || !f.finished)
			if !useful {
				f.closed = true
				f.mu.Unlock()
				f.end(errGivenUp)
				f.mu.Lock()
				break
			}
		} else if f.window && f.others.Load() == 0 {
			f.pass()
			return
		}
		if f.rest != nil {
			f.relay()
			continue
		}
		f.mu.Unlock()
		f.step()
		f.mu.Lock()
	}
}

// errGivenUp is also what those get who read on after they left.
var errGivenUp = fault.At(fault.UpstreamReset, fault.ResponseBegun, errors.New("the answer was not read to its end, because nobody waited for it any more"))

// relay buffers some of the rest for those who read it, or waits for room. The lock is held.
func (f *Flight) relay() {
	if _, alone := f.low(); alone {
		f.skip()
		return
	}
	c := f.last
	if c == nil || c.full() {
		if f.trim(); !f.spacious() {
			f.hold()
			return
		}
		c = f.chunk()
		*c = chunk{from: f.n, buf: bufpool.Get(bufpool.Medium), cost: bufpool.Medium, lent: true}
		f.append(c)
	}
	into, from := c.buf[c.n:], f.rest
	f.mu.Unlock()
	n := copy(into, from)
	f.mu.Lock()
	c.n += n
	f.n += int64(n)
	if f.rest = f.rest[n:]; len(f.rest) == 0 {
		f.rest = nil
	}
	wake(&f.more)
}

// spacious takes room for a chunk from the budget, if the window is not full. There is room for one in any case.
func (f *Flight) spacious() bool {
	if f.first == nil {
		f.table.used.Add(bufpool.Medium)
		return true
	}
	return f.n-f.start < window && f.table.reserve(bufpool.Medium)
}

// hold waits until the first chunk was read by all, or somebody leaves. Who does not move is cut off. The lock is held when it is called and when it
// returns.
func (f *Flight) hold() {
	now := clock.Now()
	if f.edge != f.first {
		f.edge, f.since = f.first, now
	}
	f.behind = 0
	by := now + int64(stuck) // when the first of them will have been stuck for too long
	patient := func(due int64) bool {
		f.behind++
		by = min(by, due)
		return now < due
	}
	if f.pending > 0 && !f.tired && !patient(f.since+int64(pendingFor)) {
		f.tired = true
		return
	}
	if r := &f.leader; f.blocks(r) && !r.out && !patient(f.lastMoved(r)+int64(stuck)) {
		r.fault, r.out = tooSlow, true
		return
	}
	for _, r := range f.followers {
		if f.blocks(r) && !patient(f.lastMoved(r)+int64(stuck)) {
			r.fault = tooSlow
			f.strike(r)
			f.others.Add(-1)
			return
		}
	}
	f.sleep(&f.room, time.Duration(by-now))
}

// blocks says whether a reader has not read all of the first chunk.
func (f *Flight) blocks(r *reader) bool { return r.pos < f.edge.end() }

// lastMoved is since when a reader that blocks has not moved, counted from when it began to.
func (f *Flight) lastMoved(r *reader) int64 {
	if r.moved == 0 {
		return f.since
	}
	return max(f.since, r.moved)
}

var tooSlow = fault.New(fault.ClientSlow, errors.New("others who read the same answer could not wait any longer"))

// step reads one run, or the end. What is not kept of the run is in rest. The caller owns the source, and rest is nil.
func (f *Flight) step() {
	run, err := f.next()
	if err != nil {
		f.end(err)
		return
	}
	if came := f.n + int64(len(run)); f.keeping && f.length >= 0 && came > f.length {
		f.keep.Sink = nil // more than was announced is stored nowhere
		f.spill()
	} else if f.keeping && came > f.keep.Max {
		f.spill()
	}
	if f.keeping {
		if run = f.store(run); len(run) > 0 {
			f.spill()
		}
	}
	if len(run) == 0 {
		return
	}
	f.drain(run)
	f.rest = run
}

// next asks the source. A panic is a mistake of ours: it costs this answer, for all who read it, and nothing else.
func (f *Flight) next() (run []byte, err error) {
	if !f.guard("reading an answer that is shared", func() { run, err = f.source.Next() }) {
		return nil, fault.New(fault.Internal, errors.New("reading the answer panicked"))
	}
	return run, err
}

// guard keeps a panic from going on, which nobody above would catch, and says whether there was none.
func (f *Flight) guard(what string, do func()) (well bool) {
	defer func() {
		if p := recover(); p != nil {
			f.table.log.Error("BUG: panic while "+what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
}

// spill ends keeping the body in memory: it is a window from now on. What came of it goes to the sink, if there is one; then it lies in chunks,
// because what lies flat has its room and its length.
func (f *Flight) spill() {
	var sink Sink
	if f.keep.Sink != nil {
		f.guard("making room for an answer", func() { sink = f.keep.Sink() })
	}
	f.mu.Lock()
	f.keeping, f.sink = false, sink
	f.mu.Unlock()
	for c := f.first; c != nil; c = c.next {
		f.drain(c.buf[:c.n])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window = true
	f.unflatten()
}

// drain gives a run to the sink.
func (f *Flight) drain(run []byte) {
	if f.sink == nil || len(run) == 0 {
		return
	}
	takes := false
	f.guard("storing an answer", func() { takes = f.sink.Write(run) })
	if !takes {
		f.settleSink(false)
	}
}

// settleSink ends what is with the sink.
func (f *Flight) settleSink(whole bool) {
	sink := f.sink
	if sink == nil {
		return
	}
	f.mu.Lock() // worthwhile looks at it
	f.sink = nil
	f.mu.Unlock()
	f.guard("storing an answer", func() {
		if whole {
			sink.Commit()
		} else {
			sink.Abort()
		}
	})
}

// end takes note that nothing more comes. What is whole is stored first, so that whoever read the end finds it there.
func (f *Flight) end(err error) {
	whole := err == io.EOF && (f.length < 0 || f.n == f.length)
	if f.keeping && whole && f.source != nil {
		f.guard("storing an answer", func() { f.keep.Stored(f.whole()) })
	}
	f.settleSink(whole)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.err, f.owner, f.rest, f.source = true, err, nobody, nil, nil
	f.keeping = false
	if err != io.EOF {
		f.told = fault.Of(err)
		f.err = f.told
		if f.told.Kind.Side == fault.Client { // of the leader's client
			f.told = fault.At(fault.UpstreamReset, fault.ResponseBegun, f.told)
		}
	}
	f.table.used.Add(-f.cost) // what was stored is the store's
	f.cost = 0
	f.trim()
	f.table.remove(f)
	wake(&f.more)
	wake(&f.room)
}

// whole is all of the body, in memory of its own.
func (f *Flight) whole() []byte {
	if f.n == 0 {
		return nil
	}
	if f.flat == nil {
		f.flatten(f.n, true)
	}
	return f.flat[:f.n:f.n]
}

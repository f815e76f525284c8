package flight

import (
	"io"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Keep says what becomes of a body.
type Keep struct {
	// Max is how many bytes are kept in memory for Stored.
	Max int64
	// Stored is called once with the whole body, which it may keep, when that has come and has no more than Max bytes; on whichever goroutine. nil:
	// it is not kept.
	Stored func(body []byte)
	// Sink is called once, when it shows that the body is longer than Max or finds no room in memory, or that Stored is nil. It may be nil, and
	// return nil.
	Sink func() Sink
	// Gone says whether the leader's client has left. It is asked about four times a second while the leader's Next waits for the flight, on the
	// leader's goroutine; it may be nil.
	Gone func() bool
}

// Sink takes a body that is not kept in memory, from its beginning. Either Commit or Abort is called at the end, once. Its methods are called by one
// goroutine at a time and must not wait.
type Sink interface {
	// Write takes the next run, which it copies. When it returns false it wants no more, and Abort follows.
	Write(run []byte) bool
	// Commit says that the body is whole.
	Commit()
	// Abort says that it will not be.
	Abort()
}

// inline is how many bytes of a body are read on the leader's own goroutine at most, as far as that needs no waiting.
const inline = 1 << 20

// Land says that the head came and may be shared. The returned body is for the leader's own client, nil when body is. What is there of body at once
// is read at once; when that is all, it is stored before Land returns. The rest is read by a goroutine of its own, from the first Next of the
// returned body on, so that a slow client slows nobody; nothing of the exchange may be touched then that body touches, before the returned body has
// ended or Finish has returned. length may be exchange.Unknown.
func (f *Flight) Land(head *object.Object, body exchange.Body, length int64, keep Keep) exchange.Body {
	f.head, f.source, f.length, f.keep = head, body, length, keep
	f.leader = reader{flight: f, gone: keep.Gone}
	if body == nil {
		f.length = 0
		if keep.Stored != nil {
			f.guard("storing a body", func() { keep.Stored(nil) })
		}
		f.end(io.EOF)
		f.touchDown()
		return nil
	}
	f.keeping = keep.Stored != nil && length <= keep.Max
	if !f.keeping {
		if keep.Sink == nil && f.alone() {
			return body
		}
		f.spill()
	}
	f.gather()
	f.touchDown()
	return &f.leader
}

// alone parts the flight if nobody waits for it, and says whether it did.
func (f *Flight) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == 0 {
		f.state = parted
		f.dismiss()
	}
	return f.state == parted
}

// touchDown tells those who wait that the head is there. If all is over with the body before they heard of it, they get the fault instead.
func (f *Flight) touchDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != aloft {
		return
	}
	if f.told != nil {
		f.fail(f.err.(*fault.Fault))
		return
	}
	f.state = landed
	f.pending, f.waiting = f.waiting, 0
	if !f.ended {
		f.owner = idle
	}
	wake(&f.more)
}

// Finish is called by the leader when its exchange is over, or nobody reads its body any more. The rest of the body is still read for those who wait,
// or when it is worth storing; Finish returns when nothing reads the body that was given to Land. It may be called at any time, more than once.
func (f *Flight) Finish() {
	f.Part()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.finished {
		return
	}
	f.unhold(&f.leader)
	f.leader.fault, f.leader.out, f.finished = errGivenUp, true, true
	f.wanted.Store(f.worthwhile())
	wake(&f.room)
	for f.owner == pumping {
		f.sleep(&f.more, 0)
	}
	if f.owner != nobody {
		f.owner = reading
		f.mu.Unlock()
		f.pump()
		f.mu.Lock()
	} else if f.ended {
		f.trim()
	}
	f.wanted.Store(false)
}

// nearlyDone is how many bytes may be missing of a body for it to be read to its end although nobody reads it, whatever came of it.
const nearlyDone = 1 << 20

// worthwhile says whether to read on when the leader's client does not. What is kept in memory is short; of what goes elsewhere half should have come.
func (f *Flight) worthwhile() bool {
	switch {
	case f.others.Load() > 0:
		return true
	case f.length < 0:
		return false
	case f.keeping:
		return true
	}
	return f.sink != nil && f.length-f.n <= max(nearlyDone, f.n)
}

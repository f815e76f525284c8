package exchange

import (
	"errors"
	"io"
	"sync"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/fault"
)

// Hold says how a body is to be held.
type Hold struct {
	// Max is how many bytes the body may have.
	Max int64
	// Proven says that the caller showed that it may: what it sends counts against the whole of HoldBudget and not for its address.
	Proven bool
	// Within is for how long the body may be under way, 0 for as long as the protocol lets it. One who is not proven needs an end: it could
	// send a byte now and then, and keep its place for as long as it likes.
	Within time.Duration
}

// Encourager is what x.Flow is besides: it tells a client which waits for 100 (Continue) to send its body.
type Encourager interface {
	Encourage() *fault.Fault
}

// Interrupter is what x.Flow is besides: it makes whoever waits for the client's body give up, from any goroutine.
type Interrupter interface {
	StopBody()
}

// HoldBody reads the request body to its end and puts one in its place that lies in memory: its length is known, and it can be read
// again as often as endpoints are tried. It is for the policies of step 4 that judge content, and returns what was read, which is valid
// until the exchange is over and must not be changed; nil when there is no body.
//
// A body of more than Max bytes fails with HoldTooLarge, before it is read where its length is announced. One for which there is no room, see
// HoldBudget, fails with HoldFull. Memory is taken as bytes arrive and not as they are announced. It waits for the client as long as the
// protocol's limits for bodies allow, and fails with what they say; after Within it fails with BodyTimeout, whatever has arrived.
//
// A body that ends in trailers keeps them and its unknown length, since a message of known length has no place for them in HTTP/1.1.
func (x *Exchange) HoldBody(how Hold) ([]byte, *fault.Fault) {
	r := &x.Request
	if r.Body == nil {
		return nil, nil
	}
	if h, ok := r.Body.(*heldBody); ok {
		if int64(len(h.content)) > how.Max {
			return nil, fault.New(fault.HoldTooLarge, nil)
		}
		if how.Proven {
			h.prove()
		}
		return h.content, nil
	}
	if r.Length > how.Max {
		return nil, fault.New(fault.HoldTooLarge, nil)
	}
	if f := x.encourage(); f != nil {
		return nil, f
	}
	h := heldBodies.Get().(*heldBody)
	h.proven = how.Proven
	if !h.proven {
		h.by = placeOf(x.Client)
	}
	wait := patience{within: how.Within}
	if how.Within > 0 {
		wait.stop, _ = x.Flow.(Interrupter)
	}
	f := h.fill(r.Body, r.Length, how.Max, &wait)
	if wait.over() {
		r.Streaming = true // the client's side was interrupted in its body
		f = fault.New(fault.BodyTimeout, nil)
	}
	if f != nil {
		h.release()
		return nil, f
	}
	if r.Trailer.Len() == 0 {
		r.Length = int64(len(h.content))
		if r.Length == 0 {
			h.release()
			r.Body = nil
			return nil, nil
		}
	}
	r.Body = h
	return h.content, nil
}

// ProveHeld says that the caller whose body is held showed by it that it may: it counts no longer for its address.
func (x *Exchange) ProveHeld() {
	if h, ok := x.Request.Body.(*heldBody); ok {
		h.prove()
	}
}

// encourage tells the client to send its body, if it waits for that.
func (x *Exchange) encourage() *fault.Fault {
	if !x.Request.Continue {
		return nil
	}
	e, ok := x.Flow.(Encourager)
	if !ok {
		return fault.New(fault.Internal, errNoEncourager)
	}
	x.Request.Continue = false
	return e.Encourage()
}

var errNoEncourager = errors.New("nobody can tell the client to send the body that it holds back")

// DropHeld gives back the memory of a body that HoldBody has read. It is for the end of the exchange, when no try reads the body any
// more; what HoldBody returned is invalid from then on.
func (x *Exchange) DropHeld() {
	if h, ok := x.Request.Body.(*heldBody); ok {
		x.Request.Body = nil
		h.release()
	}
}

// Held says that the request body lies in memory as a whole, so that reading it never waits for the client and needs no StopBody.
func (x *Exchange) Held() bool {
	_, ok := x.Request.Body.(*heldBody)
	return ok
}

// heldBody is a request body that lies in memory as a whole.
type heldBody struct {
	content []byte // borrowed; counted in holding by its capacity
	read    bool
	holder
}

var heldBodies = sync.Pool{New: func() any { return new(heldBody) }}

// fill reads all of b, whose announced length may be Unknown.
func (h *heldBody) fill(b Body, length, max int64, wait *patience) *fault.Fault {
	for {
		if !b.Buffered() {
			wait.begin()
		}
		run, err := b.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault.Of(err)
		}
		need := int64(len(h.content)) + int64(len(run))
		if need > max {
			return fault.New(fault.HoldTooLarge, nil)
		}
		if need > int64(cap(h.content)) {
			if f := h.grow(need, length, max); f != nil {
				return f
			}
		}
		h.content = append(h.content, run...)
	}
}

// grow makes room for need bytes: twice what there was, so that few are moved twice, but no more than can come.
func (h *heldBody) grow(need, length, most int64) *fault.Fault {
	if length >= 0 {
		most = length
	}
	size := max(need, min(2*int64(cap(h.content)), most))
	if most > HoldShare && size > most/2 {
		size = most // both are counted while one is copied into the other: the last time that has to fit
	}
	if size <= bufpool.Small {
		size = bufpool.Small // what is lent is counted as a whole
	} else if size <= bufpool.Medium {
		size = bufpool.Medium
	} else if size <= bufpool.Large {
		size = bufpool.Large
	}
	if !holding.take(size, int64(cap(h.content)), &h.holder) {
		return fault.New(fault.HoldFull, nil)
	}
	bigger := bufpool.Get(int(size))
	n := copy(bigger, h.content)
	h.giveBack()
	h.content = bigger[:n]
	return nil
}

func (h *heldBody) giveBack() {
	if h.content != nil {
		holding.give(int64(cap(h.content)), &h.holder)
		bufpool.Put(h.content[:cap(h.content)])
	}
	h.content = nil
}

// prove moves what is held from the address to those who are proven.
func (h *heldBody) prove() {
	if !h.proven {
		holding.prove(int64(cap(h.content)), &h.holder)
		h.proven = true
	}
}

// release ends the body's life.
func (h *heldBody) release() {
	h.giveBack()
	*h = heldBody{}
	heldBodies.Put(h)
}

// Next implements Body: all is one run.
func (h *heldBody) Next() ([]byte, error) {
	if h.read || len(h.content) == 0 {
		return nil, io.EOF
	}
	h.read = true
	return h.content, nil
}

// Buffered implements Body.
func (h *heldBody) Buffered() bool { return true }

// Rewind implements Rewinder.
func (h *heldBody) Rewind() bool {
	h.read = false
	return true
}

package disk

import (
	"errors"
	"io/fs"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
)

// Get implements object.Store. An object with a File has to be released by whoever got it.
func (s *Store) Get(k object.Key) *object.Object {
	began := clock.Now()
	o := s.get(k, began)
	s.counts.got(o != nil, time.Duration(clock.Now()-began))
	return o
}

func (s *Store) get(k object.Key, now int64) *object.Object {
	i := idOf(k)
	sh := s.index.shard(i)
	sh.Lock()
	if j := sh.pending[i]; j != nil {
		defer sh.Unlock()
		if j.kind == coming || s.closing.Load() {
			return nil
		}
		if j.handle != nil {
			sh.take(j.handle)
		}
		return j.head
	}
	e := sh.find(i)
	if e == nil || s.closing.Load() {
		sh.Unlock()
		return nil
	}
	sh.touch(e)
	if h := sh.open[i]; h != nil {
		sh.take(h)
		o := h.object
		sh.Unlock()
		return o
	}
	op := sh.opening[i]
	if op == nil {
		if s.handles.Load() >= mostHandles || !s.breaker.allow(now) {
			sh.Unlock()
			return nil
		}
		op = &opening{s: s, key: k, seq: e.seq, size: e.size, verified: e.verified, done: make(chan struct{})}
		select {
		case s.reads <- op:
			sh.opening[i] = op
		default:
			sh.Unlock()
			s.missed()
			return nil
		}
	}
	if op.late {
		sh.Unlock()
		return nil // it hangs
	}
	op.waiting++
	sh.Unlock()
	return op.await(sh)
}

// opening is the reading of an object's head, for all who ask for it meanwhile.
type opening struct {
	s        *Store
	key      object.Key
	seq      uint64
	size     int64
	verified bool
	done     chan struct{}

	// Under the shard's lock.
	waiting int
	late    bool
	over    bool
	object  *object.Object // nil when there is none
}

// await waits for the object.
func (op *opening) await(sh *shard) *object.Object {
	began := clock.Now()
	timer := time.NewTimer(op.s.HeadWait)
	select {
	case <-op.done:
	case <-op.s.stop:
	case <-timer.C:
	}
	timer.Stop()
	op.s.counts.waited.Add(clock.Now() - began)
	sh.Lock()
	defer sh.Unlock()
	if op.over {
		return op.object // with a file, one of its holds is ours
	}
	op.waiting--
	if !op.late {
		op.late = true
		op.s.missed()
	}
	return nil
}

func (op *opening) run() {
	s, i := op.s, idOf(op.key)
	sh := s.index.shard(i)
	sh.Lock()
	wanted := op.waiting > 0
	if !wanted {
		delete(sh.opening, i)
		op.over = true
	}
	sh.Unlock()
	if !wanted {
		return
	}
	l, err := s.load(i, op.seq, op.size, op.verified, true)
	o, h := l.object, l.handle
	if o != nil {
		o.Written.Store(s.mark ^ op.seq)
	}
	var name string
	sh.Lock()
	delete(sh.opening, i)
	e := sh.find(i)
	current := e != nil && e.seq == op.seq && e.size == op.size
	switch {
	case !current, err == nil && l.key != op.key:
		o, current = nil, false // it was removed or replaced meanwhile, or is another that shares half of its key
	case err == nil && h != nil:
		h.object, h.refs = o, op.waiting
		sh.open[i] = h
		if h.refs == 0 {
			s.rest(sh, h)
		}
	case err == nil:
		e.verified = true // it was read to its end
	case errors.Is(err, errDamaged), errors.Is(err, fs.ErrNotExist):
		name = s.forget(sh, i)
	}
	if !op.late {
		s.answered()
	}
	failed := err != nil && current
	if failed {
		s.counts.failed.Add(1)
		s.queue.remove(name)
	}
	op.object, op.over = o, true
	close(op.done)
	sh.Unlock()
	if !current && h != nil {
		s.shut(h.f)
	}
	if failed {
		s.complain("an object cannot be read", err)
	}
}

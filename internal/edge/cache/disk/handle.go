package disk

import (
	"encoding/binary"
	"io"
	"os"
	"sync/atomic"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/socket"
)

// handle is an object's file, open for reading, shared by all who read it. It implements object.File. It outlives the object's place in the index:
// what is replaced or evicted goes on serving whom it serves.
type handle struct {
	s        *Store
	f        file
	seq      uint64
	foot     footer
	table    []byte
	verified atomic.Bool
	seen     []atomic.Uint64 // blocks that were compared, a bit each; nil when all were
	unseen   atomic.Int64

	// Under the shard's lock.
	refs   int
	object *object.Object
}

func newHandle(s *Store, f file, foot footer, table []byte, verified bool) *handle {
	h := &handle{s: s, f: f, foot: foot, table: table}
	h.verified.Store(verified)
	if !verified {
		n := blocks(foot.length)
		h.seen = make([]atomic.Uint64, (n+63)/64)
		h.unseen.Store(n)
	}
	return h
}

// Open implements object.File.
func (h *handle) Open() (f *os.File, offset int64, verified bool) {
	f = h.f.os()
	return f, 0, h.verified.Load() && f != nil
}

// ReadAt implements object.File.
func (h *handle) ReadAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) && offset < h.foot.length {
		block, err := h.block(offset / blockSize)
		if err != nil {
			return n, err
		}
		m := copy(b[n:], block[offset%blockSize:])
		bufpool.Put(block)
		n += m
		offset += int64(m)
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}

// block reads and compares one block into a buffer that was borrowed for it.
func (h *handle) block(n int64) ([]byte, error) {
	from := n * blockSize
	buf := bufpool.Get(blockSize)[:min(blockSize, h.foot.length-from)]
	if h.f.readNow(buf, from) < len(buf) {
		h.hold()
		var err error
		in := h.s.within(h.s.BodyWait, func() { err = readFull(h.f, buf, from) }, func() {
			bufpool.Put(buf)
			h.Release()
		})
		if !in {
			return nil, errLate
		}
		h.Release()
		if err != nil {
			bufpool.Put(buf)
			return nil, h.failed(err)
		}
	}
	if !matches(h.table, n, buf) {
		bufpool.Put(buf)
		return nil, h.failed(errDamaged)
	}
	h.compared(n)
	return buf, nil
}

// load fills a parcel from an offset on. When it takes too long the parcel is not the caller's any more.
func (h *handle) load(p *socket.Parcel, offset int64, n int) (int, error) {
	h.hold()
	var loaded int
	var err error
	in := h.s.within(h.s.BodyWait, func() { loaded, err = h.f.load(p, offset, n) }, func() {
		p.Drop()
		h.s.parcels.Add(-1)
		h.Release()
	})
	if !in {
		return 0, errLate
	}
	h.Release()
	switch err {
	case io.ErrUnexpectedEOF:
		err = h.failed(errDamaged)
	case nil, socket.ErrNoSplice:
	default:
		err = h.failed(err)
	}
	return loaded, err
}

func matches(table []byte, n int64, block []byte) bool {
	return binary.LittleEndian.Uint32(table[4*n:]) == checksum(block)
}

// compared notes that a block is what was written. When all are, the kernel may send them.
func (h *handle) compared(n int64) {
	if h.verified.Load() {
		return
	}
	bit := uint64(1) << (n % 64)
	if h.seen[n/64].Or(bit)&bit != 0 || h.unseen.Add(-1) > 0 {
		return
	}
	h.verified.Store(true)
	i := idOf(h.foot.key)
	sh := h.s.index.shard(i)
	sh.Lock()
	if e := sh.find(i); e != nil && e.seq == h.seq {
		e.verified = true
	}
	sh.Unlock()
}

// failed removes the object of a file that cannot be read.
func (h *handle) failed(err error) error {
	h.s.counts.failed.Add(1)
	h.s.complain("a body cannot be read", err)
	i := idOf(h.foot.key)
	sh := h.s.index.shard(i)
	var name string
	sh.Lock()
	if e := sh.find(i); e != nil && e.seq == h.seq {
		name = h.s.forget(sh, i)
	}
	sh.Unlock()
	h.s.queue.remove(name)
	return err
}

// hold is one more Release to come. The caller has one already.
func (h *handle) hold() {
	sh := h.s.index.shard(idOf(h.foot.key))
	sh.Lock()
	h.refs++
	sh.Unlock()
}

// Release implements object.File.
func (h *handle) Release() {
	sh := h.s.index.shard(idOf(h.foot.key))
	sh.Lock()
	h.s.drop(sh, h)
	sh.Unlock()
}

// take is hold for one who has none yet; the handle is open.
func (sh *shard) take(h *handle) {
	if h.refs == 0 {
		sh.unidle(h)
	}
	h.refs++
}

// drop is Release under the lock.
func (s *Store) drop(sh *shard, h *handle) {
	h.refs--
	switch {
	case h.refs > 0:
	case sh.open[idOf(h.foot.key)] == h && !s.closing.Load():
		s.rest(sh, h)
	default:
		if sh.open[idOf(h.foot.key)] == h {
			delete(sh.open, idOf(h.foot.key))
		}
		s.queue.shut(h.f)
	}
}

// rest keeps a handle that nobody holds, and closes the one that has rested for longest when there are too many.
func (s *Store) rest(sh *shard, h *handle) {
	sh.idle = append(sh.idle, h)
	if len(sh.idle) > idleHandles {
		old := sh.idle[0]
		sh.unidle(old)
		delete(sh.open, idOf(old.foot.key))
		s.queue.shut(old.f)
	}
}

func (sh *shard) unidle(h *handle) {
	for n, other := range sh.idle {
		if other == h {
			sh.idle = append(sh.idle[:n], sh.idle[n+1:]...)
			sh.idle[:len(sh.idle)+1][len(sh.idle)] = nil
			return
		}
	}
}

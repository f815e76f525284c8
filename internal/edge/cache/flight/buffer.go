package flight

import "straum.dev/straum/internal/bufpool"

// window is how far, in bytes, those who read a body that is not kept can be apart.
const window = 256 << 10

// exactUpTo is up to which announced length there is room made for the whole body at once, in bytes. For a longer one a quarter has to have come.
const exactUpTo = 64 << 10

// chunk is a part of a body, in a buffer that is borrowed. Bytes below n do not change any more.
type chunk struct {
	from    int64
	buf     []byte
	n       int
	next    *chunk
	cost    int64 // in the budget
	holders int   // who have a view of it
	dropped bool
	lent    bool
}

func (c *chunk) end() int64 { return c.from + int64(c.n) }

func (c *chunk) full() bool { return c.n == len(c.buf) }

// store puts a run behind what is kept, and returns what there was no room for.
func (f *Flight) store(run []byte) (rest []byte) {
	if f.flat == nil && !f.refused && f.length > 0 && (f.length <= exactUpTo || f.n+int64(len(run)) >= f.length/4) {
		f.refused = !f.flatten(f.length, false)
	}
	if f.flat != nil {
		copy(f.flat[f.n:], run)
		f.advance(nil, len(run))
		return nil
	}
	for len(run) > 0 {
		c := f.last
		if c == nil || c.full() {
			size := bufpool.Large
			switch came := f.n + int64(len(run)); {
			case came <= bufpool.Small:
				size = bufpool.Small
			case came <= bufpool.Large:
				size = bufpool.Medium
			}
			if !f.table.reserve(int64(size)) {
				return run
			}
			c = f.link(size)
		}
		n := copy(c.buf[c.n:], run)
		f.advance(c, n)
		run = run[n:]
	}
	return nil
}

// flatten makes room of size bytes for the whole body and moves there what came of it. By force it does so even beyond the budget.
func (f *Flight) flatten(size int64, force bool) bool {
	if force {
		f.table.used.Add(size)
	} else if !f.table.reserve(size) {
		return false
	}
	flat := make([]byte, size)
	for c := f.first; c != nil; c = c.next {
		copy(flat[c.from:], c.buf[:c.n])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flat, f.cost = flat, size
	f.dropAll()
	return true
}

// unflatten makes a chunk of a body that lay flat and is not kept any more. The lock is held.
func (f *Flight) unflatten() {
	if f.flat == nil {
		return
	}
	c := f.chunk()
	*c = chunk{buf: f.flat[:f.n:f.n], n: int(f.n), cost: f.cost}
	f.flat, f.cost = nil, 0
	f.first, f.last = c, c
	if c.n == 0 {
		f.dropAll()
	}
}

// chunk makes one. The first is part of the flight.
func (f *Flight) chunk() *chunk {
	if f.first == nil && f.n == 0 {
		return &f.one
	}
	return new(chunk)
}

// link puts an empty chunk behind the others. Room in the budget was taken for it.
func (f *Flight) link(size int) *chunk {
	c := f.chunk()
	*c = chunk{from: f.n, buf: bufpool.Get(size), cost: int64(size), lent: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.append(c)
	return c
}

func (f *Flight) append(c *chunk) {
	if f.last == nil {
		f.first = c
	} else {
		f.last.next = c
	}
	f.last = c
}

// advance shows n more bytes to those who read. c is the chunk they are in, nil when the body is flat.
func (f *Flight) advance(c *chunk, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c != nil {
		c.n += n
	}
	f.n += int64(n)
	wake(&f.more)
}

// trim drops the chunks that all have read. The lock is held, and the caller owns the source unless nothing more comes.
func (f *Flight) trim() {
	low, alone := f.low()
	for c := f.first; c != nil && c.end() <= low && (c != f.last || c.full() || alone || f.ended); c = f.first {
		f.drop()
	}
	f.settle()
}

// low is up to where all have read. alone says that there is nobody.
func (f *Flight) low() (low int64, alone bool) {
	low, alone = f.n, true
	if f.pending > 0 && !f.tired {
		low, alone = f.start, false
	}
	if !f.leader.out {
		low, alone = min(low, f.leader.pos), false
	}
	for _, r := range f.followers {
		low, alone = min(low, r.pos), false
	}
	return low, alone
}

// settle finds where the rest begins. Whoever comes now cannot follow when that is not the beginning.
func (f *Flight) settle() {
	if f.flat != nil {
		return
	}
	was := f.start
	if f.start = f.n; f.first != nil {
		f.start = f.first.from
	}
	if was == 0 && f.start > 0 {
		f.table.remove(f)
	}
}

// dropAll drops all chunks.
func (f *Flight) dropAll() {
	for f.first != nil {
		f.drop()
	}
}

// drop drops the first chunk.
func (f *Flight) drop() {
	c := f.first
	if f.first = c.next; f.first == nil {
		f.last = nil
	}
	c.dropped, c.next = true, nil
	if c.holders == 0 {
		f.free(c)
	}
}

// free gives back the buffer of a chunk that was dropped and nobody has a view of.
func (f *Flight) free(c *chunk) {
	f.table.used.Add(-c.cost)
	if c.lent {
		bufpool.Put(c.buf)
	}
	c.buf = nil
}

package disk

import (
	"sync"
	"sync/atomic"
)

// shards is how many parts the index has. Each has a lock of its own, under which nothing waits for the disk.
const shards = 16

// index says what lies on the disk. What it forgets is not on the disk any more as far as anybody can tell, whenever the file is removed.
type index struct {
	shards  [shards]shard
	used    atomic.Int64 // bytes of files, those being written included
	objects atomic.Int64
	next    atomic.Uint32 // the shard that evicts next
}

// shard keeps its entries in two lists by last use: those asked for once since they came, and those asked for again, which may have four fifths of
// the bytes. What only comes by does not drive out what is used (a segmented LRU).
type shard struct {
	sync.Mutex
	slots   map[id]uint32
	entries []entry // entries[0] is none
	free    uint32  // the first of those not in use, chained by next
	lists   [2]list

	open     map[id]*handle  // files open for reading
	idle     []*handle       // those of them that nobody holds, the oldest first
	opening  map[id]*opening // under way
	pending  map[id]*job     // to be written
	buried   map[id]struct{} // while the disk is searched: what was removed meanwhile
	overfull bool            // more than can be remembered were: nothing that is found counts
}

type entry struct {
	id         id
	seq        uint64
	size       int64
	prev, next uint32
	list       uint8
	verified   bool // written by this process, or compared with its checksums since it began
}

// list is a ring of entries, by number.
type list struct {
	first, last uint32
	bytes       int64
}

const (
	probation = iota
	protected
)

func newIndex() *index {
	x := &index{}
	for n := range x.shards {
		sh := &x.shards[n]
		sh.slots, sh.entries = map[id]uint32{}, make([]entry, 1)
		sh.open, sh.opening, sh.pending, sh.buried = map[id]*handle{}, map[id]*opening{}, map[id]*job{}, map[id]struct{}{}
	}
	return x
}

func (x *index) shard(i id) *shard { return &x.shards[i[15]%shards] }

// find returns nil when there is none. The entry is to be used under the lock alone.
func (sh *shard) find(i id) *entry {
	if n := sh.slots[i]; n != 0 {
		return &sh.entries[n]
	}
	return nil
}

// touch notes that an entry was used.
func (sh *shard) touch(e *entry) {
	n := sh.slots[e.id]
	sh.unlink(n)
	sh.link(n, protected, true)
	// What is pushed out of the protected part has another chance.
	for p := &sh.lists[protected]; p.bytes > 4*(p.bytes+sh.lists[probation].bytes)/5 && p.last != n; {
		last := p.last
		sh.unlink(last)
		sh.link(last, probation, true)
	}
}

// insert adds an entry; there is none of this id. Old ones that were found are the first to go.
func (x *index) insert(sh *shard, i id, seq uint64, size int64, verified, old bool) {
	n := sh.free
	if n == 0 {
		n = uint32(len(sh.entries))
		sh.entries = append(sh.entries, entry{})
	} else {
		sh.free = sh.entries[n].next
	}
	sh.entries[n] = entry{id: i, seq: seq, size: size, verified: verified}
	sh.slots[i] = n
	sh.link(n, probation, !old)
	x.objects.Add(1)
}

// remove forgets an entry and says what file is to be removed.
func (x *index) remove(sh *shard, e *entry) (name string) {
	n, gone := sh.slots[e.id], *e
	sh.unlink(n)
	delete(sh.slots, gone.id)
	*e = entry{next: sh.free}
	sh.free = n
	x.used.Add(-taken(gone.size))
	x.objects.Add(-1)
	return fileName(gone.id, gone.seq)
}

// resize notes another size of a file.
func (x *index) resize(sh *shard, e *entry, size int64) {
	more := taken(size) - taken(e.size)
	e.size = size
	sh.lists[e.list].bytes += more
	x.used.Add(more)
}

func (sh *shard) link(n uint32, which uint8, front bool) {
	l, e := &sh.lists[which], &sh.entries[n]
	e.list = which
	l.bytes += taken(e.size)
	switch {
	case l.first == 0:
		l.first, l.last, e.prev, e.next = n, n, 0, 0
	case front:
		e.prev, e.next = 0, l.first
		sh.entries[l.first].prev = n
		l.first = n
	default:
		e.prev, e.next = l.last, 0
		sh.entries[l.last].next = n
		l.last = n
	}
}

func (sh *shard) unlink(n uint32) {
	e := &sh.entries[n]
	l := &sh.lists[e.list]
	l.bytes -= taken(e.size)
	if e.prev != 0 {
		sh.entries[e.prev].next = e.next
	} else {
		l.first = e.next
	}
	if e.next != 0 {
		sh.entries[e.next].prev = e.prev
	} else {
		l.last = e.prev
	}
}

// maxBuried is how many removals of a shard are remembered while the disk is searched.
const maxBuried = 8 << 10

// bury remembers while the disk is searched that what lies there of this id is no good.
func (sh *shard) bury(i id) {
	switch {
	case sh.buried == nil:
	case len(sh.buried) < maxBuried:
		sh.buried[i] = struct{}{}
	default:
		sh.overfull = true
	}
}

package disk

import (
	"sync"

	"straum.dev/straum/internal/edge/cache/object"
)

// kind is what a job is.
type kind uint8

const (
	whole   kind = iota // an object with its body in memory
	renewed             // another head for a file
	coming              // a body that comes bit by bit
)

// job is something to be written. Until it is, the object can be had from memory, unless its body is coming.
type job struct {
	s      *Store
	kind   kind
	key    object.Key
	seq    uint64
	head   *object.Object
	handle *handle // of renewed; held
	cost   int64   // bytes of the queue, but for runs

	// Of coming.
	mu     sync.Mutex
	runs   [][]byte // blocks that are full; only the last may be shorter. Borrowed, and reserved in the queue.
	state  state
	queued bool

	// The writer's own.
	out      file
	table    []byte // checksums of what was written
	length   int64  // of it
	reserved int64  // bytes of the index
}

type state uint8

const (
	begun     state = iota
	committed       // all runs are there
	aborted         // it is given up
)

// overhead is what an object in the queue costs besides its bytes.
const overhead = 1 << 10

// Put implements object.Store. What it has as it is, is not written again. Of the objects with a File it takes those that it gave out itself under
// this key, with other fields or terms.
func (s *Store) Put(k object.Key, o *object.Object) {
	i := idOf(k)
	j := &job{s: s, key: k, head: o, cost: o.Size() + overhead}
	ours := true
	if o.File != nil {
		j.kind = renewed
		j.handle, ours = o.File.(*handle)
		ours = ours && j.handle.s == s && j.handle.foot.key == k
	} else {
		ours = int64(len(o.Body)) == o.Length
		j.seq = s.next()
	}
	may := ours && !s.closing.Load() && s.mayHold(o.Length) && s.queue.reserve(j.cost)
	sh := s.index.shard(i)
	var name string
	sh.Lock()
	if e := sh.find(i); e != nil && sh.pending[i] == nil && o.File == nil && o.Written.Load() == s.mark^e.seq {
		sh.touch(e) // it was here, and in memory for a while
		sh.Unlock()
		if may {
			s.queue.unreserve(j.cost)
		}
		return
	}
	if may && j.kind == renewed {
		if e := sh.find(i); e != nil && e.seq == j.handle.seq {
			sh.take(j.handle)
		} else {
			s.queue.unreserve(j.cost)
			may = false // the file is on its way out
		}
	}
	if !may || j.kind != renewed {
		name = s.forget(sh, i)
	}
	if may {
		sh.pending[i] = j
	}
	sh.Unlock()
	s.queue.remove(name)
	if !may {
		s.counts.dropped.Add(1)
		return
	}
	s.queue.write(j)
}

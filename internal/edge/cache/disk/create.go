package disk

import (
	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/cache/object"
)

// mostStreams is how many bodies may come at a time. Each has a buffer of 68 KiB.
const mostStreams = 64

// Create begins to store a body as it comes. It returns nil when that is not possible now. head is the object without its body; its Length counts
// unless it is negative. The caller ends it by Commit or Abort.
func (s *Store) Create(k object.Key, head *object.Object) *Writer {
	if s.closing.Load() || !s.mayHold(max(head.Length, 0)) {
		s.counts.dropped.Add(1)
		return nil
	}
	if s.streams.Add(1) > mostStreams {
		s.streams.Add(-1)
		s.counts.dropped.Add(1)
		return nil
	}
	j := &job{s: s, kind: coming, key: k, seq: s.next(), head: head}
	s.live.Lock()
	if s.live.jobs != nil {
		s.live.jobs[j] = struct{}{}
	} else {
		j.state = aborted // the store is being closed
	}
	s.live.Unlock()
	return &Writer{job: j, length: head.Length}
}

// Writer stores a body as it comes. One goroutine at a time uses it. It never waits.
type Writer struct {
	job    *job
	length int64  // as announced; negative when it was not
	block  []byte // what did not fill a block yet
	total  int64
	over   bool
}

// Write takes the next run, which is copied. It returns false when the object was given up; nothing more need be written then.
func (w *Writer) Write(run []byte) bool {
	if w.over {
		return false
	}
	w.total += int64(len(run))
	if !w.job.s.mayHold(w.total) || w.length >= 0 && w.total > w.length {
		w.giveUp()
		return false
	}
	for len(run) > 0 {
		if w.block == nil {
			if !w.job.s.queue.reserve(blockSize) {
				w.giveUp()
				return false
			}
			w.block = bufpool.Get(blockSize)[:0]
		}
		n := min(blockSize-len(w.block), len(run))
		w.block = append(w.block, run[:n]...)
		run = run[n:]
		if len(w.block) == blockSize && !w.pass(begun) {
			w.Abort() // the writer has counted it
			return false
		}
	}
	return true
}

// pass hands the block to the job.
func (w *Writer) pass(then state) bool {
	j := w.job
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == aborted {
		return false
	}
	if len(w.block) > 0 {
		j.runs = append(j.runs, w.block)
		w.block = nil
	}
	j.state = then
	j.schedule()
	return true
}

// Commit says that the body is whole. What was under the key is gone. The object is found once it is written.
func (w *Writer) Commit() {
	if w.over {
		return
	}
	j := w.job
	if w.length >= 0 && w.total != w.length {
		w.giveUp()
		return
	}
	i := idOf(j.key)
	sh := j.s.index.shard(i)
	sh.Lock()
	name := j.s.forget(sh, i)
	sh.pending[i] = j
	sh.Unlock()
	j.s.queue.remove(name)
	if !w.pass(committed) {
		sh.Lock()
		if sh.pending[i] == j {
			delete(sh.pending, i)
		}
		sh.Unlock()
		w.Abort()
		return
	}
	w.end()
}

// giveUp is Abort that counts.
func (w *Writer) giveUp() {
	w.job.s.counts.dropped.Add(1)
	w.Abort()
}

// Abort gives it up. It may follow anything; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.over {
		return
	}
	if w.block != nil {
		bufpool.Put(w.block)
		w.block = nil
		w.job.s.queue.unreserve(blockSize)
	}
	w.job.abort()
	w.end()
}

func (w *Writer) end() {
	w.over = true
	s := w.job.s
	s.streams.Add(-1)
	s.live.Lock()
	delete(s.live.jobs, w.job)
	s.live.Unlock()
}

// abort makes the writer clean up.
func (j *job) abort() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = aborted
	j.schedule()
}

// schedule has the writer look at the job, under its lock.
func (j *job) schedule() {
	if !j.queued {
		j.queued = true
		j.s.queue.write(j)
	}
}

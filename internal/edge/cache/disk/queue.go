package disk

import "sync"

// queue is what the writer has to do. All that put something into it return at once.
type queue struct {
	mu    sync.Mutex
	some  sync.Cond
	limit int64

	bytes     int64    // of what is to be written
	jobs      []*job   // each once
	names     []string // files to remove; no more than there were objects
	files     []file   // files to close; no more than were open
	look      bool     // there may be too much on the disk
	closing   bool     // nothing new comes
	abandoned bool     // what is left is not done
	over      bool     // the writer has ended
	ended     chan struct{}
}

func (q *queue) init(limit int64) {
	q.some.L = &q.mu
	q.limit = limit
	q.ended = make(chan struct{})
}

// reserve takes room for bytes that are to be written.
func (q *queue) reserve(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+n > q.limit || q.closing {
		return false
	}
	q.bytes += n
	return true
}

func (q *queue) unreserve(n int64) {
	q.mu.Lock()
	q.bytes -= n
	q.mu.Unlock()
}

func (q *queue) write(j *job) {
	q.mu.Lock()
	q.jobs = append(q.jobs, j)
	q.mu.Unlock()
	q.some.Signal()
}

// remove has a file removed; an empty name is none.
func (q *queue) remove(name string) {
	if name == "" {
		return
	}
	q.mu.Lock()
	q.names = append(q.names, name)
	q.mu.Unlock()
	q.some.Signal()
}

// shut has a file closed: closing one that was removed frees its blocks, which takes the disk's time.
func (q *queue) shut(f file) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		f.Close()
		return
	}
	q.files = append(q.files, f)
	q.some.Signal()
}

// wake makes the writer look whether there is too much on the disk.
func (q *queue) wake() {
	q.mu.Lock()
	q.look = true
	q.mu.Unlock()
	q.some.Signal()
}

// close ends the queue when all is done, or at once.
func (q *queue) close(now bool) {
	q.mu.Lock()
	q.closing = true
	q.abandoned = q.abandoned || now
	q.mu.Unlock()
	q.some.Signal()
}

func (q *queue) isAbandoned() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.abandoned
}

// work is one thing to do.
type work struct {
	name string
	file file
	job  *job
}

// take waits for something to do; without anything in it there is to be looked for room. Removing comes first, since it makes room.
func (q *queue) take() (w work, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.abandoned:
			q.end()
			return w, false
		case len(q.names) > 0:
			w.name, q.names = pop(q.names)
			return w, true
		case len(q.files) > 0:
			w.file, q.files = pop(q.files)
			return w, true
		case q.look:
			q.look = false
			return w, true
		case len(q.jobs) > 0:
			w.job, q.jobs = q.jobs[0], q.jobs[1:]
			return w, true
		case q.closing:
			q.end()
			return w, false
		}
		q.some.Wait()
	}
}

func (q *queue) end() {
	q.over = true
	for _, f := range q.files {
		f.Close()
	}
	q.files, q.names, q.jobs = nil, nil, nil
	close(q.ended)
}

// pop takes the last.
func pop[T any](s []T) (T, []T) {
	var none T
	last := s[len(s)-1]
	s[len(s)-1] = none
	if len(s) == 1 {
		return last, nil
	}
	return last, s[:len(s)-1]
}

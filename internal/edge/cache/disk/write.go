package disk

import (
	"encoding/binary"
	"errors"
	"syscall"

	"straum.dev/straum/internal/bufpool"
)

// writeRun is how much is written with one call, in bytes: a stalled disk then holds no more than this, and what is given up is soon given up.
const writeRun = 16 * blockSize

// runWriter does all that changes the disk.
func (s *Store) runWriter() {
	for {
		w, more := s.queue.take()
		switch {
		case !more:
			return
		case w.name != "":
			s.erase(w.name)
		case w.file != nil:
			s.shut(w.file)
		case w.job != nil:
			s.do(w.job)
		default:
			s.trim(0)
		}
	}
}

func (s *Store) erase(name string) {
	if err := s.fs.remove(name); err != nil && !errors.Is(err, syscall.ENOENT) {
		s.counts.failed.Add(1)
		s.complain("a file cannot be removed", err)
	}
}

var (
	errNoRoom    = errors.New("disk: no room")
	errNotWanted = errors.New("disk: it is not wanted any more")
)

// do writes a job, or as much of it as is there.
func (s *Store) do(j *job) {
	var done bool
	var err error
	switch j.kind {
	case whole:
		done, err = true, s.writeWhole(j)
	case renewed:
		done, err = true, s.writeHead(j)
	default:
		done, err = s.writeRuns(j)
	}
	if !done && err == nil {
		return
	}
	if err != nil {
		s.discard(j)
	}
	switch {
	case err == nil:
		s.counts.stored.Add(1)
	case err == errNotWanted:
	case err == errNoRoom:
		s.counts.dropped.Add(1)
	default:
		s.counts.failed.Add(1)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			s.free.refused(s)
		}
		s.complain("an object cannot be written", err)
	}
	if j.handle != nil {
		j.handle.Release()
	}
	s.queue.unreserve(j.cost)
	j.head, j.table = nil, nil
}

// wanted says whether what is under the key is still to be this.
func (s *Store) wanted(j *job) bool {
	i := idOf(j.key)
	sh := s.index.shard(i)
	sh.Lock()
	defer sh.Unlock()
	return sh.pending[i] == j
}

func (s *Store) writeWhole(j *job) error {
	for body := j.head.Body; len(body) > 0; body = body[min(writeRun, len(body)):] {
		if !s.wanted(j) || s.queue.isAbandoned() {
			return errNotWanted
		}
		if err := s.writeOn(j, body[:min(writeRun, len(body))]); err != nil {
			return err
		}
	}
	return s.finish(j)
}

// writeRuns writes what has come.
func (s *Store) writeRuns(j *job) (done bool, err error) {
	for {
		abandoned := s.queue.isAbandoned()
		j.mu.Lock()
		if j.state == aborted || abandoned || len(j.runs) == 0 {
			state := j.state
			if abandoned {
				state = aborted
			}
			j.queued = false
			j.mu.Unlock()
			switch state {
			case committed:
				return true, s.finish(j)
			case aborted:
				return true, errNotWanted
			}
			return false, nil
		}
		run := j.runs[0]
		j.runs = j.runs[1:]
		j.mu.Unlock()
		err := s.writeOn(j, run)
		bufpool.Put(run)
		s.queue.unreserve(blockSize)
		if err != nil {
			return true, err
		}
	}
}

// writeOn writes the next part of a body: whole blocks, but for the last part.
func (s *Store) writeOn(j *job, run []byte) error {
	if !s.makeRoom(j, int64(len(run))) {
		return errNoRoom
	}
	if err := s.begin(j); err != nil {
		return err
	}
	for rest := run; len(rest) > 0; rest = rest[min(blockSize, len(rest)):] {
		j.table = binary.LittleEndian.AppendUint32(j.table, checksum(rest[:min(blockSize, len(rest))]))
	}
	if _, err := j.out.WriteAt(run, j.length); err != nil {
		return err
	}
	j.length += int64(len(run))
	return nil
}

func (s *Store) begin(j *job) (err error) {
	if j.out == nil {
		j.out, err = s.fs.create(tmpName(j.seq))
	}
	return err
}

// finish writes what follows the body, and puts the file in its place.
func (s *Store) finish(j *job) error {
	if !s.wanted(j) {
		return errNotWanted
	}
	head := j.head
	if head.Length != j.length { // its length was not known when it came
		head = head.WithBody(nil)
		head.Length = j.length
	}
	tail := appendTail(nil, j.key, j.length, j.table, head)
	if len(tail)-len(j.table) > maxHead || !s.makeRoom(j, int64(len(tail))) {
		return errNoRoom
	}
	if err := s.begin(j); err != nil {
		return err
	}
	if _, err := j.out.WriteAt(tail, j.length); err != nil {
		return err
	}
	out := j.out
	j.out = nil
	if err := out.Close(); err != nil {
		s.erase(tmpName(j.seq))
		return err
	}
	i := idOf(j.key)
	name := fileName(i, j.seq)
	if err := s.fs.rename(tmpName(j.seq), name); err != nil {
		s.erase(tmpName(j.seq))
		s.erase(name)
		return err
	}
	size := j.length + int64(len(tail))
	sh := s.index.shard(i)
	sh.Lock()
	wanted := sh.pending[i] == j
	if wanted {
		delete(sh.pending, i)
		s.index.used.Add(taken(size) - j.reserved)
		j.reserved = 0
		s.index.insert(sh, i, j.seq, size, true, false)
	}
	sh.Unlock()
	if !wanted {
		s.erase(name)
		return errNotWanted
	}
	j.head.Written.Store(s.mark ^ j.seq)
	return nil
}

// writeHead puts another head into a file that lies in its place. Nobody reads the old one meanwhile, since all who want it share the handle.
func (s *Store) writeHead(j *job) error {
	h, i := j.handle, idOf(j.key)
	sh := s.index.shard(i)
	sh.Lock()
	e := sh.find(i)
	wanted := sh.pending[i] == j && e != nil && e.seq == h.seq
	var was int64
	if wanted {
		was = e.size
	}
	sh.Unlock()
	if !wanted {
		return errNotWanted
	}
	foot := h.foot
	b := foot.appendHead(nil, j.head)
	size := foot.size()
	if foot.headSize > maxHead || !s.makeRoom(j, max(taken(size)-taken(was), 0)) {
		return errNoRoom
	}
	f, err := s.fs.reopen(fileName(i, h.seq))
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, foot.tail()); err == nil && size < was {
		err = f.Truncate(size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	sh.Lock()
	defer sh.Unlock()
	s.index.used.Add(-j.reserved)
	j.reserved = 0
	if e := sh.find(i); e != nil && e.seq == h.seq {
		s.index.resize(sh, e, size)
		h.object = j.head
	}
	if sh.pending[i] == j {
		delete(sh.pending, i)
	}
	return nil
}

// discard cleans up after a job that came to nothing.
func (s *Store) discard(j *job) {
	if j.out != nil {
		j.out.Close()
		s.erase(tmpName(j.seq))
		j.out = nil
	}
	s.index.used.Add(-j.reserved)
	j.reserved = 0
	j.mu.Lock()
	j.state = aborted
	for _, run := range j.runs {
		bufpool.Put(run)
		s.queue.unreserve(blockSize)
	}
	j.runs = nil
	j.queued = true // never again
	j.mu.Unlock()
	i := idOf(j.key)
	sh := s.index.shard(i)
	var name string
	sh.Lock()
	if sh.pending[i] == j {
		name = s.forget(sh, i) // with a renewed one the file, whose head may be torn
	}
	sh.Unlock()
	if name != "" {
		s.erase(name)
	}
}

package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
)

// runSearch finds what lies on the disk since the last time. Only names and sizes are looked at: what a file is worth shows when it is read.
func (s *Store) runSearch() {
	defer close(s.found)
	s.removeOtherVersions()
	s.fs.list(tmpFolder, func(name string, _ int64) bool {
		if seq, ok := parseTmp(name); ok && seq>>epochShift != s.epoch {
			s.fs.remove(tmpFolder + "/" + name) // what cannot be removed is tried the next time
		}
		return !s.stopping()
	})
	for n := range 256 {
		folder := fmt.Sprintf("%02x", n)
		s.fs.list(folder, func(name string, size int64) bool { // a folder that is not there has nothing in it
			if i, seq, ok := parseName(folder, name); ok && size >= 0 {
				s.find(i, seq, size)
			}
			return !s.stopping()
		})
		if s.stopping() {
			return
		}
	}
	for n := range s.index.shards {
		sh := &s.index.shards[n]
		sh.Lock()
		sh.buried, sh.overfull = nil, false
		sh.Unlock()
	}
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return s.closing.Load()
	}
}

// find takes a file into the index, unless something better is known of its key.
func (s *Store) find(i id, seq uint64, size int64) {
	if seq>>epochShift == s.epoch {
		return // of this process, which knows it
	}
	old := fileName(i, seq)
	sh := s.index.shard(i)
	sh.Lock()
	_, buried := sh.buried[i]
	e := sh.find(i)
	room := s.index.used.Load()+taken(size) <= s.size.Load() && s.index.objects.Load() < s.mostObjects()
	switch {
	case buried, sh.overfull, size < footerSize, !room, seq>>epochShift > s.epoch, e != nil && e.seq > seq:
	default:
		old = ""
		if e != nil {
			old = s.index.remove(sh, e)
		}
		s.index.used.Add(taken(size))
		s.index.insert(sh, i, seq, size, false, true)
	}
	sh.Unlock()
	if old != "" {
		s.fs.remove(old) // what cannot be removed is found the next time
	}
}

// removeOtherVersions removes our own files of other layouts, and nothing else.
func (s *Store) removeOtherVersions() {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return // there is none to find
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(trimV(e.Name()), 10, 31)
		if err != nil || !e.IsDir() || e.Name() == version || e.Name() != "v"+strconv.FormatUint(n, 10) {
			continue
		}
		other := folder{filepath.Join(s.Dir, e.Name())}
		empty := func(name string, ours func(string) bool) {
			other.list(name, func(file string, size int64) bool {
				if size >= 0 && ours(file) {
					other.remove(name + "/" + file)
				}
				return !s.stopping()
			})
			other.remove(name) // fails when something else is in it
		}
		for n := range 256 {
			name := fmt.Sprintf("%02x", n)
			empty(name, func(file string) bool { _, _, ok := parseName(name, file); return ok })
		}
		empty(tmpFolder, func(file string) bool { _, ok := parseTmp(file); return ok })
		other.remove(".")
	}
}

func trimV(name string) string {
	if len(name) > 1 && name[0] == 'v' {
		return name[1:]
	}
	return ""
}

// Sweep looks at each object slowly, without its body, and deletes those that keep does not want. It returns when it has seen all, or ctx or the
// store is over. While the disk is left alone it waits.
func (s *Store) Sweep(ctx context.Context, keep func(*object.Object) bool) (looked, deleted int) {
	tick := time.NewTicker(max(time.Second/time.Duration(s.SweepRate), 1))
	defer tick.Stop()
	for n := range s.index.shards {
		for _, e := range s.index.shards[n].all() {
			for first := true; first || !s.breaker.closed(); first = false {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return looked, deleted
				case <-s.stop:
					return looked, deleted
				}
			}
			o := s.look(e)
			if o == nil {
				continue
			}
			looked++
			if !keep(o) && s.deleteSame(e) {
				deleted++
			}
		}
	}
	return looked, deleted
}

// all copies the entries, so that they can be gone through without the lock.
func (sh *shard) all() []entry {
	sh.Lock()
	defer sh.Unlock()
	all := make([]entry, 0, len(sh.slots))
	for _, n := range sh.slots {
		all = append(all, sh.entries[n])
	}
	return all
}

// look reads the head of an object as it lies on the disk. It is nil when it cannot be had.
func (s *Store) look(e entry) *object.Object {
	sh := s.index.shard(e.id)
	sh.Lock()
	if h := sh.open[e.id]; h != nil && h.seq == e.seq {
		defer sh.Unlock()
		return h.object
	}
	now := sh.find(e.id)
	same := now != nil && now.seq == e.seq
	if same {
		e.size = now.size
	}
	sh.Unlock()
	if !same {
		return nil
	}
	var l loaded
	var err error
	if !s.within(s.BodyWait, func() { l, err = s.load(e.id, e.seq, e.size, true, false) }, func() {}) || err != nil {
		return nil // what is damaged shows when it is asked for
	}
	return l.object
}

// deleteSame deletes an object if it is still the one that was looked at.
func (s *Store) deleteSame(e entry) bool {
	sh := s.index.shard(e.id)
	var name string
	sh.Lock()
	if now := sh.find(e.id); now != nil && now.seq == e.seq {
		name = s.forgetEntry(sh, now)
	}
	sh.Unlock()
	s.queue.remove(name)
	return name != ""
}

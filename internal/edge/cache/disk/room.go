package disk

import (
	"time"

	"straum.dev/straum/internal/clock"
)

// makeRoom makes room for n more bytes of a job, evicting what was not used for longest.
func (s *Store) makeRoom(j *job, n int64) bool {
	if !s.trim(n) || !s.free.enough(s, n) {
		return false
	}
	s.index.used.Add(n)
	j.reserved += n
	return true
}

// trim evicts until there is room for n more bytes.
func (s *Store) trim(n int64) bool {
	for s.index.used.Load()+n > s.size.Load() || s.index.objects.Load() >= s.mostObjects() {
		if _, ok := s.evict(); !ok {
			return false
		}
	}
	return true
}

// evict removes the object that was not used for longest, nearly: each shard has its own order, and they take turns.
func (s *Store) evict() (freed int64, ok bool) {
	for which := range s.index.shards[0].lists {
		for range shards {
			sh := &s.index.shards[s.index.next.Add(1)%shards]
			sh.Lock()
			var name string
			if last := sh.lists[which].last; last != 0 {
				e := &sh.entries[last]
				freed = taken(e.size)
				name = s.forgetEntry(sh, e)
			}
			sh.Unlock()
			if name != "" {
				s.erase(name)
				s.counts.evicted.Add(1)
				return freed, true
			}
		}
	}
	return 0, false
}

// forgetEntry is forget that leaves alone what is to be written under the key.
func (s *Store) forgetEntry(sh *shard, e *entry) string {
	i := e.id
	j := sh.pending[i]
	name := s.forget(sh, i)
	if j != nil {
		sh.pending[i] = j
	}
	return name
}

// freeSpace watches over what the file system has left, which others use too. It is the writer's.
type freeSpace struct {
	at    int64 // when it was last asked, of clock.Now; 0 is to ask
	spare int64 // what may be written before it is asked again
}

// askFree is how long an answer counts, and askAfter how many bytes.
const (
	askFree  = int64(time.Second)
	askAfter = 8 << 20
)

// enough says whether n bytes may be written and leave free what is to be left free. When not, the oldest objects are removed until they may be.
func (f *freeSpace) enough(s *Store, n int64) bool {
	n = taken(n)
	now := clock.Now()
	if f.at != 0 && now-f.at < askFree && f.spare >= n {
		f.spare -= n
		return true
	}
	for {
		free, total, err := s.fs.room()
		if err != nil {
			s.counts.failed.Add(1)
			s.complain("the file system does not say how much is free", err)
			return false
		}
		spare := free - int64(s.MinFree*float64(total)) - n
		s.full(spare < 0)
		if spare >= 0 {
			f.at, f.spare = now, min(spare, askAfter)
			return true
		}
		for spare < 0 {
			freed, ok := s.evict()
			if !ok {
				f.at = 0
				return false
			}
			spare += freed
		}
	}
}

// refused notes that the file system was full although it said it was not, and makes some room.
func (f *freeSpace) refused(s *Store) {
	f.at = 0
	s.full(true)
	for freed := int64(0); freed < askAfter; {
		n, ok := s.evict()
		if !ok {
			return
		}
		freed += n
	}
}

// fullEvery bounds how often it is told: where the file system is smaller than the store may be, each object that comes finds it full, and makes
// another go.
const fullEvery = int64(time.Hour)

func (s *Store) full(is bool) {
	if s.counts.full.Swap(is) == is || !is {
		return
	}
	now, last := clock.Now(), s.counts.fullSaid.Load()
	if (last == 0 || now-last >= fullEvery) && s.counts.fullSaid.CompareAndSwap(last, now) {
		s.Log.Warn("cache on disk: the file system is nearly full, so the oldest objects are removed", "dir", s.Dir, "left_free", s.MinFree)
	}
}

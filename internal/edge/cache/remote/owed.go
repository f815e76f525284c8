package remote

import (
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
)

// maxOwed is how many deletions may wait for Redis, and maxOwedRules how many rules. When there are more, everything that was asked for before is
// purged instead.
const (
	maxOwed      = 1 << 16
	maxOwedRules = 1000
)

// owed is what was decided here and is not done in Redis yet.
type owed struct {
	some  atomic.Int64 // deletions and rules; almost always 0
	floor atomic.Int64 // what was asked for then or before is not to be taken from Redis
	mu    sync.Mutex
	keys  map[object.Key]int64 // deletions, by when
	rules []purge.Rule
}

// has says whether what lies in Redis under a key is not to be taken.
func (d *owed) has(k object.Key) bool {
	if d.some.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, is := d.keys[k]
	return is
}

// add reports false when there was no room: then everything is to be purged.
func (d *owed) add(k object.Key, at int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.count()
	if _, is := d.keys[k]; is || len(d.keys) < maxOwed {
		d.keys[k] = at
		return true
	}
	clear(d.keys)
	d.rules = []purge.Rule{{Kind: purge.All, At: at}}
	d.floor.Store(at)
	return false
}

func (d *owed) addRule(r purge.Rule) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.count()
	if len(d.rules) == maxOwedRules {
		r = purge.Rule{Kind: purge.All, At: r.At}
		d.rules = d.rules[:0]
	}
	d.rules = append(d.rules, r)
}

// paid says that a deletion was carried out, unless there is a later one under the same key.
func (d *owed) paid(k object.Key, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys[k] == at {
		delete(d.keys, k)
	}
	d.count()
}

// count is called with mu held.
func (d *owed) count() { d.some.Store(int64(len(d.keys) + len(d.rules))) }

// Tell has all gateways of the fleet purge, those included that are not there at the moment. After an error they will be told as soon as Redis answers.
func (s *Store) Tell(r purge.Rule) error {
	err := s.enter(&r)
	if err != nil {
		s.figures.failed.Add(1)
		s.owed.addRule(r)
		return err
	}
	s.figures.told.Add(1)
	return nil
}

// slice is how many of the deletions owed are carried out in one go, and overdue is when those are that wait in a queue still.
const (
	slice   = 256
	overdue = time.Second
)

// pay does what is owed, and reports whether there is more to be done at once.
func (s *Store) pay() (more bool) {
	d := &s.owed
	if d.some.Load() == 0 || !s.redis.Available() {
		return false
	}
	d.mu.Lock()
	rules := d.rules
	due := make(map[object.Key]int64)
	for k, at := range d.keys {
		if at < s.now()-int64(overdue) && len(due) < slice {
			due[k] = at
		}
	}
	d.mu.Unlock()
	for len(rules) > 0 {
		if err := s.enter(&rules[0]); err != nil {
			s.figures.failed.Add(1)
			return false
		}
		s.figures.told.Add(1)
		d.mu.Lock()
		if len(d.rules) > 0 && d.rules[0] == rules[0] { // not replaced by one for everything
			d.rules = d.rules[1:]
		}
		rules = d.rules
		d.count()
		d.mu.Unlock()
	}
	for k, at := range due {
		if s.ctx.Err() != nil || !s.delete(k, at) {
			return false
		}
	}
	return len(due) == slice
}

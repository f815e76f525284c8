package remote

import (
	"errors"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/redis"
)

// maxGets is how many values may be under way, those that came too late included: with MaxObject it bounds the memory they take.
const maxGets = 64

// Get is what lies under a key. It waits for the budget of Redis at most. It is nil when there is nothing, or Redis cannot say, or something may have
// been purged that this gateway has not heard of; and after a Delete of its own until that has been carried out.
func (s *Store) Get(k object.Key) *object.Object {
	f := &s.figures
	if !s.InStep() || !s.redis.Available() || s.owed.has(k) {
		f.skipped.Add(1)
		return nil
	}
	if s.gets.Add(1) > maxGets {
		s.gets.Add(-1)
		f.full.Add(1)
		return nil
	}
	from := clock.Now()
	name := s.names.name(k)
	value, err := s.redis.GetUpTo(name, s.max+maxHead+overhead+1)
	s.gets.Add(-1)
	f.took(clock.Now() - from)
	switch {
	case errors.Is(err, redis.ErrRefused): // something else has our name
		f.damaged.Add(1)
		s.remove(k, "")
		return nil
	case err != nil:
		f.failed.Add(1)
		return nil
	case len(value) == 0:
		f.misses.Add(1)
		return nil
	}
	f.in.Add(uint64(len(value)))
	o, deleted := s.read(name, value)
	switch {
	case deleted:
		f.misses.Add(1)
		return nil
	case o == nil:
		f.damaged.Add(1)
		s.remove(k, string(value[:min(len(value), headingLength)]))
		return nil
	case s.owed.has(k) || !s.InStep(): // since it was asked for
		f.skipped.Add(1)
		return nil
	case o.Terms.RequestTime <= s.owed.floor.Load():
		f.misses.Add(1)
		return nil
	}
	f.hits.Add(1)
	return o
}

// read is the object of a value; nil when it is none that we would have written there. It leaves the heading as it is.
func (s *Store) read(name string, value []byte) (o *object.Object, deleted bool) {
	if len(value) < headingLength || value[0] != version || int64(len(value)) > s.max+maxHead+overhead {
		return nil, false
	}
	head := string(value[:headingLength])
	if head[1] == isDeletion {
		return nil, true
	}
	packed, ok := s.names.open(value[headingLength:], head, name)
	if !ok {
		return nil, false
	}
	o, err := s.coder.unpack(packed, s.max)
	if err != nil || head != heading(isObject, o.Terms.RequestTime) {
		return nil, false
	}
	return o, false
}

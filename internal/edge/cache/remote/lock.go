package remote

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/redis"
)

// Token is a lock that is held. The zero Token is none.
type Token struct {
	key  object.Key
	text string
}

// MaxHold is how long a lock holds at most when its holder is lost.
const MaxHold = time.Minute

var takeLock = redis.NewScript(later + `
local what, at = there(KEYS[1], ARGV[2])
if what == 'o' and at > ARGV[1] then return 0 end
if redis.call('SET', KEYS[2], ARGV[3], 'NX', 'PX', ARGV[4]) then return 1 end
return 0
`)

var giveBack = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)

// Lock says who of the fleet asks the endpoint for what lies under a key. mine says that it is the caller, for as long as hold at most: then Unlock
// follows. It is the caller too when Redis cannot say. Otherwise another gateway is at it, or was: Await waits for what it stores. What lies there
// and was asked for at since (Unix time in nanoseconds) or before does not count, as for Await; 0 for nothing.
func (s *Store) Lock(k object.Key, since int64, hold time.Duration) (t Token, mine bool) {
	if !s.InStep() || !s.redis.Available() {
		return Token{}, true
	}
	t = Token{k, random()}
	hold = min(max(hold, time.Millisecond), MaxHold)
	name := s.names.name(k)
	reply, err := s.redis.Run(takeLock, []string{name, lockOf(name)}, []string{heading(isObject, since)[2:], s.limit(), t.text,
		strconv.FormatInt(hold.Milliseconds(), 10)})
	n, err2 := reply.Int()
	switch {
	case errors.Is(err, redis.ErrRefused) || err == nil && err2 != nil:
		s.figures.failed.Add(1)
		return Token{}, true
	case err != nil: // it may be ours and we don't know: then it runs out, or Unlock finds it
		s.figures.failed.Add(1)
		return t, true
	case n == 1:
		s.figures.locks.Add(1)
		return t, true
	}
	return Token{}, false
}

// Unlock gives a lock back, after what was put under its key before. It does not wait.
func (s *Store) Unlock(t Token) {
	if t.text != "" {
		s.add(job{key: t.key, token: t.text, size: jobSize})
	}
}

// pollEvery is how often Await looks, give or take a quarter.
const pollEvery = 25 * time.Millisecond

var look = redis.NewScript(later + `
local what, at = there(KEYS[1], ARGV[2])
if what == 'o' and at > ARGV[1] then return 1 end
return redis.call('EXISTS', KEYS[2]) * 2
`)

// Await waits for what the holder of a lock stores: until a reading of clock.Now, as long as the lock is held and gone says false. What lies there
// and was asked for at since (Unix time in nanoseconds) or before is not waited for; 0 for anything. It is nil when nothing came: then the caller
// asks the endpoint.
func (s *Store) Await(k object.Key, since, until int64, gone func() bool) *object.Object {
	f, name, from := &s.figures, s.names.name(k), clock.Now()
	f.waits.Add(1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for last := false; ; {
		select {
		case <-s.ctx.Done():
			return nil
		case <-timer.C:
		}
		if gone() || !s.InStep() {
			return nil
		}
		f.polls.Add(1)
		reply, err := s.redis.Run(look, []string{name, lockOf(name)}, []string{heading(isObject, since)[2:], s.limit()})
		state, err2 := reply.Int()
		switch {
		case err != nil || err2 != nil:
			f.failed.Add(1)
			return nil
		case state == 1:
			o := s.Get(k)
			if o != nil && o.Terms.RequestTime > since {
				f.awaited.Add(1)
				f.waited.Add(clock.Now() - from)
				return o
			}
			return nil
		case state == 0: // given back, and nothing was stored
			return nil
		}
		left := until - clock.Now()
		if left <= 0 || last {
			return nil
		}
		wait := time.Duration(float64(pollEvery) * (0.75 + rand.Float64()/2))
		last = int64(wait) >= left
		timer.Reset(min(wait, time.Duration(left)))
	}
}

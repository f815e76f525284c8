package remote

import (
	"encoding/binary"
	"math"
	"strconv"
	"sync"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/redis"
)

// Writes wait in queues, one a writer, and those of one key in one queue: they are carried out in their order.
const (
	writers   = 4
	maxQueued = 16 << 20 // bytes of objects and of what keeps them, of all queues
	jobSize   = 256      // bytes that a write takes besides its object
)

// job is one write: of an object, of a deletion, of a lock given back, or of something of no use taken away.
type job struct {
	key    object.Key
	object *object.Object // not nil for an object
	size   int64
	at     int64  // of a deletion, not 0
	token  string // of a lock
	remove bool
	head   string // what is to be removed begins with it; empty for whatever it is
}

type queue struct {
	mu   sync.Mutex
	jobs []job
	wake chan struct{}
}

// Put stores an object soon, until it is of no use. It is not stored when it is too large, its body lies in a file, the queue is full or Redis is
// gone; nor when what lies there was asked for later, or was deleted later than it was asked for.
func (s *Store) Put(k object.Key, o *object.Object) {
	f := &s.figures
	if o.Length > s.max || o.File != nil || o.Length != int64(len(o.Body)) {
		f.large.Add(1)
		return
	}
	if !s.redis.Available() || !s.add(job{key: k, object: o, size: jobSize + o.Size()}) {
		f.dropped.Add(1)
	}
}

// Delete removes what is stored and was asked for before now, for all gateways, and tells them. Get finds nothing from now on; in Redis it is done
// soon, or once Redis is there again.
func (s *Store) Delete(k object.Key) {
	at := s.now()
	if !s.owed.add(k, at) {
		s.figures.forgotten.Add(1)
		s.log.Warn("more of what the cache stores was deleted than can be remembered until the shared store (redis) answers; the whole fleet's cache is purged then", "deletions", maxOwed)
		return
	}
	s.add(job{key: k, at: at, size: jobSize}) // when the queue is full it remains owed
}

// Forget takes away an object that Get gave and that is of no use to anybody any more. Nobody is told, and what lies there instead by now stays.
func (s *Store) Forget(k object.Key, o *object.Object) {
	s.remove(k, heading(isObject, o.Terms.RequestTime))
}

// remove takes away what is of no use.
func (s *Store) remove(k object.Key, head string) {
	s.add(job{key: k, remove: true, head: head, size: jobSize})
}

// add puts a job into its queue if there is room.
func (s *Store) add(j job) bool {
	if s.queued.Add(j.size) > maxQueued {
		s.queued.Add(-j.size)
		return false
	}
	q := &s.queues[j.key[0]%writers]
	q.mu.Lock()
	q.jobs = append(q.jobs, j)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

func (s *Store) runWrite(q *queue) {
	var jobs []job
	for {
		q.mu.Lock()
		jobs, q.jobs = q.jobs, jobs[:0]
		q.mu.Unlock()
		for i := range jobs {
			if s.ctx.Err() == nil {
				s.carryOut(&jobs[i])
			}
			s.queued.Add(-jobs[i].size)
			jobs[i] = job{} // its object is the garbage collector's to take
		}
		if len(jobs) > 0 {
			continue
		}
		select {
		case <-s.ctx.Done():
			return
		case <-q.wake:
		}
	}
}

func (s *Store) carryOut(j *job) {
	switch {
	case j.object != nil:
		s.write(j)
	case j.at != 0:
		s.delete(j.key, j.at)
	case j.remove:
		if _, err := s.redis.Run(takeAway, []string{s.names.name(j.key)}, []string{j.head}); err != nil {
			s.figures.failed.Add(1)
		}
	default:
		if _, err := s.redis.Run(giveBack, []string{lockOf(s.names.name(j.key))}, []string{j.token}); err != nil {
			s.figures.failed.Add(1)
		}
	}
}

// ahead is by how much another gateway's clock may be ahead of ours for its times to count.
const ahead = 10 * time.Second

// later begins scripts that compare times. It gives what lies under a key, o or d, and its time, where it is ours and its time is possible.
const later = `
local function there(key, limit)
	local head = redis.pcall('GETRANGE', key, 0, 21)
	if type(head) ~= 'string' or #head < 22 or string.sub(head, 1, 1) ~= '1' then return nil end
	local at = string.sub(head, 3)
	if string.find(at, '%D') or at > limit then return nil end
	return string.sub(head, 2, 2), at
end
`

var put = redis.NewScript(later + `
local what, at = there(KEYS[1], ARGV[3])
if what == 'o' and at > ARGV[2] or what == 'd' and at >= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return 1
`)

// write packs and stores an object.
func (s *Store) write(j *job) {
	f, o, now := &s.figures, j.object, s.now()
	ttl := min(deadAt(o)-now, int64(MaxAge)) / int64(time.Millisecond)
	if ttl <= 0 {
		f.dead.Add(1)
		return
	}
	if !s.redis.Available() {
		f.dropped.Add(1)
		return
	}
	name, head := s.names.name(j.key), heading(isObject, o.Terms.RequestTime)
	packed := s.coder.pack(o)
	if raw := int64(binary.BigEndian.Uint32(packed[1:])); raw > s.max+maxHead {
		f.large.Add(1)
		return
	}
	value := make([]byte, 0, len(packed)+overhead)
	value = s.names.seal(append(value, head...), packed, head, name)
	reply, err := s.redis.Run(put, []string{name}, []string{string(value), head[2:], s.limit(), strconv.FormatInt(ttl, 10)})
	stored, err2 := reply.Int()
	switch {
	case err != nil || err2 != nil:
		f.failed.Add(1)
	case stored == 0:
		f.older.Add(1)
	default:
		f.stored.Add(1)
		f.raw.Add(uint64(binary.BigEndian.Uint32(packed[1:])))
		f.out.Add(uint64(len(value)))
	}
}

func (s *Store) limit() string { return heading(isObject, s.now()+int64(ahead))[2:] }

// Deletions lie in the place of what they deleted for so long: what was asked for before them and comes later finds them there.
const deletionLife = 5 * time.Minute

var erase = redis.NewScript(later + `
local what, at = there(KEYS[1], ARGV[3])
if not (what and at > ARGV[2]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4]) end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`)

// delete carries a deletion out and tells the fleet; then it is not owed any more.
func (s *Store) delete(k object.Key, at int64) bool {
	if !s.redis.Available() {
		return false
	}
	head := heading(isDeletion, at)
	_, err := s.redis.Run(erase, []string{s.names.name(k)}, []string{head, head[2:], s.limit(),
		strconv.FormatInt(deletionLife.Milliseconds(), 10), s.redis.Key(channel), string(s.fleet.deletion(k, at))})
	if err != nil {
		s.figures.failed.Add(1)
		return false
	}
	s.figures.deleted.Add(1)
	s.owed.paid(k, at)
	return true
}

var takeAway = redis.NewScript(`
if ARGV[1] ~= '' and redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

// deadAt is when an object is of no use any more. What has a validator is of use for as long again, a minute at least.
func deadAt(o *object.Object) int64 {
	t := &o.Terms
	life := max(t.Lifetime, 0)
	at := plus(t.ResponseTime-t.InitialAge, life)
	at = plus(at, max(t.WhileRevalidating, t.IfError, 0))
	if o.ETag != "" || t.LastModified != 0 || o.Variants != nil {
		at = plus(at, max(life, int64(time.Minute)))
	}
	return at
}

// plus adds and does not overflow; by is not negative.
func plus(at, by int64) int64 {
	if at > math.MaxInt64-by {
		return math.MaxInt64
	}
	return at + by
}

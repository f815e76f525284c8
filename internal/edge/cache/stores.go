package cache

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/disk"
	"straum.dev/straum/internal/edge/cache/memory"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/edge/cache/remote"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/redis"
)

// stores are those of a revision. Each may be nil. The struct is immutable.
type stores struct {
	memory *memory.Store
	disk   *disk.Store
	remote *remote.Store

	maxMemory, maxDisk int64 // bytes of a body

	path      string // of disk
	redis     *redis.Client
	keys      *keyring.Ring // of remote
	maxRemote int64
}

// source is the store that something was found in.
type source uint8

const (
	nowhere source = iota
	inMemory
	onDisk
	inRedis
)

func (s source) String() string { return [...]string{"", "memory", "disk", "redis"}[s] }

func (s *stores) none() bool { return s.memory == nil && s.disk == nil && s.remote == nil }

// gathered is how many bytes of a body are gathered in memory on their way into the stores: those that go to disk alone are written as they come.
func (s *stores) gathered() int64 {
	if s.remote != nil {
		return max(s.maxMemory, min(s.maxRemote, remote.MaxMaxObject))
	}
	return s.maxMemory
}

// memoryShare is which part of memory one object may take.
const memoryShare = 8

// Use puts settings in force. What is stored stays, as far as it fits. An error leaves what was in force.
func (c *Cache) Use(set Settings) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.stores.Load()
	s := &stores{memory: old.memory}
	if set.Disk != nil {
		if err := c.useDisk(s, old, set.Disk); err != nil {
			return err
		}
	}
	switch {
	case set.Memory <= 0:
		s.memory = nil
	case s.memory == nil:
		s.memory = memory.New(set.Memory, c.evicted)
	default:
		s.memory.Resize(set.Memory)
	}
	if s.memory != nil {
		s.maxMemory = max(0, min(set.MaxObject, set.Memory/memoryShare-memoryShare<<10))
	}
	if set.Redis != nil {
		s.redis, s.keys, s.maxRemote = set.Redis, set.Keys, set.RedisMaxObject
		if s.maxRemote <= 0 {
			s.maxRemote = remote.DefaultMaxObject
		}
		if s.remote = old.remote; s.remote == nil || old.redis != set.Redis || old.keys != set.Keys || old.maxRemote != s.maxRemote {
			s.remote = remote.New(remote.Options{
				Redis: set.Redis, Keys: set.Keys, MaxObject: s.maxRemote, Log: c.log, Fleet: fleet{c}, Now: c.now,
			})
		}
	}
	c.settings = set
	c.stores.Store(s)
	c.retire(old, s)
	return nil
}

// useDisk opens the disk store, or goes on with the one that is open.
func (c *Cache) useDisk(s, old *stores, set *Disk) error {
	s.path = set.Path
	if s.path == "" {
		if c.options.Dir == "" {
			return fmt.Errorf("cache: disk has no path, and the gateway keeps no state (state is empty); give it a path, or leave disk out")
		}
		s.path = filepath.Join(c.options.Dir, "cache")
	}
	s.maxDisk = set.MaxObject
	if old.disk != nil && old.path == s.path {
		s.disk = old.disk
		s.disk.Resize(set.Size, set.MaxObject)
		return nil
	}
	d, err := disk.New(disk.Options{Dir: s.path, Size: set.Size, MaxObject: set.MaxObject, Log: c.log})
	if err != nil {
		return err
	}
	s.disk = d
	return nil
}

// patience is how long a store may take to write what it has to.
const patience = 5 * time.Second

// retire closes the stores that are not used any more. Exchanges that still use them find nothing in them.
func (c *Cache) retire(old, s *stores) {
	if old.remote != nil && old.remote != s.remote {
		old.remote.Close()
	}
	if old.disk != nil && old.disk != s.disk {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := old.disk.Close(ctx); err != nil {
			c.log.Warn("the cache's disk store did not close in order", "path", old.path, "error", err)
		}
	}
	if old.memory != nil && old.memory != s.memory {
		old.memory.Close()
	}
}

// Close ends what the cache does on its own. What is to be written to disk is written. Nothing is stored or found any more.
func (c *Cache) Close() {
	c.stop.Store(true)
	c.ending.Lock()
	c.close()
	c.ending.Unlock()
	c.over.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.stores.Load()
	if old.disk != nil && old.memory != nil {
		old.memory.Each(func(k object.Key, o *object.Object) bool {
			c.evicted(k, o)
			return true
		})
	}
	c.stores.Store(&stores{})
	c.retire(old, &stores{})
}

// begins says whether a goroutine may begin, which ends with over.Done.
func (c *Cache) begins() bool {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.closing.Err() != nil {
		return false
	}
	c.over.Add(1)
	return true
}

// evicted writes to disk what memory has no room for.
func (c *Cache) evicted(k object.Key, o *object.Object) {
	s := c.stores.Load()
	if s.disk == nil || c.gone(o) {
		return
	}
	s.disk.Put(k, o)
}

// put stores an object in the levels it is for. What was under the key is gone.
func (c *Cache) put(s *stores, k object.Key, o *object.Object) {
	switch {
	case o.File != nil:
		if s.disk != nil {
			s.disk.Put(k, o)
		}
		return
	case s.memory != nil && o.Length <= s.maxMemory:
		if s.disk != nil {
			s.disk.Delete(k) // what is there is older, and comes back if memory drops this one
		}
		s.memory.Put(k, o)
	case s.disk != nil:
		if s.memory != nil {
			s.memory.Delete(k)
		}
		s.disk.Put(k, o)
	}
	if s.remote != nil {
		s.remote.Put(k, o)
	}
}

// remove takes what is under a key out of all stores.
func (c *Cache) remove(s *stores, k object.Key) {
	if s.memory != nil {
		s.memory.Delete(k)
	}
	if s.disk != nil {
		s.disk.Delete(k)
	}
	if s.remote != nil {
		s.remote.Delete(k)
	}
}

// fill is held while this gateway asks the endpoint for what all of the fleet want.
type fill struct {
	store *remote.Store
	token remote.Token
}

func (f *fill) end() {
	if f.store != nil {
		f.store.Unlock(f.token)
	}
	*f = fill{}
}

// elsewhere says whether another gateway of the fleet asked the endpoint for the same, and has stored what came.
func (v *Visit) elsewhere(s *stores, gone func() bool) bool {
	if s.remote == nil {
		return false
	}
	k, since := v.key, int64(0)
	if v.found != nil {
		k, since = v.at, v.found.Terms.RequestTime
	} else if v.list != nil {
		since = v.list.Terms.RequestTime
	}
	token, mine := s.remote.Lock(k, since, v.route.terms.Renew)
	if mine {
		v.fill = fill{s.remote, token}
		return false
	}
	o := s.remote.Await(k, since, clock.Now()+int64(v.route.terms.Wait), gone)
	if o == nil || v.route.cache.gone(o) {
		return false
	}
	v.waited = true
	if s.disk != nil {
		s.disk.Delete(k)
	}
	if s.memory != nil {
		s.memory.Put(k, o)
	}
	return true
}

// fleet hears what other gateways purge and delete.
type fleet struct{ cache *Cache }

// Purged implements remote.Fleet.
func (f fleet) Purged(r purge.Rule) {
	c := f.cache
	before := c.purges.Newest()
	if c.purges.Add(r); c.purges.Newest() != before { // else it was known
		c.sweep()
	}
}

// Deleted implements remote.Fleet.
func (f fleet) Deleted(k object.Key, at int64) {
	c := f.cache
	c.deleted.note(string(k[:]), at) // what is under way
	s := c.stores.Load()
	if s.memory != nil {
		if o := s.memory.Peek(k); o != nil && o.Terms.RequestTime <= at {
			s.memory.Delete(k)
		}
	}
	if s.disk != nil {
		s.disk.Delete(k)
	}
}

// Gap implements remote.Fleet. Deletions that were missed are those of unsafe methods: what came before is validated before it is used again, what
// lies on disk from before this process included.
func (f fleet) Gap(_, until int64) {
	f.cache.purges.Add(purge.Rule{Kind: purge.All, Soft: true, At: until})
	f.cache.sweep()
}

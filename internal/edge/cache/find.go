package cache

import (
	"slices"
	"sync/atomic"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/edge/exchange"
)

// find looks for what is stored for the request, and says whether anything is. What it finds may be of no use without asking the endpoint.
func (v *Visit) find(x *exchange.Exchange, now int64) bool {
	c := v.route.cache
	s := c.stores.Load()
	v.found, v.list, v.at = nil, nil, v.key
	o, from := c.get(s, v.key)
	if o == nil {
		return false
	}
	if o.Variants != nil {
		v.list = o
		if o, from = v.variant(x, s); o == nil {
			return false
		}
	}
	v.found, v.from, v.terms = o, from, o.Terms
	c.soften(o, &v.terms)
	return true
}

// variant finds the stored response among those of a list that the request selects: the newest when there are several (RFC 9111 §4.1).
func (v *Visit) variant(x *exchange.Exchange, s *stores) (best *object.Object, from source) {
	list := v.list.Variants
	for i := range list.Sets {
		set := &list.Sets[i]
		if slices.Contains(set.Names, authorization) && v.hidesWho(x) {
			continue // an answer to nobody in particular
		}
		var k object.Key
		k, v.scratch = variantKey(v.key, list.Nonce, set.Names, &x.Request.Header, set.Language, v.scratch)
		if !slices.Contains(set.Keys, k) {
			continue // nothing was stored under it, and a disk or Redis need not be asked
		}
		o, at := v.route.cache.get(s, k)
		switch {
		case o == nil || o.Variants != nil:
			continue
		case best != nil && newer(best, o):
			drop(o, at)
			continue
		case best != nil:
			drop(best, from)
		}
		best, from, v.at = o, at, k
	}
	return best, from
}

// newer says whether a was made after b, as far as their dates say.
func newer(a, b *object.Object) bool {
	if a.Terms.Date != b.Terms.Date {
		return a.Terms.Date > b.Terms.Date
	}
	return a.Terms.ResponseTime >= b.Terms.ResponseTime
}

// drop gives an object back that is not used.
func drop(o *object.Object, from source) {
	if o.File != nil && from == onDisk {
		o.File.Release()
	}
}

// get gets an object from the first store that has it, unless it was purged. What Redis has, or a small one from disk, goes to memory.
func (c *Cache) get(s *stores, k object.Key) (*object.Object, source) {
	if s.memory != nil {
		if o := s.memory.Get(k); o != nil {
			if !c.gone(o) {
				return o, inMemory
			}
			s.memory.Delete(k)
		}
	}
	if s.disk != nil {
		if o := s.disk.Get(k); o != nil {
			if !c.gone(o) {
				if o.File == nil && s.memory != nil {
					s.memory.Add(k, o)
				}
				return o, onDisk
			}
			drop(o, onDisk)
			s.disk.Delete(k)
		}
	}
	if s.remote != nil {
		if o := s.remote.Get(k); o != nil {
			if !c.gone(o) {
				if s.memory != nil {
					s.memory.Add(k, o)
				}
				return o, inRedis
			}
			s.remote.Forget(k, o)
		}
	}
	return nil, nowhere
}

// gone says whether an object was purged, or made useless by an unsafe method.
func (c *Cache) gone(o *object.Object) bool {
	return c.purges.Check(o.URL, o.Tags, o.Terms.RequestTime, &o.Checked) == purge.Gone || c.invalid.after(o.URL, o.Terms.RequestTime)
}

// removed is gone for what was asked for at a time and is not an object yet.
func (c *Cache) removed(url string, tags []string, requested int64) bool {
	var checked atomic.Uint64
	return c.purges.Check(url, tags, requested, &checked) == purge.Gone || c.invalid.after(url, requested)
}

// wasDeleted says whether another gateway deleted what is under a key, which was asked for at a time.
func (c *Cache) wasDeleted(k *object.Key, requested int64) bool {
	return c.deleted.after(string(k[:]), requested)
}

// overtaken says whether what the endpoint has just renewed was purged, or made useless, while it was asked.
func (v *Visit) overtaken(o *object.Object) bool {
	c := v.route.cache
	return c.gone(o) || c.wasDeleted(&v.key, v.asked) || c.wasDeleted(&v.at, v.asked)
}

// soften makes terms stale from when a soft purge came.
func (c *Cache) soften(o *object.Object, t *freshness.Terms) {
	if c.purges.Check(o.URL, o.Tags, o.Terms.RequestTime, &o.Checked) != purge.Soft {
		return
	}
	if rule, ok := c.purges.Find(o.URL, o.Tags, o.Terms.RequestTime); ok {
		t.Lifetime = min(t.Lifetime, t.Age(rule.At)-1)
	}
}

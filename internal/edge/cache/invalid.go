package cache

import (
	"hash/maphash"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/cache/purge"
	"straum.dev/straum/internal/edge/exchange"
)

// invalidate makes useless what is stored under the target of an unsafe method that was successful, and under what the answer names in Location and
// Content-Location, if that is of the same origin (RFC 9111 §4.4).
func (v *Visit) invalidate(x *exchange.Exchange) {
	r, c := v.route, v.route.cache
	now := c.tick()
	v.scratch = appendURL(v.scratch[:0], x, &r.terms.Parts)
	target := string(v.scratch)
	c.invalid.note(target, now)
	c.figures.invalidated.Add(1)
	// The fleet is told by key, and so is a disk that outlives this process. What has more of a request in its key is found by the table alone.
	for _, read := range c.reading.all() {
		if k, scratch, ok := keyOf(x, read.route, read.parts, v.scratch); ok {
			v.scratch = scratch
			c.remove(c.stores.Load(), k)
		}
	}
	for _, f := range x.Response.Header.All() {
		if f.Known != exchange.Location && !(f.Known == exchange.Other && strings.EqualFold(f.Name, contentLocation)) {
			continue
		}
		if other, ok := c.sameOrigin(target, f.Value); ok && other != target {
			c.invalid.note(other, now)
		}
	}
}

// reading are the routes whose answers were stored lately: what is read by one is often written by another.
type reading struct {
	mu   sync.Mutex
	list atomic.Pointer[[]read] // the newest last
}

type read struct {
	route string
	parts *Parts
}

const maxReading = 16

func (r *reading) all() []read {
	if p := r.list.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *reading) note(route *exchange.Route, parts *Parts) {
	if route == nil {
		return
	}
	for _, known := range r.all() {
		if known.route == route.Name && known.parts == parts {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []read{}
	for _, known := range r.all() {
		if known.route != route.Name {
			list = append(list, known)
		}
	}
	if len(list) == maxReading {
		list = list[1:]
	}
	list = append(list, read{route.Name, parts})
	r.list.Store(&list)
}

// maxLocation is how long a Location is at most that is looked at.
const maxLocation = purge.MaxText

// sameOrigin is the canonical form of a reference in an answer from target, if it has the same scheme, host and port.
func (c *Cache) sameOrigin(target, reference string) (string, bool) {
	if len(reference) > maxLocation {
		return "", false
	}
	base, err := url.Parse(target)
	if err != nil {
		return "", false
	}
	to, err := base.Parse(reference)
	if err != nil {
		return "", false
	}
	to.Fragment, to.RawFragment, to.User = "", "", nil
	canonical, err := purge.Canonical(to.String(), c.options.Path)
	if err != nil {
		return "", false
	}
	origin := len(base.Scheme) + len("://") + len(base.Host)
	return canonical, len(canonical) > origin && canonical[:origin] == target[:origin] && canonical[origin] == '/'
}

// invalid remembers which URLs unsafe methods were successful with, and when: what was stored under them before is of no use (RFC 9111 §4.4), on
// whichever route and in whichever variant. It is bounded: where there are too many, the oldest are forgotten, and everything that was asked for before
// those and falls into the same set is taken for useless. So it may err, and then costs a request to the endpoint.
type invalid struct {
	newest atomic.Int64 // of all times; what was asked for later need not be looked for
	mu     sync.Mutex   // one change at a time
	sets   atomic.Pointer[[invalidSets]invalidSet]
}

const (
	invalidSets = 4096
	invalidWays = 4
)

// invalidSet is where the URLs of some hashes are. Who reads it looks at ways first and at floor then; who changes it does it the other way round. So
// nothing that is forgotten is ever missed.
type invalidSet struct {
	ways  [invalidWays]struct{ url, at atomic.Uint64 }
	floor atomic.Int64
}

var invalidSeed = maphash.MakeSeed()

// note says that what was asked for at the time now or before is of no use.
func (t *invalid) note(url string, now int64) {
	h := maphash.String(invalidSeed, url)
	t.mu.Lock()
	defer t.mu.Unlock()
	sets := t.sets.Load()
	if sets == nil {
		sets = new([invalidSets]invalidSet)
		t.sets.Store(sets)
	}
	s := &sets[h%invalidSets]
	way := &s.ways[0]
	for i := range s.ways {
		w := &s.ways[i]
		if w.url.Load() == h {
			way = w
			break
		}
		if w.at.Load() < way.at.Load() {
			way = w
		}
	}
	if way.url.Load() != h {
		s.floor.Store(max(s.floor.Load(), int64(way.at.Load())))
	}
	way.at.Store(uint64(now))
	way.url.Store(h)
	if now > t.newest.Load() {
		t.newest.Store(now)
	}
}

// after says whether anything made what was asked for at this time under a URL useless.
func (t *invalid) after(url string, requested int64) bool {
	if requested > t.newest.Load() {
		return false
	}
	sets := t.sets.Load()
	if sets == nil {
		return false
	}
	h := maphash.String(invalidSeed, url)
	s := &sets[h%invalidSets]
	for i := range s.ways {
		if w := &s.ways[i]; w.url.Load() == h && int64(w.at.Load()) >= requested {
			return true
		}
	}
	return s.floor.Load() >= requested
}

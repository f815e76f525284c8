package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/observe/metrics"
	"straum.dev/straum/internal/redis"
)

// caches joins the cache, which outlives revisions, with the settings of the one in force, the metrics and those who look after the gateway. A
// revision goes through prepare, then start, then keep or drop.
type caches struct {
	*cache.Cache
	log *slog.Logger
	dir string // of what outlives a restart, empty for a revision that is only judged

	mu      sync.Mutex // guards what follows
	now     cache.Settings
	next    *cache.Settings // prepared and not kept
	started bool            // next was put in force
	problem string          // the settings could not be put in force as a whole
	again   *time.Timer     // until that is tried again; nil while nothing is to be
	pause   time.Duration   // how long it runs
}

// newCaches makes the cache, which keeps nothing before the first start.
func newCaches(log *slog.Logger, state string) *caches {
	return &caches{Cache: cache.New(cache.Options{Log: log, Dir: state, Path: canonical}), log: log, dir: state, pause: 10 * time.Second}
}

// canonical is the form of a path that routes match and keys are made of.
func canonical(path string) (string, error) {
	c, _, err := route.AppendCanonical(nil, path)
	return c.Path, err
}

// prepare looks whether what a revision says of the cache can be had, and changes nothing. shared is its connection to the shared store, nil for
// none, and keys what hides what lies there. The error is *document.Problems.
func (c *caches) prepare(of *compile.Compiled, shared *redis.Client, keys *keyring.Ring) error {
	next := of.Cache
	if of.CacheShared {
		next.Redis, next.Keys = shared, keys
	}
	if next.Disk != nil {
		disk := *next.Disk
		if disk.Path == "" {
			disk.Path = filepath.Join(c.dir, "cache")
		}
		dir := disk.Path
		next.Disk = &disk
		if err := c.usable(dir); err != nil {
			var problems document.Problems
			problems.Add(of.CacheAt.At("disk").Errorf("answers cannot be kept in %s: %s; make it a directory that can be written to, name another with path, or remove disk", dir, err))
			return problems.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.started = &next, false
	return nil
}

// tryWithin is how long a disk has to show that it can be written to.
const tryWithin = 5 * time.Second

// usable looks whether a directory that is not in use yet can be written to. A disk that hangs keeps the goroutine that asks it, and nobody else.
func (c *caches) usable(dir string) error {
	c.mu.Lock()
	used := c.now.Disk != nil && c.now.Disk.Path == dir
	c.mu.Unlock()
	if used {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- try(dir) }()
	select {
	case err := <-done:
		return err
	case <-time.After(tryWithin):
		return fmt.Errorf("the disk did not answer within %s", tryWithin)
	}
}

// try makes a directory, and a file in it to see that it can.
func try(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return err
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// start puts what was prepared in force: the revision is about to take requests.
func (c *caches) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		c.started = true
		c.use(*c.next)
	}
}

// keep says that the revision is in force.
func (c *caches) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		c.now, c.next = *c.next, nil
	}
}

// drop says that it is not: what was in force before is again. It is called before what the revision alone had is given up, such as its connection to
// the shared store.
func (c *caches) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil && c.started {
		c.use(c.now)
	}
	c.next = nil
}

// use puts settings in force. A disk that cannot be had, as when another process that is about to end uses the directory, is gone without and tried
// again. mu is held.
func (c *caches) use(s cache.Settings) {
	if c.again != nil {
		c.again.Stop()
		c.again = nil
	}
	err := c.Use(s)
	if err == nil {
		if c.problem != "" {
			c.log.Info("the cache keeps answers as the configuration says, now")
		}
		c.problem = ""
		return
	}
	if text := err.Error(); text != c.problem {
		c.problem = text
		c.log.Error("the cache cannot keep answers as the configuration says; this is tried again", "error", text)
	}
	without := s
	without.Disk = nil
	if err := c.Use(without); err != nil {
		c.log.Error("BUG: the cache is refused its memory", "error", err.Error())
	}
	c.again = time.AfterFunc(c.pause, func() { c.retry(s) })
}

// retry puts settings in force that could not be, unless others have been since.
func (c *caches) retry(s cache.Settings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again != nil {
		c.use(s)
	}
}

// Stat are the figures of the cache. A disk that the configuration asks for and that cannot be had is one that does not work.
func (c *caches) Stat() cache.Stat {
	s := c.Cache.Stat()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem != "" && s.Disk == nil {
		s.Disk = &cache.StoreStat{Why: c.problem}
	}
	return s
}

// attention is what needs somebody although the gateway goes on.
func (c *caches) attention() (all []admin.Reason) {
	s := c.Stat()
	for _, store := range []struct {
		what string
		of   *cache.StoreStat
	}{{"in memory", s.Memory}, {"on disk", s.Disk}} { // of the shared store others tell already
		if store.of != nil && !store.of.Healthy {
			all = append(all, admin.Reason{Check: "cache", Reason: fmt.Sprintf("answers are not kept %s for now: %s", store.what, store.of.Why)})
		}
	}
	return all
}

// numbers are those of the metrics page, nil while no request has ever got to the cache.
func (c *caches) numbers() *metrics.Cache {
	s := c.Stat()
	m := &metrics.Cache{UnderWay: s.Flights, Purges: s.Purges,
		Renewals: s.Renewals, Failed: s.RenewalsFailed, Skipped: s.RenewalsSkipped, Invalid: s.Invalidated}
	used := len(s.Unstored) > 0
	for why, n := range s.Unstored {
		m.NotStored = append(m.NotStored, metrics.Count{Reason: why, N: n})
	}
	slices.SortFunc(m.NotStored, func(a, b metrics.Count) int { return strings.Compare(a.Reason, b.Reason) })
	for _, store := range []struct {
		name string
		of   *cache.StoreStat
	}{{"memory", s.Memory}, {"disk", s.Disk}, {"redis", s.Redis}} {
		if n := store.of; n != nil {
			used = used || n.Hits+n.Misses+n.Stored > 0 || n.Objects > 0
			m.Stores = append(m.Stores, metrics.Store{Name: store.name, Up: n.Healthy, Counted: store.name != "redis", Objects: n.Objects, Bytes: n.Bytes, Room: n.Room,
				Hits: n.Hits, Misses: n.Misses, Stored: n.Stored, Evicted: n.Evicted, Dropped: n.Dropped, Failed: n.Failed, Took: n.Took, Waited: n.Waited})
		}
	}
	if !used {
		return nil
	}
	return m
}

// close writes what is to outlive the process.
func (c *caches) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again != nil {
		c.again.Stop()
		c.again = nil
	}
	c.Close()
}

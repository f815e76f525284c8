package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"straum.dev/straum/internal/edge/exchange"
)

// The metrics of the cache, in the order of docs/metrics.md.
var (
	cacheRequests  = describe("cache_requests_total", "Exchanges of routes with a cache that got to it, by what came of them.", "route", "outcome")
	cacheCollapsed = describe("cache_collapsed_total", "Exchanges that got the answer, or the fault, of another one that had asked for the same.", "route")
	cacheServed    = describe("cache_served_bytes_total", "Bytes sent to clients, heads included, of answers that came from the cache.", "route")
	cacheAge       = describe("cache_age_seconds", "How old stored answers were when they were served without asking an endpoint.", "route")
	cacheNotStored = describe("cache_not_stored_total", "Answers that were not stored, by why.", "why")
	cacheUnderWay  = describe("cache_shared_answers", "Answers under way that others may share.")
	cacheRenewals  = describe("cache_renewals_total", "Renewals in the background.")
	cacheFailed    = describe("cache_renewals_failed_total", "Of them those that brought nothing to use.")
	cacheSkipped   = describe("cache_renewals_skipped_total", "Renewals that were not begun, since as many as may be were under way.")
	cacheInvalid   = describe("cache_invalidated_total", "URLs of which nothing stored is used any more because another method than GET changed something there.")
	cachePurges    = describe("cache_purge_rules", "Purges that are compared with what is stored.")
	storeUp        = describe("cache_store_up", "Whether the store takes and gives what it should.", "store")
	storeObjects   = describe("cache_store_objects", "Stored answers, and lists of variants.", "store")
	storeBytes     = describe("cache_store_bytes", "What they take.", "store")
	storeRoom      = describe("cache_store_room_bytes", "What they may take.", "store")
	storeLookups   = describe("cache_store_lookups_total", "Times the store was asked, by whether it had something.", "store", "result")
	storeStored    = describe("cache_store_stored_total", "Objects stored.", "store")
	storeEvicted   = describe("cache_store_evicted_total", "Objects given up to make room for others.", "store")
	storeDropped   = describe("cache_store_dropped_total", "Objects that were not stored since the store had no room, or was too slow.", "store")
	storeFailed    = describe("cache_store_failed_total", "Objects that were damaged, and errors of the disk or of the shared store.", "store")
	storeTook      = describe("cache_store_lookup_seconds", "How long it took to ask the store.", "store")
)

// cacheCell is what is counted of the cache for one route.
type cacheCell struct {
	outcomes  [exchange.CacheOutcomes]uint64
	collapsed uint64
	served    uint64 // bytes
	ages      [len(ageBounds) + 1]uint64
	ageTime   uint64 // seconds
}

// ageBounds are the ends of the buckets of ages, in seconds.
var ageBounds = [...]int64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400}

// count adds an exchange that the cache had to do with.
func (c *cacheCell) count(x *exchange.Exchange) {
	if int(x.Cached.Outcome) >= len(c.outcomes) {
		return
	}
	c.outcomes[x.Cached.Outcome]++
	if x.Cached.Collapsed {
		c.collapsed++
	}
	switch x.Cached.Outcome {
	case exchange.CacheHit, exchange.CacheStale:
		i, age := 0, max(x.Cached.Age, 0)
		for i < len(ageBounds) && age > ageBounds[i] {
			i++
		}
		c.ages[i]++
		c.ageTime += uint64(age)
		c.served += uint64(x.Bytes.Out)
	case exchange.CacheRevalidated:
		c.served += uint64(x.Bytes.Out)
	}
}

func (c *cacheCell) add(more *cacheCell) {
	add(c.outcomes[:], more.outcomes[:])
	add(c.ages[:], more.ages[:])
	c.collapsed += more.collapsed
	c.served += more.served
	c.ageTime += more.ageTime
}

func (c *cacheCell) collect(out output, route string) {
	for o := exchange.CacheNone + 1; int(o) < len(c.outcomes); o++ {
		out.some(cacheRequests, c.outcomes[o], route, o.String())
	}
	out.some(cacheCollapsed, c.collapsed, route)
	out.some(cacheServed, c.served, route)
	out.buckets(cacheAge, c.ages[:], func(i int) float64 { return float64(ageBounds[i]) }, float64(c.ageTime), route)
}

// Cache are the numbers of the cache.
type Cache struct {
	Stores    []Store
	UnderWay  int     // answers that others may share
	Renewals  uint64  // in the background, begun
	Failed    uint64  // of them
	Skipped   uint64  // not begun
	Invalid   uint64  // URLs that unsafe methods changed
	Purges    int     // rules that are compared with what is stored
	NotStored []Count // answers, by why
}

// Store are the numbers of one store of the cache.
type Store struct {
	Name            string // memory, disk or redis
	Up              bool
	Counted         bool // Objects, Bytes, Room and Evicted are known
	Objects         int
	Bytes, Room     int64
	Hits, Misses    uint64
	Stored, Evicted uint64
	Dropped, Failed uint64
	Took            [len(tookBounds) + 1]uint64 // lookups, by how long they took
	Waited          time.Duration               // all of them
}

// tookBounds are the ends of the buckets of Store.Took, in seconds.
var tookBounds = [...]float64{0.00001, 0.0001, 0.001, 0.005, 0.02, 0.1, 1}

func (c *Cache) collect(out output) {
	for _, n := range c.NotStored {
		out.some(cacheNotStored, n.N, n.Reason)
	}
	out.gauge(cacheUnderWay, float64(c.UnderWay))
	out.count(cacheRenewals, c.Renewals)
	out.count(cacheFailed, c.Failed)
	out.count(cacheSkipped, c.Skipped)
	out.count(cacheInvalid, c.Invalid)
	out.gauge(cachePurges, float64(c.Purges))
	for i := range c.Stores {
		s := &c.Stores[i]
		out.gauge(storeUp, truth(s.Up), s.Name)
		if s.Counted {
			out.gauge(storeObjects, float64(s.Objects), s.Name)
			out.gauge(storeBytes, float64(s.Bytes), s.Name)
			out.gauge(storeRoom, float64(s.Room), s.Name)
			out.count(storeEvicted, s.Evicted, s.Name)
		}
		out.count(storeLookups, s.Hits, s.Name, "hit")
		out.count(storeLookups, s.Misses, s.Name, "miss")
		out.count(storeStored, s.Stored, s.Name)
		out.count(storeDropped, s.Dropped, s.Name)
		out.count(storeFailed, s.Failed, s.Name)
		out.buckets(storeTook, s.Took[:], func(i int) float64 { return tookBounds[i] }, s.Waited.Seconds(), s.Name)
	}
}

// buckets shows a histogram of which the last bucket has no end; one that has counted nothing is left out.
func (o output) buckets(d *prometheus.Desc, counts []uint64, end func(int) float64, sum float64, labels ...string) {
	cumulative, total := make(map[float64]uint64, len(counts)), uint64(0)
	for i, n := range counts {
		if total += n; i < len(counts)-1 {
			cumulative[end(i)] = total
		}
	}
	if total == 0 {
		return
	}
	metric, err := prometheus.NewConstHistogram(d, total, sum, cumulative, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(d, err)
	}
	o <- metric
}

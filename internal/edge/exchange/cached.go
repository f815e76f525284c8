package exchange

// Cached is what the cache had to do with an exchange (steps 5 and 8).
type Cached struct {
	Outcome   CacheOutcome
	Why       string // a constant word: why it was not a hit, or was not stored; empty when there is nothing to say
	Age       int64  // seconds, of what was served from the store
	Stored    bool   // what the endpoint answered was stored
	Collapsed bool   // the answer, or the fault, is that of another exchange, which was waited for
}

// CacheOutcome says where an answer came from.
type CacheOutcome uint8

// The outcomes.
const (
	CacheNone        CacheOutcome = iota // the route has no cache, or the exchange did not get there
	CacheBypass                          // neither looked up nor stored: the request is not one for caches
	CacheMiss                            // nothing stored fits; the endpoint answered
	CacheHit                             // fresh
	CacheStale                           // stale, and allowed to be: it is being renewed, or cannot be
	CacheRevalidated                     // the endpoint said that what was stored is still right
	CacheExpired                         // what was stored could not be used any more; the endpoint answered anew
	CacheOnly                            // only-if-cached, and there was nothing
	numCacheOutcomes
)

// CacheOutcomes is how many there are.
const CacheOutcomes = int(numCacheOutcomes)

func (o CacheOutcome) String() string {
	return [...]string{"", "bypass", "miss", "hit", "stale", "revalidated", "expired", "only_if_cached"}[o]
}

package cache

import (
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/exchange"
)

// Parts says what of a request is in its key besides scheme, host, port, path and route.
type Parts struct {
	NoQuery   bool     // the query is left out
	Only      []string // names of query parameters that count, nil for all
	Without   []string // names of query parameters that do not
	SortQuery bool     // parameters count in whatever order they come
	Headers   []string // fields, in lower case
	Cookies   []string // names of cookies
	Consumer  bool     // each consumer has a part of its own
}

// Terms are the caching of a route, as configured.
type Terms struct {
	Rules freshness.Rules
	Parts Parts
	// Wait is how long one waits for what another has asked for already.
	Wait time.Duration
	// Renew is how long a renewal in the background may take.
	Renew time.Duration
	// Early is the share of an answer's lifetime at its end in which a popular one is renewed before it is stale, 0 for never.
	Early float64
	// Variants is how many a resource may have.
	Variants int
	// MaxObject is bytes of a body, 0 for what the stores allow.
	MaxObject int64
	// Status has the cache say in the field Cache-Status what it did.
	Status bool
}

// The defaults of what is not said.
const (
	defaultWait     = 5 * time.Second
	defaultRenew    = 30 * time.Second
	defaultVariants = 64
)

// Route is the caching of one route. It is immutable; policies of a route have it in their chain.
type Route struct {
	cache *Cache
	name  string // where the policy stands; for messages
	terms Terms
}

// Route makes the caching of a route. name is where it was asked for and in no key: those have the name of the route that was matched.
func (c *Cache) Route(name string, t Terms) *Route {
	if t.Wait <= 0 {
		t.Wait = defaultWait
	}
	if t.Renew <= 0 {
		t.Renew = defaultRenew
	}
	if t.Variants <= 0 {
		t.Variants = defaultVariants
	}
	return &Route{cache: c, name: name, terms: t}
}

// Background sends copies of requests.
type Background interface {
	// Errand copies what the endpoint would be asked for x, without its content; nil when it cannot.
	Errand(x *exchange.Exchange) Errand
}

// Errand is a copy of a request, which has nothing in common with the exchange it is of. Its owner calls either Send or Drop, once.
type Errand interface {
	// Request may be changed until Send.
	Request() *exchange.Request
	// Send asks an endpoint, runs the policies of step 8 and gives the exchange to take, on this goroutine; x.Fault is not nil when there was no
	// answer. The answer's body is read by take. All of it takes at most so long, or until stop is set.
	Send(within time.Duration, stop *atomic.Bool, take func(x *exchange.Exchange))
	Drop()
}

// most is the longest body that may be stored for the route with these stores.
func (r *Route) most(s *stores) int64 {
	most := max(s.gathered(), s.maxDisk)
	if r.terms.MaxObject > 0 {
		most = min(most, r.terms.MaxObject)
	}
	return most
}

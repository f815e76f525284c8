package edge

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
)

// Snapshot is one revision compiled for the data path. It is immutable.
type Snapshot struct {
	Revision int
	Table    *route.Table
	Routes   []*Route // by the index the table gives
	// Upstreams are those that policies may choose, by name.
	Upstreams map[string]*upstream.Upstream
	// Default is the chain of requests that found no route: of its policies only those of step 9 run.
	Default *policy.Chain
}

// Route is what happens to a request that a route matched.
type Route struct {
	Info     *exchange.Route
	Chain    *policy.Chain
	Upstream *upstream.Upstream // nil when policies alone answer
	Rewrite  *route.Rewrite     // nil leaves the path as it is
	Host     upstream.Host
	Timeouts *upstream.Timeouts // what the route sets; nil for nothing
}

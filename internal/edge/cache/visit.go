package cache

import (
	"straum.dev/straum/internal/edge/cache/disk"
	"straum.dev/straum/internal/edge/cache/flight"
	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// Visit is what the cache keeps of one exchange between the steps. The zero value is ready; it is used again for the next exchange.
type Visit struct {
	visit
	body disk.Body // what is stored, as the client is sent it

	// Rooms that stay from one exchange to the next. They hold no views of an exchange when it is over.
	scratch []byte
	stored  exchange.Fields // of an object
	fields  exchange.Fields // to be stored
}

// visit is what of a Visit belongs to one exchange.
type visit struct {
	route *Route
	stage stage
	// errand says that the exchange is a renewal in the background.
	errand bool
	url    string // of the errand, whose request is what the endpoint is asked

	request freshness.Request // as the client said
	key     object.Key        // what the URL and the parts of the route come to

	// What is stored for the request: found under at, or nil. It may be of no use any more without asking.
	found *object.Object
	at    object.Key
	from  source
	terms freshness.Terms // of found, stale where a soft purge says so
	list  *object.Object  // of variants, nil when there is none under key
	stale freshness.Why   // why found is not served as it is

	// Who asks the endpoint.
	gone    func() bool // whether the client has left
	flight  *flight.Flight
	leads   bool          // flight is ours
	landed  bool          // its head is there
	names   []string      // Vary of what another was answered, which did not fit
	waited  bool          // for another
	checked bool          // that nothing was stored since Look
	alone   freshness.Why // why nobody is to share the answer; empty when one may
	unkept  freshness.Why // why the answer is not to be stored, whatever it is; empty when it may
	asked   int64         // when the endpoint is asked, Unix time in nanoseconds
	ours    bool          // the client's conditions were taken off the request and are answered by us
	asks    bool          // the endpoint is asked whether found is still right
	follows exchange.Body // what was given by flight, to be left
	fill    fill          // held while no other gateway is to ask the endpoint

	fwd forward // why the endpoint is asked, for Cache-Status
}

// stage is how far a visit has come.
type stage uint8

const (
	unseen   stage = iota // Look was not called
	passing               // not a request for caches
	asking                // the endpoint is asked
	answered              // by the cache
	done                  // the answer of the endpoint was dealt with
)

// plain is a request that says nothing to caches.
var plain = freshness.Request{MaxAge: freshness.Unsaid, MinFresh: freshness.Unsaid, MaxStale: freshness.Unsaid, StaleIfError: freshness.Unsaid}

// release gives back what was found, if it is held.
func (v *Visit) release() {
	if v.found != nil && v.found.File != nil && v.from == onDisk {
		v.found.File.Release()
	}
	v.found, v.list = nil, nil
}

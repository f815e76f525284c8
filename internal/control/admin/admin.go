// Package admin is the door for the operator: a JSON API under /v1 that shows how the gateway is doing and takes the few
// orders it obeys while it runs. It serves no step of a request; it reads the numbers that the steps keep.
//
// The whole API stands in routes.go, one resource a file beside it. Its OpenAPI 3.1 document is made from the same types and
// served at /openapi.json; docs/admin.md shows every endpoint.
//
// Two ways lead in. The unix socket is open to its owner alone and asks for nothing more. The TCP address is a loopback one
// and asks for a bearer token, and for a Host header that names this machine, so that no web page can reach it by a name that
// it made point here (DNS rebinding). Both have few connections, short times and small bodies, apart from the listeners of the
// gateway, so that they answer when those are full.
//
// The package refuses to listen beyond loopback, to send CORS headers, to show secrets, to keep state of its own, and to
// change the configuration otherwise than by reading the file again.
package admin

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/observe/accesslog"
	"straum.dev/straum/internal/observe/metrics"
)

// Sources are asked for what the API shows, and told what it orders. All but Commit are required. They are called from
// several goroutines at any time and, but for Reload, answer from memory.
type Sources struct {
	Version string // of the program
	Commit  string
	Started time.Time

	// Ready returns what keeps the gateway from being ready; nothing when it is.
	Ready     func() []Reason
	Revisions Revisions
	Listeners func() []listen.Stats
	Upstreams Upstreams
	Secure    func() Secure
	// Consumers are those of the revision in force; nil for none.
	Consumers func() *consumer.Directory
	// Bans are the bans; nil for a gateway without. KernelBans is how the kernel's side stands; it, or what it returns, is nil while it has
	// no part in them.
	Bans       Banner
	KernelBans func() *KernelBans
	// Cache is the cache, and Explain says what it would do with a request; nil for a gateway without.
	Cache   Cache
	Explain func(edge.Question) (edge.Explanation, error)
	// Operator is told where whoever calls says to be working from, for the bans' sake; nil for nobody.
	Operator func(netip.Addr)
	// Box is the machine and what it does; nil for a gateway that does not look.
	Box func() Box
	// Attention is what needs somebody besides certificates; nil for nothing.
	Attention func() []Reason
	Exchanges func() []metrics.Summary // by route
	AccessLog func() accesslog.Stats

	// Log takes what is ordered through the API, and what goes wrong on its connections.
	Log *slog.Logger
}

// Reason is one thing that keeps the gateway from being ready.
type Reason struct {
	Check  string `json:"check" doc:"What was looked at."`
	Reason string `json:"reason" doc:"What is wrong with it."`
}

// Revisions are the configurations so far; *revision.Manager is one.
type Revisions interface {
	State() revision.State
	Reload(cause string) (changed bool, err error)
}

// Upstreams are all upstreams; *upstream.Set is one.
type Upstreams interface {
	Stats() []upstream.Stats
	Force(name string, to breaker.State) bool
	ReleaseBreaker(name string) bool
}

// Admin answers for one gateway. It listens nowhere before the first Apply. All methods may be called from any goroutine.
type Admin struct {
	sources Sources
	api     http.Handler // without any guard
	openapi []byte

	// The clocks and the machine, for tests.
	now     func() int64
	wall    func() time.Time
	process func() Process

	token atomic.Pointer[[sha256.Size]byte] // of the address; nil lets nobody in

	mu       sync.Mutex // guards what follows
	settings Settings
	socket   *door
	address  *door
	closed   bool
	leaving  sync.WaitGroup // doors that let their last callers out
}

// New makes the API. Close ends it.
func New(s Sources) *Admin {
	switch {
	case s.Ready == nil, s.Revisions == nil, s.Listeners == nil, s.Upstreams == nil, s.Secure == nil, s.Exchanges == nil, s.AccessLog == nil, s.Log == nil:
		panic("BUG: admin.New: a source is missing")
	}
	a := &Admin{sources: s, now: clock.Now, wall: time.Now, process: measure}
	a.api, a.openapi = a.build()
	return a
}

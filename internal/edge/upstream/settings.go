package upstream

import (
	"time"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/retry"
)

// Settings are those of one upstream.
type Settings struct {
	Name string
	Slot int // for metrics, see exchange.Route.Slot
	// Endpoints are where requests go: "host:port" or "unix:/path". A name stands for all addresses it resolves to.
	Endpoints []Endpoint
	Balance   balance.Settings
	Key       Key
	Health    health.Settings
	Check     *health.Check // nil for no active checks
	Breaker   *breaker.Settings
	// BreakerErrors are the statuses that count as errors for the breaker.
	BreakerErrors []int
	Pool          Pool
	Timeouts      Timeouts
	Retry         retry.Rules
	Budget        retry.Share
	Host          Host
	ResolveEvery  time.Duration
	ResolveServer string
}

// Endpoint is one configured endpoint.
type Endpoint struct {
	Address string
	Weight  int
}

// KeySource says what a hash or sticky balancer looks at.
type KeySource uint8

// The sources of a key.
const (
	NoKey KeySource = iota
	ClientKey
	HeaderKey
	CookieKey
)

// Key says where the key of an exchange comes from.
type Key struct {
	Source KeySource
	Name   string        // of the header or cookie
	Sticky bool          // the cookie is ours: it names an endpoint, and we set it
	TTL    time.Duration // of a sticky cookie, 0 for the browser's session
}

// Pool bounds the connections to one endpoint.
type Pool struct {
	// Connections is how many may be open at once; 0 stands for MaxConnections.
	Connections  int
	Idle         int           // how many are kept for reuse
	IdleTimeout  time.Duration // for how long
	Queue        int           // how many exchanges may wait for one when all are in use
	QueueTimeout time.Duration // for how long
}

// MaxConnections bounds the connections to one endpoint when nothing lower is set: about as many as there are local ports.
const MaxConnections = 28000

// Timeouts bound the phases of step 7; 0 is no bound.
type Timeouts struct {
	Connect   time.Duration
	FirstByte time.Duration // from the request sent to the head of the answer
	Idle      time.Duration // between two runs of bytes
	Exchange  time.Duration // from the first byte of the request to the last of the answer, tries included
	Try       time.Duration // one try, to the head of its answer
}

// HostMode says which Host an endpoint is sent.
type HostMode uint8

// The modes.
const (
	HostUnset    HostMode = iota // of a route: the upstream's; of an upstream: the client's
	HostKept                     // the client's
	HostEndpoint                 // the endpoint's as configured, without port 80
	HostFixed
)

// Host says which Host an endpoint is sent.
type Host struct {
	Mode  HostMode
	Value string // for HostFixed
}

package upstream

import (
	"crypto/tls"
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
	TLS           *TLS // nil for endpoints that are spoken to in the clear
	Protocol      Protocol
}

// TLS says how endpoints are spoken to over TLS.
type TLS struct {
	// Config holds what is the same for all endpoints: who is trusted, which certificate we show, which versions, where sessions are
	// kept. ServerName and NextProtos are filled in for each endpoint. It must not be changed any more.
	Config *tls.Config
	// ServerName is the name that endpoints have to prove to have; empty for the host that each was configured with.
	ServerName string
	// Identity is equal for settings that mean the same, and never empty. As long as it stays, connections and sessions outlive a
	// reload, and the Config of before stays in use.
	Identity string
}

// Protocol says which version of HTTP endpoints are spoken to in.
type Protocol uint8

// The protocols.
const (
	HTTP1 Protocol = iota
	HTTP2          // agreed on by ALPN where there is TLS, else by prior knowledge
	Auto           // what ALPN gives; HTTP/1.1 where there is no TLS
)

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
	HostEndpoint                 // the endpoint's as configured, without the port that the scheme implies
	HostFixed
)

// Host says which Host an endpoint is sent.
type Host struct {
	Mode  HostMode
	Value string // for HostFixed
}

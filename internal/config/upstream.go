package config

import "straum.dev/straum/internal/document"

// Upstream is a named set of endpoints with one setting of balancing, health, breaker and pool.
type Upstream struct {
	Name      string            `yaml:",key"`
	Endpoints []Endpoint        `yaml:"endpoints" required:"true" length:"1..1024" doc:"The addresses requests are sent to."`
	TLS       *UpstreamTLS      `yaml:"tls" doc:"How to speak TLS with the endpoints. They are spoken to by TLS when this is here or when they are written https://."`
	Protocol  string            `yaml:"protocol" default:"http1" enum:"http1,http2,auto" doc:"http1 is HTTP/1.1; http2 is for gRPC: by ALPN with TLS, by prior knowledge (h2c) without; auto is what ALPN gives. Requests that switch protocols (WebSocket) use HTTP/1.1 in any case."`
	Balance   Balance           `yaml:"balance" doc:"How an endpoint is chosen. latency takes the better of two picked at random."`
	SlowStart document.Duration `yaml:"slow_start" default:"0s" range:"0|1s..1h" doc:"How long an endpoint that is new or came back takes to reach its full share; 0 is at once."`
	Health    *Health           `yaml:"health" doc:"Probes of the endpoints. Off when left out."`
	Ejection  Ejection          `yaml:"ejection" doc:"Setting endpoints aside whose answers to real requests fail."`
	Breaker   *Breaker          `yaml:"breaker" doc:"Refusing requests at once while the upstream as a whole fails. Off when left out."`
	Pool      Pool              `yaml:"pool" doc:"Connections to the endpoints."`
	Timeouts  Timeouts          `yaml:"timeouts" doc:"How long an endpoint may take."`
	Retry     Retry             `yaml:"retry" doc:"Trying again, at another endpoint first, where that is safe. A request whose body has begun is tried again only while all that was read of the body is still in the read buffer, at most 64 KiB."`
	Host      string            `yaml:"host" default:"keep" length:"1..255" doc:"The Host header sent: keep (the client's), endpoint (the endpoint's address), or any name."`
	Resolve   Resolve           `yaml:"resolve" doc:"Looking up endpoints that are given by name."`

	Node document.Node `yaml:",self"`
}

// Endpoint is one address of an upstream.
type Endpoint struct {
	Address EndpointAddress `yaml:"address,short" required:"true" doc:"host:port, http://host:port, https://host:port, or unix:/path."`
	Weight  int             `yaml:"weight" default:"1" range:"1..1000" doc:"Its share of the requests against that of the others."`

	Node document.Node `yaml:",self"`
}

// Balance is how an endpoint is chosen. Method is round_robin, least_requests, random, latency, or hash or
// sticky when that field is set.
type Balance struct {
	Method string   `yaml:"-,short" default:"least_requests" enum:"round_robin,least_requests,random,latency"`
	Hash   *Hash    `yaml:"hash" doc:"Requests with the same key go to the same endpoint, as long as it is there."`
	Sticky *Sticky  `yaml:"sticky" doc:"A client stays with its endpoint by a cookie we set."`
	_      struct{} `oneof:"hash,sticky"`

	Node document.Node `yaml:",self"`
}

// Hash balances by a key of the request.
type Hash struct {
	By HashKey `yaml:"by" required:"true" doc:"The key: client_ip, header:NAME or cookie:NAME."`
}

// Sticky balances by a cookie of our own.
type Sticky struct {
	Cookie string            `yaml:"cookie" required:"true" pattern:"^[!#$%&'*+.^_|~0-9A-Za-z-]{1,64}$" form:"1 to 64 letters, digits and the marks of an HTTP token" doc:"The cookie's name."`
	TTL    document.Duration `yaml:"ttl" default:"1h" range:"0|1s..8760h" doc:"How long the cookie lasts; 0 is until the browser closes."`
}

// Health is how endpoints are probed.
type Health struct {
	Path    string            `yaml:"path" pattern:"^/[!-~]*$" form:"a path that starts with /, in printable ASCII without spaces" length:"1..1024" doc:"Probe by GET of this path."`
	TCP     bool              `yaml:"tcp" doc:"Probe by connecting alone: true."`
	GRPC    *GRPCHealth       `yaml:"grpc" doc:"Probe by the gRPC health protocol: any, or the name of a service. Needs protocol: http2 or auto."`
	Every   document.Duration `yaml:"every" default:"5s" range:"100ms..1h" doc:"Time between the probes of an endpoint, give or take a tenth by chance so that probes spread."`
	Timeout document.Duration `yaml:"timeout" default:"2s" range:"10ms..5m" doc:"How long a probe may take; at most every."`
	Rise    int               `yaml:"rise" default:"2" range:"1..100" doc:"Probes in a row that must succeed before a sick endpoint is used again."`
	Fall    int               `yaml:"fall" default:"3" range:"1..100" doc:"Probes in a row that must fail before an endpoint is sick."`
	Status  []StatusRange     `yaml:"status,one" default:"200-299" length:"1..32" doc:"Statuses of a healthy answer, from 200 to 599. With path only."`
	Body    string            `yaml:"body" length:"0..1024" doc:"Text that the first 64 KiB of a healthy answer hold. With path only; empty is any."`
	Host    string            `yaml:"host" length:"0..255" doc:"The Host header of the probe. The endpoint's address when left out."`
	_       struct{}          `oneof:"path,tcp,grpc"`

	Node document.Node `yaml:",self"`
}

// GRPCHealth is a probe by grpc.health.v1.Health/Check.
type GRPCHealth struct {
	Service string `yaml:"service,short" default:"any" length:"1..127" doc:"The service asked about; any is the server as a whole."`

	Node document.Node `yaml:",self"`
}

// Ejection sets endpoints aside by what real requests show.
type Ejection struct {
	Off               bool              `yaml:",off"`
	ConsecutiveErrors int               `yaml:"consecutive_errors" default:"5" range:"1..10000" doc:"Failures in a row (no connection, reset, timeout, 502, 503, 504) that set an endpoint aside."`
	Base              document.Duration `yaml:"base" default:"10s" range:"100ms..1h" doc:"How long the first time; it doubles each time in a row."`
	Max               document.Duration `yaml:"max" default:"5m" range:"100ms..24h" doc:"How long at most."`
	MaxShare          document.Percent  `yaml:"max_share" default:"50%" range:"0%..100%" doc:"The share of the endpoints that may be set aside at a time."`

	Node document.Node `yaml:",self"`
}

// Breaker refuses requests while the upstream as a whole fails.
type Breaker struct {
	ConsecutiveErrors int               `yaml:"consecutive_errors" default:"5" range:"0..10000" doc:"Failures in a row that open the breaker; 0 is not counted."`
	ErrorRatio        document.Percent  `yaml:"error_ratio" default:"50%" range:"0%..100%" doc:"Share of failures within the window that opens it; 0% is not counted."`
	MinRequests       int               `yaml:"min_requests" default:"20" range:"1..1000000" doc:"Requests within the window below which shares mean nothing."`
	Window            document.Duration `yaml:"window" default:"10s" range:"1s..10m" doc:"The time that shares are taken over."`
	SlowCall          document.Duration `yaml:"slow_call" default:"0s" range:"0|1ms..10m" doc:"From how long on a call is slow; 0 is never."`
	SlowRatio         document.Percent  `yaml:"slow_ratio" default:"80%" range:"1%..100%" doc:"Share of slow calls within the window that opens it. With slow_call."`
	MaxActive         int               `yaml:"max_active" default:"0" range:"0..1000000" doc:"Requests under way at a time; more are refused. 0 is no limit."`
	Cooldown          document.Duration `yaml:"cooldown" default:"10s" range:"100ms..1h" doc:"How long it stays open the first time; longer each time in a row."`
	MaxCooldown       document.Duration `yaml:"max_cooldown" default:"2m" range:"100ms..24h" doc:"How long it stays open at most."`
	Probes            int               `yaml:"probes" default:"1" range:"1..16" doc:"Requests let through at a time to find out whether the upstream is back."`
	Errors            []StatusRange     `yaml:"errors,one" default:"500,502,503,504" length:"0..32" doc:"Statuses that count as failures, besides no answer at all."`

	Node document.Node `yaml:",self"`
}

// Pool is the connections to each endpoint.
type Pool struct {
	Connections  int               `yaml:"connections" default:"0" range:"0..65536" doc:"Connections at a time to one endpoint; 0 is as many as there are local ports, 28000."`
	Idle         int               `yaml:"idle" default:"256" range:"0..65536" doc:"Idle connections kept to one endpoint, within connections. More are closed once they were idle for a second; with 0 none is kept."`
	IdleTimeout  document.Duration `yaml:"idle_timeout" default:"55s" range:"1s..24h" doc:"How long an idle connection is kept. Stay below the endpoint's own keep-alive time."`
	Queue        int               `yaml:"queue" default:"1024" range:"0..1000000" doc:"Requests that may wait for a connection to one endpoint; more are answered 503."`
	QueueTimeout document.Duration `yaml:"queue_timeout" default:"5s" range:"1ms..5m" doc:"How long a request waits for a connection before it is answered 503."`

	Node document.Node `yaml:",self"`
}

// Timeouts bound how long an endpoint may take. 0 is no limit.
type Timeouts struct {
	Connect   document.Duration `yaml:"connect" default:"2s" range:"1ms..5m" doc:"For a connection to be made."`
	FirstByte document.Duration `yaml:"first_byte" default:"60s" range:"0|1ms..24h" doc:"From the end of the request to the first byte of the response; 0 is no limit."`
	Idle      document.Duration `yaml:"idle" default:"60s" range:"0|1ms..24h" doc:"Without any byte moving, once the response has begun; 0 is no limit."`
	Exchange  document.Duration `yaml:"exchange" default:"0" range:"0|1ms..24h" doc:"For the whole exchange, retries included; 0 is no limit."`
	Try       document.Duration `yaml:"try" default:"0" range:"0|1ms..24h" doc:"For one try, up to the response's header; 0 is no limit."`

	Node document.Node `yaml:",self"`
}

// Retry is when and how often a request is tried again.
type Retry struct {
	Attempts     int              `yaml:"attempts" default:"2" range:"0..10" doc:"Tries after the first; 0 is off."`
	Budget       document.Percent `yaml:"budget" default:"20%" range:"0%..100%" doc:"Retries at most, as a share of the requests of the last seconds, so that retries cannot pile up on a failing upstream."`
	MinPerSecond int              `yaml:"min_per_second" default:"3" range:"0..1000" doc:"Retries a second that the budget always leaves."`
	Statuses     []StatusRange    `yaml:"statuses,one" length:"0..32" doc:"Statuses of a response worth another try, for requests that may be repeated; from 400 to 599. None when left out."`

	Node document.Node `yaml:",self"`
}

// Resolve is how endpoints given by name are looked up.
type Resolve struct {
	Every  document.Duration `yaml:"every" default:"30s" range:"1s..24h" doc:"Time between look-ups. Endpoints stay as they were when one fails."`
	Server ServerAddress     `yaml:"server" doc:"The DNS server to ask, as address:port. The system's when left out."`

	Node document.Node `yaml:",self"`
}

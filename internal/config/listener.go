package config

import "straum.dev/straum/internal/document"

// Listener is an address to accept connections on.
type Listener struct {
	Name           string            `yaml:"name" pattern:"^[a-z0-9_-]{1,64}$" form:"1 to 64 of a-z, 0-9, - and _" doc:"What logs and metrics call the listener. The address when left out."`
	Address        ListenAddress     `yaml:"address" required:"true" doc:"The address to listen on: host:port, :port for all addresses, [::1]:port, or unix:/path."`
	Sockets        int               `yaml:"sockets" default:"0" range:"0..256" doc:"Sockets that share the address (SO_REUSEPORT), each with a queue of its own; 0 is one a core."`
	Backlog        int               `yaml:"backlog" default:"0" range:"0..1048576" doc:"Connections that may wait to be accepted, a socket; 0 is the most the kernel allows (net.core.somaxconn)."`
	FastOpen       bool              `yaml:"fast_open" default:"true" doc:"TCP Fast Open: clients that were here before may send their request with the first packet."`
	ProxyProtocol  *ProxyProtocol    `yaml:"proxy_protocol" doc:"Expect a PROXY protocol header in front of each connection. Off when left out."`
	TLS            *TLS              `yaml:"tls" doc:"Speak TLS: auto, or certificates and more. Off when left out."`
	HTTP2          HTTP2             `yaml:"http2" doc:"HTTP/2: by ALPN with tls, by prior knowledge (h2c) without. off turns it off."`
	HTTPSRedirect  int               `yaml:"https_redirect" default:"0" range:"0..65535" doc:"Answer every request with a redirect (308) to https at this port, most often 443; 0 is off. Challenges of ACME are answered all the same."`
	TrustedProxies []document.Prefix `yaml:"trusted_proxies" length:"0..1024" doc:"Networks whose X-Forwarded-For and Forwarded headers are believed. From anyone else they are replaced."`
	Limits         Limits            `yaml:"limits" doc:"What a client may send or hold; more is refused."`
	Timeouts       ListenerTimeouts  `yaml:"timeouts" doc:"How long a client may take."`
	HalfClosed     string            `yaml:"half_closed" default:"auto" enum:"auto,serve,cancel" doc:"What a client that closes its sending side during an exchange means: serve it to the end, or cancel it. auto takes it for a client that left, unless it had announced that this request is its last (Connection: close or HTTP/1.0)."`

	Node document.Node `yaml:",self"`
}

// ProxyProtocol says from whom a PROXY header is expected.
type ProxyProtocol struct {
	From []document.Prefix `yaml:"from" required:"true" length:"1..1024" doc:"Networks whose connections start with a PROXY header (version 1 or 2) and must. Connections from elsewhere are refused."`
}

// Limits bound what one listener takes in.
type Limits struct {
	Connections          int           `yaml:"connections" default:"20000" range:"1..1000000" doc:"Connections at a time."`
	ConnectionsPerClient int           `yaml:"connections_per_client" default:"0" range:"0..1000000" doc:"Connections at a time from one address (IPv6: one /64); 0 is no limit."`
	RequestLine          document.Size `yaml:"request_line" default:"8KiB" range:"256..64KiB" doc:"Bytes of the request line; more is answered 414."`
	HeaderBytes          document.Size `yaml:"header_bytes" default:"32KiB" range:"1KiB..1MiB" doc:"Bytes of all header fields; more is answered 431."`
	HeaderCount          int           `yaml:"header_count" default:"100" range:"1..1000" doc:"Header fields of a request; more is answered 431."`
	Body                 document.Size `yaml:"body" default:"0" doc:"Bytes of a request body; more is answered 413. 0 is no limit."`
}

// ListenerTimeouts bound how long a client may take.
type ListenerTimeouts struct {
	Header     document.Duration `yaml:"header" default:"10s" range:"100ms..10m" doc:"From the first byte of a request to the end of its header; longer is answered 408."`
	Idle       document.Duration `yaml:"idle" default:"75s" range:"1s..24h" doc:"Without a request on an open connection; then it is closed."`
	Progress   document.Duration `yaml:"progress" default:"30s" range:"1s..1h" doc:"Without any byte moving, while a request body is read or a response is written; then the exchange ends."`
	MinRate    document.Size     `yaml:"min_rate" default:"240" range:"0..1GiB" doc:"Bytes a second that a body must move at on average once it has been moving for the progress time; 0 is no minimum."`
	TunnelIdle document.Duration `yaml:"tunnel_idle" default:"1h" range:"1s..168h" doc:"Without any byte in a tunnel (WebSocket and other upgrades) in either direction; then it is closed."`
}

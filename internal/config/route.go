package config

import "straum.dev/straum/internal/document"

// Route is a match and what happens then.
type Route struct {
	Name         string        `yaml:"name" pattern:"^[a-z0-9_-]{1,64}$" form:"1 to 64 of a-z, 0-9, - and _" doc:"What logs and metrics call the route; no two may be the same. Its first host and path when left out."`
	Match        Match         `yaml:"match" required:"true" doc:"The requests meant; all that is given must hold."`
	Upstream     string        `yaml:"upstream" length:"1..64" doc:"The upstream they are sent to. Required, but on routes with a policy that answers by itself or chooses an upstream: redirect, respond, split."`
	StripPrefix  string        `yaml:"strip_prefix" length:"0..1024" pattern:"^/[!-~]*$" form:"a path that starts with /, in printable ASCII without spaces" doc:"Taken off the front of the path before the request is sent."`
	Rewrite      string        `yaml:"rewrite" length:"0..1024" pattern:"^/[!-~]*$" form:"a path that starts with /, in printable ASCII without spaces" doc:"The path sent instead; {name} stands for what the match's path found there. The query stays."`
	Host         string        `yaml:"host" length:"0..255" doc:"The Host header sent: keep, endpoint, or any name. The upstream's setting when left out."`
	EncodedSlash string        `yaml:"encoded_slash" default:"refuse" enum:"refuse,allow" doc:"What to do with %2F in a path: refuse it with 400, or allow it as part of a segment."`
	Timeouts     RouteTimeouts `yaml:"timeouts" doc:"Override those of the upstream."`
	ServerTiming bool          `yaml:"server_timing" default:"false" doc:"Tell the client in a Server-Timing header where the time went."`
	Policies     []Policy      `yaml:"policies" length:"0..64" doc:"Policies on this route, each {name: options}. One that is on every route as well is replaced by this."`
	_            struct{}      `atmost:"strip_prefix,rewrite"`

	Node document.Node `yaml:",self"`
}

// Match is which requests a route is for.
type Match struct {
	Host    []string          `yaml:"host,one" length:"1..256" doc:"Hosts, without a port: a name, or *.name for one label or more in front. Any when left out."`
	Path    []string          `yaml:"path,one" length:"1..256" pattern:"^/[!-~]*$" form:"a path that starts with /, in printable ASCII without spaces" doc:"Paths: exact, with {name} for one segment, or ending in /* for all below. Any when left out."`
	Methods []string          `yaml:"methods,one" length:"1..32" pattern:"^[A-Z][A-Z0-9_-]{0,31}$" form:"methods in capitals, at most 32 letters" doc:"Methods, in capitals; GET is for HEAD too. Any when left out."`
	Headers map[string]string `yaml:"headers" length:"0..32" doc:"Header fields with the values they must have."`
	Query   map[string]string `yaml:"query" length:"0..32" doc:"Query parameters with the values they must have."`

	Node document.Node `yaml:",self"`
}

// RouteTimeouts override an upstream's; nil is the upstream's.
type RouteTimeouts struct {
	FirstByte *document.Duration `yaml:"first_byte" range:"0|1ms..24h" doc:"As in the upstream."`
	Idle      *document.Duration `yaml:"idle" range:"0|1ms..24h" doc:"As in the upstream."`
	Exchange  *document.Duration `yaml:"exchange" range:"0|1ms..24h" doc:"As in the upstream."`
	Try       *document.Duration `yaml:"try" range:"0|1ms..24h" doc:"As in the upstream."`

	Node document.Node `yaml:",self"`
}

package config

import "straum.dev/straum/internal/document"

// Bans is how addresses are refused for a time for what they did.
type Bans struct {
	DryRun    bool              `yaml:"dry_run" default:"false" doc:"Count, decide and log, and refuse nobody but those banned by hand."`
	Signals   BanSignals        `yaml:"signals" doc:"What counts against an address, in points; 0 does not count."`
	Threshold int               `yaml:"threshold" default:"100" range:"1..1000000" doc:"The points at which an address is banned. IPv6 counts by /64."`
	HalfLife  document.Duration `yaml:"half_life" default:"5m" range:"1s..24h" doc:"How long points take to fall by half."`
	First     document.Duration `yaml:"first" default:"10m" range:"1s..8784h" doc:"How long an address is banned the first time. Each further time takes twice as long."`
	Longest   document.Duration `yaml:"longest" default:"24h" range:"1s..8784h" doc:"How long it is banned at most; not less than first."`
	Ladder    []string          `yaml:"ladder,one" default:"refuse,drop,kernel" length:"1..16" enum:"refuse,drop,kernel" doc:"How, the first time, the second and so on; the last holds for all further ones. refuse answers 403, drop closes connections as they are accepted, kernel has the kernel drop packets, where kernel is on, and drops where it is off."`
	Never     []document.Prefix `yaml:"never" length:"0..1024" doc:"Networks of which no address is banned. Loopback, addresses of this box, trusted proxies, endpoints and who uses the admin API are never banned anyway."`
	Kernel    bool              `yaml:"kernel" default:"false" doc:"Have the kernel drop packets of those on that rung, by nftables. It takes CAP_NET_ADMIN; without it their connections are dropped as they are accepted."`
	Widen     BanWiden          `yaml:"widen" doc:"When wider networks are banned."`
	Spare     BanSpare          `yaml:"spare" doc:"Which addresses are too many people's to be banned for one of them."`
	Remember  document.Duration `yaml:"remember" default:"720h" range:"0..8784h" doc:"How long it is remembered, after its end, that there was a ban. Then the address is gone from memory and from disk."`

	Node document.Node `yaml:",self"`
}

// BanSignals are the points of each signal.
type BanSignals struct {
	AuthFailed int `yaml:"auth_failed" default:"10" range:"0..1000000" doc:"A credential that is not good."`
	Limited    int `yaml:"limited" default:"1" range:"0..1000000" doc:"A request beyond a limit that its sender has used up."`
	NotFound   int `yaml:"not_found" default:"1" range:"0..1000000" doc:"A request for what is not there: no route, or 404 of an endpoint. Not of a consumer that showed a good credential."`
	Malformed  int `yaml:"malformed" default:"5" range:"0..1000000" doc:"A request that is not well-formed HTTP, or ambiguous."`
	Handshake  int `yaml:"handshake" default:"2" range:"0..1000000" doc:"A TLS handshake that was broken off, not finished in time, or no TLS at all."`
	Suspect    int `yaml:"suspect" default:"20" range:"0..1000000" doc:"A request that a policy took for an attack."`
}

// BanWiden is when wider networks are banned.
type BanWiden struct {
	Hosts int   `yaml:"hosts" default:"8" range:"0|2..1024" doc:"How many addresses (IPv4) or /64 networks (IPv6) of one wider network have to be banned at a time for it to be banned. The first wider network asks for so many, each further one for four times as many. 0 never widens."`
	V6    []int `yaml:"v6" default:"56,48" length:"0..4" range:"16..63" doc:"Prefix lengths of wider IPv6 networks, from long to short."`
	V4    []int `yaml:"v4" length:"0..4" range:"8..31" doc:"Prefix lengths of wider IPv4 networks, from long to short, such as 24. None when left out: neighbours are strangers there."`

	Node document.Node `yaml:",self"`
}

// BanSpare is which addresses are spared.
type BanSpare struct {
	Consumers int               `yaml:"consumers" default:"3" range:"0..8" doc:"How many different consumers have to use an address well for nobody there to be banned. 0 spares nobody."`
	Within    document.Duration `yaml:"within" default:"1h" range:"1m..24h" doc:"Within which time."`
}

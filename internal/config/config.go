package config

import (
	"fmt"

	"straum.dev/straum/internal/document"
)

// Bounds on how much one configuration may hold, all files together.
const (
	MaxFiles     = 1024     // included files
	MaxTotal     = 64 << 20 // bytes of all files
	MaxListeners = 256
	MaxUpstreams = 10_000
	MaxEndpoints = 1024 // of one upstream
	MaxRoutes    = 200_000
	MaxPolicies  = 64 // in one list
	MaxConsumers = 100_000
	MaxPlans     = 1000
	// MaxConnections to one endpoint holds where pool.connections sets no cap.
	MaxConnections = 65_536
)

// Config is one configuration: the main file with what it includes merged in.
type Config struct {
	Include []string `yaml:"include" length:"0..64" doc:"Files to merge in, as globs relative to this file. They may hold listeners, upstreams, policies, consumers, credential_files, plans and routes; a name that is already taken is an error."`
	Part    `yaml:",inline"`
	Log     Log             `yaml:"log" doc:"What is logged, where and how."`
	Metrics Metrics         `yaml:"metrics" doc:"The metrics page, with /healthz and /readyz."`
	Admin   Admin           `yaml:"admin" doc:"The admin API."`
	ACME    ACME            `yaml:"acme" doc:"Who issues certificates for tls: auto, and to which account."`
	State   string          `yaml:"state" default:"/var/lib/straum" length:"1..4096" doc:"The directory of what must outlive a restart: accounts, issued certificates, OCSP answers, keys of session tickets. Relative to this file. It is made when something is to be kept, open to its owner only."`
	Bans    *Bans           `yaml:"bans" doc:"Refuse addresses for a time for what they did. Off when left out."`
	Redis   *Redis          `yaml:"redis" doc:"The store that gateways of a fleet share (Redis or Valkey). Off when left out."`
	Cache   Cache           `yaml:"cache" doc:"Where answers are kept of routes with the policy cache."`
	Secret  document.Secret `yaml:"secret" doc:"What keys of sealed cookies and of hashed identities are derived from, at least 32 bytes; the same for every gateway of a fleet. Made once and kept in state when left out. Best written as ${VARIABLE} or file:/path."`
	Stop    Shutdown        `yaml:"shutdown" doc:"How to stop."`
	Sandbox Sandbox         `yaml:"sandbox" doc:"What the process keeps of its rights once it serves; in force from the start to the end of the process, whatever later configurations say. off gives nothing up."`

	Node document.Node `yaml:",self"` // the main file

	files     []string
	documents []*document.Document
	policies  map[string]any // Options.Policies
	byName    map[string]*Upstream
}

// Part is what included files may hold too.
type Part struct {
	Listeners       []Listener       `yaml:"listeners" doc:"The addresses to accept connections on. At least one."`
	Upstreams       []Upstream       `yaml:"upstreams,keyed" pattern:"^[a-z0-9_-]{1,64}$" form:"1 to 64 of a-z, 0-9, - and _" doc:"Named sets of endpoints that requests are sent to."`
	Policies        []Policy         `yaml:"policies" doc:"Policies on every route, each {name: options}. They run in the fixed order of the policies, not in that of the file."`
	Consumers       []Consumer       `yaml:"consumers" doc:"Who may call, and what they show."`
	CredentialFiles []CredentialFile `yaml:"credential_files" length:"0..64" doc:"Files of more credentials, for many: docs/consumers.md has their form."`
	Plans           []Plan           `yaml:"plans,keyed" pattern:"^[a-z0-9_-]{1,64}$" form:"1 to 64 of a-z, 0-9, - and _" doc:"What consumers may use: limits and quotas that they share by name."`
	Routes          []Route          `yaml:"routes" doc:"Which requests go where. The most specific match wins, whatever the order in the file."`
}

// Format prints the name of the file, whatever the verb: the documents we keep hold what is secret. Use Redacted
// to see the configuration.
func (c Config) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "configuration ", c.Node.File()) }

// Upstream returns the upstream of a name, or nil.
func (c *Config) Upstream(name string) *Upstream { return c.byName[name] }

// Policy is one policy with its options as written. Its own folder decodes them: Options.Decode(&options).
type Policy struct {
	Name    string        `yaml:",key"`
	Options document.Node `yaml:",value"`
	Node    document.Node `yaml:",self"`
}

// Blame is the place of the policy's name, for problems about the policy as a whole.
func (p *Policy) Blame() document.Node { return p.Node.Key(p.Name) }

package compile

import (
	"maps"
	"slices"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/redis"
)

// Compiled is a configuration as the data path takes it. It is immutable and may be put in force any number of times.
type Compiled struct {
	Listeners []Listener
	// ACME says for which names certificates are issued; none when it names none. Its roots are left to whoever reads files.
	ACME      acme.Settings
	ACMERoots string        // file; empty for the system's
	ACMEAt    document.Node // for problems
	// State is the directory of what outlives a restart.
	State string
	// Redis is how the store shared with other gateways is reached, nil for none.
	Redis   *redis.Settings
	RedisAt document.Node // for problems
	// Cache is where answers are kept. Its connection to the shared store is left to whoever has it, where CacheShared says that it needs one.
	Cache       cache.Settings
	CacheShared bool
	CacheAt     document.Node // for problems
	// Bans is how addresses are banned.
	Bans Bans
	// Secret is what keys are derived from; empty when one is to be made and kept.
	Secret document.Secret

	directory directory
	cautions  []*caution
	ends      []end
	needsKeys bool
	asked     map[string]bool // upstreams that policies send to
	read      []string        // files that policies have asked for
	readBy    map[string]*config.Policy
	upstreams []compiledUpstream
	table     *route.Table
	routes    []compiledRoute // by the index the table gives
	otherwise *policy.Chain   // of requests without a route
}

// Slot gives the number that stands for a name in counters; see exchange.Route.Slot. The numbers of a process are limited, so they
// are asked for only when a configuration is put in force.
type Slot func(name string) int

// Compile compiles a configuration that config.Load has accepted. kinds is chain.Order. The error is *document.Problems with every
// mistake found.
func Compile(c *config.Config, kinds []policy.Kind) (*Compiled, error) {
	k := compiler{config: c, kinds: placed(kinds), out: &Compiled{asked: map[string]bool{}}, read: map[string]*config.Policy{}, cautions: map[document.Node]*caution{}}
	for i := range c.Listeners {
		k.listener(&c.Listeners[i])
	}
	for i := range c.Upstreams {
		k.upstream(&c.Upstreams[i])
	}
	k.acme()
	k.consumers()
	k.out.Bans = k.bans(c.Bans, &c.Log.Access)
	k.out.Redis, k.out.Secret = k.redis(), k.config.Secret
	if k.config.Redis != nil {
		k.out.RedisAt = k.config.Redis.Node
	}
	k.out.State = config.Beside(c.Node, c.State)
	k.cache(&c.Cache)
	k.everywhere()
	k.routes()
	k.cautionRedis()
	if err := k.problems.Err(); err != nil {
		return nil, err
	}
	k.out.read, k.out.readBy = slices.Sorted(maps.Keys(k.read)), k.read
	return k.out, nil
}

// compiler is what one Compile has so far.
type compiler struct {
	config   *config.Config
	kinds    []policy.Kind
	out      *Compiled
	problems document.Problems

	read       map[string]*config.Policy // files that policies have asked for, and which was the first to
	mistake    string                    // in the policies on every route, empty for none
	everyRoute []chain.Use               // those policies, or what stands in for them after a mistake
	cautions   map[document.Node]*caution
}

// blame adds a problem.
func (k *compiler) blame(at document.Node, format string, args ...any) {
	k.problems.Add(at.Errorf(format, args...))
}

// refused adds a problem for the refusal of a package of the data path; nil is none.
func (k *compiler) refused(at document.Node, err error) {
	if err != nil {
		k.blame(at, "%s", err)
	}
}

// Secure reads the files of a Trust.
type Secure func(*Trust) (*upstream.TLS, error)

// Upstreams are the settings of all upstreams, in the order of the configuration. An error is one of secure.
func (c *Compiled) Upstreams(slot Slot, secure Secure) ([]upstream.Settings, error) {
	out := make([]upstream.Settings, len(c.upstreams))
	for i := range c.upstreams {
		u := &c.upstreams[i]
		out[i] = u.Settings
		out[i].Slot = slot(u.Name)
		if u.trust == nil {
			continue
		}
		tls, err := secure(u.trust)
		if err != nil {
			var all document.Problems
			all.Add(u.trustAt.Errorf("%s", err))
			return nil, all.Err()
		}
		out[i].TLS = tls
	}
	return out, nil
}

// Chains are the chains of a revision, bound: each by the one it was made from.
type Chains map[*policy.Chain]*policy.Chain

// NeedsKeys says whether a policy asks for keys of the gateway's own.
func (c *Compiled) NeedsKeys() bool { return c.needsKeys }

// Bind binds the policies of all routes to what they reach. Files that they name are read. The error is *document.Problems with every
// policy that cannot be bound.
func (c *Compiled) Bind(w *policy.World) (Chains, error) {
	out := Chains{}
	var problems document.Problems
	told := map[string]bool{} // a policy on every route is part of many chains
	bind := func(chain *policy.Chain) {
		if _, done := out[chain]; done {
			return
		}
		bound, err := chain.Bind(w)
		if err != nil && !told[err.Error()] {
			told[err.Error()] = true
			problems.Add(err)
		}
		out[chain] = bound
	}
	bind(c.otherwise)
	for i := range c.routes {
		bind(c.routes[i].chain)
	}
	return out, problems.Err()
}

// Snapshot makes the snapshot of a revision. live holds an upstream for every one of Upstreams, by name.
func (c *Compiled) Snapshot(revision int, live map[string]*upstream.Upstream, chains Chains, slot Slot) *edge.Snapshot {
	s := &edge.Snapshot{Revision: revision, Table: c.table, Routes: make([]*edge.Route, len(c.routes)), Default: chains[c.otherwise],
		Upstreams: make(map[string]*upstream.Upstream, len(c.asked))}
	for name := range c.asked {
		s.Upstreams[name] = live[name]
	}
	for i := range c.routes {
		r := &c.routes[i]
		s.Routes[i] = &edge.Route{
			Info:     &exchange.Route{Name: r.name, Slot: slot(r.name), ServerTiming: r.serverTiming},
			Chain:    chains[r.chain],
			Upstream: live[r.upstream],
			Rewrite:  r.rewrite,
			Host:     r.host,
			Timeouts: r.timeouts,
		}
	}
	return s
}

// Counts are the sizes of what was compiled.
func (c *Compiled) Counts() (listeners, routes, upstreams, endpoints int) {
	for i := range c.upstreams {
		endpoints += len(c.upstreams[i].Endpoints)
	}
	return len(c.Listeners), len(c.routes), len(c.upstreams), endpoints
}

// Files are those besides the configuration's own that say whom to trust, and that are read again with each load: authorities of clients'
// certificates, of endpoints', of the ACME directory's, of the shared store's; files of credentials; what policies read.
func (c *Compiled) Files() (files []string) {
	add := func(file string) {
		if file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			add(t.ClientCA)
		}
	}
	for i := range c.upstreams {
		if t := c.upstreams[i].trust; t != nil {
			add(t.CA)
		}
	}
	add(c.ACMERoots)
	if c.Redis != nil {
		add(c.Redis.TLS.CA)
	}
	for _, f := range c.directory.files {
		add(f.Path)
	}
	for _, file := range c.read {
		add(file)
	}
	return files
}

// At is where the configuration names one of Files for a policy: the option, else the policy. It is zero for other files.
func (c *Compiled) At(file string) document.Node {
	p := c.readBy[file]
	if p == nil {
		return document.Node{}
	}
	if at, ok := named(p.Options, p.Options.Any(), func(text string) bool { return config.Beside(p.Node, text) == file }); ok {
		return at
	}
	return p.Blame()
}

// named finds the text in what is written at a node that is meant.
func named(at document.Node, written any, meant func(string) bool) (document.Node, bool) {
	switch written := written.(type) {
	case string:
		return at, meant(written)
	case []any:
		for i, v := range written {
			if found, ok := named(at.At(i), v, meant); ok {
				return found, true
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(written)) {
			if found, ok := named(at.At(key), written[key], meant); ok {
				return found, true
			}
		}
	}
	return at, false
}

package setting

import (
	"net/netip"
	"slices"

	"straum.dev/straum/internal/config"
)

// Workload is what a configuration asks of the box, in the numbers that rules need.
type Workload struct {
	Backlog     int      // the longest queue a listener asks for; 0 is as much as the kernel allows
	Connections int      // of all listeners together
	Public      bool     // a listener can be reached from beyond loopback
	FastOpen    bool     // a listener offers it
	TLS         bool     // a listener speaks it
	Outgoing    bool     // endpoints are reached over TCP beyond loopback
	Endpoints   int      // addresses that are connected to over TCP
	PerEndpoint int      // connections that one of them may get at most
	Idle        int      // connections to endpoints that may be kept although nothing uses them, all together
	Ports       []uint16 // that listeners, the metrics page and the admin API accept on, sorted
	Beside      []uint16 // that endpoints on loopback accept on, sorted
	Budget      int64    // bytes the configuration lets be used: caches, log buffer, connections
}

// What an idle client connection takes of the process, in bytes: docs/operations.md, "Memory".
const (
	idlePlain = 1 << 10
	idleTLS   = 12 << 10
)

// poolCeiling bounds the connections to one endpoint where pool.connections is 0 (docs/configuration.md).
const poolCeiling = 28_000

// descriptorRoom is for all that is no connection: listening sockets, the log, files of the cache, what looks names up.
const descriptorRoom = 1024

// Descriptors is how many the workload needs at most: a client's connection and one to an endpoint for each request under way, those kept
// idle, and some room.
func (w *Workload) Descriptors() int64 {
	return 2*int64(w.Connections) + int64(w.Idle) + descriptorRoom
}

// Asked reads the workload off a configuration. nil is a gateway with the defaults of each key: one listener that the world can reach and
// one endpoint elsewhere.
func Asked(c *config.Config) *Workload {
	if c == nil {
		return &Workload{
			Connections: 20_000, Public: true, FastOpen: true, Outgoing: true, Endpoints: 1, PerEndpoint: 20_000, Idle: 256,
			Budget: 96<<20 + 4<<20 + 20_000*idlePlain,
		}
	}
	w := new(Workload)
	for i := range c.Listeners {
		w.listener(&c.Listeners[i])
	}
	for i := range c.Upstreams {
		w.upstream(&c.Upstreams[i])
	}
	if !c.Metrics.Off {
		w.accepts(c.Metrics.Address.Port)
	}
	if !c.Admin.Off {
		w.accepts(c.Admin.Address.Port)
	}
	// Objects in memory take up to half as much again until they are collected.
	w.Budget += int64(c.Cache.Memory)*3/2 + int64(c.Log.Access.Buffer)
	slices.Sort(w.Ports)
	slices.Sort(w.Beside)
	w.Ports, w.Beside = slices.Compact(w.Ports), slices.Compact(w.Beside)
	return w
}

func (w *Workload) listener(l *config.Listener) {
	idle := int64(idlePlain)
	if l.TLS != nil {
		w.TLS, idle = true, idleTLS
	}
	w.Connections += l.Limits.Connections
	w.Budget += int64(l.Limits.Connections) * idle
	w.Backlog = max(w.Backlog, l.Backlog)
	if l.Address.Path != "" {
		return
	}
	w.accepts(l.Address.Port)
	w.FastOpen = w.FastOpen || l.FastOpen
	w.Public = w.Public || !loopback(l.Address.Address)
}

func (w *Workload) accepts(port uint16) {
	if port != 0 {
		w.Ports = append(w.Ports, port)
	}
}

func (w *Workload) upstream(u *config.Upstream) {
	for i := range u.Endpoints {
		a := u.Endpoints[i].Address.Address
		w.Idle = min(w.Idle+u.Pool.Idle, config.MaxConnections*config.MaxEndpoints)
		if a.Path != "" {
			continue
		}
		w.Endpoints++
		most := u.Pool.Connections
		if most == 0 {
			most = min(w.Connections, poolCeiling)
		}
		w.PerEndpoint = max(w.PerEndpoint, most)
		if loopback(a) {
			w.Beside = append(w.Beside, a.Port)
		} else {
			w.Outgoing = true
		}
	}
}

// loopback says that an address cannot be reached from elsewhere. Names are taken to lead elsewhere, but localhost.
func loopback(a config.Address) bool {
	if a.Path != "" || a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Package metrics counts what exchanges did and shows the counts to Prometheus. Step 11, done.
//
// On the path an exchange is a dozen additions to counters of its connection's shard, found by the slots of its route and
// upstream; no label, no allocation, no waiting. Labels come into being when someone asks: a scrape sums the shards. Numbers that
// others keep (connections, pools, health, the configuration) are asked for at the same time through Sources.
//
// Every metric is described in docs/metrics.md. The number of series is bounded: by the slots for routes and upstreams, by the registered status
// codes, by the listed kinds of faults, by room for sixteen reasons and listeners, for 256 verdicts, and for a thousand each of certificates,
// consumers and figures of policies. The package refuses labels whose values a client chooses (path, host, address, user agent), percentiles in
// /metrics, and the global registry.
package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Build says what is running.
type Build struct {
	Version string
	Commit  string
	Go      string
}

// Options are fixed for the life of a Metrics.
type Options struct {
	// Shards is how many sets of counters there are, best the number of shards connections have. There are at least 2.
	Shards int
	Build  Build
}

// Metrics are the counters of one gateway. All methods may be called from any goroutine.
type Metrics struct {
	// Routes and Upstreams give out the slots that exchanges are counted under.
	Routes    *Slots
	Upstreams *Slots

	shards  []shard
	reasons *words
	// listeners has no slots: the exchange carries the listener's name, which is found among so few faster than a slot is kept.
	listeners *words
	verdicts  *numbers[exchange.Verdict]
	consumers *numbers[string] // by id
	build     Build
	sources   atomic.Pointer[Sources]
	registry  *prometheus.Registry
}

// New makes the counters and a registry of their own that also shows the Go runtime and the process.
func New(o Options) *Metrics {
	m := &Metrics{shards: make([]shard, max(o.Shards, 2)), reasons: newWords(), listeners: newWords(), build: o.Build,
		verdicts:  newNumbers(MaxVerdicts, exchange.Verdict{Policy: Other, Word: Other}, plainVerdict),
		consumers: newNumbers(MaxConsumers, Other, plain),
	}
	m.sources.Store(&Sources{})
	m.Routes = newSlots(MaxRoutes, m.growRoutes)
	m.Upstreams = newSlots(MaxUpstreams, m.growUpstreams)
	m.registry = prometheus.NewRegistry()
	m.registry.MustRegister(collector{m}, figured{m}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is what /metrics shows.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Show sets what others are asked for at each scrape from now on.
func (m *Metrics) Show(s Sources) { m.sources.Store(&s) }

func (m *Metrics) growRoutes(n int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.routes = grown(s.routes, n)
		s.mu.Unlock()
	}
}

func (m *Metrics) growUpstreams(n int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.upstreams = grown(s.upstreams, n)
		s.mu.Unlock()
	}
}

func grown[cell any](table []*cell, n int) []*cell {
	for len(table) < n {
		table = append(table, new(cell))
	}
	return table
}

// Summary tells how a route has done since the process started.
type Summary struct {
	Route string
	Count uint64 // exchanges
	// Faulty is how many of them were answered with a 5xx, with a status of gRPC that means one, or not at all.
	Faulty              uint64
	P50, P95, P99       time.Duration // of the whole exchange
	Own50, Own95, Own99 time.Duration // of the gateway's own share
	// OwnShare is how much of all time was the gateway's own, 0 to 1.
	OwnShare float64
}

// Summary tells how each route has done, Other first, without those that had no exchange. Tunnels count as exchanges but not in
// the times.
func (m *Metrics) Summary() []Summary {
	var all []Summary
	for slot, name := range m.Routes.list() {
		r := m.route(slot)
		s := Summary{
			Route: name,
			P50:   quantile(r.spans[:], spanUnit, 0.50), P95: quantile(r.spans[:], spanUnit, 0.95), P99: quantile(r.spans[:], spanUnit, 0.99),
			Own50: quantile(r.owns[:], ownUnit, 0.50), Own95: quantile(r.owns[:], ownUnit, 0.95), Own99: quantile(r.owns[:], ownUnit, 0.99),
		}
		for i, n := range r.codes {
			s.Count += n
			if c := codeNames[i][0]; c == '5' || c == 'n' {
				s.Faulty += n
			}
		}
		if r.spanTime > 0 {
			s.OwnShare = float64(r.ownTime) / float64(r.spanTime)
		}
		for i, n := range r.grpc {
			if grpcFaulty(fault.Code(i)) {
				s.Faulty += n
			}
		}
		if s.Count > 0 {
			all = append(all, s)
		}
	}
	return all
}

// route sums the counters of a slot over the shards.
func (m *Metrics) route(slot int) (sum routeCell) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		r := *at(s.routes, slot)
		s.mu.Unlock()
		add(sum.codes[:], r.codes[:])
		add(sum.spans[:], r.spans[:])
		add(sum.owns[:], r.owns[:])
		add(sum.grpc[:], r.grpc[:])
		sum.spanTime += r.spanTime
		sum.ownTime += r.ownTime
		sum.cache.add(&r.cache)
		sum.in += r.in
		sum.out += r.out
	}
	return sum
}

func (m *Metrics) upstream(slot int) (sum upstreamCell) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		u := *at(s.upstreams, slot)
		s.mu.Unlock()
		add(sum.classes[:], u.classes[:])
		add(sum.spans[:], u.spans[:])
		add(sum.opened[:], u.opened[:])
		sum.spanTime += u.spanTime
		sum.reused += u.reused
		sum.retries += u.retries
	}
	return sum
}

// rest sums what is counted under no slot.
// Exchanges is how many are over.
func (m *Metrics) Exchanges() (n uint64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for l := range s.spoken {
			for _, each := range s.spoken[l] {
				n += each
			}
		}
		s.mu.Unlock()
	}
	return n
}

func (m *Metrics) rest() (faults [maxKinds]uint64, ends [maxEnds]uint64, spoken [maxWords][spokenWays]uint64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		add(faults[:], s.faults[:])
		add(ends[:], s.ends[:])
		for l := range spoken {
			add(spoken[l][:], s.spoken[l][:])
		}
		s.mu.Unlock()
	}
	return faults, ends, spoken
}

func add(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}

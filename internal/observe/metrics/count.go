package metrics

import (
	"crypto/tls"
	"strconv"
	"sync"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Codes that have a counter of their own: those of the IANA registry of HTTP status codes as of 2026. All others, which an
// upstream could make up without end, are counted by class; 0 is "no response".
var codes = [...]int{
	100, 101, 102, 103, 104,
	200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
	300, 301, 302, 303, 304, 305, 306, 307, 308,
	400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426,
	428, 429, 431, 451,
	500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
}

const (
	classes  = 6 // none, 1xx to 5xx
	numCodes = classes + len(codes)
)

// classNames are the labels of classes; codes without a place of their own share them.
var classNames = [classes]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// codeIndex turns a status into its place, codeNames a place into the label.
var (
	codeIndex = func() (index [600]uint8) {
		for status := range index {
			index[status] = uint8(status / 100)
		}
		for i, status := range codes {
			index[status] = uint8(classes + i)
		}
		return index
	}()
	codeNames = func() (names [numCodes]string) {
		copy(names[:], classNames[:])
		for i, status := range codes {
			names[classes+i] = strconv.Itoa(status)
		}
		return names
	}()
)

func placeOf(status int) uint8 {
	if uint(status) < uint(len(codeIndex)) {
		return codeIndex[status]
	}
	return 0
}

func classOf(status int) int {
	if class := status / 100; uint(class) < classes {
		return class
	}
	return 0
}

// The counters of one route and of one upstream: as they stand in one shard, or summed over all.
type (
	routeCell struct {
		codes    [numCodes]uint64
		spans    [spanBuckets]uint64
		owns     [ownBuckets]uint64
		grpc     [grpcCodes]uint64
		spanTime uint64 // nanoseconds, like all times here
		ownTime  uint64
		in, out  uint64 // bytes
		cache    cacheCell
	}
	upstreamCell struct {
		classes  [classes]uint64
		spans    [spanBuckets]uint64
		opened   [maxWords]uint64
		spanTime uint64
		reused   uint64
		retries  uint64
	}
)

// shard is one set of all counters. A dozen plain additions under its lock take less than half the time of as many atomic
// ones. The lock is held for one exchange or for the copy of one cell, and nobody waits for it while another shard is free.
type shard struct {
	mu        sync.Mutex
	routes    []*routeCell // by slot
	upstreams []*upstreamCell
	faults    [maxKinds]uint64
	ends      [maxEnds]uint64
	spoken    [maxWords][spokenWays]uint64 // by listener and way
	verdicts  [MaxVerdicts]uint64
	consumers []consumerCell
	_         [64]byte // keeps the next shard's lock off this one's cache line
}

const (
	maxKinds = 64 // more than there are; 0 is a kind that is not listed
	maxEnds  = int(exchange.Aborted) + 1
)

// The ways a client can speak to us: HTTP of some version, over TLS of some version.
var (
	protocols   = [...]string{"none", "http/1.0", "http/1.1", "h2"} // none: the request line was not read
	tlsVersions = [...]string{"none", "1.2", "1.3"}
)

const (
	versions   = len(tlsVersions)
	spokenWays = len(protocols) * versions
)

func wayOf(x *exchange.Exchange) int {
	way := 0
	switch r := &x.Request; {
	case r.Major >= 2:
		way = 3
	case r.Major == 1:
		way = 1 + int(min(r.Minor, 1))
	}
	way *= versions
	if t := x.Conn.TLS; t != nil {
		way++
		if t.Version >= tls.VersionTLS13 {
			way++
		}
	}
	return way
}

// kinds numbers the kinds of faults from 1.
var kinds = func() map[*fault.Kind]int {
	m := make(map[*fault.Kind]int)
	for i, k := range fault.Kinds() {
		if i+1 < maxKinds {
			m[k] = i + 1
		}
	}
	return m
}()

// lock gives a locked shard: the connection's own, or the next one that is free, so that no exchange waits for another that was
// put to sleep while it counted.
func (m *Metrics) lock(x *exchange.Exchange) *shard {
	own := uint(x.Conn.Shard) % uint(len(m.shards))
	if s := &m.shards[own]; s.mu.TryLock() {
		return s
	}
	for i := range m.shards {
		if s := &m.shards[i]; s.mu.TryLock() {
			return s
		}
	}
	m.shards[own].mu.Lock()
	return &m.shards[own]
}

// Observe counts a finished exchange. It allocates only for a word or a consumer never seen before, and keeps nothing of x.
func (m *Metrics) Observe(x *exchange.Exchange) {
	total, upstream := x.Shares(x.Times.Done)
	// How long a tunnel stood says nothing about how fast anyone was.
	timed := x.Times.Done != 0 && x.End != exchange.Tunnelled
	code := placeOf(x.Response.Status)
	listener, way := m.listeners.index(x.Conn.Listener), wayOf(x)
	status, grpc := x.Response.GRPC()
	judged, consumer := m.judged(x), m.consumer(x)
	slot := 0
	if x.Route != nil {
		slot = x.Route.Slot
	}

	s := m.lock(x)
	s.spoken[listener][way]++
	r := at(s.routes, slot)
	r.codes[code]++
	if grpc {
		r.grpc[status]++
	}
	if x.Cached.Outcome != exchange.CacheNone {
		r.cache.count(x)
	}
	r.in += uint64(x.Bytes.In)
	r.out += uint64(x.Bytes.Out)
	if timed {
		own := total - upstream
		r.spans[spanBucket(total)]++
		r.spanTime += uint64(total)
		r.owns[ownBucket(own)]++
		r.ownTime += uint64(own)
	}
	if x.Upstream.Tries > 0 {
		u := at(s.upstreams, x.Upstream.Slot)
		m.countUpstream(u, &x.Upstream)
		if timed {
			u.spans[spanBucket(upstream)]++
			u.spanTime += uint64(upstream)
		}
	}
	if x.Fault != nil {
		s.faults[kinds[x.Fault.Kind]]++
	}
	if x.End != exchange.Completed && int(x.End) < maxEnds {
		s.ends[x.End]++
	}
	s.countCaller(&judged, consumer, x.Response.Status)
	s.mu.Unlock()
}

func (m *Metrics) countUpstream(u *upstreamCell, x *exchange.Upstream) {
	u.classes[classOf(x.Status)]++
	u.retries += uint64(x.Tries - 1)
	if x.Reused {
		u.reused++
	} else if x.Opened != "" {
		u.opened[m.reasons.index(x.Opened)]++
	}
}

// at is the cell of a slot; one that is not there is that of Other.
func at[cell any](table []*cell, slot int) *cell {
	if uint(slot) >= uint(len(table)) {
		slot = 0
	}
	return table[slot]
}

package admin

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/listen"
)

// Status is how the gateway is doing.
type Status struct {
	Version   string     `json:"version" doc:"Of the program."`
	Commit    string     `json:"commit,omitempty" doc:"It was built from."`
	Started   time.Time  `json:"started"`
	Uptime    float64    `json:"uptime_seconds"`
	Ready     bool       `json:"ready" doc:"Whether traffic should be sent here."`
	NotReady  []Reason   `json:"not_ready,omitempty" doc:"What stands in the way."`
	Attention []Reason   `json:"attention,omitempty" doc:"What works for now and needs somebody all the same: certificates that expire, are refused on disk or cannot be renewed, a shared store that is away, an issuer whose keys cannot be had."`
	Revision  Serving    `json:"revision" doc:"The configuration in force."`
	Listeners []Listener `json:"listeners" nullable:"false"`
	TLS       *TLS       `json:"tls,omitempty" doc:"Absent where there is neither TLS nor a certificate."`
	Requests  Requests   `json:"requests" doc:"Exchanges that are over."`
	AccessLog AccessLog  `json:"access_log"`
	Process   Process    `json:"process"`
	Box       *BoxStatus `json:"box,omitempty" doc:"What the box did in the last minute; absent in the first second."`
}

// Serving tells which configuration serves, and how the last attempt to change it went.
type Serving struct {
	Number   int        `json:"number" doc:"0 before the first."`
	Loaded   *time.Time `json:"loaded,omitempty" doc:"When it began to serve."`
	File     string     `json:"file,omitempty" doc:"The main file."`
	LastTry  *time.Time `json:"last_try,omitempty" doc:"When a configuration that was new was last read."`
	Problems []Mistake  `json:"problems,omitempty" doc:"Why that was refused, the first ten; this revision serves on. Absent when it was accepted."`
	More     int        `json:"more_problems,omitempty" doc:"How many there are besides."`
	Accepted uint64     `json:"accepted" doc:"Configurations so far."`
	Refused  uint64     `json:"refused"`
}

// Listener are the figures of one listener since it was opened.
type Listener struct {
	Name       string  `json:"name"`
	Address    string  `json:"address" doc:"In use, with the port the kernel chose if none was asked for."`
	Draining   bool    `json:"draining" doc:"It was removed and still has connections."`
	Sockets    int     `json:"sockets"`
	Open       int64   `json:"open" doc:"Connections now."`
	Parked     int     `json:"parked" doc:"Of them idle, without a buffer or a goroutine."`
	Goroutines int64   `json:"goroutines" doc:"Connections that hold one."`
	Accepted   uint64  `json:"accepted"`
	Refused    Refused `json:"refused" doc:"Connections closed without an exchange."`
	Queued     int     `json:"queued" doc:"Connections that wait in the kernel."`
	Backlog    int     `json:"backlog" doc:"How many may, a socket; 0 where the system does not tell."`
	Pauses     Pauses  `json:"pauses" doc:"Times accepting stopped for a while."`
	FastOpen   string  `json:"fast_open" doc:"How TCP fast open stands: off, on, forbidden or unsupported."`

	Handshakes *Handshakes `json:"handshakes,omitempty" doc:"Of TLS; absent for a listener without it."`
}

// Refused counts connections by why they were closed.
type Refused struct {
	Client     uint64 `json:"client" doc:"Their address had too many."`
	Banned     uint64 `json:"banned" doc:"Their address is banned. Most of these are not among accepted."`
	Proxy      uint64 `json:"proxy" doc:"The PROXY header was missing, malformed or late."`
	Evicted    uint64 `json:"evicted" doc:"Parked ones that made room for new ones."`
	Expired    uint64 `json:"expired" doc:"Parked ones whose idle time was over."`
	Unparkable uint64 `json:"unparkable" doc:"Idle ones the kernel refused to watch."`
}

// Pauses counts stops of accepting by what ran out.
type Pauses struct {
	Limit       uint64 `json:"limit" doc:"The listener's limit of connections was reached."`
	Descriptors uint64 `json:"descriptors" doc:"Descriptors or kernel memory ran out."`
	Other       uint64 `json:"other"`
}

// Requests are the exchanges since the start.
type Requests struct {
	Total  uint64          `json:"total"`
	Faulty uint64          `json:"faulty" doc:"Answered with a 5xx, with a status of gRPC that means one, or not at all."`
	Routes []RouteRequests `json:"routes" nullable:"false" doc:"Those that had any."`
}

// RouteRequests are the exchanges of one route.
type RouteRequests struct {
	Route    string    `json:"route" doc:"other is what matched no route, and routes beyond the budget of names."`
	Total    uint64    `json:"total"`
	Faulty   uint64    `json:"faulty"`
	Duration Quantiles `json:"duration" doc:"From the first byte of the request to the last of the response; without tunnels."`
	Own      Quantiles `json:"own" doc:"The part of it that was not the upstream's."`
	OwnShare float64   `json:"own_share" doc:"The gateway's own part of all time, 0 to 1."`
}

// Quantiles are in seconds.
type Quantiles struct {
	P50 float64 `json:"p50_seconds"`
	P95 float64 `json:"p95_seconds"`
	P99 float64 `json:"p99_seconds"`
}

// AccessLog are the figures of the access log.
type AccessLog struct {
	Written  uint64 `json:"written" doc:"Lines."`
	Bytes    uint64 `json:"bytes"`
	Waiting  uint64 `json:"waiting" doc:"Lines in memory."`
	Lost     Lost   `json:"lost" doc:"Lines dropped; requests never wait for the log."`
	Failures uint64 `json:"failures" doc:"Writes that failed."`
	Failing  bool   `json:"failing" doc:"The last write failed."`
	Error    string `json:"error,omitempty" doc:"The last failure."`
}

// Lost counts lines by what stood in their way.
type Lost struct {
	Slow    uint64 `json:"slow" doc:"The sink took lines too slowly."`
	Failing uint64 `json:"failing" doc:"Writes failed: disk full, pipe closed."`
	Closed  uint64 `json:"closed" doc:"The log was closed."`
	Matter  uint64 `json:"important" doc:"Of all these, lines that told of a fault or a refusal."`
}

// Process is what the process takes of the box.
type Process struct {
	PID             int    `json:"pid"`
	Memory          uint64 `json:"memory_bytes" doc:"Resident; 0 where the system does not tell."`
	Heap            uint64 `json:"heap_bytes" doc:"Go objects, with those not yet collected."`
	Goroutines      int    `json:"goroutines"`
	Descriptors     int    `json:"descriptors" doc:"Open; 0 where the system does not tell."`
	DescriptorLimit uint64 `json:"descriptor_limit" doc:"0 where the system does not tell."`
}

func (a *Admin) getStatus(context.Context, *struct{}) (*struct{ Body Status }, error) {
	stats, secure := a.sources.Listeners(), a.sources.Secure()
	s := Status{
		Version: a.sources.Version, Commit: a.sources.Commit, Started: a.sources.Started.UTC(),
		Uptime:    a.wall().Sub(a.sources.Started).Seconds(),
		NotReady:  a.sources.Ready(),
		Attention: attention(secure, a.wall()),
		Revision:  serving(a.sources.Revisions.State()),
		Listeners: listeners(stats),
		TLS:       a.secured(stats, secure),
		Requests:  a.requests(),
		AccessLog: a.accessLog(),
		Process:   a.process(),
		Box:       a.boxStatus(),
	}
	if a.sources.Attention != nil {
		s.Attention = append(s.Attention, a.sources.Attention()...)
	}
	s.Ready = len(s.NotReady) == 0
	return &struct{ Body Status }{s}, nil
}

func serving(r revision.State) Serving {
	s := Serving{LastTry: shown(r.LastTry), Accepted: r.Accepted, Refused: r.Refused}
	if r.LastError != nil {
		all, dropped := mistakes(r.LastError)
		s.Problems = all[:min(len(all), maxProblems)]
		s.More = len(all) - len(s.Problems) + dropped
	}
	if r.InForce != nil {
		s.Number, s.Loaded, s.File = r.InForce.Number, shown(r.InForce.Accepted), r.InForce.Config.Node.File()
	}
	return s
}

// maxProblems is how many problems the status shows; straum check shows all.
const maxProblems = 10

// shown is a time as JSON has it; nil for none.
func shown(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func listeners(stats []listen.Stats) []Listener {
	all := []Listener{}
	for _, l := range stats {
		all = append(all, Listener{
			Name: l.Name, Address: l.Address, Draining: l.Draining, Sockets: l.Sockets,
			Open: l.Open, Parked: l.Parked, Goroutines: l.Goroutines, Accepted: l.Accepted,
			Refused: Refused{Client: l.RefusedClient, Banned: l.Dropped, Proxy: l.ProxyErrors, Evicted: l.Evicted, Expired: l.Expired, Unparkable: l.Unparkable},
			Queued:  l.Queued, Backlog: l.Backlog,
			Pauses:   Pauses{Limit: l.PausesLimit, Descriptors: l.PausesDescriptors, Other: l.PausesOther},
			FastOpen: l.FastOpen, Handshakes: handshakesOf(l),
		})
	}
	return all
}

func (a *Admin) requests() Requests {
	r := Requests{Routes: []RouteRequests{}}
	for _, s := range a.sources.Exchanges() {
		r.Total += s.Count
		r.Faulty += s.Faulty
		r.Routes = append(r.Routes, RouteRequests{
			Route: s.Route, Total: s.Count, Faulty: s.Faulty,
			Duration: Quantiles{s.P50.Seconds(), s.P95.Seconds(), s.P99.Seconds()},
			Own:      Quantiles{s.Own50.Seconds(), s.Own95.Seconds(), s.Own99.Seconds()},
			OwnShare: s.OwnShare,
		})
	}
	return r
}

func (a *Admin) accessLog() AccessLog {
	s := a.sources.AccessLog()
	return AccessLog{
		Written: s.Written, Bytes: s.Bytes, Waiting: s.Waiting,
		Lost:     Lost{Slow: s.Lost.Slow, Failing: s.Lost.Failing, Closed: s.Lost.Closed, Matter: s.Lost.Matter},
		Failures: s.Failures, Failing: s.Failing, Error: s.Error,
	}
}

// measure asks the runtime and the system. It does not stop the world.
func measure() Process {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	p := Process{PID: os.Getpid(), Memory: resident(), Goroutines: runtime.NumGoroutine()}
	if heap[0].Value.Kind() == metrics.KindUint64 {
		p.Heap = heap[0].Value.Uint64()
	}
	p.Descriptors, p.DescriptorLimit = descriptors()
	return p
}

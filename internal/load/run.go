package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Run runs a plan. tell may be nil; it is called from the goroutine that called Run. The error is of the plan or of never reaching
// anything, which one connection tries first; what fails on the way is in the result. When ctx ends, the result of what was done comes back
// with nil: requests that were under way then are left out of it.
func Run(ctx context.Context, p *Plan, tell func(Progress)) (*Result, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	p = p.filled(runtime.GOMAXPROCS(0))
	if most := MostConnections(); p.Connections > most {
		return nil, fmt.Errorf("found %d connections, and this process may have %d at a time, by its limit of open files; raise it (ulimit -n), or ask for fewer", p.Connections, most)
	}
	if p.TLS != nil {
		p.TLS = tlsConfig(p)
	}
	to, err := try(ctx, p)
	if err != nil {
		return nil, err
	}
	return runAll(ctx, p, to, window, tell)
}

// MostConnections is how many connections this process can have at a time, by its limit of open files. Without that they would be told as
// connections that the target has not taken.
func MostConnections() int {
	const others = 64 // files of this process: pollers, reports, the connections of who measures it
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > mostConnections+others {
		return mostConnections
	}
	return max(1, int(limit.Cur)-others)
}

// tlsConfig is what connections use.
func tlsConfig(p *Plan) *tls.Config {
	config := p.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	if p.HTTP2 {
		config.NextProtos = []string{"h2"}
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(p.Address)
	}
	config.ClientSessionCache = nil
	if p.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	return config
}

// try makes one connection as the run would and closes it. It tells where connections go: a name is looked up once.
func try(ctx context.Context, p *Plan) (unix.Sockaddr, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	network, address := "tcp", p.Address
	if path, ok := strings.CutPrefix(p.Address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be reached: %w; is it running, and is this its address", p.Address, err)
	}
	defer conn.Close()
	if p.TLS != nil {
		secure := tls.Client(conn, p.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("%s speaks no TLS that is accepted here: %w", p.Address, err)
		}
		if p.HTTP2 && secure.ConnectionState().NegotiatedProtocol != "h2" {
			return nil, fmt.Errorf("%s: %w; use HTTP/1.1, or let it offer h2", p.Address, errNoHTTP2)
		}
		secure.Close()
	}
	switch to := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		return &unix.SockaddrUnix{Name: address}, nil
	case *net.TCPAddr:
		at := to.AddrPort()
		if ip := at.Addr().Unmap(); ip.Is4() {
			return &unix.SockaddrInet4{Port: int(at.Port()), Addr: ip.As4()}, nil
		}
		zone := 0
		if i, err := net.InterfaceByName(to.Zone); err == nil {
			zone = i.Index
		}
		return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16(), ZoneId: uint32(zone)}, nil
	}
	return nil, errors.New("the address is of no known kind")
}

// own is a copy: connecting writes into an address.
func own(to unix.Sockaddr) unix.Sockaddr {
	switch to := to.(type) {
	case *unix.SockaddrInet4:
		return &unix.SockaddrInet4{Port: to.Port, Addr: to.Addr}
	case *unix.SockaddrInet6:
		return &unix.SockaddrInet6{Port: to.Port, ZoneId: to.ZoneId, Addr: to.Addr}
	case *unix.SockaddrUnix:
		return &unix.SockaddrUnix{Name: to.Name}
	}
	return to
}

// runAll runs the loops, shows their progress and adds up what they have counted.
func runAll(ctx context.Context, p *Plan, to unix.Sockaddr, ahead int64, tell func(Progress)) (*Result, error) {
	messages, kinds := newMessages(p)
	r := &run{plan: p, began: time.Now(), sofar: newHistogram(2), tell: tell, handed: make(chan struct{}, p.Workers)}
	var ended sync.WaitGroup
	defer func() {
		for _, w := range r.workers {
			w.poller.close()
		}
	}()
	for i := range p.Workers {
		poller, err := newPoller()
		if err != nil {
			return nil, fmt.Errorf("no loop can be made: %w", err)
		}
		w := &worker{
			plan: p, messages: messages, to: own(to), clock: r.clock, ahead: ahead, timeout: int64(p.Timeout),
			most: int(share(uint64(p.Connections), i, p.Workers)), poller: poller,
			tally:  newTally(int64(p.Warmup), int64(p.Warmup+p.Duration), len(kinds)),
			choice: newChoice(p.Requests, p.Seed, uint64(i)), buffer: make([]byte, readSize), quota: ^uint64(0), handed: r.handed,
		}
		if p.Rate > 0 {
			w.schedule = newSchedule(p.Rate, i, p.Workers)
		}
		if p.Requested > 0 {
			w.quota = share(p.Requested, i, p.Workers)
		}
		r.workers = append(r.workers, w)
	}
	for _, w := range r.workers {
		w.hold.Store(r.hold())
		ended.Go(w.run)
	}
	done := make(chan struct{})
	go func() { ended.Wait(); close(done) }()
	r.watch(ctx, done)
	return r.result(kinds), nil
}

// run is what is known of all loops together.
type run struct {
	plan    *Plan
	workers []*worker
	began   time.Time
	tell    func(Progress)
	handed  chan struct{}

	cpuBegin, cpuEnd time.Duration
	cancelled        int64 // when ctx ended, 0 if it did not

	seconds []second // of the counted time
	settled int      // those before it are
	sofar   *hdrhistogram.Histogram
	all     uint64
	done    uint64
	failed  uint64
	shown   int64 // when progress was last shown
	before  uint64
}

// clock is the time since the beginning, never 0.
func (r *run) clock() int64 { return int64(time.Since(r.began)) + 1 }

// hold is for how many milliseconds loops may keep their processors while they wait: not at all unless they are nearly all that this process
// does, and shortly when they would have all of its processors.
func (r *run) hold() int32 {
	const few = 10 // goroutines of a program that runs a plan and shows its progress
	switch {
	case runtime.NumGoroutine() > len(r.workers)+few:
		return 0
	case len(r.workers) >= runtime.GOMAXPROCS(0):
		return 1
	}
	return 20
}

// watch lasts as long as the loops.
func (r *run) watch(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	begin, end := time.NewTimer(r.plan.Warmup), time.NewTimer(r.plan.Warmup+r.plan.Duration)
	defer begin.Stop()
	defer end.Stop()
	over := ctx.Done()
	r.cpuBegin = processorTime()
	asked := 0
	for {
		select {
		case <-begin.C:
			r.cpuBegin = processorTime()
		case <-end.C:
			r.cpuEnd = processorTime()
		case <-r.handed:
			if asked--; asked == 0 {
				r.gather()
				r.show()
			}
		case <-tick.C:
			if asked > 0 { // a loop has ended, or has not had a processor since
				r.gather()
				r.show()
			}
			asked = len(r.workers)
			hold := r.hold()
			for _, w := range r.workers {
				w.hold.Store(hold)
				w.asked.Store(true)
				w.poller.ring()
			}
		case <-over:
			over = nil
			r.cancelled = r.clock()
			for _, w := range r.workers {
				w.cancelled.Store(true)
				w.poller.ring()
			}
		case <-done:
			if r.cpuEnd == 0 {
				r.cpuEnd = processorTime()
			}
			r.gather()
			r.show()
			return
		}
	}
}

// gather takes what the loops have handed over.
func (r *run) gather() {
	most := int((r.plan.Duration + time.Second - 1) / time.Second)
	for _, w := range r.workers {
		for _, s := range w.collect() {
			r.all += s.all
			r.done += s.done
			r.failed += s.failed
			if s.done > 0 {
				r.sofar.Merge(s.latency)
			}
			if s.second < 0 || s.second >= most {
				continue
			}
			for at := len(r.seconds); at <= s.second; at++ {
				r.seconds = append(r.seconds, second{Second: Second{At: time.Duration(at) * time.Second}})
			}
			r.seconds[s.second].add(s, s.second < r.settled)
		}
	}
	for ; r.settled < len(r.seconds)-unsettled; r.settled++ {
		r.seconds[r.settled].settle()
	}
}

// unsettled is how many of the last seconds keep their histograms, of 20 KB each, for loops that hand over late. A day's would take 1.8 GB.
const unsettled = 10

// second is one of the series while it is added up.
type second struct {
	Second
	latency *hdrhistogram.Histogram // nil without answers, and once it is settled
}

func (s *second) add(more *slice, settled bool) {
	s.Done += more.done
	s.Failed += more.failed
	s.Max = max(s.Max, duration(more.longest))
	switch {
	case more.done == 0 || settled:
	case s.latency == nil:
		s.latency = more.latency
	default:
		s.latency.Merge(more.latency)
	}
}

// settle leaves of the histogram what is told.
func (s *second) settle() {
	if s.latency == nil {
		return
	}
	s.P50 = min(duration(s.latency.ValueAtPercentile(50)), s.Max)
	s.P99 = min(duration(s.latency.ValueAtPercentile(99)), s.Max)
	s.latency = nil
}

func (r *run) show() {
	now := r.clock()
	if r.tell == nil {
		return
	}
	total := r.plan.Warmup + r.plan.Duration
	elapsed := min(time.Duration(now), total)
	if total == longest && r.plan.Requested > 0 {
		total = 0 // its end is not known
	}
	p := Progress{
		Elapsed: elapsed, Total: total, Warm: now >= int64(r.plan.Warmup), Done: r.done, Failed: r.failed,
		Rate: float64(r.all-r.before) / (float64(now-r.shown) / 1e9),
	}
	if r.done > 0 {
		at := r.sofar.ValueAtPercentiles([]float64{50, 95, 99})
		p.P50, p.P95, p.P99 = duration(at[50]), duration(at[95]), duration(at[99])
	}
	r.shown, r.before = now, r.all
	r.tell(p)
}

func duration(micros int64) time.Duration { return time.Duration(micros) * time.Microsecond }

// result adds up.
func (r *run) result(kinds []string) *Result {
	p := r.plan
	res := &Result{
		Started: r.began.Add(p.Warmup), Wanted: p.Rate, Statuses: map[int]uint64{}, Errors: map[Failure]uint64{},
		Latency: newHistogram(3), Service: newHistogram(3), Lag: newHistogram(3), Kinds: map[string]*Kind{}, CPU: r.cpuEnd - r.cpuBegin,
	}
	for _, name := range kinds {
		res.Kinds[name] = &Kind{Latency: newHistogram(kindDigits(len(kinds)))}
	}
	last, ended := int64(0), true
	for _, w := range r.workers {
		t := w.tally
		res.Due += t.due
		res.Done += t.done
		res.Answered += t.answers
		res.Late += t.late
		res.Sent += t.sent
		res.Received += t.received
		res.Opened += t.opened
		res.Latency.Merge(t.latency)
		res.Service.Merge(t.service)
		res.Lag.Merge(t.lag)
		for status, n := range t.statuses {
			if n > 0 {
				res.Statuses[status] += n
			}
		}
		for i, n := range t.failed {
			if n > 0 {
				res.Errors[failures[i]] += n
			}
		}
		for i := range t.kinds {
			k := res.Kinds[kinds[i]]
			k.Done += t.kinds[i].Done
			k.Failed += t.kinds[i].Failed
			if t.kinds[i].Latency != nil {
				k.Latency.Merge(t.kinds[i].Latency)
			}
		}
		last = max(last, t.last)
		ended = ended && w.quota == 0
	}
	switch begin := int64(p.Warmup); {
	case r.cancelled > 0:
		res.Elapsed = time.Duration(min(max(r.cancelled-begin, 0), int64(p.Duration)))
	case ended:
		res.Elapsed = time.Duration(max(last-begin, 1))
	default:
		res.Elapsed = p.Duration
	}
	res.Series = r.series(res.Elapsed)
	return res
}

// series is the seconds of the counted time, those without answers too.
func (r *run) series(elapsed time.Duration) []Second {
	var series []Second
	for at := 0; time.Duration(at)*time.Second < elapsed; at++ {
		if at >= len(r.seconds) {
			series = append(series, Second{At: time.Duration(at) * time.Second})
			continue
		}
		r.seconds[at].settle()
		series = append(series, r.seconds[at].Second)
	}
	return series
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// scenario is one kind of work. measure runs it once through a gateway that is up and warm.
type scenario struct {
	name, title string
	kind        report.Kind
	tls         bool // what is negotiated is checked first, and noted
	warm        bool // send requests before the first round, so that pools and heaps are as they stay
	measure     func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error)
}

// scenarios are in the order they run; the first is the one that promises are made about.
func scenarios() []scenario {
	return []scenario{
		{"json", "Small JSON: GET, 113 bytes, 64 connections", report.Requests, false, true, underWrk(plain, 64, "/plain/json", 0, 1)},
		{"one", "Small JSON over 1 connection", report.Requests, false, true, underWrk(plain, 1, "/plain/json", 0, 2)},
		{"many", "Small JSON over 1000 connections", report.Requests, false, true, underWrk(plain, 1000, "/plain/json", 0, 2)},
		{"get64k", "GET, 64 KiB answers, 64 connections", report.Requests, false, true, underWrk(plain, 64, "/plain/64k", 0, 2)},
		{"post64k", "POST, 64 KiB bodies, 64 connections", report.Requests, false, true, underWrk(plain, 64, "/plain/post", 64<<10, 2)},
		{"idle", "Idle keep-alive connections, each after one request", report.Idle, false, false, measureIdle(plain, func(o options) int { return o.idle })},
		{"download", "Download of 1 GiB", report.Bulk, false, false, measureBulk(download)},
		{"upload", "Upload of 1 GiB", report.Bulk, false, false, measureBulk(upload)},
		{"tls", "TLS 1.3: small JSON, 64 connections", report.Requests, true, true, underWrk(encrypted, 64, "/plain/json", 0, 1)},
		{"full", "Full handshakes, each with one request", report.Handshakes, true, true, measureHandshakes(false)},
		{"resumed", "Resumed handshakes, each with one request", report.Handshakes, true, true, measureHandshakes(true)},
		{"h2", "HTTP/2 over TLS 1.3: small JSON, 8 connections with 32 streams each", report.Requests, true, true, underH2load(encrypted, 2)},
		{"h2c", "HTTP/2 in the clear: small JSON, 8 connections with 32 streams each", report.Requests, false, true, underH2load(h2c, 2)},
		{"idletls", "Idle TLS connections, each after one request", report.Idle, true, false, measureIdle(encrypted, func(o options) int { return o.idleTLS })},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// runScenario starts every gateway afresh and takes them in turn, round by round. Those whose turn it is not have no
// work, so they cost the one at work nothing.
func runScenario(ctx context.Context, g *ground, s scenario, o options) (*report.Scenario, error) {
	running, logged := map[string]*process.Process{}, map[string]int64{}
	defer func() {
		for _, p := range running {
			p.Stop()
		}
	}()
	for _, name := range o.gateways {
		os.Remove(filepath.Join(g.dir, name+"-access.log")) // the last scenario's: it may be large
		p, err := g.start(ctx, name)
		if err != nil {
			return nil, err
		}
		running[name], logged[name] = p, g.logged(name)
		if s.warm {
			warm := o
			warm.duration = time.Second
			if _, err := s.measure(ctx, g, p, name, warm); err != nil {
				return nil, fmt.Errorf("%s, warming up: %w", name, err)
			}
		}
	}
	measured := &report.Scenario{Name: s.name, Title: s.title, Kind: s.kind}
	if s.tls {
		var err error
		if measured.Note, err = negotiated(ctx, g, o.gateways); err != nil {
			return nil, err
		}
	}
	rounds := o.rounds
	if s.kind == report.Idle {
		rounds = 1 // memory, once grown, stays grown: a second round would show nothing
	}
	for round := range rounds {
		for _, name := range o.gateways {
			sample, err := s.measure(ctx, g, running[name], name, o)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", name, round+1, err)
			}
			measured.Add(name, sample)
			fmt.Fprintf(os.Stderr, "%-8s round %d  %-8s %8.1f %8.0f/s  others on its core %.0f %%\n",
				s.name, round+1, name, sample.User+sample.System, sample.Rate, 100*sample.Disturbed)
		}
	}
	for _, name := range o.gateways {
		if !g.logsMore(name, logged[name]) {
			return nil, fmt.Errorf("%s: its access log did not grow: the comparison would be unfair", name)
		}
	}
	return measured, nil
}

// metered runs work and books what the gateway used meanwhile, in units of work done.
func metered(p *process.Process, work func() (units float64, sample report.Sample, err error), unit time.Duration) (report.Sample, error) {
	if err := p.ResetPeak(); err != nil {
		return report.Sample{}, err
	}
	before, err := p.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	busy, err := process.Busy(gatewayCore)
	if err != nil {
		return report.Sample{}, err
	}
	began := time.Now()
	units, sample, err := work()
	if err != nil {
		return report.Sample{}, err
	}
	took := time.Since(began)
	time.Sleep(50 * time.Millisecond) // connections close; then the gateway rests and its time is booked
	after, err := p.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	used := after.Sub(before)
	sample.User = float64(used.User) / float64(unit) / units
	sample.System = float64(used.System) / float64(unit) / units
	sample.Used = float64(used.Total()) / float64(took)
	busyAfter, err := process.Busy(gatewayCore)
	if err != nil {
		return report.Sample{}, err
	}
	sample.Disturbed = max(0, float64(busyAfter-busy-used.Total())/float64(took))
	_, sample.PeakRSS, err = p.RSS()
	return sample, err
}

// underWrk is a scenario of many small exchanges. The few requests that wrk has under way when it stops are paid for
// but not counted: a thousand of some ten thousand at worst. It gets the part of -duration that share divides off.
func underWrk(reach reach, connections int, path string, post, share int) func(context.Context, *ground, *process.Process, string, options) (report.Sample, error) {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return metered(p, func() (float64, report.Sample, error) {
			figures, err := wrk.Run(ctx, g.dir, wrk.Load{
				URL: reach.url(g, gateway) + path, Connections: connections, Duration: o.duration / time.Duration(share), PostBytes: post,
				Env: g.opensslEnv(),
			})
			return float64(figures.Requests), report.Sample{
				Rate: figures.PerSecond(), P50: figures.P50, P99: figures.P99, Errors: figures.Errors,
			}, err
		}, time.Microsecond)
	}
}

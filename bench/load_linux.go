package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"straum.dev/straum/bench/h2load"
	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// generator is a program that makes load, with the work it is compared by.
type generator struct {
	name   string
	beside bool // its work is another: it is shown and compared by itself
	run    func(ctx context.Context, g *ground, duration time.Duration) (requests int64, sample report.Sample, err error)
}

// overHTTP1 and overHTTP2 are who is compared over either.
func overHTTP1() []generator {
	return []generator{
		{"straum", false, underStraum("target", "--connections", "64")},
		{"wrk", false, func(ctx context.Context, g *ground, duration time.Duration) (int64, report.Sample, error) {
			f, err := wrk.Run(ctx, g.dir, wrk.Load{URL: "http://" + g.address("target") + "/plain/json", Connections: 64, Duration: duration})
			return f.Requests, report.Sample{Rate: f.PerSecond(), P50: f.P50, P99: f.P99, Errors: f.Errors}, err
		}},
		{"straum, 20,000/s", true, underStraum("target", "--connections", "64", "--rate", "20000")},
	}
}

func overHTTP2() []generator {
	return []generator{
		{"straum", false, underStraum("target-h2c", "--http2", "--connections", "8", "--streams", "32")},
		{"h2load", false, func(ctx context.Context, g *ground, duration time.Duration) (int64, report.Sample, error) {
			f, err := h2load.Run(ctx, h2load.Load{URL: "http://" + g.address("target-h2c") + "/plain/json", Connections: 8, Streams: 32, Duration: duration, Suite: tls.CipherSuiteName(wantSuite), Group: wantGroup.String()})
			return f.Requests, report.Sample{Rate: f.PerSecond(), Errors: f.Errors}, err
		}},
	}
}

// underStraum is straum load on one of the target's ports.
func underStraum(port string, args ...string) func(context.Context, *ground, time.Duration) (int64, report.Sample, error) {
	return func(ctx context.Context, g *ground, duration time.Duration) (int64, report.Sample, error) {
		all := append([]string{"load", "http://" + g.address(port) + "/plain/json", "--json", "--warmup", "0s", "--duration", duration.String()}, args...)
		cmd := exec.CommandContext(ctx, g.binary, all...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, report.Sample{}, fmt.Errorf("straum load: %w", err)
		}
		var said struct {
			Runs []struct {
				Rate    float64 `json:"rate"`
				Done    int64   `json:"done"`
				Due     int64   `json:"due"`
				Latency struct {
					P50, P99 float64
				} `json:"latency_ms"`
			} `json:"runs"`
		}
		if err := json.Unmarshal(out, &said); err != nil || len(said.Runs) != 1 {
			return 0, report.Sample{}, fmt.Errorf("straum load: %w in\n%s", err, out)
		}
		r := said.Runs[0]
		return r.Done, report.Sample{Rate: r.Rate, P50: milli(r.Latency.P50), P99: milli(r.Latency.P99), Errors: r.Due - r.Done}, nil
	}
}

func milli(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// runGenerators takes the generators in turn, round by round, on the load's core; the target has the gateways' core.
func runGenerators(ctx context.Context, g *ground, s scenario, o options) (*report.Scenario, error) {
	target, err := g.launch(ctx, "target", gatewayCore, nil,
		"nginx", "-e", filepath.Join(g.dir, "target.err"), "-c", filepath.Join(g.dir, "target.conf"), "-g", "daemon off;")
	if err != nil {
		return nil, err
	}
	defer target.Stop()
	measured := &report.Scenario{Name: s.name, Title: s.title, Kind: s.kind, Note: s.note}
	duration := max(time.Second, o.duration/2)
	for round := range o.rounds {
		for _, one := range s.generators {
			sample, err := meteredLoad(ctx, g, one, duration)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", one.name, round+1, err)
			}
			if one.beside && round == 0 {
				measured.Beside(one.name)
			}
			measured.Add(one.name, sample)
			fmt.Fprintf(os.Stderr, "%-8s round %d  %-8s %8.1f %8.0f/s  others on its core %.0f %%\n",
				s.name, round+1, one.name, sample.User+sample.System, sample.Rate, 100*sample.Disturbed)
		}
	}
	return measured, nil
}

// meteredLoad runs a generator once and books what it used, its start and end included. They inherit the bench's own core.
func meteredLoad(ctx context.Context, g *ground, one generator, duration time.Duration) (report.Sample, error) {
	before, busy, err := loadUsage()
	if err != nil {
		return report.Sample{}, err
	}
	began := time.Now()
	requests, sample, err := one.run(ctx, g, duration)
	if err != nil {
		return report.Sample{}, err
	}
	if requests == 0 {
		return report.Sample{}, fmt.Errorf("nothing was answered")
	}
	after, busyAfter, err := loadUsage()
	if err != nil {
		return report.Sample{}, err
	}
	used := after.Sub(before)
	sample.User = float64(used.User) / float64(time.Microsecond) / float64(requests)
	sample.System = float64(used.System) / float64(time.Microsecond) / float64(requests)
	sample.Disturbed = max(0, float64(busyAfter-busy-used.Total())/float64(time.Since(began)))
	return sample, nil
}

// loadUsage is what the programs used that the bench has waited for, which while the target runs are generators alone, and how long the
// load's core was busy.
func loadUsage() (process.CPU, time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return process.CPU{}, 0, err
	}
	busy, err := process.Busy(loadCore)
	return process.CPU{User: time.Duration(u.Utime.Nano()), System: time.Duration(u.Stime.Nano())}, busy, err
}

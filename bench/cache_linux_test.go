package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Every gateway that caches does so, and the figures of its scenarios can be taken.
func TestEveryGatewayCaches(t *testing.T) {
	ctx := context.Background()
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	o := options{gateways: gatewayNames(), rounds: 1, idle: 1, idleTLS: 1, tokens: 1, duration: time.Second}
	for _, s := range scenarios() {
		if s.caches {
			o.scenarios = append(o.scenarios, s.name)
		}
	}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, t.TempDir(), o)
	defer g.close()
	for _, name := range append(gatewayNames(), "varnish") {
		t.Run(name, func(t *testing.T) {
			if name == "straum" {
				buildForTest(t, g)
			}
			p, err := g.start(ctx, name, caches)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			if err := checkCache(ctx, g, name); err != nil {
				t.Error(err)
			}
			for _, measure := range []struct {
				name string
				take measure
				hits float64 // at least
			}{{"hits", hitsUnderWrk(1 << 10), 1}, {"long hits", hitsUnderWrk(64 << 10), 1}, {"mix", mixOf(3000), 0.3}, {"herd", measureHerd, 0}} {
				sample, err := measure.take(ctx, g, p, name, o)
				if err != nil || sample.Kept < measure.hits || sample.User+sample.System <= 0 || sample.Errors > 0 {
					t.Errorf("%s: %+v, %v", measure.name, sample, err)
				}
				t.Logf("%s: %.1f µs, hits %.3f, asked %.0f, %.0f/s", measure.name, sample.User+sample.System, sample.Kept, sample.Asked, sample.Rate)
				if measure.name == "herd" && (sample.Asked < 1 || name != "haproxy" && sample.Asked > 1) {
					t.Errorf("the endpoint was asked %.0f times by a herd", sample.Asked)
				}
			}
			if !g.logsMore(name, 2) {
				t.Errorf("its access log shows %d requests, want 3", g.logged(name))
			}
		})
	}
}

// The disk of the last scenario stands still when it is told to, and goes on.
func TestDiskStalls(t *testing.T) {
	ctx := context.Background()
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	o := options{gateways: []string{"straum"}, scenarios: []string{"cachestall"}, rounds: 1, idle: 1, idleTLS: 1, tokens: 1, duration: time.Second}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, t.TempDir(), o)
	defer g.close()
	buildForTest(t, g)
	p, err := g.start(ctx, "straum", stalls)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for _, stalled := range []bool{false, true, false} {
		if sample, err := besideDisk(stalled)(ctx, g, p, "straum", o); err != nil || sample.Errors > 0 || sample.Rate < 100 {
			t.Errorf("stalled: %v: %+v, %v", stalled, sample, err)
		}
	}
	if err := checkCache(ctx, g, "straum"); err != nil {
		t.Error(err)
	}
}

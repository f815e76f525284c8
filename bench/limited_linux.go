package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// Paths where a gateway counts by caller. Straum has three ways to.
const (
	limited = "/limited/json" // by itself
	leased  = "/leased/json"  // in Redis, in batches
	exact   = "/exact/json"   // in Redis, each request
	free    = "/free/json"    // not at all
)

// manyCallers is a file of callers, one a line, in the folder of the bench: so few that each comes often, as one who needs a limit does.
const manyCallers = "callers.txt"

func layCallers(dir string) error {
	var text bytes.Buffer
	for number := range 100 {
		fmt.Fprintf(&text, "caller-%05d\n", number)
	}
	return os.WriteFile(filepath.Join(dir, manyCallers), text.Bytes(), 0o600)
}

// underCallers is a scenario of many small exchanges, of the callers in turn.
func underCallers(path string) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		return metered(p, func() (float64, report.Sample, error) {
			figures, err := wrk.Run(ctx, g.dir, wrk.Load{
				URL: plain.url(g, gateway) + path, Connections: 64, Duration: o.duration / 2, Callers: filepath.Join(g.dir, manyCallers),
			})
			if err == nil && figures.Errors > 0 {
				err = fmt.Errorf("%d of %d answers were errors: refusing costs less than serving", figures.Errors, figures.Requests)
			}
			return float64(figures.Requests), report.Sample{
				Rate: figures.PerSecond(), P50: figures.P50, P99: figures.P99,
			}, err
		}, time.Microsecond)
	}
}

// checkLimits sees whether the gateway counts by caller, in each way it has: where one request is allowed, the second of a caller is refused, and
// another caller's is not.
func checkLimits(ctx context.Context, g *ground, gateway string) error {
	ways := []string{"/tight/json"}
	if gateway == "straum" {
		ways = append(ways, "/tight-leased/json", "/tight-exact/json")
	}
	for _, way := range ways {
		var err error
		for try := range 5 { // a store that has just begun may miss its budget, and then the gateway counts by itself for once
			if err = counts(ctx, plain.url(g, gateway)+way, try); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	return nil
}

// counts asks as callers that nobody was before.
func counts(ctx context.Context, url string, try int) error {
	for _, ask := range []struct {
		caller string
		want   int
	}{{"one", http.StatusOK}, {"two", http.StatusOK}, {"one", http.StatusTooManyRequests}} {
		if err := askedBy(ctx, url, fmt.Sprintf("%s-%d", ask.caller, try), ask.want); err != nil {
			return fmt.Errorf("caller %s: %w", ask.caller, err)
		}
	}
	return nil
}

// askedBy asks once as a caller and wants the status.
func askedBy(ctx context.Context, url, caller string, want int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Caller", caller)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		return fmt.Errorf("answered %s, want %d", answer.Status, want)
	}
	return nil
}

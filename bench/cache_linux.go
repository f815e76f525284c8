package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// The mix of many URLs: few are asked for often, most hardly ever (Zipf's law with the exponent that is usual for caches).
const (
	zipfURLs     = 100_000
	zipfExponent = 0.99
	// cacheBudget is what each gateway may keep, in MiB: a tenth of the mix.
	cacheBudget = 76
	// zipfFill is how many requests are sent before the first round, so that every cache has thrown out as much as it keeps.
	zipfFill = 150_000
)

// zipfSize is how long one of the mix is: 2 to 14 KiB, 8 on average, 780 MiB in all.
func zipfSize(number int) int {
	return 2<<10 + int(uint32(number)*2654435761>>8%(12<<10))
}

// zipfScript has wrk ask for the mix at random. A request costs one draw and a search in 100,000 sums.
const zipfScript = `
local requests, sums, sum = {}, {}, 0
function init()
  math.randomseed(%d)
  for i = 1, %d do
    sum = sum + 1 / i ^ %g
    sums[i] = sum
    requests[i] = wrk.format(nil, "/cache/z/" .. i)
  end
end
function request()
  local at, low, high = math.random() * sum, 1, #sums
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sums[middle] < at then low = middle + 1 else high = middle end
  end
  return requests[low]
end
`

// hitsUnderWrk is a scenario of hits alone: one URL over 64 connections. It is an error when the endpoint is asked.
func hitsUnderWrk(size int) measure {
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		path := fmt.Sprintf("/cache/%d/hit", size)
		for range 3 { // some keep what is asked for a second time
			if err := exchangeStatus(ctx, plain.url(g, gateway)+path); err != nil {
				return report.Sample{}, err
			}
		}
		asked := g.keepable.asked.Load()
		sample, err := underWrk(plain, 64, path, 0, 2)(ctx, g, p, gateway, o)
		if asked = g.keepable.asked.Load() - asked; err == nil && asked > 0 {
			err = fmt.Errorf("the endpoint was asked %d times: these are not hits alone", asked)
		}
		sample.Kept = 1
		return sample, err
	}
}

// mixUnderWrk is the scenario of many URLs. Each round has a mix of its own, the same for all gateways. Before a gateway's first, its cache is filled.
func mixUnderWrk() measure { return mixOf(zipfFill) }

func mixOf(fill int64) measure {
	rounds, filled := map[string]int64{}, map[string]bool{}
	return func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error) {
		mix := func(seed int64, d time.Duration) (wrk.Figures, error) {
			return wrk.Run(ctx, g.dir, wrk.Load{
				URL: plain.url(g, gateway), Connections: 64, Duration: d, Script: fmt.Sprintf(zipfScript, seed, zipfURLs, zipfExponent),
			})
		}
		for sent, seed := int64(0), int64(1000); !filled[gateway] && sent < fill; seed++ {
			figures, err := mix(seed, 3*time.Second)
			if err != nil {
				return report.Sample{}, err
			}
			sent += figures.Requests
		}
		filled[gateway] = true
		rounds[gateway]++
		asked := g.keepable.asked.Load()
		var kept float64
		sample, err := metered(p, func() (float64, report.Sample, error) {
			figures, err := mix(rounds[gateway], o.duration)
			kept = 1 - float64(g.keepable.asked.Load()-asked)/float64(max(1, figures.Requests))
			return float64(figures.Requests), report.Sample{Rate: figures.PerSecond(), P50: figures.P50, P99: figures.P99, Errors: figures.Errors}, err
		}, time.Microsecond)
		sample.Kept = kept
		return sample, err
	}
}

// startVarnish runs Varnish with the program that writes its access log: without that it writes none, and would do less than the others.
func (g *ground) startVarnish(ctx context.Context) (*process.Process, error) {
	work := filepath.Join(g.dir, "varnish")
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	script := fmt.Sprintf(`varnishncsa -n %[1]s -t 20 -w %[2]s/varnish-access.log & exec varnishd -F -j none -n %[1]s -a 127.0.0.1:%[3]d -f %[2]s/varnish.vcl -s malloc,%[4]dm -p thread_pools=1`,
		work, g.dir, g.ports["varnish"], cacheBudget)
	return g.launch(ctx, "varnish", gatewayCore, nil, "sh", "-c", script)
}

// checkCache sees whether a gateway caches: what is asked for three times reaches the endpoint once or, where a cache wants to see things twice, two
// times.
func checkCache(ctx context.Context, g *ground, gateway string) error {
	url := fmt.Sprintf("%s/cache/1000/check-%d", plain.url(g, gateway), rand.Uint64())
	before := g.keepable.asked.Load()
	for range 5 {
		if err := exchangeStatus(ctx, url); err != nil {
			return err
		}
	}
	if asked := g.keepable.asked.Load() - before; asked > 2 {
		return fmt.Errorf("the endpoint was asked %d times for one answer: it is not cached", asked)
	}
	return nil
}

// exchangeStatus asks once over a connection of its own, wants 200 and reads to the end: who leaves earlier may keep a gateway from storing.
func exchangeStatus(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", answer.Status)
	}
	_, err = discard(answer.Body)
	return err
}

// The herd: many clients at once ask for what is not there yet.
const (
	herdClients = 500
	coldTakes   = 500 * time.Millisecond // of the endpoint, so that all have asked before it answers
)

// measureHerd counts how often the endpoint is asked for one cold URL.
func measureHerd(ctx context.Context, g *ground, p *process.Process, gateway string, _ options) (report.Sample, error) {
	conns := make([]net.Conn, herdClients)
	for i := range conns {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", plain.address(g, gateway))
		if err != nil {
			return report.Sample{}, err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		conns[i] = conn
	}
	before := g.keepable.asked.Load()
	request := fmt.Sprintf("GET /cache/cold/%d HTTP/1.1\r\nHost: bench\r\n\r\n", rand.Uint64())
	sample, err := metered(p, func() (float64, report.Sample, error) {
		began := time.Now()
		for _, conn := range conns {
			if _, err := conn.Write([]byte(request)); err != nil {
				return 0, report.Sample{}, err
			}
		}
		for _, conn := range conns {
			if err := readOK(conn); err != nil {
				return 0, report.Sample{}, err
			}
		}
		return herdClients, report.Sample{P99: time.Since(began)}, nil
	}, time.Microsecond)
	sample.Asked = float64(g.keepable.asked.Load() - before)
	return sample, err
}

// readOK reads an answer of 200 to its end, from a connection that is used once.
func readOK(conn net.Conn) error {
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", answer.Status)
	}
	_, err = discard(answer.Body)
	return err
}

// varnishToo shows Varnish beside the gateways: it does nothing but cache, so it is in no other scenario.
func varnishToo() []variant { return []variant{{"varnish", "straum", "varnish", nil}} }

const varnishNote = "Varnish's figures have varnishncsa in them, which writes its access log."

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
	"straum.dev/straum/bench/wrk"
)

// measure runs a kind of work once through a gateway that is up and warm.
type measure func(ctx context.Context, g *ground, p *process.Process, gateway string, o options) (report.Sample, error)

// scenario is one kind of work.
type scenario struct {
	name, title string
	kind        report.Kind
	tls         bool // what is negotiated is checked first, and noted
	warm        bool // send requests before the first round, so that pools and heaps are as they stay
	measure     measure
	guards      string      // path where the gateways ask for tokens and are first seen to refuse bad ones; empty where they do not
	limits      bool        // the gateways count callers, and are first seen to
	caches      bool        // the gateways keep answers, and are first seen to
	only        string      // the one gateway that takes part, empty for all
	stalls      bool        // that one keeps answers on a disk that can be stalled
	beside      []variant   // taken in turn with the gateways
	generators  []generator // what is compared is no gateway but what makes load; nil for all other scenarios
	note        string      // what a reader has to know of the figures
}

// asks says whether the gateways run with the configuration that asks for tokens.
func (s scenario) asks() bool { return s.guards != "" }

// setup is how the gateways run.
func (s scenario) setup() setup {
	switch {
	case s.asks():
		return tokens
	case s.limits:
		return limits
	case s.caches:
		return caches
	case s.stalls:
		return stalls
	}
	return simple
}

// variant is a gateway set up in another way than it comes. It is shown, but promises are made about the others.
type variant struct {
	name, of, gateway string
	measure           measure // nil for the scenario's
}

// turn is a gateway and what its row in the results is called.
type turn struct {
	name, gateway string
	measure       measure
}

// turns are in the order of a round. Variants of gateways that do not run are left out.
func (s scenario) turns(gateways []string) []turn {
	var turns []turn
	for _, name := range gateways {
		if s.only != "" && s.only != name {
			continue
		}
		turns = append(turns, turn{name, name, s.measure})
	}
	for _, v := range s.beside {
		if slices.Contains(gateways, v.of) {
			if v.measure == nil {
				v.measure = s.measure
			}
			turns = append(turns, turn{v.name, v.gateway, v.measure})
		}
	}
	return turns
}

// check sees whether a gateway does what the scenario is about: one that does not would do less than the others.
func (s scenario) check(ctx context.Context, g *ground, gateway string) error {
	if s.limits {
		return checkLimits(ctx, g, gateway)
	}
	if s.caches || s.stalls {
		return checkCache(ctx, g, gateway)
	}
	if !s.asks() {
		return nil
	}
	if err := checkGuarded(ctx, g, gateway, s.guards); err != nil || s.guards != front {
		return err
	}
	return checkFront(ctx, g, gateway)
}

// scenarios are in the order they run; the first is the one that promises are made about.
func scenarios() []scenario {
	return []scenario{
		{name: "json", title: "Small JSON: GET, 113 bytes, 64 connections", kind: report.Requests, warm: true, measure: underWrk(plain, 64, "/plain/json", 0, 1)},
		{name: "one", title: "Small JSON over 1 connection", kind: report.Requests, warm: true, measure: underWrk(plain, 1, "/plain/json", 0, 2)},
		{name: "many", title: "Small JSON over 1000 connections", kind: report.Requests, warm: true, measure: underWrk(plain, 1000, "/plain/json", 0, 2)},
		{name: "get64k", title: "GET, 64 KiB answers, 64 connections", kind: report.Requests, warm: true, measure: underWrk(plain, 64, "/plain/64k", 0, 2)},
		{name: "post64k", title: "POST, 64 KiB bodies, 64 connections", kind: report.Requests, warm: true, measure: underWrk(plain, 64, "/plain/post", 64<<10, 2)},
		{name: "idle", title: "Idle keep-alive connections, each after one request", kind: report.Idle, measure: measureIdle(plain, func(o options) int { return o.idle })},
		{name: "download", title: "Download of 1 GiB", kind: report.Bulk, measure: measureBulk(download)},
		{name: "upload", title: "Upload of 1 GiB", kind: report.Bulk, measure: measureBulk(upload)},
		{name: "tls", title: "TLS 1.3: small JSON, 64 connections", kind: report.Requests, tls: true, warm: true, measure: underWrk(encrypted, 64, "/plain/json", 0, 1)},
		{name: "full", title: "Full handshakes, each with one request", kind: report.Handshakes, tls: true, warm: true, measure: measureHandshakes(false)},
		{name: "resumed", title: "Resumed handshakes, each with one request", kind: report.Handshakes, tls: true, warm: true, measure: measureHandshakes(true)},
		{name: "h2", title: "HTTP/2 over TLS 1.3: small JSON, 8 connections with 32 streams each", kind: report.Requests, tls: true, warm: true, measure: underH2load(encrypted, 2)},
		{name: "h2c", title: "HTTP/2 in the clear: small JSON, 8 connections with 32 streams each", kind: report.Requests, warm: true, measure: underH2load(h2c, 2)},
		{name: "idletls", title: "Idle TLS connections, each after one request", kind: report.Idle, tls: true, measure: measureIdle(encrypted, func(o options) int { return o.idleTLS })},
		{
			name: "jwt", title: "JWT over TLS 1.3: RS256, one token, small JSON, 64 connections", kind: report.Requests, tls: true, warm: true,
			measure: underTokens(oneToken, guarded, ""), guards: guarded, beside: remembering(),
			note: "The peers verify the token each time, Straum remembers that it did. nginx, remembering: with a script that keeps what it verified.",
		},
		{
			name: "jwtmany", title: "JWT over TLS 1.3: RS256, many tokens in turn, small JSON, 64 connections", kind: report.Requests, tls: true, warm: true,
			measure: underTokens(manyTokens, guarded, ""), guards: guarded, beside: remembering(),
			note: "Each token comes back after all the others, in the round or the next: what remembers has seen all of them by then.",
		},
		{
			name: "front", title: "The front of an API over TLS 1.3: JWT, rate limit by caller, CORS, header changes, 64 connections", kind: report.Requests, tls: true, warm: true,
			measure: underTokens(manyTokens, front, frontOrigin), guards: front,
			beside: append(remembering(), variant{"straum, JWT alone", "straum", "straum", underTokens(manyTokens, guarded, frontOrigin)}),
			note:   "As many callers as tokens, each with a limit of its own. straum, JWT alone: the same work without limit, CORS and header changes.",
		},
		{
			name: "jwtanew", title: "JWT over TLS 1.3: RS256, many tokens in turn, none remembered", kind: report.Requests, tls: true, warm: true,
			measure: underTokens(manyTokens, anew, ""), guards: anew,
			note: "Straum is told to remember none, so it verifies as the others do: what a token costs that comes for the first time.",
		},
		{
			name: "limits", title: "Rate limit by caller: small JSON, 100 callers in turn, 64 connections", kind: report.Requests, warm: true,
			measure: underCallers(limited), limits: true,
			beside: []variant{
				{"straum, leased", "straum", "straum", underCallers(leased)}, {"straum, exact", "straum", "straum", underCallers(exact)},
				{"straum, no limit", "straum", "straum", underCallers(free)}, {"nginx, no limit", "nginx", "nginx", underCallers(free)},
				{"haproxy, no limit", "haproxy", "haproxy", underCallers(free)},
			},
			note: "Each gateway counts by itself; Straum tells what is left besides. leased and exact: Straum counts in Redis, which stands on the load's core.",
		},
		{
			name: "cachehit", title: "Cache hits: 1 KiB from memory, 64 connections", kind: report.Cached, warm: true,
			measure: hitsUnderWrk(1 << 10), caches: true, beside: varnishToo(), note: varnishNote,
		},
		{
			name: "cachehit64k", title: "Cache hits: 64 KiB from memory, 64 connections", kind: report.Cached, warm: true,
			measure: hitsUnderWrk(64 << 10), caches: true, beside: varnishToo(), note: varnishNote,
		},
		{
			name: "cachezipf", title: "Cache with room for a tenth: 100,000 URLs of 2 to 14 KiB, asked for by Zipf's law, 64 connections", kind: report.Cached, warm: true,
			measure: mixUnderWrk(), caches: true, beside: varnishToo(), note: varnishNote + " nginx counts whole blocks of its file system, 4 KiB, and removes what is too much a moment later.",
		},
		{
			name: "cacheherd", title: "Herd: 500 clients at once on one cold URL", kind: report.Herd,
			measure: measureHerd, caches: true, beside: varnishToo(), note: varnishNote + " The endpoint takes half a second. HAProxy does not hold requests back for one another.",
		},
		{
			name: "cachestall", title: "Another route while the disk under the cache is stalled: 1000 requests/s over 8 connections", kind: report.Latency, warm: true,
			measure: besideDisk(false), only: "straum", stalls: true, beside: []variant{{"straum, disk stalled", "straum", "straum", besideDisk(true)}},
			note: "In both rows others ask for what is, or would be, on that disk. Every access to it waits while it is stalled. The figures are those of the other route.",
		},
		{
			name: "loadh1", title: "Load generators: HTTP/1.1, small JSON from nginx, 64 connections", kind: report.Generators, generators: overHTTP1(),
			note: "The target has the gateways' core. straum, 20,000/s: an open loop, which sleeps and wakes for nearly each request; nothing else here can be told a rate.",
		},
		{
			name: "loadh2", title: "Load generators: HTTP/2 in the clear, small JSON from nginx, 8 connections with 32 streams each", kind: report.Generators, generators: overHTTP2(),
			note: "The target has the gateways' core.",
		},
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
	if s.generators != nil {
		return runGenerators(ctx, g, s, o)
	}
	running, logged := map[string]*process.Process{}, map[string]int64{}
	defer func() {
		for _, p := range running {
			p.Stop()
		}
	}()
	turns := s.turns(o.gateways)
	for _, t := range turns {
		p := running[t.gateway]
		if p == nil {
			os.Remove(filepath.Join(g.dir, t.gateway+"-access.log")) // the last scenario's: it may be large
			var err error
			if p, err = g.start(ctx, t.gateway, s.setup()); err != nil {
				return nil, err
			}
			running[t.gateway], logged[t.gateway] = p, g.logged(t.gateway)
			if err := s.check(ctx, g, t.gateway); err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
		}
		if s.warm {
			if err := s.warmUp(ctx, g, p, t, o); err != nil {
				return nil, fmt.Errorf("%s, warming up: %w", t.name, err)
			}
		}
	}
	measured := &report.Scenario{Name: s.name, Title: s.title, Kind: s.kind, Note: s.note}
	for _, v := range s.beside {
		measured.Beside(v.name)
	}
	if s.tls {
		note, err := negotiated(ctx, g, o.gateways)
		if err != nil {
			return nil, err
		}
		measured.Note = strings.TrimSpace(note + " " + s.note)
	}
	rounds := o.rounds
	if s.kind == report.Idle {
		rounds = 1 // memory, once grown, stays grown: a second round would show nothing
	}
	for round := range rounds {
		for _, t := range turns {
			sample, err := t.measure(ctx, g, running[t.gateway], t.gateway, o)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", t.name, round+1, err)
			}
			measured.Add(t.name, sample)
			fmt.Fprintf(os.Stderr, "%-8s round %d  %-8s %8.1f %8.0f/s  others on its core %.0f %%\n",
				s.name, round+1, t.name, sample.User+sample.System, sample.Rate, 100*sample.Disturbed)
		}
	}
	for _, t := range turns {
		if !g.logsMore(t.gateway, logged[t.gateway]) {
			return nil, fmt.Errorf("%s: its access log did not grow: the comparison would be unfair", t.name)
		}
	}
	return measured, nil
}

// warmUp runs a second of the work, or longer where there are tokens: until one run has shown all of them, as each begins with the first. On a machine
// that others use too, some would come for the first time in a round otherwise.
func (s scenario) warmUp(ctx context.Context, g *ground, p *process.Process, t turn, o options) error {
	const longest = 16 * time.Second
	for o.duration = time.Second; ; o.duration *= 2 {
		sample, err := t.measure(ctx, g, p, t.gateway, o)
		took := max(1, (o.duration / 2).Seconds())
		if err != nil || !s.asks() || sample.Rate*took >= float64(o.tokens) || o.duration >= longest {
			return err
		}
	}
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
func underWrk(reach reach, connections int, path string, post, share int) measure {
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

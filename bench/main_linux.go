package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"straum.dev/straum/bench/process"
	"straum.dev/straum/bench/report"
)

// The two cores of the smallest machine that this bench, and Straum, are made for.
const (
	gatewayCore = 0
	loadCore    = 1
)

// results is where a full run is written unless told otherwise.
const results = "bench/RESULTS.md"

type options struct {
	gateways, scenarios []string
	rounds              int
	duration            time.Duration
	idle, idleTLS       int
	tokens              int
	port                int
	binary, out, perf   string
	limit               time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parseOptions()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseOptions() options {
	var o options
	var gateways, scenarios string
	flag.StringVar(&gateways, "gateways", strings.Join(gatewayNames(), ","), "which gateways run, in this order")
	flag.StringVar(&scenarios, "scenarios", strings.Join(scenarioNames(), ","), "which scenarios run")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each gateway runs each scenario (those of idle connections: once)")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "length of one run of the scenarios json and tls; the others take half, and wrk and h2load at least 1s")
	flag.IntVar(&o.idle, "idle", 15000, "connections in the scenario idle")
	flag.IntVar(&o.idleTLS, "idletls", 10000, "connections in the scenario idletls")
	flag.IntVar(&o.tokens, "tokens", 10000, "distinct tokens in the scenarios jwtmany and jwtanew")
	flag.IntVar(&o.port, "port", 9000, "first port: the bench takes +0 to +4, +101 to +105, +201 to +204, +301, +302, +514 (UDP), +637 and +901 to +904 of 127.0.0.1")
	flag.StringVar(&o.binary, "straum", "", "Straum's binary (default: built from this tree)")
	flag.StringVar(&o.out, "out", "", "file for the results (default: "+results+" if all gateways and scenarios run, else none)")
	flag.StringVar(&o.perf, "perf", "", "keep this gateway under load of the first scenario (or the first of -scenarios) for -duration, to look into it")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "the whole run is given up after this time")
	flag.Parse()
	o.gateways, o.scenarios = strings.Split(gateways, ","), strings.Split(scenarios, ",")
	if o.perf != "" {
		o.gateways = []string{o.perf}
	}
	return o
}

func run(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := check(o); err != nil {
		return err
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "straum-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if (slices.Contains(o.gateways, "straum") || o.generates()) && o.binary == "" {
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	if err := process.PinSelf(loadCore); err != nil {
		return err
	}
	files := raiseFileLimit()
	ground, err := newGround(dir, o, files, bulkBytes)
	if err != nil {
		return err
	}
	defer ground.close()
	if o.perf != "" {
		return perf(ctx, ground, o)
	}
	var text strings.Builder
	for _, s := range scenarios() {
		if !slices.Contains(o.scenarios, s.name) {
			continue
		}
		measured, err := runScenario(ctx, ground, s, o)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		part := measured.Markdown("straum")
		fmt.Println(part)
		text.WriteString(part + "\n")
	}
	fmt.Printf("took %s\n", time.Since(began).Round(time.Second))
	return save(ctx, o, text.String())
}

// check finds what is missing before anything is started.
func check(o options) error {
	for _, name := range o.gateways {
		if !slices.Contains(gatewayNames(), name) {
			return fmt.Errorf("gateway %q is unknown; there are %s", name, strings.Join(gatewayNames(), ", "))
		}
	}
	for _, name := range o.scenarios {
		if !slices.Contains(scenarioNames(), name) {
			return fmt.Errorf("scenario %q is unknown; there are %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	if o.perf != "" && o.generates() {
		return fmt.Errorf("found -perf with a scenario of load generators; it looks into gateways")
	}
	if o.rounds < 1 || o.idle < 1 || o.idleTLS < 1 || o.tokens < 1 || o.duration < time.Second {
		return fmt.Errorf("found -rounds %d, -idle %d, -idletls %d, -tokens %d, -duration %s; the first four must be 1 or more, the last 1s or more", o.rounds, o.idle, o.idleTLS, o.tokens, o.duration)
	}
	if runtime.NumCPU() <= loadCore {
		return fmt.Errorf("found %d core; two are needed, one for the gateway and one for the load", runtime.NumCPU())
	}
	var missing, install []string
	for _, need := range []struct{ program, from string }{
		{"wrk", "wrk"}, {"nginx", "nginx-light"}, {"haproxy", "haproxy"}, {"h2load", "nghttp2-client"}, {"redis-server", "redis-server"},
		{"varnishd", "varnish"}, {"bindfs", "bindfs"},
	} {
		if need.program == "haproxy" && !slices.Contains(o.gateways, "haproxy") || need.program == "redis-server" && !o.wants(limits) ||
			need.program == "varnishd" && !o.wants(caches) || need.program == "bindfs" && !o.wants(stalls) {
			continue // nginx is the upstream too, so it is always needed
		}
		if _, err := exec.LookPath(need.program); err != nil {
			missing, install = append(missing, need.program), append(install, need.from)
		}
	}
	if slices.Contains(o.gateways, "nginx") && o.wants(tokens) && !nginxHas("ngx_http_lua_module") {
		missing, install = append(missing, "nginx's Lua module"), append(install, "libnginx-mod-http-lua lua-cjson lua-luaossl lua-resty-core lua-resty-lrucache")
	}
	if len(missing) > 0 {
		return fmt.Errorf("not found: %s; on Debian: apt-get install %s", strings.Join(missing, ", "), strings.Join(install, " "))
	}
	return nil
}

// nginxHas tells whether a module lies where this nginx looks for modules.
func nginxHas(module string) bool {
	out, _ := exec.Command("nginx", "-V").CombinedOutput() // an nginx that does not run is found missing by its name
	_, path, _ := strings.Cut(string(out), "--modules-path=")
	path, _, _ = strings.Cut(path, " ")
	_, err := os.Stat(filepath.Join(path, module+".so"))
	return err == nil
}

// wants tells whether a scenario that is asked for runs with this setup: ten thousand tokens take seconds to sign, and Redis may not be
// installed.
func (o options) wants(as setup) bool {
	return slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.setup() == as && slices.Contains(o.scenarios, s.name) })
}

// generates tells whether straum load is measured.
func (o options) generates() bool {
	return slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.generators != nil && slices.Contains(o.scenarios, s.name) })
}

// build compiles Straum the way it is shipped.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "straum")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/straum")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Straum (run the bench in the root of the tree, or give -straum): %w\n%s", err, out)
	}
	return binary, nil
}

// raiseFileLimit takes as many open files as the kernel allows and says how many that are. Setting it ourselves also
// makes programs that we start inherit it.
func raiseFileLimit() int {
	const wanted = 200_000
	limit := syscall.Rlimit{Cur: wanted, Max: wanted}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return wanted
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	limit.Cur = limit.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(limit.Cur)
}

// save writes the results of a full run, or of any run that names a file.
func save(ctx context.Context, o options, measured string) error {
	file := o.out
	if file == "" {
		if len(o.gateways) < len(gatewayNames()) || len(o.scenarios) < len(scenarioNames()) {
			fmt.Println("not written to " + results + ": not every gateway and scenario ran")
			return nil
		}
		file = results
	}
	if err := report.Write(file, facts(ctx, o)+measured); err != nil {
		return err
	}
	fmt.Println("written to " + file)
	return nil
}

// perf keeps one gateway busy, for a profiler to look at.
func perf(ctx context.Context, g *ground, o options) error {
	all := scenarios()
	s := all[slices.IndexFunc(all, func(s scenario) bool { return slices.Contains(o.scenarios, s.name) })]
	gateway, err := g.start(ctx, o.perf, s.setup())
	if err != nil {
		return err
	}
	defer gateway.Stop()
	fmt.Printf("%s runs as PID %d under load for %s; for example:\n  perf record -g -p %d -- sleep 5\n", o.perf, gateway.Pid(), o.duration, gateway.Pid())
	sample, err := s.measure(ctx, g, gateway, o.perf, o)
	if err != nil {
		return err
	}
	fmt.Printf("%.0f a second, %.1f µs each (user %.1f, system %.1f)\n", sample.Rate, sample.User+sample.System, sample.User, sample.System)
	return nil
}

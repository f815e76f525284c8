package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
)

func newCapacity() *cobra.Command {
	c := &cobra.Command{
		Use:   "capacity [URL]",
		Short: "Find out what load this box carries, and what gives out first",
		Long: `Raises the load step by step until answers get slower than --p99 or fail, watches the box meanwhile, narrows down
the highest rate that was carried twice, and checks it by a run of its own at 80 % of it. Says what gives out first,
how far that is from the busiest of the last day, and with --for what a given load needs.

It measures the running gateway, whose admin socket tells its process; or, with --rehearse, a copy of it made from the
configuration on loopback, with endpoints that are made up (--answer) and nothing real touched: no authority, no
shared store, no ban in the kernel, logs and caches in directories of their own.
Measuring the running gateway sends it and its endpoints all they can carry: do it when nobody minds.

What is sent: with --mix or --log what those say; with --path, -H, -X and --body one request; otherwise one request
for each route. There is no verdict while the machine around the box gives its cores to others (steal over 2 %).

` + anywhereHelp + `

Exit codes:
  0  there is a verdict
  1  there is none, or something failed
  2  the command line is wrong, or the target is not permitted
  3  the configuration or the mix has mistakes, or cannot be read`,
		Example: `  straum capacity --rehearse -c straum.yaml --answer 2ms,1KiB
  straum capacity -c straum.yaml --path /orders/1 --p99 25ms
  straum capacity -c straum.yaml --log access.log --html capacity.html
  straum capacity --rehearse --for 20000/s --price 12.50 --price-next 24`,
		Args: cobra.MaximumNArgs(1),
	}
	f := &capacityFlags{command: c}
	c.Flags().BoolVar(&f.rehearse, "rehearse", false, "measure a copy of the gateway that touches nothing real")
	c.Flags().StringVar(&f.answer, "answer", "0s,1KiB", "with --rehearse: `what` endpoints answer: after how long, and how much")
	c.Flags().BoolVar(&f.redis, "redis", false, "with --rehearse: use the shared store, which is real")
	c.Flags().BoolVar(&f.outside, "outside", false, "with --rehearse: let policies ask outside services for each request")
	c.Flags().StringVar(&f.listener, "listener", "", "the `name` or address of the listener to measure; the first that does not redirect when left out")
	c.Flags().StringVar(&f.socket, "socket", "", "the `path` of the gateway's admin socket, in place of the configuration's")
	c.Flags().StringVar(&f.path, "path", "", "ask for this `path` alone")
	c.Flags().DurationVar(&f.p99, "p99", 15*time.Millisecond, "how long the 99th percentile may take, from when a request was due")
	c.Flags().DurationVar(&f.budget, "budget", time.Minute, "how long it may take in all")
	c.Flags().DurationVar(&f.step, "step", 4*time.Second, "how long a run is counted")
	c.Flags().StringVar(&f.from, "from", "200/s", "the first `rate`")
	c.Flags().StringVar(&f.most, "most", "", "the highest `rate` to try; as much as it takes when left out")
	c.Flags().IntVar(&f.connections, "connections", 0, "connections of the generator at most; as many as the rate takes when 0")
	c.Flags().BoolVar(&f.http2, "http2", false, "speak HTTP/2: by ALPN with https, else by prior knowledge")
	c.Flags().IntVar(&f.streams, "streams", 16, "with --http2: requests at a time on a connection")
	c.Flags().BoolVar(&f.noKeepAlive, "no-keepalive", false, "open a connection for each request")
	c.Flags().StringVar(&f.need, "for", "", "say what this `rate` needs")
	c.Flags().Float64Var(&f.price, "price", 0, "what this box costs a month, in any `money`")
	c.Flags().Float64Var(&f.priceNext, "price-next", 0, "what the next larger box costs a month, with twice the cores")
	f.asked, f.at = addRequestFlags(c), addTargetFlags(c)
	c.Flags().BoolVar(&f.json, "json", false, "print JSON (docs/capacity.md), and no progress")
	c.Flags().StringVar(&f.html, "html", "", "write a page with plots to this `file` too")
	_ = c.MarkFlagFilename("html", "html")
	c.RunE = func(_ *cobra.Command, what []string) error { return f.run(what) }
	return c
}

// capacityFlags are the flags of straum capacity.
type capacityFlags struct {
	rehearse, redis, outside       bool
	answer, listener, socket, path string
	p99, budget, step              time.Duration
	from, most, need               string
	connections, streams           int
	http2, noKeepAlive, json       bool
	price, priceNext               float64
	html                           string
	asked                          *requestFlags
	at                             *targetFlags
	command                        *cobra.Command

	first, highest, wanted float64 // the rates, once they were read
}

// warmup is how long a run goes on before it is counted, and pause how long after it until the next: what is under way comes to its end. Short runs have
// shorter ones.
func (f *capacityFlags) warmup() time.Duration { return min(500*time.Millisecond, f.step/4) }

func (f *capacityFlags) pause() time.Duration { return min(200*time.Millisecond, f.step/4) }

// around is what a run takes besides the time that is counted.
func (f *capacityFlags) around() time.Duration { return f.warmup() + f.pause() + 50*time.Millisecond }

func (f *capacityFlags) run(what []string) error {
	ctx, end := interruptible(f.command.ErrOrStderr())
	defer end()
	if err := f.check(what); err != nil {
		return err
	}
	c, err := f.configuration(what)
	if err != nil {
		return err
	}
	var s *subject
	var r *rehearsal
	if f.rehearse {
		if r, err = f.startRehearsal(ctx, c); err != nil {
			return failed(err)
		}
		defer r.close()
		s, err = f.rehearsed(c, r)
	} else {
		s, err = f.running(ctx, c, what)
	}
	if err != nil {
		return err
	}
	defer s.close()
	m, err := f.requests(c, s)
	if err != nil {
		return err
	}
	s.notes = append(s.notes, m.Notes...)
	if f.step < 20*f.p99 {
		s.notes = append(s.notes, fmt.Sprintf("runs of %s are short for a p99 of %s: a queue that grows by little goes by unseen, and the verdict is up to %.0f %% too high; use --step %s", f.step, f.p99, math.Ceil(100*f.p99.Seconds()/f.step.Seconds()), 20*f.p99))
	}
	answers := tryOut(ctx, s.target, m.Requests)
	s.notes = append(s.notes, refusals(answers)...)
	s.past = f.past(ctx, c, m)
	s.memory = box.Here().Facts().Memory
	search := &capacity.Search{Goal: capacity.DefaultGoal(f.p99), Start: f.first, Most: f.highest, Step: f.step + f.around()}
	steps, err := f.search(ctx, s, m, search)
	if len(steps) == 0 && err != nil {
		return failed(err)
	}
	out := f.report(s, c, search, steps, answers)
	if err := errors.Join(f.tell(out), err); err != nil { // what is known is told before what went wrong
		return failed(err)
	}
	if out.Verdict.Refused != "" {
		return &coded{code: exitFailed}
	}
	return nil
}

// check reads what flags say, and finds those that do not go together.
func (f *capacityFlags) check(what []string) (err error) {
	for _, flag := range []struct {
		name, text string
		into       *float64
	}{{"from", f.from, &f.first}, {"most", f.most, &f.highest}, {"for", f.need, &f.wanted}} {
		if flag.text == "" {
			continue
		}
		if *flag.into, err = strconv.ParseFloat(strings.TrimSuffix(flag.text, "/s"), 64); err != nil || !(*flag.into >= 1 && *flag.into <= 1e9) {
			return usage("--%s: found %q; allowed: requests a second, such as 20000/s", flag.name, flag.text)
		}
	}
	if f.highest > 0 && f.first > f.highest {
		return usage("--from is %s and --most is %s; the first rate must not be above the highest", f.from, f.most)
	}
	if _, err := parseAnswer(f.answer); err != nil {
		return &coded{exitUsage, err}
	}
	switch {
	case f.rehearse && len(what) > 0:
		return usage("--rehearse measures a copy of its own, and %q names another; leave one out", what[0])
	case f.path != "" && len(what) > 0:
		return usage("found a URL and --path; write the path into the URL")
	case f.path != "" && !strings.HasPrefix(f.path, "/"):
		return usage("--path: found %q; allowed: a path from / on", f.path)
	case f.step < 200*time.Millisecond || f.step > time.Hour:
		return usage("--step: found %s; allowed: 200ms to 1h", f.step)
	case f.budget < 4*(f.step+f.around()):
		return usage("--budget %s is too short for anything: a run takes %s with what is around it, and at least four are needed", f.budget, f.step+f.around())
	case f.p99 < 100*time.Microsecond || f.p99 > 30*time.Second:
		return usage("--p99: found %s; allowed: 100us to 30s", f.p99)
	case !(f.price >= 0 && f.price < 1e12) || !(f.priceNext >= 0 && f.priceNext < 1e12):
		return usage("--price and --price-next: allowed: what a month costs, from 0 on")
	case f.priceNext > 0 && (f.price == 0 || f.need == ""):
		return usage("--price-next is compared with --price for what --for asks; give all three")
	}
	if err := f.together(len(what) > 0); err != nil {
		return err
	}
	return writable(f.html)
}

// together finds flags that would say nothing beside the others.
func (f *capacityFlags) together(url bool) error {
	given := f.command.Flags().Changed
	for _, flag := range []string{"answer", "redis", "outside"} {
		if given(flag) && !f.rehearse {
			return usage("--%s is about a rehearsal; add --rehearse, or leave it out", flag)
		}
	}
	switch {
	case f.at.to != "" && !url:
		return usage("--to is where a URL is connected to; without one the listener says it (--listener)")
	case f.listener != "" && url:
		return usage("found a URL and --listener; give one of them")
	case given("streams") && !f.http2:
		return usage("--streams is about HTTP/2; add --http2, or leave it out")
	case given("streams") && f.noKeepAlive && f.streams > 1:
		return usage("found --no-keepalive and --streams %d; a connection for each request has one stream", f.streams)
	}
	return nil
}

// configuration reads the file. It may be missing when a URL and a socket say all there is to know.
func (f *capacityFlags) configuration(what []string) (*config.Config, error) {
	if _, err := os.Stat(f.at.config); errors.Is(err, fs.ErrNotExist) {
		if len(what) > 0 && !f.command.Flags().Changed("config") {
			return nil, nil
		}
		return nil, &coded{exitConfig, fmt.Errorf("there is no file %s; name the configuration with -c FILE, or what to measure with a URL", f.at.config)}
	}
	c, _, err := judge(revision.File(f.at.config))
	return c, failed(err)
}

// startRehearsal starts a copy of the gateway.
func (f *capacityFlags) startRehearsal(ctx context.Context, c *config.Config) (*rehearsal, error) {
	if all := asking(c); len(all) > 0 && !f.outside {
		return nil, fmt.Errorf("the policies %s ask services outside for requests, which a rehearsal would load; add --outside if that is meant, or rehearse a configuration without them", strings.Join(all, ", "))
	}
	return startRehearsal(ctx, f.at.config, c, f.listener, f.answer, f.redis)
}

// asking are the policies that ask services outside.
func asking(c *config.Config) (all []string) {
	seen := map[string]bool{}
	look := func(policies []config.Policy) {
		for i := range policies {
			switch name := policies[i].Name; name {
			case "forward_auth", "introspection":
				if !seen[name] && !policies[i].Options.IsOff() {
					seen[name] = true
					all = append(all, name)
				}
			}
		}
	}
	look(c.Policies)
	for i := range c.Routes {
		look(c.Routes[i].Policies)
	}
	return all
}

// rehearsed is the copy as what is measured.
func (f *capacityFlags) rehearsed(c *config.Config, r *rehearsal) (*subject, error) {
	l, err := rehearsedListener(c, f.listener)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	t, err := f.aimed(c, l, r.Address)
	if err != nil {
		return nil, err
	}
	s := &subject{target: t, page: newFiguresPage("tcp", r.Metrics), admin: client.New(r.admin), notes: unlike(c, l, f.redis)}
	for i := range s.notes {
		s.notes[i] = "not rehearsed: " + s.notes[i]
	}
	seen := map[string]string{"log": r.log}
	if c.Cache.Disk != nil {
		seen["cache"] = r.cache
	}
	s.box = newVitalsOf(r.gateway.cmd.Process.Pid, seen)
	s.endpoint = newVitalsOf(r.endpoint.cmd.Process.Pid, nil)
	return s, nil
}

// aimed is a listener as a target, at an address of this box.
func (f *capacityFlags) aimed(c *config.Config, l *config.Listener, address string) (*loadTarget, error) {
	scheme, host := "http", "localhost"
	for i := range c.Routes {
		if hosts := c.Routes[i].Match.Host; len(hosts) > 0 {
			host = strings.Replace(hosts[0], "*", "www", 1)
			break
		}
	}
	if l.TLS != nil {
		scheme = "https"
		f.at.insecure = true // it is this box; nobody is on the way
	}
	if f.at.host == "" {
		f.at.host = host
	}
	f.at.to = ""
	where := address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		f.at.to, where = "unix:"+path, "localhost"
	}
	path := f.path
	if path == "" {
		path = "/"
	}
	return f.at.target(context.Background(), scheme+"://"+where+path, f.http2)
}

// running is the gateway that runs, as what is measured.
func (f *capacityFlags) running(ctx context.Context, c *config.Config, what []string) (*subject, error) {
	s := &subject{admin: client.New(f.socketOf(c)).From(operator())}
	status, err := s.admin.Status(ctx)
	if err != nil {
		return nil, failed(fmt.Errorf("what the running gateway takes of the box is told by its admin API: %w; name its socket with --socket, or measure a copy with --rehearse", err))
	}
	if len(what) > 0 {
		s.target, err = f.at.target(ctx, what[0], f.http2)
	} else {
		s.target, err = f.listening(c)
	}
	if err != nil {
		return nil, err
	}
	if c != nil && !c.Metrics.Off {
		a := c.Metrics.Address.Address
		if ip, ok := a.IP(); a.Path == "" && (a.Host == "" || ok && ip.IsUnspecified()) {
			a.Host = "127.0.0.1"
		}
		s.page = newFiguresPage(a.Network(), a.Dial())
	}
	if s.page.read(ctx) == nil {
		s.page = nil
		s.notes = append(s.notes, "the gateway's metrics page was not read, so it is not known whose the time was: its own or its endpoints'")
	}
	s.box = newVitalsOf(status.Process.PID, volumes(c))
	return s, nil
}

// socketOf is where the gateway that runs is asked about itself.
func (f *capacityFlags) socketOf(c *config.Config) string {
	switch {
	case f.socket != "":
		return f.socket
	case c != nil && c.Admin.Socket != "" && !c.Admin.Off:
		return c.Admin.Socket
	}
	return client.DefaultSocket
}

// listening is a listener of the configuration as the target.
func (f *capacityFlags) listening(c *config.Config) (*loadTarget, error) {
	l, err := rehearsedListener(c, f.listener)
	if err != nil {
		return nil, &coded{exitUsage, err}
	}
	a := l.Address.Address
	if a.Path != "" {
		return f.aimed(c, l, "unix:"+a.Path)
	}
	if a.Port == 0 {
		return nil, usage("the listener %s has a port that the kernel chose; name it with a URL", l.Address)
	}
	if ip, ok := a.IP(); a.Host == "" || ok && ip.IsUnspecified() {
		a.Host = "127.0.0.1"
	}
	return f.aimed(c, l, net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))))
}

// requests are what is sent.
func (f *capacityFlags) requests(c *config.Config, s *subject) (*mix.Mix, error) {
	single := f.path != "" || s.target.path() != "/" || f.command.Flags().Changed("method") || f.asked.body != "" || f.asked.bodyFile != "" || c == nil
	if f.asked.mix != "" || f.asked.log != "" || single {
		return f.asked.requests(s.target)
	}
	fields, err := f.asked.fields()
	if err != nil {
		return nil, err
	}
	return routeRequests(c, s.target.host, fields, f.rehearse)
}

// search makes run after run until there is nothing to learn, the time is over, or somebody ends it.
func (f *capacityFlags) search(ctx context.Context, s *subject, m *mix.Mix, search *capacity.Search) ([]capacity.Step, error) {
	var steps []capacity.Step
	began := time.Now()
	shown := f.progress(search.Goal)
	for {
		trial := search.Next(steps, f.budget-time.Since(began))
		if trial.Phase == capacity.Done {
			return steps, nil
		}
		p := f.plan(s.target, m, &trial)
		p.Seed = uint64(len(steps) + 1) // no run repeats the order of another
		if err := p.Check(); err != nil {
			return nil, err
		}
		shown.begin(&trial)
		step, err := s.measure(ctx, p, trial.Phase, shown.tell)
		if err != nil && len(steps) > 0 && waited(ctx, time.Second) { // the last run may have left it so full that it takes nobody for a moment
			step, err = s.measure(ctx, p, trial.Phase, shown.tell)
		}
		if ctx.Err() != nil {
			shown.end(nil)
			return steps, nil
		}
		if err != nil {
			shown.end(nil)
			s.notes = append(s.notes, "the search ended before its time: "+err.Error())
			return steps, err
		}
		steps = append(steps, *step)
		shown.end(step)
		if !waited(ctx, f.pause()) {
			return steps, nil
		}
	}
}

// waited is false when ctx ended meanwhile.
func waited(ctx context.Context, long time.Duration) bool {
	select {
	case <-time.After(long):
		return true
	case <-ctx.Done():
		return false
	}
}

// plan is the run for a trial.
func (f *capacityFlags) plan(t *loadTarget, m *mix.Mix, trial *capacity.Trial) *load.Plan {
	length, streams := f.step, 0
	if trial.Half {
		length /= 2
	}
	if f.http2 {
		if streams = f.streams; f.noKeepAlive {
			streams = 1
		}
	}
	connections := f.connections
	if connections == 0 { // as many as are under way when each takes three times what it may, by Little's law, and some for bursts
		connections = min(max(64, int(3*trial.Rate*f.p99.Seconds())), 8192)
		if f.http2 {
			connections = max(8, connections/max(1, streams))
		}
		connections = min(connections, load.MostConnections())
	}
	return &load.Plan{Address: t.address, TLS: t.tls, HTTP2: f.http2, Requests: m.Requests, Rate: trial.Rate, Connections: connections, NoKeepAlive: f.noKeepAlive,
		Streams: streams, Warmup: f.warmup(), Duration: length, Timeout: min(max(time.Second, 10*f.p99), time.Minute)}
}

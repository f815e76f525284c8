package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
	"straum.dev/straum/internal/load/report"
)

func newLoad() *cobra.Command {
	c := &cobra.Command{
		Use:   "load URL",
		Short: "Send load and measure how long answers take",
		Long: `Sends requests and measures how long their answers take. With --rate they are sent at that rate whatever the
answers do (an open loop), and each is timed from when it was due: what waits behind a slow answer counts. Several
rates are several runs, drawn against each other. Without --rate each connection asks again as soon as it was
answered (a closed loop, as wrk does). URL is http://, https:// or unix:/path.

` + anywhereHelp + `

Ctrl-C ends a run and reports what there is; a second one exits at once.

Exit codes:
  0  done
  1  failed: nothing was answered, a bound of --max-errors or --max-p99 was passed, a file cannot be written, ...
  2  the command line is wrong, or the target is not permitted
  3  the configuration or the mix has mistakes, or cannot be read`,
		Example: `  straum load http://127.0.0.1:8080/orders --rate 1000 --duration 30s
  straum load http://127.0.0.1:8080/orders --rate 500,1000,2000,4000 --html load.html
  straum load https://api.example.com --to 127.0.0.1:443 --http2 --log access.log --rate log
  straum load http://127.0.0.1:8080 --mix mix.yaml -r 200 --max-errors 0.1% --max-p99 15ms`,
		Args: oneOf("the URL"),
	}
	f := &loadFlags{command: c}
	c.Flags().StringVarP(&f.rates, "rate", "r", "", "requests a second, or several `rates` as 500,1000,2000: an open loop; log and log-peak are those of --log, on average and in its busiest second")
	c.Flags().IntVar(&f.connections, "connections", 64, "connections at a time; of an open loop, the most")
	c.Flags().DurationVarP(&f.duration, "duration", "d", 10*time.Second, "how long a run is counted")
	c.Flags().DurationVar(&f.warmup, "warmup", time.Second, "how long it runs before that")
	c.Flags().Uint64Var(&f.requests, "requests", 0, "end a run after so many requests; without --duration, then alone")
	c.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "how long a request may take, from when it was due; longer is an error")
	c.Flags().BoolVar(&f.http2, "http2", false, "speak HTTP/2: by ALPN with https, else by prior knowledge")
	c.Flags().IntVar(&f.streams, "streams", 1, "with --http2: requests at a time on a connection")
	c.Flags().BoolVar(&f.noKeepAlive, "no-keepalive", false, "open a connection for each request")
	c.Flags().BoolVar(&f.resume, "resume", false, "with https: resume TLS sessions on new connections")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "what the order of the requests of a mix is drawn from")
	f.asked, f.at = addRequestFlags(c), addTargetFlags(c)
	c.Flags().StringVar(&f.maxErrors, "max-errors", "", "exit with 1 when more of the requests than this `share`, as 1%, got no whole answer or a status of 500 and above")
	c.Flags().DurationVar(&f.maxP99, "max-p99", 0, "exit with 1 when p99 is longer than this")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON (docs/load.md), and no progress")
	c.Flags().StringVar(&f.html, "html", "", "write a page with plots to this `file` too")
	_ = c.MarkFlagFilename("html", "html")
	c.RunE = func(_ *cobra.Command, what []string) error { return f.run(what[0]) }
	return c
}

// loadFlags are the flags of straum load.
type loadFlags struct {
	rates                             string
	connections, streams              int
	duration, warmup, timeout, maxP99 time.Duration
	requests, seed                    uint64
	http2, noKeepAlive, resume, json  bool
	maxErrors, html                   string
	asked                             *requestFlags
	at                                *targetFlags
	command                           *cobra.Command
}

// run makes the runs that the flags ask for, one after the other, and tells what came of them.
func (f *loadFlags) run(url string) error {
	ctx, end := interruptible(f.command.ErrOrStderr())
	defer end()
	most, err := f.errorBound()
	if err != nil {
		return err
	}
	if err := writable(f.html); err != nil {
		return err
	}
	target, err := f.at.target(ctx, url, f.http2)
	if err != nil {
		return err
	}
	switch {
	case f.resume && target.tls == nil:
		return usage("--resume is about TLS sessions; %s has none, since it is no https URL", target)
	case f.noKeepAlive && f.streams > 1:
		return usage("found --no-keepalive and --streams %d; a connection for each request has one stream", f.streams)
	case f.maxP99 < 0:
		return usage("--max-p99: found %s; allowed: a time above 0", f.maxP99)
	}
	requests, err := f.asked.requests(target)
	if err != nil {
		return err
	}
	rates, err := ratesOf(f.rates, requests)
	if err != nil {
		return err
	}
	r := &report.Report{Target: target.String(), To: f.at.to, Notes: requests.Notes, Processors: runtime.GOMAXPROCS(0), Version: buildInfo().Version}
	for _, rate := range rates {
		p := f.plan(target, requests, rate)
		if err := p.Check(); err != nil {
			return &coded{exitUsage, err}
		}
		var tell func(load.Progress)
		line := &progressLine{w: f.command.ErrOrStderr()}
		if !f.json {
			line.begin(rate, len(rates) > 1)
			tell = line.tell
		}
		result, err := load.Run(ctx, p, tell)
		line.end()
		if err != nil {
			if len(r.Runs) > 0 { // what there is is told before what went wrong
				_ = f.tell(r)
			}
			return failed(err)
		}
		r.Runs = append(r.Runs, report.Run{Plan: p, Result: result, Cut: ctx.Err() != nil})
		if ctx.Err() != nil {
			break
		}
	}
	if err := f.tell(r); err != nil {
		return failed(err)
	}
	return f.judge(r, most)
}

// plan is one run.
func (f *loadFlags) plan(t *loadTarget, m *mix.Mix, rate float64) *load.Plan {
	p := &load.Plan{Address: t.address, TLS: t.tls, HTTP2: f.http2, Requests: m.Requests, Seed: f.seed, Rate: rate, Connections: f.connections, Streams: f.streams,
		NoKeepAlive: f.noKeepAlive, Resume: f.resume, Warmup: f.warmup, Duration: f.duration, Requested: f.requests, Timeout: f.timeout}
	if f.requests > 0 && !f.command.Flags().Changed("duration") {
		p.Duration = 0
	}
	return p
}

// ratesOf reads the rates; one of 0 is a closed loop.
func ratesOf(text string, m *mix.Mix) ([]float64, error) {
	if text == "" {
		return []float64{0}, nil
	}
	var out []float64
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		rate, err := strconv.ParseFloat(strings.TrimSuffix(word, "/s"), 64)
		switch {
		case word == "log":
			rate, err = m.Mean, nil
		case word == "log-peak":
			rate, err = m.Busiest, nil
		case err != nil, !(rate > 0), math.IsInf(rate, 0):
			return nil, usage("--rate: found %q; allowed: requests a second as a number above 0, several with commas between, or log or log-peak", word)
		}
		if rate == 0 {
			return nil, usage("--rate %s is that of --log, which is not given or has no times", word)
		}
		if out = append(out, rate); len(out) > 32 {
			return nil, usage("--rate: found more than 32 rates; each is a run of its own")
		}
	}
	return out, nil
}

// errorBound reads --max-errors; 1 bounds nothing.
func (f *loadFlags) errorBound() (float64, error) {
	if f.maxErrors == "" {
		return 1, nil
	}
	var p document.Percent
	if err := p.ParseText(f.maxErrors); err != nil {
		return 0, usage("--max-errors: found %q, %s; allowed: a share such as 1%% or 0.1%%", f.maxErrors, err)
	}
	return p.Fraction(), nil
}

// writable finds out that a page cannot be written before a long run, and leaves an older page as it is.
func writable(path string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return failed(fmt.Errorf("--html: %w", err))
	}
	return failed(file.Close())
}

// tell writes the report.
func (f *loadFlags) tell(r *report.Report) error {
	if f.html != "" {
		if err := writeFile(f.html, r.HTML); err != nil {
			return err
		}
		if !f.json {
			path, err := filepath.Abs(f.html)
			if err != nil {
				path = f.html
			}
			fmt.Fprintf(f.command.ErrOrStderr(), "the page is in %s\n", path)
		}
	}
	if f.json {
		return r.JSON(f.command.OutOrStdout())
	}
	return r.Text(f.command.OutOrStdout())
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// judge is the exit code of runs that were made.
func (f *loadFlags) judge(r *report.Report, most float64) error {
	var wrong []string
	for i := range r.Runs {
		run := &r.Runs[i]
		at := ""
		if len(r.Runs) > 1 {
			at = fmt.Sprintf("at %g/s: ", run.Plan.Rate)
		}
		if run.Result.Done == 0 {
			wrong = append(wrong, at+"nothing was answered")
			continue
		}
		if share := run.FaultyShare(); share > most {
			wrong = append(wrong, fmt.Sprintf("%s%s of the requests failed, more than --max-errors %s", at, percent(share), f.maxErrors))
		}
		if f.maxP99 == 0 {
			continue
		}
		if n := run.Unanswered(); n*100 >= n+run.Result.Done {
			wrong = append(wrong, fmt.Sprintf("%s%s of the requests got no answer, so that p99 is longer than --max-p99 %s", at, percent(float64(n)/float64(n+run.Result.Done)), f.maxP99))
		} else if p99, ok := run.Latency(99); !ok {
			wrong = append(wrong, fmt.Sprintf("%sthere is no p99 of %s; --max-p99 takes at least 100", at, count(int(run.Result.Done), "answer")))
		} else if p99 > f.maxP99 {
			wrong = append(wrong, fmt.Sprintf("%sp99 is %s, longer than --max-p99 %s", at, span(p99.Seconds()), f.maxP99))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return failed(errors.New(strings.Join(wrong, "\nstraum: ")))
}

// interruptible is a context that ends at the first SIGINT or SIGTERM; the second ends the program.
func interruptible(w io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go runInterrupt(signals, cancel, w)
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

func runInterrupt(signals <-chan os.Signal, cancel func(), w io.Writer) {
	if _, ok := <-signals; !ok {
		return
	}
	fmt.Fprintln(w, "\nending; what there is is reported, Ctrl-C again exits at once")
	cancel()
	if _, ok := <-signals; ok {
		os.Exit(exitFailed)
	}
}

package report

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"

	"straum.dev/straum/internal/load"
)

var update = flag.Bool("update", false, "rewrite the expected reports in testdata")

var began = time.Date(2026, 11, 22, 9, 0, 0, 123e6, time.UTC)

// spread is a histogram of n values from low on, in microseconds, whose tail grows with the nines.
func spread(n int, low, tail float64) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, 60e6, 3)
	for i := range n {
		m := -math.Log10(1 - float64(i)/float64(n))
		_ = h.RecordValue(int64(low + tail*m*m*m))
	}
	return h
}

// calm is an open loop that reached its rate.
func calm() Run {
	const n = 10_000
	r := Run{Plan: &load.Plan{Address: "127.0.0.1:8080", Rate: 1000, Connections: 64, Warmup: time.Second, Duration: 10 * time.Second, Timeout: 10 * time.Second,
		Requests: []load.Request{{Name: "GET /orders", Method: "GET", Host: "localhost", Target: "/orders", Weight: 1, Fields: []load.Field{{Name: "Authorization", Value: "Bearer very-secret"}}, Body: []byte("very-secret")}}}}
	r.Result = &load.Result{Started: began, Elapsed: 10 * time.Second, Wanted: 1000, Due: n, Done: n, Answered: n - 10, Statuses: map[int]uint64{200: n - 10, 503: 10}, Errors: map[load.Failure]uint64{},
		Sent: 1_230_000, Received: 14_500_000, Opened: 12, Latency: spread(n, 800, 300), Service: spread(n, 790, 120), Lag: spread(n, 40, 3), CPU: 420 * time.Millisecond,
		Kinds: map[string]*load.Kind{"GET /orders": {Done: n, Latency: spread(n, 800, 300)}}}
	for i := range 10 {
		r.Result.Series = append(r.Result.Series, load.Second{At: time.Duration(i) * time.Second, Done: 1000, P50: 800 * time.Microsecond, P99: time.Duration(2+i%3) * time.Millisecond, Max: time.Duration(5+i) * time.Millisecond})
	}
	return r
}

// drowned is an open loop whose target could not answer so many.
func drowned() Run {
	r := calm()
	p, x := *r.Plan, *r.Result
	p.Rate, p.HTTP2, p.Streams, p.TLS = 4000, true, 4, &tls.Config{}
	x.Wanted, x.Due, x.Done, x.Answered, x.Late = 4000, 40_000, 20_000, 18_000, 15_000
	x.Statuses = map[int]uint64{200: 4_000, 429: 15_000, 401: 1_000}
	x.Errors = map[load.Failure]uint64{load.TimedOut: 15_100, load.Broken: 4_000, load.Refused: 900}
	x.Latency, x.Service, x.Lag, x.CPU = spread(20_000, 900_000, 90_000), spread(20_000, 2_000, 400), spread(20_000, 100, 9_000), 15*time.Second
	x.Kinds = map[string]*load.Kind{"GET /orders": {Done: 15_000, Failed: 12_000, Latency: spread(15_000, 900_000, 90_000)},
		"GET /\x1b[31m\u202e<b>": {Done: 5_000, Failed: 8_000, Latency: spread(5_000, 900_000, 90_000)}}
	x.Series = nil
	for i := range 10 {
		x.Series = append(x.Series, load.Second{At: time.Duration(i) * time.Second, Done: 2000, Failed: 2000, P50: 900 * time.Millisecond, P99: 2 * time.Second, Max: 4 * time.Second})
	}
	r.Plan, r.Result = &p, &x
	return r
}

// cut is a closed loop that was ended, before there was much.
func cut() Run {
	r := calm()
	p, x := *r.Plan, *r.Result
	p.Rate, p.NoKeepAlive = 0, false
	x.Wanted, x.Elapsed, x.Due, x.Done, x.Lag = 0, 1500*time.Millisecond, 50, 50, nil
	x.Statuses, x.Latency, x.Service = map[int]uint64{200: 50}, spread(50, 800, 300), spread(50, 800, 300)
	x.Kinds, x.Series = map[string]*load.Kind{"GET /orders": {Done: 50, Latency: spread(50, 800, 300)}}, x.Series[:2]
	return Run{Plan: &p, Result: &x, Cut: true}
}

// nothing is a run that had no answer.
func nothing() Run {
	r := calm()
	x := load.Result{Started: began, Elapsed: 10 * time.Second, Wanted: 1000, Due: 10_000, Errors: map[load.Failure]uint64{load.Refused: 10_000, "new": 0}, Latency: hdrhistogram.New(1, 60e6, 3),
		Service: hdrhistogram.New(1, 60e6, 3), Lag: hdrhistogram.New(1, 60e6, 3)}
	r.Result = &x
	return r
}

func reports() map[string]*Report {
	of := func(runs ...Run) *Report {
		return &Report{Target: "http://localhost:8080/orders", Runs: runs, Processors: 2, Version: "1.2.3"}
	}
	all := map[string]*Report{"calm": of(calm()), "drowned": of(drowned()), "cut": of(cut()), "nothing": of(nothing())}
	several := of(calm(), drowned())
	several.To, several.Notes = "unix:/run/app.sock", []string{"taken from the log: 4 of 5 requests, to 3 paths"}
	all["several"] = several
	return all
}

func TestReports(t *testing.T) {
	for name, r := range reports() {
		for form, write := range map[string]func(*bytes.Buffer) error{
			"txt":  func(b *bytes.Buffer) error { return r.Text(b) },
			"json": func(b *bytes.Buffer) error { return r.JSON(b) },
			"html": func(b *bytes.Buffer) error { return r.HTML(b) },
		} {
			t.Run(name+"."+form, func(t *testing.T) {
				var b bytes.Buffer
				if err := write(&b); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(b.String(), "very-secret") {
					t.Error("it tells a secret")
				}
				if form == "html" { // its pictures are the affair of package chart
					for _, want := range []string{"Latency by percentile", "Latency over time", "Throughput over time", "How it was measured"} {
						if name != "nothing" && !strings.Contains(b.String(), want) {
							t.Errorf("%s is missing", want)
						}
					}
					if name == "several" && !(strings.Contains(b.String(), "Latency against rate") && strings.Contains(b.String(), "Answers against rate")) {
						t.Error("it is not drawn against rate")
					}
					return
				}
				golden(t, name+"."+form, b.Bytes())
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

// Numbers of JSON are those of the result.
func TestDocument(t *testing.T) {
	r := reports()["drowned"]
	d := r.Document().Runs[0]
	if d.Rate != 1800 || *d.Wanted != 4000 || d.Faulty != 0.5 || d.Loop != "open" || d.Protocol != "h2" || !d.TLS || d.Streams != 4 {
		t.Errorf("%+v", d)
	}
	p99 := float64(r.Runs[0].Result.Latency.ValueAtPercentile(99)) / 1e3
	if *d.Latency.P99 != p99 || *d.Latency.Max != float64(r.Runs[0].Result.Latency.Max())/1e3 {
		t.Errorf("p99 %v, longest %v", *d.Latency.P99, *d.Latency.Max)
	}
	few := reports()["cut"].Document().Runs[0]
	if few.Latency.P99 != nil || few.Latency.P95 == nil || few.Wanted != nil {
		t.Errorf("of 50 answers: %+v", few.Latency)
	}
}

// A status of 500 and above counts as faulty, and so does no answer at all.
func TestFaulty(t *testing.T) {
	for _, c := range []struct {
		run   Run
		n     uint64
		share float64
	}{{calm(), 10, 0.001}, {drowned(), 20_000, 0.5}, {nothing(), 10_000, 1}, {Run{Plan: &load.Plan{}, Result: &load.Result{Done: 4, Statuses: map[int]uint64{499: 1, 500: 1, 200: 2}}}, 1, 0.25}, {Run{Plan: &load.Plan{}, Result: &load.Result{}}, 0, 1}} {
		if n, share := c.run.Faulty(), c.run.FaultyShare(); n != c.n || share != c.share {
			t.Errorf("%d, %v; want %d, %v", n, share, c.n, c.share)
		}
	}
}

// What has to be said is said, and nothing else.
func TestRemarks(t *testing.T) {
	change := func(f func(p *load.Plan, x *load.Result)) Run {
		r := calm()
		f(r.Plan, r.Result)
		return r
	}
	for _, c := range []struct {
		name string
		run  Run
		want []string
	}{
		{"calm", calm(), nil},
		{"nothing", nothing(), []string{"nothing was answered"}},
		{"cut", cut(), []string{"ended before its time", "a closed loop sends nothing"}},
		{"drowned", drowned(), []string{"was not reached: 1,800/s of 4,000/s; 2,000 answers had queued", "50.0% of the requests got no answer", "15,000 of 40,000 requests could not be sent", "the generator took 1.50 of the 2 processors", "80.0% of the answers are refusals or errors, most of them 429"}},
		{"slow generator", change(func(_ *load.Plan, x *load.Result) { x.Lag = spread(10_000, 2_000, 1) }), []string{"the generator itself was late: p99 2.01ms"}},
		{"waiting", change(func(_ *load.Plan, x *load.Result) {
			x.Latency, x.Service = spread(10_000, 100_000, 1), spread(10_000, 1_000, 1)
		}), []string{"at p99 99.0ms of 100ms went by before"}},
		{"refused", change(func(_ *load.Plan, x *load.Result) { x.Statuses = map[int]uint64{401: 9_000, 200: 1_000} }), []string{"90.0% of the answers are refusals or errors, most of them 401"}},
		{"some refused", change(func(_ *load.Plan, x *load.Result) { x.Statuses = map[int]uint64{401: 4_000, 200: 6_000} }), nil},
	} {
		got := c.run.remarks(2)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q", c.name, got[i], c.want[i])
			}
		}
	}
}

// Whatever came of a run is told without a fault: as text that cannot command a terminal, and as JSON that can be read.
func TestAnyResult(t *testing.T) {
	histograms := rapid.Custom(func(t *rapid.T) *hdrhistogram.Histogram {
		if rapid.IntRange(0, 3).Draw(t, "none") == 0 {
			return nil
		}
		h := hdrhistogram.New(1, 60e6, 1) // small, since many are made
		for range rapid.IntRange(0, 5).Draw(t, "values") {
			_ = h.RecordValues(rapid.Int64Range(1, 60e6).Draw(t, "value"), rapid.Int64Range(1, 1000).Draw(t, "times"))
		}
		return h
	})
	durations := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "d"))
	})
	counts := rapid.Uint64Range(0, 1e12)
	rapid.Check(t, func(r *rapid.T) {
		p := &load.Plan{Rate: float64(rapid.IntRange(0, 5).Draw(r, "rate")), Connections: 1, HTTP2: rapid.Bool().Draw(r, "h2"), NoKeepAlive: rapid.Bool().Draw(r, "close"),
			Warmup: durations.Draw(r, "warmup"), Duration: durations.Draw(r, "duration"), Requested: rapid.Uint64Range(0, 5).Draw(r, "requested")}
		x := &load.Result{Started: began, Elapsed: durations.Draw(r, "elapsed"), Wanted: p.Rate, Due: counts.Draw(r, "due"), Done: counts.Draw(r, "done"), Answered: counts.Draw(r, "answered"), Late: counts.Draw(r, "late"),
			Statuses: rapid.MapOf(rapid.IntRange(100, 599), counts).Draw(r, "statuses"), Errors: map[load.Failure]uint64{load.TimedOut: counts.Draw(r, "errors")},
			Latency: histograms.Draw(r, "latency"), Service: histograms.Draw(r, "service"), Lag: histograms.Draw(r, "lag"), CPU: durations.Draw(r, "cpu"), Kinds: map[string]*load.Kind{}}
		for _, name := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(r, "kinds") {
			x.Kinds[name] = &load.Kind{Done: counts.Draw(r, "done"), Failed: counts.Draw(r, "failed"), Latency: histograms.Draw(r, "kind")}
		}
		for i := range rapid.IntRange(0, 5).Draw(r, "seconds") {
			x.Series = append(x.Series, load.Second{At: time.Duration(i) * time.Second, Done: counts.Draw(r, "done"), P50: durations.Draw(r, "p50"), P99: durations.Draw(r, "p99"), Max: durations.Draw(r, "max")})
		}
		report := &Report{Target: rapid.String().Draw(r, "target"), Notes: rapid.SliceOfN(rapid.String(), 0, 2).Draw(r, "notes"), Processors: 2,
			Runs: []Run{{Plan: p, Result: x, Cut: rapid.Bool().Draw(r, "cut")}, calm()}[:rapid.IntRange(1, 2).Draw(r, "runs")]}
		var text, doc, page bytes.Buffer
		if err := report.Text(&text); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(text.String(), func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 {
			t.Fatalf("%q", text.String()[i:])
		}
		if err := report.JSON(&doc); err != nil {
			t.Fatal(err)
		}
		var back Document
		if err := json.Unmarshal(doc.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		if err := report.HTML(&page); err != nil {
			t.Fatal(err)
		}
	})
}

// docs/load.md has every field of the JSON, with its meaning.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/load.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type, string)
	walk = func(of reflect.Type, in string) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || seen[of] {
			return
		}
		seen[of] = true
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if row := "| `" + in + name + "` | " + f.Tag.Get("doc") + " |"; f.Tag.Get("doc") == "" || !strings.Contains(string(text), row) {
				t.Errorf("docs/load.md lacks the line\n%s", row)
			}
			below := in + name + "."
			if f.Type == reflect.TypeFor[Times]() {
				below = "TIMES."
			}
			if f.Type.Kind() == reflect.Slice {
				below = in + name + "[]."
			}
			walk(f.Type, below)
		}
	}
	walk(reflect.TypeFor[Document](), "")
}

package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"straum.dev/straum/internal/wording"
)

// told are the percentiles of the text.
var told = []float64{50, 75, 90, 95, 99, 99.9}

const (
	mostKinds = 20 // in the text and on the page; JSON has all
	nameRoom  = 60 // characters of a kind's name
)

// Text writes it for a terminal.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "straum load %s", plain(r.Target, 200))
	if r.To != "" {
		fmt.Fprintf(&b, " at %s", plain(r.To, 200))
	}
	b.WriteByte('\n')
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", plain(note, 400))
	}
	for i := range r.Runs {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.Runs[i].text(&b, r.Processors)
	}
	if len(r.Runs) > 1 {
		b.WriteString("\n")
		table(&b, r.comparison())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// how says what was sent and how.
func (r *Run) how() string {
	p := r.Plan
	var b strings.Builder
	if r.open() {
		fmt.Fprintf(&b, "open loop: %s over at most %s", rate(p.Rate), wording.Count(uint64(p.Connections), "connection"))
	} else {
		fmt.Fprintf(&b, "closed loop over %s", wording.Count(uint64(p.Connections), "connection"))
	}
	if p.HTTP2 {
		fmt.Fprintf(&b, " with %s each", wording.Count(uint64(max(p.Streams, 1)), "stream"))
	}
	fmt.Fprintf(&b, ", %s", protocol(r))
	if p.NoKeepAlive {
		b.WriteString(", a connection a request")
	}
	switch {
	case p.Duration > 0 && p.Requested > 0:
		fmt.Fprintf(&b, ", for %s or %s", howLong(p.Duration), wording.Count(p.Requested, "request"))
	case p.Requested > 0:
		fmt.Fprintf(&b, ", %s", wording.Count(p.Requested, "request"))
	default:
		fmt.Fprintf(&b, ", for %s", howLong(p.Duration))
	}
	if p.Warmup > 0 {
		fmt.Fprintf(&b, " after %s of warm-up", howLong(p.Warmup))
	}
	return b.String()
}

func protocol(r *Run) string {
	name := "HTTP/1.1"
	if r.Plan.HTTP2 {
		name = "HTTP/2"
	}
	if r.Plan.TLS != nil {
		name += " over TLS"
	}
	return name
}

func (r *Run) text(b *strings.Builder, processors int) {
	x := r.Result
	fmt.Fprintf(b, "%s\n\n", r.how())
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	wanted := ""
	if r.open() {
		wanted = " of " + rate(r.Plan.Rate) + " wanted"
	}
	row("rate", "%s%s: %s", rate(r.Rate()), wanted, r.answers())
	row("statuses", "%s", r.statuses())
	if n := r.Unanswered(); n == 0 {
		row("errors", "none")
	} else {
		row("errors", "%s of %s (%s)", wording.Grouped(n), wording.Grouped(n+x.Done), percent(n, n+x.Done))
		for _, f := range r.failed() {
			row("", "%s %s: %s", wording.Grouped(x.Errors[f]), f, meaning(f))
		}
	}
	row("connections", "%s opened", wording.Grouped(x.Opened))
	row("bytes", "%s received (%s/s), %s sent", volume(float64(x.Received)), volume(per(x.Received, x.Elapsed)), volume(float64(x.Sent)))
	row("generator", "%s", r.generator())
	_ = t.Flush() // into memory
	if x.Done > 0 {
		b.WriteByte('\n')
		table(b, r.latencies())
	}
	if len(x.Kinds) > 1 {
		b.WriteByte('\n')
		rows, more := r.kinds()
		table(b, rows)
		if more > 0 {
			fmt.Fprintf(b, "and %s; --json has all\n", wording.Count(uint64(more), "other kind"))
		}
	}
	if remarks := r.remarks(processors); len(remarks) > 0 {
		b.WriteByte('\n')
		for _, s := range remarks {
			fmt.Fprintf(b, "note: %s\n", s)
		}
	}
}

// answers is how many there were, and whether they came in time.
func (r *Run) answers() string {
	x := r.Result
	if late := r.backlog(); late > 0 {
		return fmt.Sprintf("%s, %s of them after the %s", wording.Count(x.Done, "answer"), wording.Grouped(late), howLong(x.Elapsed))
	}
	return wording.Count(x.Done, "answer") + " in " + howLong(x.Elapsed)
}

// statuses are how often each came, the most frequent first.
func (r *Run) statuses() string {
	if len(r.Result.Statuses) == 0 {
		return "none"
	}
	all := slices.SortedFunc(maps.Keys(r.Result.Statuses), func(a, b int) int {
		return cmp.Or(cmp.Compare(r.Result.Statuses[b], r.Result.Statuses[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, s := range all {
		parts = append(parts, fmt.Sprintf("%d: %s", s, wording.Grouped(r.Result.Statuses[s])))
	}
	return strings.Join(parts, ", ")
}

// generator is what the measuring itself took.
func (r *Run) generator() string {
	x := r.Result
	s := fmt.Sprintf("%s of a processor", percent(uint64(x.CPU), uint64(max(x.Elapsed, 1))))
	if used := x.CPU.Seconds() / max(x.Elapsed.Seconds(), 1e-9); x.CPU > x.Elapsed {
		s = wording.Digits(used) + " processors"
	}
	if x.Done > 0 {
		s += fmt.Sprintf(", %s a request", span(x.CPU/time.Duration(x.Done)))
	}
	if lag, ok := at(x.Lag, 99); ok {
		s += fmt.Sprintf("; late by %s at p99", span(lag))
	}
	return s
}

// latencies is the table of times: from when requests were due, and from when they were sent where that differs.
func (r *Run) latencies() [][]string {
	head := []string{"latency"}
	for _, p := range told {
		head = append(head, fmt.Sprintf("p%g", p))
	}
	rows := [][]string{append(head, "longest")}
	add := func(name string, h *hdrhistogram.Histogram) {
		row := []string{name}
		for _, p := range told {
			row = append(row, maybe(at(h, p)))
		}
		rows = append(rows, append(row, maybe(longest(h))))
	}
	if !r.open() && !r.Plan.NoKeepAlive {
		add("from sent", r.Result.Latency)
		return rows
	}
	name := "from due"
	if !r.open() {
		name = "with connecting"
	}
	add(name, r.Result.Latency)
	if differ(r.Result.Latency, r.Result.Service) {
		add("from sent", r.Result.Service)
	}
	return rows
}

// differ says whether two histograms tell different times at any percentile that is told: more than their own precision.
func differ(a, b *hdrhistogram.Histogram) bool {
	if a == nil || b == nil {
		return false
	}
	for _, p := range append(told, 100) {
		x, y := float64(a.ValueAtPercentile(p)), float64(b.ValueAtPercentile(p))
		if x > y*1.02+20 || y > x*1.02+20 {
			return true
		}
	}
	return false
}

// kinds is the table of the kinds of requests, the most frequent first, and how many more there are.
func (r *Run) kinds() (rows [][]string, more int) {
	rows = [][]string{{"request", "answers", "failed", "p50", "p90", "p99", "longest"}}
	names := r.names()
	for _, name := range names[:min(len(names), mostKinds)] {
		k := r.Result.Kinds[name]
		rows = append(rows, []string{plain(name, nameRoom), wording.Grouped(k.Done), wording.Grouped(k.Failed), maybe(at(k.Latency, 50)), maybe(at(k.Latency, 90)), maybe(at(k.Latency, 99)), maybe(longest(k.Latency))})
	}
	return rows, len(names) - len(rows) + 1
}

func (r *Run) names() []string {
	kinds := r.Result.Kinds
	return slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b].Done+kinds[b].Failed, kinds[a].Done+kinds[a].Failed), cmp.Compare(a, b))
	})
}

// comparison is the table of several runs.
func (r *Report) comparison() [][]string {
	rows := [][]string{{"wanted", "reached", "errors", "p50", "p90", "p99", "p99.9", "longest"}}
	for i := range r.Runs {
		run := &r.Runs[i]
		wanted := "closed loop"
		if run.open() {
			wanted = rate(run.Plan.Rate)
		}
		row := []string{wanted, rate(run.Rate()), percent(run.Unanswered(), run.Unanswered()+run.Result.Done)}
		for _, p := range []float64{50, 90, 99, 99.9} {
			row = append(row, maybe(run.Latency(p)))
		}
		rows = append(rows, append(row, maybe(longest(run.Result.Latency))))
	}
	return rows
}

// table writes rows in columns, the heads in capitals.
func table(b *strings.Builder, rows [][]string) {
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for i, row := range rows {
		line := strings.Join(row, "\t")
		if i == 0 {
			line = strings.ToUpper(line)
		}
		fmt.Fprintln(t, line)
	}
	_ = t.Flush() // into memory
}

package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"straum.dev/straum/internal/chart"
	"straum.dev/straum/internal/wording"
)

// HTML writes it as a page of one file, with pictures.
func (r *Report) HTML(w io.Writer) error { return r.page().HTML(w) }

func (r *Report) page() *chart.Page {
	p := &chart.Page{Title: "Load: " + plain(r.Target, 200), Lead: r.lead()}
	summary := chart.Part{Heading: "What came of it", Table: r.comparison()}
	if len(r.Runs) == 1 {
		summary.Table = r.Runs[0].summary()
	}
	summary.Text = append(summary.Text, r.Notes...)
	p.Parts = append(p.Parts, summary)
	if len(r.Runs) == 1 {
		p.Parts = append(p.Parts, chart.Part{Heading: "Latency", Table: r.Runs[0].latencies(), Text: r.Runs[0].noted(r.Processors)})
	} else {
		p.Parts = append(p.Parts, r.againstRate()...)
	}
	if percentiles := r.byPercentile(); percentiles != nil {
		p.Parts = append(p.Parts, *percentiles)
	}
	for i := range r.Runs {
		p.Parts = append(p.Parts, r.Runs[i].overTime(r.name(i), len(r.Runs) > 1, r.Processors)...)
	}
	for i := range r.Runs {
		if len(r.Runs[i].Result.Kinds) < 2 {
			continue
		}
		rows, more := r.Runs[i].kinds()
		part := chart.Part{Heading: "Kinds of requests", Table: rows}
		if len(r.Runs) > 1 {
			part.Heading += " at " + r.name(i)
		}
		if more > 0 {
			part.Text = []string{fmt.Sprintf("Those asked for most often; there are %d more.", more)}
		}
		p.Parts = append(p.Parts, part)
	}
	p.Parts = append(p.Parts, r.method())
	return p
}

// lead is the whole in one sentence or two.
func (r *Report) lead() string {
	switch len(r.Runs) {
	case 0:
		return "No run was made."
	case 1:
		run := &r.Runs[0]
		s := rate(run.Rate())
		if run.open() {
			s += " of " + rate(run.Plan.Rate) + " wanted"
		}
		if p99, ok := run.Latency(99); ok {
			s += ", p99 " + span(p99)
		}
		if n := run.Unanswered(); n > 0 {
			return s + ", " + percent(n, n+run.Result.Done) + " errors."
		}
		return s + ", no errors."
	}
	best := -1
	for i := range r.Runs {
		if run := &r.Runs[i]; run.open() && run.reached() && (best < 0 || run.Plan.Rate > r.Runs[best].Plan.Rate) {
			best = i
		}
	}
	if best < 0 {
		return wording.Count(uint64(len(r.Runs)), "run") + "; none reached its rate."
	}
	s := "The highest rate that was reached is " + rate(r.Runs[best].Plan.Rate)
	if p99, ok := r.Runs[best].Latency(99); ok {
		s += ", with p99 " + span(p99)
	}
	return s + "."
}

// name is what a run is called among several.
func (r *Report) name(i int) string {
	if run := &r.Runs[i]; run.open() {
		return rate(run.Plan.Rate)
	}
	return "closed loop"
}

// summary is one run as a table.
func (r *Run) summary() [][]string {
	x := r.Result
	rows := [][]string{{"what", "found"}}
	if r.open() {
		rows = append(rows, []string{"rate wanted", rate(r.Plan.Rate)})
	}
	rows = append(rows, []string{"rate reached", rate(r.Rate())}, []string{"answered", r.answers()}, []string{"statuses", r.statuses()})
	errors := "none"
	if n := r.Unanswered(); n > 0 {
		errors = wording.Grouped(n) + " (" + percent(n, n+x.Done) + ")"
	}
	rows = append(rows, []string{"errors", errors})
	for _, f := range r.failed() {
		rows = append(rows, []string{string(f), wording.Grouped(x.Errors[f]) + ": " + meaning(f)})
	}
	return append(rows, []string{"connections opened", wording.Grouped(x.Opened)}, []string{"received", volume(float64(x.Received)) + " (" + volume(per(x.Received, x.Elapsed)) + "/s)"},
		[]string{"sent", volume(float64(x.Sent))}, []string{"generator", r.generator()})
}

// noted are the remarks as sentences.
func (r *Run) noted(processors int) (out []string) {
	for _, s := range r.remarks(processors) {
		out = append(out, "Note: "+s+".")
	}
	return out
}

// againstRate draws what several rates came to.
func (r *Report) againstRate() []chart.Part {
	runs := make([]*Run, 0, len(r.Runs))
	for i := range r.Runs {
		if r.Runs[i].open() {
			runs = append(runs, &r.Runs[i])
		}
	}
	if len(runs) < 2 {
		return nil
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return int(math.Copysign(1, a.Plan.Rate-b.Plan.Rate)) })
	x := chart.Axis{Label: "requests a second that were wanted", Unit: "/s"}
	latency := &chart.Plot{Title: "Latency against rate", X: x, Y: chart.Axis{Label: "latency, from when requests were due", Unit: "ms"}}
	for _, p := range []float64{50, 90, 99, 99.9} {
		l := chart.Line{Name: fmt.Sprintf("p%g", p)}
		for _, run := range runs {
			l.Points = append(l.Points, chart.Point{X: run.Plan.Rate, Y: inMS(run.Latency(p))})
		}
		latency.Lines = append(latency.Lines, l)
	}
	logarithmic(latency)
	throughput := &chart.Plot{Title: "Answers against rate", X: x, Y: chart.Axis{Label: "answers a second", Unit: "/s"}, Lines: []chart.Line{{Name: "wanted"}, {Name: "reached"}}}
	for _, run := range runs {
		throughput.Lines[0].Points = append(throughput.Lines[0].Points, chart.Point{X: run.Plan.Rate, Y: run.Plan.Rate})
		throughput.Lines[1].Points = append(throughput.Lines[1].Points, chart.Point{X: run.Plan.Rate, Y: run.Rate()})
	}
	return []chart.Part{{Heading: latency.Title, Plot: latency, Text: []string{"Where the lines turn upwards more is asked for than can be answered: requests wait."}},
		{Heading: throughput.Title, Plot: throughput}}
}

// byPercentile draws which part of the requests took how long.
func (r *Report) byPercentile() *chart.Part {
	p := &chart.Plot{Title: "Latency by percentile", X: chart.Axis{Label: "part of the requests", Unit: "%", Nines: true}, Y: chart.Axis{Label: "latency", Unit: "ms"}}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Result.Done == 0 {
			continue
		}
		name := "from when a request was due"
		if len(r.Runs) > 1 {
			name = r.name(i)
		} else if !run.open() {
			name = "from when a request was sent"
		}
		p.Lines = append(p.Lines, chart.Line{Name: name, Points: nines(run.Result.Latency)})
		if len(r.Runs) == 1 && run.open() && differ(run.Result.Latency, run.Result.Service) {
			p.Lines = append(p.Lines, chart.Line{Name: "from when it was sent", Points: nines(run.Result.Service)})
		}
	}
	if len(p.Lines) == 0 {
		return nil
	}
	logarithmic(p)
	return &chart.Part{Heading: p.Title, Plot: p, Text: []string{"Each full step to the right leaves a tenth of the requests: at 99 % one in a hundred took longer, at 99.9 % one in a thousand."}}
}

// nines are the points of a histogram, as evenly apart as an axis of nines shows them, up to the last that still has a value beyond.
func nines(h *hdrhistogram.Histogram) []chart.Point {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	var percentiles []float64
	for m := 0.0; m <= math.Log10(float64(h.TotalCount())); m += 0.04 {
		percentiles = append(percentiles, 100*(1-math.Pow(10, -m)))
	}
	points := make([]chart.Point, len(percentiles))
	for i, p := range percentiles {
		points[i] = chart.Point{X: p, Y: float64(h.ValueAtPercentile(p)) / 1e3}
	}
	return points
}

// overTime draws a run second by second.
func (r *Run) overTime(name string, several bool, processors int) []chart.Part {
	var parts []chart.Part
	suffix := ""
	if several {
		suffix = " at " + name
		parts = append(parts, chart.Part{Heading: "The run" + suffix, Table: r.summary(), Text: r.noted(processors)})
	}
	if len(r.Result.Series) < 2 {
		return parts
	}
	x := chart.Axis{Label: "seconds since the counted time began", Unit: "s"}
	latency := &chart.Plot{Title: "Latency over time" + suffix, X: x, Y: chart.Axis{Label: "latency of the answers of each second", Unit: "ms"},
		Lines: []chart.Line{{Name: "p50"}, {Name: "p99"}, {Name: "longest"}}}
	throughput := &chart.Plot{Title: "Throughput over time" + suffix, X: x, Y: chart.Axis{Label: "requests a second", Unit: "/s"}, Lines: []chart.Line{{Name: "answered"}}}
	failed := chart.Line{Name: "failed"}
	for _, s := range r.Result.Series {
		long := min(time.Second, r.Result.Elapsed-s.At)
		if long < time.Second/5 {
			continue // too short a part of a second to say anything
		}
		when := s.At.Seconds()
		for i, v := range []time.Duration{s.P50, s.P99, s.Max} {
			latency.Lines[i].Points = append(latency.Lines[i].Points, chart.Point{X: when, Y: inMS(v, s.Done > 0)})
		}
		throughput.Lines[0].Points = append(throughput.Lines[0].Points, chart.Point{X: when, Y: per(s.Done, long)})
		failed.Points = append(failed.Points, chart.Point{X: when, Y: per(s.Failed, long)})
	}
	if r.Unanswered() > 0 {
		throughput.Lines = append(throughput.Lines, failed)
	}
	if r.open() {
		throughput.Marks = []chart.Mark{{X: math.NaN(), Y: r.Plan.Rate, Name: "wanted: " + rate(r.Plan.Rate)}}
	}
	logarithmic(latency)
	return append(parts, chart.Part{Heading: latency.Title, Plot: latency}, chart.Part{Heading: throughput.Title, Plot: throughput})
}

// inMS is a time for a plot; one that is not known is no number.
func inMS(d time.Duration, known bool) float64 {
	if !known {
		return math.NaN()
	}
	return float64(d) / 1e6
}

// logarithmic spaces latencies by powers of ten where they differ by so much that the short ones could not be told apart otherwise.
func logarithmic(p *chart.Plot) {
	low, high := math.Inf(1), 0.0
	for _, l := range p.Lines {
		for _, point := range l.Points {
			if point.Y > 0 {
				low, high = min(low, point.Y), max(high, point.Y)
			}
		}
	}
	p.Y.Log = high > 25*low
}

// method says how it was measured.
func (r *Report) method() chart.Part {
	part := chart.Part{Heading: "How it was measured"}
	for i := range r.Runs {
		part.Text = append(part.Text, r.Runs[i].how()+", from "+r.Runs[i].Result.Started.UTC().Format(time.DateTime)+" UTC.")
	}
	part.Text = append(part.Text, "Latency in an open loop counts from when a request was due, whether or not a connection was free then: a target that stands still for a second is charged for every request that would have come in that second. A percentile is left out where fewer answers came than it takes to tell it from the longest.",
		"The generator ran on the box that the target may run on too, and took processor time from it: see the line about the generator.", "Made by straum "+r.Version+".")
	return part
}

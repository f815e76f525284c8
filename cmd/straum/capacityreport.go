package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/chart"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/load/mix"
)

// capacityReport is what is told. Its JSON is described in docs/capacity.md.
type capacityReport struct {
	Target     string            `json:"target"`
	Rehearsal  bool              `json:"rehearsal"`
	Summary    string            `json:"summary"` // the verdict in one line
	Verdict    *capacity.Verdict `json:"verdict"`
	Headroom   float64           `json:"headroom"` // times the busiest of the past; 0 is not known
	Past       *capacity.Past    `json:"past"`
	Need       *capacity.Need    `json:"need"`        // with --for
	PerMillion float64           `json:"per_million"` // what a million requests cost; with --price
	Requests   []tried           `json:"requests"`
	Notes      []string          `json:"notes"`
	Steps      []capacity.Step   `json:"steps"`

	price float64
}

// report puts together what came of a search.
func (f *capacityFlags) report(s *subject, c *config.Config, search *capacity.Search, steps []capacity.Step, answers []tried) *capacityReport {
	out := &capacityReport{Target: s.target.String(), Rehearsal: f.rehearse, Verdict: search.Verdict(steps), Past: s.past, Requests: answers, Notes: s.notes, Steps: steps, price: f.price}
	v := out.Verdict
	if others, cores := besides(v, steps); f.rehearse && others > 0.1*cores {
		out.Notes = append(out.Notes, fmt.Sprintf("something else on this box kept %.2f of %.3g cores busy meanwhile; the verdict is about what was left, so measure again when the box is quiet", others, cores))
	}
	if f.wanted > 0 {
		out.Need = v.For(f.wanted, f.means(c, box.Here().Facts(), steps), steps)
	}
	if f.price > 0 {
		out.PerMillion = capacity.PerMillion(f.price, v.Capacity)
	}
	return out
}

// besides is how many cores were busy with something else in the runs around the capacity, and how many there are.
func besides(v *capacity.Verdict, steps []capacity.Step) (others, cores float64) {
	n := 0
	for i := range steps {
		if s := &steps[i]; s.Wanted >= v.Capacity/2 && s.Spoilt() == "" {
			others += s.Others()
			cores = s.Cores
			n++
		}
	}
	return others / float64(max(n, 1)), cores
}

// past finds what the gateway had to carry lately: by the access log that is given, or by the history of the gateway that runs, also when a copy of
// it is measured. It is asked before the runs, which would be the busiest of all.
func (f *capacityFlags) past(ctx context.Context, c *config.Config, m *mix.Mix) *capacity.Past {
	if f.asked.log != "" && m.Busiest > 0 {
		return &capacity.Past{Busiest: m.Busiest, Over: time.Second, From: "the access log " + f.asked.log}
	}
	if f.rehearse && f.socket == "" && (c == nil || c.Admin.Off) {
		return nil
	}
	return historyOf(ctx, client.New(f.socketOf(c)).From(operator()))
}

// means are what advice goes by besides the runs.
func (f *capacityFlags) means(c *config.Config, facts *box.Facts, steps []capacity.Step) capacity.Means {
	m := capacity.Means{Cores: facts.Cores(), Memory: facts.Memory, Month: f.price, NextMonth: f.priceNext}
	if c == nil {
		return m
	}
	for i := range c.Listeners {
		m.Connections += c.Listeners[i].Limits.Connections
	}
	cached := c.Cache.Memory
	if !slices.ContainsFunc(c.Routes, func(r config.Route) bool { return uses(r.Policies, "cache") }) && !uses(c.Policies, "cache") {
		cached = 0
	}
	for _, b := range []capacity.Budget{{For: "the cache in memory", Bytes: int64(cached)}, {For: "lines of the access log that wait", Bytes: int64(c.Log.Access.Buffer)}} {
		if b.Bytes > 0 {
			m.Budgets = append(m.Budgets, b)
		}
	}
	for i := range steps {
		m.Ceiling = max(m.Ceiling, steps[i].Ceiling)
	}
	return m
}

func uses(policies []config.Policy, name string) bool {
	return slices.ContainsFunc(policies, func(p config.Policy) bool { return p.Name == name && !p.Options.IsOff() })
}

// tell prints the report.
func (f *capacityFlags) tell(r *capacityReport) error {
	v := r.Verdict
	r.Headroom = v.Headroom(r.Past)
	r.Summary = v.String()
	if v.Refused == "" {
		r.Summary += "; " + v.HeadroomText(r.Past)
	}
	if f.html != "" {
		if err := writeFile(f.html, r.page().HTML); err != nil {
			return err
		}
		if !f.json {
			fmt.Fprintf(f.command.ErrOrStderr(), "the page is in %s\n", f.html)
		}
	}
	if f.json {
		e := json.NewEncoder(f.command.OutOrStdout())
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	fmt.Fprintln(f.command.ErrOrStderr()) // below the lines of its runs
	return r.text(plain{f.command.OutOrStdout()})
}

// text is the report for a terminal: the verdict, then what it stands on.
func (r *capacityReport) text(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", r.Summary)
	t := newTable(w)
	for _, line := range r.evidence() {
		fmt.Fprintf(t, "%s\t%s\n", line[0], line[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n := r.Need; n != nil {
		fmt.Fprintf(w, "\n%s\n", strings.Join(r.need(), "\n"))
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(prefixed("note: ", r.Notes), "\n"))
	}
	return nil
}

func prefixed(prefix string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = prefix + line
	}
	return out
}

// evidence is what the verdict stands on, each with a word before it.
func (r *capacityReport) evidence() (lines [][2]string) {
	add := func(word, format string, args ...any) {
		lines = append(lines, [2]string{word, fmt.Sprintf(format, args...)})
	}
	v := r.Verdict
	add("measured", "%s, %s", r.Target, count(len(r.Steps), "run"))
	if v.Refused != "" {
		return lines
	}
	above := "no higher rate failed"
	if v.Failed > 0 {
		above = capacity.Rate(v.Failed) + " was not"
	}
	add("carried", "%s by %s, with a p99 of at most %s; %s", capacity.Rate(v.Capacity), count(v.Runs, "run"), capacity.Span(v.P99), above)
	switch h := v.HoldOut; {
	case h == nil:
		add("checked", "no: the search ended before a run at 80 %% of it")
	case h.Good == h.Runs:
		add("checked", "at 80 %% of it, %s, p99 was %s", capacity.Rate(h.Rate), capacity.Span(h.P99))
	default:
		add("checked", "at 80 %% of it, %s, %d of %d runs met the goal, the last with a p99 of %s", capacity.Rate(h.Rate), h.Good, h.Runs, capacity.Span(h.P99))
	}
	add("gives out", "%s: %s", v.Limit, v.Evidence)
	switch {
	case v.Knee == v.Capacity:
		add("knee", "at the capacity or beyond it: up to there, load costs hardly any waiting")
	case v.Knee > 0:
		add("knee", "about %s: beyond it more load costs more in waiting than it brings in answers", capacity.Rate(v.Knee))
	}
	if v.Cost > 0 {
		add("gateway", "%s of a core a request; answers of %s", capacity.Span(v.Cost), size(uint64(max(v.Bytes, 1))))
	}
	if v.Strange > 0.005 {
		add("refused", "%s of the answers were refusals (4xx), which cost less than others", percent(v.Strange))
	}
	if v.Alone > 0 {
		add("alone", "about %s if the gateway had what the generator and made-up endpoints took of the cores: an estimate, not a measurement", capacity.Rate(v.Alone))
	}
	if r.PerMillion > 0 {
		add("money", "%s a million requests at half the capacity, for %.2f a month", money(r.PerMillion), r.price)
	}
	return lines
}

func money(x float64) string {
	if x < 0.01 {
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
	return fmt.Sprintf("%.2f", x)
}

// need is what --for asked.
func (r *capacityReport) need() []string {
	n := r.Need
	head := fmt.Sprintf("%s needs %s, %s of memory and %.0f Mbit/s", capacity.Rate(n.Rate), count(n.Cores, "core"), size(uint64(n.Memory)), math.Ceil(n.Network*8/1e6))
	if n.Boxes > 1 {
		head += fmt.Sprintf(", on %d boxes", n.Boxes)
	}
	if n.Month > 0 {
		head += fmt.Sprintf("; %.2f a month", n.Month)
	}
	lines := []string{head}
	for _, reason := range n.Reasons {
		lines = append(lines, "  "+reason)
	}
	for _, p := range n.Parts {
		lines = append(lines, fmt.Sprintf("  memory: %s for %s", size(uint64(p.Bytes)), p.For))
	}
	return lines
}

const (
	latencyHeading = "Latency against rate"
	coresHeading   = "Cores in use against rate"
)

// page is the report as HTML.
func (r *capacityReport) page() *chart.Page {
	v := r.Verdict
	steps := slices.Clone(r.Steps)
	slices.SortStableFunc(steps, func(a, b capacity.Step) int { return cmp.Compare(a.Wanted, b.Wanted) })
	var facts []string
	for _, line := range r.evidence() {
		facts = append(facts, line[0]+": "+line[1])
	}
	p := &chart.Page{Title: "Capacity of this box", Lead: r.Summary, Parts: []chart.Part{
		{Heading: "What it stands on", Text: facts},
		{Heading: latencyHeading, Plot: latencyPlot(v, steps)},
		{Heading: coresHeading, Plot: coresPlot(steps)},
	}}
	if r.Need != nil {
		p.Parts = append(p.Parts, chart.Part{Heading: "What it needs", Text: r.need()})
	}
	table := [][]string{{"run", "rate", "answered", "p50", "p99", "failed", "busy", "gateway", "steal", "endpoints' p99", "came of it"}}
	for i := range r.Steps {
		s := &r.Steps[i]
		table = append(table, []string{string(s.Phase), fmt.Sprintf("%.0f/s", s.Wanted), fmt.Sprintf("%.0f/s", s.Reached), span(s.P50.Seconds()), span(s.P99.Seconds()),
			percent(s.Errors), shareText(s.Busy), fmt.Sprintf("%.2f", s.Gateway), shareText(s.Steal), span(s.Upstream.Seconds()), came(&v.Goal, s)})
	}
	p.Parts = append(p.Parts, chart.Part{Heading: "The runs, in their order", Table: table})
	if len(r.Notes) > 0 {
		p.Parts = append(p.Parts, chart.Part{Heading: "Notes", Text: r.Notes})
	}
	return p
}

// latencyPlot is time against rate, with what was asked for and what was found: each run a dot, and a line through the middle one of each rate.
func latencyPlot(v *capacity.Verdict, steps []capacity.Step) *chart.Plot {
	plot := &chart.Plot{Title: latencyHeading, X: chart.Axis{Label: "requests a second", Unit: "/s"}, Y: chart.Axis{Label: "latency", Unit: "ms", Log: true}}
	line := func(name string, of func(*capacity.Step) time.Duration) {
		middle, each := chart.Line{Name: name}, chart.Line{Name: name + " of each run", Steps: true}
		for i := 0; i < len(steps); {
			var times []float64
			rate := steps[i].Wanted
			for ; i < len(steps) && steps[i].Wanted == rate; i++ {
				if d := of(&steps[i]); d > 0 && steps[i].Spoilt() == "" {
					times = append(times, float64(d)/1e6)
					each.Points = append(each.Points, chart.Point{X: rate, Y: float64(d) / 1e6})
				}
			}
			if slices.Sort(times); len(times) > 0 {
				middle.Points = append(middle.Points, chart.Point{X: rate, Y: times[len(times)/2]})
			}
		}
		plot.Lines = append(plot.Lines, middle, each)
	}
	line("p99", func(s *capacity.Step) time.Duration { return s.P99 })
	line("p50", func(s *capacity.Step) time.Duration { return s.P50 })
	plot.Marks = append(plot.Marks, chart.Mark{X: math.NaN(), Y: float64(v.Goal.P99) / 1e6, Name: "goal"})
	if v.Capacity > 0 {
		plot.Marks = append(plot.Marks, chart.Mark{X: v.Capacity, Y: math.NaN(), Name: "capacity"})
	}
	if v.Knee > 0 && v.Knee != v.Capacity {
		plot.Marks = append(plot.Marks, chart.Mark{X: v.Knee, Y: math.NaN(), Name: "knee"})
	}
	return plot
}

// coresPlot is who had how many cores, against the rate.
func coresPlot(steps []capacity.Step) *chart.Plot {
	plot := &chart.Plot{Title: coresHeading, X: chart.Axis{Label: "requests a second", Unit: "/s"}, Y: chart.Axis{Label: "cores"}}
	line := func(name string, of func(*capacity.Step) float64) {
		l := chart.Line{Name: name}
		for i := range steps {
			if y := of(&steps[i]); y >= 0 {
				l.Points = append(l.Points, chart.Point{X: steps[i].Wanted, Y: y})
			}
		}
		if len(l.Points) > 0 {
			plot.Lines = append(plot.Lines, l)
		}
	}
	line("gateway", func(s *capacity.Step) float64 { return s.Gateway })
	line("endpoints", func(s *capacity.Step) float64 { return float64(s.Endpoints) })
	line("generator", func(s *capacity.Step) float64 { return s.Generator })
	line("others", func(s *capacity.Step) float64 { return s.Others() })
	line("steal", func(s *capacity.Step) float64 { return float64(s.Steal) * s.Cores })
	if len(steps) > 0 {
		plot.Marks = append(plot.Marks, chart.Mark{X: math.NaN(), Y: steps[0].Cores, Name: "all cores"})
	}
	return plot
}

package main

import (
	"fmt"
	"io"

	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/load"
)

// searchProgress tells of a search as it goes: a line for each run, and on a terminal what the run does meanwhile.
type searchProgress struct {
	w    io.Writer // nil for none
	goal capacity.Goal
	line progressLine
}

func (f *capacityFlags) progress(goal capacity.Goal) *searchProgress {
	if f.json {
		return &searchProgress{}
	}
	return &searchProgress{w: f.command.ErrOrStderr(), goal: goal}
}

// begin is called before a run.
func (s *searchProgress) begin(t *capacity.Trial) {
	if s.w == nil {
		return
	}
	s.line = progressLine{w: s.w}
	s.line.begin(0, false)
	s.line.before = fmt.Sprintf("%s %.0f/s: ", t.Phase, t.Rate)
}

// tell is called by the run.
func (s *searchProgress) tell(p load.Progress) {
	if s.w != nil && s.line.terminal {
		s.line.tell(p)
	}
}

// end is called after a run; step is nil when it was cut short.
func (s *searchProgress) end(step *capacity.Step) {
	if s.w == nil {
		return
	}
	s.line.end()
	if step != nil {
		fmt.Fprintf(s.w, "%-8s %8.0f/s  p50 %-7s p99 %-7s cores busy %5s  gateway %.2f  %s\n", step.Phase, step.Wanted, span(step.P50.Seconds()), span(step.P99.Seconds()),
			shareText(step.Busy), step.Gateway, came(&s.goal, step))
	}
}

// came says in a few words what came of a run.
func came(g *capacity.Goal, s *capacity.Step) string {
	switch s.Spoilt() {
	case "steal":
		return "not counted: steal " + shareText(s.Steal)
	case "throttled":
		return "not counted: throttled " + shareText(s.Throttled)
	}
	switch {
	case g.Meets(s):
		return "carried"
	}
	return "not carried: " + g.Misses(s)
}

// shareText writes a share, "-" when it is not known.
func shareText(s capacity.Share) string {
	if !s.Known() {
		return "-"
	}
	return percent(float64(s))
}

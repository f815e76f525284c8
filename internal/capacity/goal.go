package capacity

import "time"

// Goal is what a load must meet to count as carried.
type Goal struct {
	P99     time.Duration `json:"p99"`     // at most
	Errors  float64       `json:"errors"`  // share of the requests, at most
	Reached float64       `json:"reached"` // share of the wanted rate that has to be answered
}

// DefaultGoal has the time of the 99th percentile filled in: one request of a thousand may fail, one of fifty may be still under way
// when the run ends.
func DefaultGoal(p99 time.Duration) Goal { return Goal{P99: p99, Errors: 0.001, Reached: 0.98} }

// Meets says whether a step did.
func (g Goal) Meets(s *Step) bool { return g.Misses(s) == "" }

// Misses says what of the goal a step did not meet, in words; empty when it met all.
func (g Goal) Misses(s *Step) string {
	switch {
	case s.Answers == 0:
		return "nothing was answered"
	case s.Errors > g.Errors:
		return percent(s.Errors) + " of the requests failed"
	case s.Reached < g.Reached*s.Wanted:
		return "only " + number(s.Reached) + "/s were answered"
	case s.P99 > g.P99:
		return "p99 was " + span(s.P99)
	}
	return ""
}

// plainly says that a step which missed the goal needs no second look: no hiccup of a box does that.
func (g Goal) plainly(s *Step) bool {
	return s.Answers == 0 || s.Errors > 0.05 || s.Reached < 0.9*s.Wanted || s.P99 > 3*g.P99 && s.Own() > 0.85*s.Cores
}

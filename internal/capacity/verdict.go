package capacity

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Verdict is what came of a search.
type Verdict struct {
	Goal    Goal   `json:"goal"`
	Refused string `json:"refused,omitempty"` // why there is no verdict, and what to do; the rest is of no use then

	Capacity float64       `json:"capacity"` // requests a second: the highest rate that two runs at least have borne out
	AtLeast  bool          `json:"at_least"` // nothing gave out, or only the generator did: it may be more
	Runs     int           `json:"runs"`     // how many bore it out
	P99      time.Duration `json:"p99"`      // the worst of those at this rate
	Failed   float64       `json:"failed"`   // the lowest rate above it that was not carried; 0 is none
	Knee     float64       `json:"knee"`     // the rate, up to the capacity, with the most answers for their time; beyond it each more costs waiting
	Limit    Limit         `json:"limit"`    // what gives out first
	Evidence string        `json:"evidence"` // the figures that say so
	Shared   bool          `json:"shared"`   // of CPU: others had more of the cores than what was measured and what it was measured with
	HoldOut  *HoldOutRun   `json:"hold_out"` // nil when there was none

	Cost    time.Duration `json:"cpu_a_request"` // of the gateway, on one core; 0 is not known
	Alone   float64       `json:"alone"`         // an estimate: requests a second if the gateway had all the processor time that was used; 0 when there is none
	Strange float64       `json:"refusals"`      // share of the answers that were 4xx
	Bytes   float64       `json:"bytes_an_answer"`
}

// HoldOutRun is how runs at 80 % of the capacity went, which were no part of the search for it.
type HoldOutRun struct {
	Rate float64       `json:"rate"`
	P99  time.Duration `json:"p99"` // of the last one
	Runs int           `json:"runs"`
	Good int           `json:"good"` // of them, those that met the goal
	Met  bool          `json:"met"`  // more of them did than did not
}

// Verdict weighs what was measured.
func (s *Search) Verdict(steps []Step) *Verdict {
	v := &Verdict{Goal: s.Goal, Limit: NoLimit}
	if v.Refused = s.refusal(steps); v.Refused != "" {
		return v
	}
	ceiling := s.ruledOut(steps)
	for _, t := range slices.Backward(s.tallies(steps, false)) {
		if !t.carried() || ceiling > 0 && t.rate >= ceiling {
			continue
		}
		v.Runs += t.passed
		if v.Runs >= twice {
			v.Capacity = t.rate
			break
		}
	}
	if v.Capacity == 0 {
		v.Refused = s.unborne(steps)
		return v
	}
	v.measure(steps)
	for _, t := range s.tallies(steps, false) {
		if !t.carried() && t.rate > v.Capacity {
			v.Failed = t.rate
			break
		}
	}
	v.Knee = knee(steps, v.Capacity)
	var met *Step
	v.Limit, v.Evidence, met = s.limit(steps, v.Capacity)
	v.Shared = v.Limit == CPU && met.Others() > met.Own()
	v.AtLeast = v.Failed == 0 || v.Limit == Generator
	v.HoldOut = s.heldOut(steps, v.Capacity)
	v.estimate(steps)
	return v
}

// refusal says why a box that is not its owner's own gets no verdict.
func (s *Search) refusal(steps []Step) string {
	if len(steps) == 0 {
		return "nothing was measured"
	}
	if !robbed(steps) {
		return ""
	}
	last := &steps[len(steps)-1]
	if last.Spoilt() == "throttled" {
		return fmt.Sprintf("the control group had used up its processor quota %s of the time while what was measured used %s of %.3g cores: somebody else in the group uses it; "+
			"measure when they are quiet, or give the gateway a group of its own", share(last.Throttled), cores(last.Own()), last.Usable)
	}
	return fmt.Sprintf("steal is %s: the machine around this box gives its cores to others, and what is measured now is their load, not this box. "+
		"A verdict needs at most %s. Measure again at another hour; if it stays, ask the provider for a box with dedicated cores", share(last.Steal), percent(MaxSteal))
}

// unborne says why no rate was borne out.
func (s *Search) unborne(steps []Step) string {
	var lowest *Step // of those that missed the goal
	met := 0.0
	for i := range steps {
		step := &steps[i]
		switch {
		case step.Spoilt() != "":
		case s.Goal.Meets(step):
			met = max(met, step.Wanted)
		case lowest == nil || step.Wanted < lowest.Wanted:
			lowest = step
		}
	}
	why := ""
	if lowest != nil {
		_, evidence := GivesOut(s.Goal, lowest)
		why = fmt.Sprintf(" at %s/s %s: %s", number(lowest.Wanted), s.Goal.Misses(lowest), evidence)
	}
	switch {
	case met > 0 && lowest == nil:
		return fmt.Sprintf("the time was too short: %s/s met the goal, and no rate did in two runs; give it more with --budget, or begin nearer to the end with --from", number(met))
	case met > 0:
		return fmt.Sprintf("%s/s met the goal, and no rate did in two runs. What failed:%s; give it more time with --budget", number(met), why)
	case lowest == nil:
		return "steal spoilt every run; measure again at another hour"
	}
	return "no rate met the goal:" + why
}

// ruledOut is the lowest rate of a hold-out that failed: no higher rate can be right, whatever chance made of it. 0 is none.
func (s *Search) ruledOut(steps []Step) float64 {
	for _, h := range s.tallies(steps, true) {
		if !h.carried() && !h.undecided() {
			return h.rate
		}
	}
	return 0
}

// measure notes what the runs at the capacity had in common.
func (v *Verdict) measure(steps []Step) {
	var answers, bytes, refused float64
	for i := range steps {
		step := &steps[i]
		if step.Wanted != v.Capacity || step.Phase == HoldOut || step.Spoilt() != "" || !v.Goal.Meets(step) {
			continue
		}
		v.P99 = max(v.P99, step.P99)
		n := float64(step.Answers)
		answers, bytes, refused = answers+n, bytes+n*step.Bytes, refused+n*step.Refused
	}
	if answers > 0 {
		v.Bytes, v.Strange = bytes/answers, refused/answers
	}
}

// knee is the rate of most power: answers a second for each second they take (Kleinrock, "Power and deterministic rules of thumb for
// probabilistic problems in computer communications", ICC 1979), by the 99th percentile. A rate whose answers took longer than those of a higher one
// met a hiccup; the higher one's time counts for it. Rates beyond most are none of it.
func knee(steps []Step, most float64) (rate float64) {
	byRate := map[float64][]time.Duration{}
	for i := range steps {
		if step := &steps[i]; step.Spoilt() == "" && step.P99 > 0 && step.Wanted <= most {
			byRate[step.Wanted] = append(byRate[step.Wanted], step.P99)
		}
	}
	most, quickest := 0.0, time.Duration(math.MaxInt64)
	for _, r := range slices.Backward(slices.Sorted(maps.Keys(byRate))) {
		times := byRate[r]
		slices.Sort(times)
		quickest = min(quickest, times[len(times)/2])
		if power := r / quickest.Seconds(); power > most {
			most, rate = power, r
		}
	}
	return rate
}

// limit is what most of the runs met that were not carried, of those up to twice the capacity: beyond, other things give out. Of as many, it is
// that of the highest rate, where what is used up shows most.
func (s *Search) limit(steps []Step, capacity float64) (_ Limit, why string, _ *Step) {
	votes := map[Limit]int{}
	evidence := map[Limit]*Step{}
	var best Limit
	for i := range steps {
		step := &steps[i]
		if step.Spoilt() != "" || s.Goal.Meets(step) || step.Wanted <= capacity || step.Wanted > 2.5*capacity {
			continue
		}
		l, _ := GivesOut(s.Goal, step)
		votes[l]++
		if e := evidence[l]; e == nil || step.Wanted > e.Wanted {
			evidence[l] = step
		}
	}
	for l, n := range votes {
		switch {
		case best == Descriptors && ranOut(steps, capacity):
		case l == Descriptors && ranOut(steps, capacity):
			best = l
		case l == NoLimit && len(votes) > 1:
		case best == "" || n > votes[best] || n == votes[best] && cmp.Compare(evidence[l].Wanted, evidence[best].Wanted)*2+cmp.Compare(l, best) > 0:
			best = l
		}
	}
	if best == "" {
		return NoLimit, "no rate above it was tried and failed", nil
	}
	step := evidence[best]
	_, why = GivesOut(s.Goal, step)
	return best, fmt.Sprintf("at %s/s %s: %s", number(step.Wanted), s.Goal.Misses(step), why), step
}

// ranOut says that descriptors ran out not far above the capacity. Then that is what the runs between met as well, however they look:
// connections that are not accepted wait, as they do for a slow endpoint. Far above anything that is slow needs more of them.
func ranOut(steps []Step, capacity float64) bool {
	for i := range steps {
		if step := &steps[i]; step.Spoilt() == "" && step.Short > 0 && step.Wanted > capacity && step.Wanted <= 1.6*capacity {
			return true
		}
	}
	return false
}

// heldOut tells of the hold-out of a capacity, or of a somewhat higher rate that was not borne out in the end.
func (s *Search) heldOut(steps []Step, capacity float64) *HoldOutRun {
	for _, t := range s.tallies(steps, true) {
		if t.rate < rounded(holdOutShare*capacity) || t.rate > capacity {
			continue
		}
		run := &HoldOutRun{Rate: t.rate, Runs: t.passed + t.failed, Good: t.passed, Met: t.carried()}
		for i := range steps {
			if steps[i].Phase == HoldOut && steps[i].Wanted == t.rate && steps[i].Spoilt() == "" {
				run.P99 = steps[i].P99
			}
		}
		return run
	}
	return nil
}

// estimate says what the gateway would carry if it had what the generator and the made-up endpoints took at the capacity, by what a request costs
// it. It is said of boxes whose processors give out; elsewhere it would mean nothing. What others took stays theirs.
func (v *Verdict) estimate(steps []Step) {
	var used, answers, had, window float64
	for i := range steps {
		step := &steps[i]
		if step.Wanted < v.Capacity/2 || step.Wanted > v.Capacity || step.Spoilt() != "" || !v.Goal.Meets(step) {
			continue
		}
		seconds := step.Window.Seconds()
		used += step.Gateway * seconds
		answers += float64(step.Answers)
		if step.Wanted == v.Capacity {
			had += step.Own() * seconds
			window += seconds
		}
	}
	if answers == 0 || used == 0 {
		return
	}
	cost := used / answers
	v.Cost = time.Duration(cost * float64(time.Second))
	if v.Limit == CPU && window > 0 {
		v.Alone = max(v.Capacity, rounded(had/window/cost))
	}
}

// String is the verdict in one line.
func (v *Verdict) String() string {
	if v.Refused != "" {
		return "no verdict: " + v.Refused
	}
	text := number(v.Capacity) + " requests/s at p99 ≤ " + span(v.Goal.P99) + " on this box"
	switch {
	case v.Limit == Generator:
		text = "at least " + text + ", limited by the generator: it gave out before what it measures"
	case v.AtLeast:
		text = "at least " + text + "; nothing gave out before the search ended"
	case v.Limit == NoLimit:
		text += "; what limits it is not known"
	case v.Shared:
		text += ", limited by CPU, most of which others had"
	default:
		text += ", limited by " + string(v.Limit)
	}
	if v.Strange > 0.5 {
		text += ". CAREFUL: " + percent(v.Strange) + " of the answers were refusals (4xx), so this is how fast the gateway refuses"
	}
	if h := v.HoldOut; h == nil || !h.Met {
		text += ". Not confirmed by a run at 80 % of it"
	}
	return text
}

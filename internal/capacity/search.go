package capacity

import (
	"math"
	"slices"
	"time"
)

// Phase is why a rate is tried.
type Phase string

const (
	Grow    Phase = "grow"     // nothing has failed yet
	Narrow  Phase = "narrow"   // between what was carried and what was not
	Repeat  Phase = "repeat"   // what was seen once could be chance
	HoldOut Phase = "hold-out" // does a load well below the capacity meet the goal
	Done    Phase = "done"
)

// Search is how to look for the highest rate that meets a goal. It keeps nothing: what was measured is handed to it.
type Search struct {
	Goal  Goal
	Start float64       // the first rate, requests a second
	Most  float64       // no higher rate is tried; 0 is none
	Step  time.Duration // what a whole step takes, with all that is around it
}

// Trial is what to measure next.
type Trial struct {
	Phase Phase
	Rate  float64
	Half  bool // half a step will do: the end is not near
	// Why the search is over, when it is.
	Why string
}

const (
	// tolerance is how far what was carried and what was not may be apart in the end.
	tolerance = 1.05
	// twice is how often a rate has to be carried to be borne out.
	twice = 2
	// spoiltInARow ends the search: the box is not ours.
	spoiltInARow = 3
	// confirming is how many steps are kept for the end: the second run of the capacity, and the hold-out, which may meet a hiccup.
	confirming = 3
	// holdOutShare is which part of the capacity is held out.
	holdOutShare = 0.8
	// least is the lowest rate that is worth a look.
	least = 1.0
)

// Next says what to measure, given all that was measured and the time that is left. It ends: whatever is measured, a rate is tried at most
// three times, and rates come closer to each other until they are within 5 %.
func (s *Search) Next(steps []Step, left time.Duration) Trial {
	if robbed(steps) {
		return Trial{Phase: Done, Why: "the box is robbed of its processors' time"}
	}
	if left < s.Step {
		return Trial{Phase: Done, Why: "the time is over"}
	}
	affordable := int(left / s.Step)
	b := s.bracket(steps)
	ending := b.low != nil && affordable <= confirming
	switch {
	case ending:
	case b.open != nil && b.open == b.held:
		return Trial{Phase: HoldOut, Rate: b.open.rate}
	case b.open != nil:
		return Trial{Phase: Repeat, Rate: b.open.rate}
	case b.low == nil && b.high == nil:
		return Trial{Phase: Grow, Rate: rounded(s.Start), Half: true}
	case b.low == nil && b.high.rate/2 < least:
		return Trial{Phase: Done, Why: "no rate met the goal"}
	case b.low == nil:
		return Trial{Phase: Narrow, Rate: rounded(b.high.rate / 2)}
	case b.high == nil && (s.Most == 0 || b.low.rate < s.Most):
		return Trial{Phase: Grow, Rate: s.grown(steps, b.low.rate), Half: true}
	}
	confirmations := max(0, twice-b.low.passed)
	middle := 0.0
	if b.high != nil && b.high.rate > tolerance*b.low.rate {
		middle = rounded(math.Sqrt(b.low.rate * b.high.rate))
	}
	switch {
	case !ending && middle > b.low.rate && middle < b.high.rate:
		return Trial{Phase: Narrow, Rate: middle}
	case confirmations > 0:
		return Trial{Phase: Repeat, Rate: b.low.rate}
	case b.held != nil && b.held.passed > b.held.failed:
		return Trial{Phase: Done, Why: "the capacity is known"}
	}
	return Trial{Phase: HoldOut, Rate: rounded(holdOutShare * b.low.rate)}
}

// grown is the rate above one that was carried: twice it, or half as much again once what is measured, and what it is measured with, have
// two fifths of the cores.
func (s *Search) grown(steps []Step, from float64) float64 {
	factor := 2.0
	for i := range steps {
		if steps[i].Wanted == from && steps[i].Own() > 0.4*steps[i].Cores {
			factor = 1.5
		}
	}
	rate := rounded(from * factor)
	if s.Most > 0 {
		rate = min(rate, s.Most)
	}
	return rate
}

// robbed says whether the last steps were all spoilt.
func robbed(steps []Step) bool {
	n := 0
	for i := len(steps) - 1; i >= 0 && steps[i].Spoilt() != ""; i-- {
		n++
	}
	return n >= spoiltInARow
}

// tally is what came of one rate.
type tally struct {
	rate           float64
	passed, failed int
	plain          bool // a failure that needs no second look
}

// carried says that it met the goal more often than not.
func (t *tally) carried() bool { return t.passed > t.failed }

// undecided says that it has to be tried again to know: it failed once, or as often as not.
func (t *tally) undecided() bool {
	return t.failed == 1 && t.passed <= 1 && !(t.plain && t.passed == 0)
}

// bracket is between what the capacity lies.
type bracket struct {
	low  *tally // the highest rate that was carried, nil for none
	high *tally // the lowest above it that was not, nil for none
	open *tally // one that has to be tried again first
	held *tally // the hold-out below low, nil when there was none
}

// bracket weighs all steps but those that were spoilt. What is undecided was not carried, so far.
func (s *Search) bracket(steps []Step) (b bracket) {
	rates, holdOuts := s.tallies(steps, false), s.tallies(steps, true)
	var ruledOut *tally // the lowest hold-out that failed: what is above cannot be right
	for i := range holdOuts {
		switch h := &holdOuts[i]; {
		case h.undecided():
			b.open, b.held = h, h
		case !h.carried() && ruledOut == nil:
			ruledOut = h
		}
	}
	for i := range rates {
		t := &rates[i]
		if ruledOut != nil && t.rate >= ruledOut.rate {
			break
		}
		switch {
		case t.carried():
			b.low = t
			if b.open != b.held { // a higher rate was carried, so that it was a hiccup
				b.open = nil
			}
		case t.undecided() && b.open == nil:
			b.open = t
		}
	}
	b.high = ruledOut
	for i := range rates {
		t := &rates[i]
		if !t.carried() && (b.low == nil || t.rate > b.low.rate) && (b.high == nil || t.rate < b.high.rate) {
			b.high = t
		}
	}
	for i := range holdOuts {
		if b.low != nil && b.held == nil && holdOuts[i].rate == rounded(holdOutShare*b.low.rate) {
			b.held = &holdOuts[i]
		}
	}
	return b
}

// tallies are in the order of their rates.
func (s *Search) tallies(steps []Step, holdOuts bool) (all []tally) {
	for i := range steps {
		step := &steps[i]
		if (step.Phase == HoldOut) != holdOuts || step.Spoilt() != "" {
			continue
		}
		at := slices.IndexFunc(all, func(t tally) bool { return t.rate == step.Wanted })
		if at < 0 {
			at = len(all)
			all = append(all, tally{rate: step.Wanted})
		}
		if t := &all[at]; s.Goal.Meets(step) {
			t.passed++
		} else {
			t.failed++
			t.plain = t.plain || !holdOuts && s.Goal.plainly(step) // a hold-out is well below what was carried twice: one failure is no proof
		}
	}
	slices.SortFunc(all, func(a, b tally) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	return all
}

package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestArrivalsOfAllLoopsTogetherComeAtOneRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 1e6).Draw(t, "rate")
		workers := rapid.IntRange(1, 8).Draw(t, "workers")
		var due []int64
		for i := range workers {
			s := newSchedule(rate, i, workers)
			for n := range uint64(50) {
				due = append(due, s.due(n))
			}
		}
		slices.Sort(due)
		for i, at := range due {
			if want := float64(i) / rate * 1e9; math.Abs(float64(at)-want) > 1+want*1e-12 {
				t.Fatalf("arrival %d is due after %d ns, want %.0f", i, at, want)
			}
		}
	})
}

func TestArrivalsDoNotDriftInADay(t *testing.T) {
	s := newSchedule(30_000.1, 0, 1)
	n := uint64(30_000.1 * 86_400)
	if off := time.Duration(s.due(n)) - 24*time.Hour; off.Abs() > time.Millisecond {
		t.Fatalf("the last arrival of a day is off by %s", off)
	}
}

func TestWeightsAreMet(t *testing.T) {
	requests := []Request{{Weight: 1}, {Weight: 0.001}, {Weight: 3}}
	c := newChoice(requests, 7, 0)
	var counts [3]float64
	const draws = 400_000
	for range draws {
		counts[c.next()]++
	}
	for i, r := range requests {
		share := r.Weight / 4.001
		if got := counts[i] / draws; math.Abs(got-share) > 4*math.Sqrt(share/draws) {
			t.Errorf("request %d has a share of %.5f, want %.5f", i, got, share)
		}
	}
}

func TestSeedAloneDecidesTheOrder(t *testing.T) {
	requests := []Request{{Weight: 1}, {Weight: 1}, {Weight: 1}}
	draw := func(seed, worker uint64) (order []int) {
		c := newChoice(requests, seed, worker)
		for range 64 {
			order = append(order, c.next())
		}
		return order
	}
	if !slices.Equal(draw(5, 1), draw(5, 1)) {
		t.Error("the same seed gives another order")
	}
	if slices.Equal(draw(5, 1), draw(6, 1)) || slices.Equal(draw(5, 1), draw(5, 2)) {
		t.Error("another seed, or another loop, gives the same order")
	}
}

func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, workers := rapid.Uint64Range(0, 1000).Draw(t, "whole"), rapid.IntRange(1, 64).Draw(t, "workers")
		sum, least, most := uint64(0), whole, uint64(0)
		for i := range workers {
			part := share(whole, i, workers)
			sum, least, most = sum+part, min(least, part), max(most, part)
		}
		if sum != whole || most-least > 1 {
			t.Fatalf("shares from %d to %d add up to %d of %d", least, most, sum, whole)
		}
	})
}

// A line keeps the order of moments whoever joins and leaves, as a sorted slice does.
func TestLineIsOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l line
		var model []*waiting
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if len(model) > 0 && rapid.Bool().Draw(t, "leave") {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "who")
				model[i].leave()
				model[i].leave() // does nothing
				model = slices.Delete(model, i, i+1)
				continue
			}
			w := new(waiting)
			l.join(w, rapid.Int64Range(0, 9).Draw(t, "until"))
			i := len(model)
			for i > 0 && model[i-1].until > w.until {
				i--
			}
			model = slices.Insert(model, i, w)
		}
		var forth, back []*waiting
		for w := l.first; w != nil; w = w.after {
			forth = append(forth, w)
		}
		for w := l.last; w != nil; w = w.before {
			back = append(back, w)
		}
		slices.Reverse(back)
		if !slices.Equal(forth, model) || !slices.Equal(back, model) {
			t.Fatalf("the line is not in order")
		}
	})
}

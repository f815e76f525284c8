package main

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var dawn = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func TestHistory(t *testing.T) {
	var h history
	if p := h.past(); p != (past{}) {
		t.Errorf("before the first reading: %+v", p)
	}
	at, total := dawn, uint64(1000)
	h.add(at, total)
	if p := h.past(); p != (past{}) {
		t.Errorf("after the first: %+v", p)
	}
	step := func(d time.Duration, n uint64) {
		at, total = at.Add(d), total+n
		h.add(at, total)
	}
	step(time.Second, 5000) // the first comes early, and does not count as busy
	step(5*time.Second, 100)
	if p := h.past(); p.busiest != 20 || p.total != 5100 || p.busiestMinute != 0 || p.mean != 850 || !p.since.Equal(dawn) {
		t.Errorf("in the first minute: %+v", p)
	}
	for range 24 { // two minutes
		step(5*time.Second, 300)
	}
	busy := at.Add(5 * time.Second)
	step(5*time.Second, 1000)
	for range 24 {
		step(5*time.Second, 10)
	}
	p := h.past()
	if p.busiest != 200 || !p.busiestAt.Equal(busy) {
		t.Errorf("the busiest five seconds: %+v", p)
	}
	// The first minute has the early reading, too: 5000 + 100 and ten times 300 in 56 s, or so.
	if p.busiestMinute < 100 || !p.busiestMinuteWas.Equal(dawn) {
		t.Errorf("the busiest minute: %+v", p)
	}
	if h.add(at.Add(-time.Minute), 5); h.past() != p {
		t.Errorf("a clock that went back changed %+v to %+v", p, h.past())
	}
}

// What is older than a day is gone, whether something came in between or not.
func TestHistoryForgets(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Second, 7 * time.Minute, 25 * time.Hour} {
		var h history
		h.add(dawn, 0)
		h.add(dawn.Add(5*time.Second), 1_000_000)
		at, n := dawn, uint64(1_000_000)
		for at.Before(dawn.Add(24*time.Hour + 2*time.Minute)) {
			at, n = at.Add(every), n+1
			h.add(at, n)
		}
		p := h.past()
		if p.busiest > 1 || p.total > 20_000 || p.since.Before(at.Add(-24*time.Hour-time.Minute)) || p.mean > 1 {
			t.Errorf("readings every %v: %+v", every, p)
		}
	}
}

// Whatever is read: no rate that is none, the mean not above the busiest by more than what early readings bring, all of a day counted once.
func TestHistoryIsSane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h history
		at, total, all := dawn, uint64(0), uint64(0)
		h.add(at, total)
		for range rapid.IntRange(0, 300).Draw(t, "readings") {
			d := time.Duration(rapid.Int64Range(0, int64(4*time.Minute)).Draw(t, "later"))
			n := rapid.Uint64Range(0, 1e6).Draw(t, "more")
			at, total = at.Add(d), total+n
			h.add(at, total)
			if d > 0 {
				all += n
			} else {
				total -= n // not read: time stood still
			}
		}
		p := h.past()
		for _, x := range []float64{p.mean, p.busiest, p.busiestMinute} {
			if !(x >= 0) || math.IsInf(x, 0) {
				t.Errorf("%+v", p)
			}
		}
		if at.Sub(dawn) < 23*time.Hour && at.After(dawn) && p.total != all {
			t.Errorf("counted %d of %d", p.total, all)
		}
	})
}

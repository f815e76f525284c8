package policy

import (
	"fmt"
	"strings"
	"testing"
)

// counted is a thing with a counter, a gauge and a time of a place.
type counted struct {
	label, place string
	n            float64
}

func (c *counted) Report(figure func(Figure)) {
	labels := [][2]string{{c.label, c.place}, {"reason", "full"}}
	figure(Figure{Name: "n_total", Counter: true, Labels: labels, Value: c.n})
	figure(Figure{Name: "now", Labels: labels, Value: 1})
	figure(Figure{Name: "rest_seconds", Labels: labels, Value: 1})
}

// shownAs is what a page has, by name and labels. A series is there once.
func shownAs(t *testing.T, s *State) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	s.Figures(func(f Figure) {
		key := f.Name
		for _, l := range f.Labels {
			key += " " + l[1]
		}
		if _, twice := all[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		all[key] = f.Value
	})
	return all
}

// However many places there are, a label has MaxPlaces values; the rest is added up and never goes down.
func TestFiguresOfManyPlaces(t *testing.T) {
	for _, label := range places {
		s := NewState()
		hold := func(from, to int) {
			s.Begin()
			for i := from; i < to; i++ {
				place := fmt.Sprintf("route-%d", i)
				Hold(s, "test", place, func() *counted { return &counted{label, place, 2} })
			}
			s.Keep()
		}
		hold(0, 1000)
		all := shownAs(t, s)
		if len(all) != 3*MaxPlaces+2 || all["n_total other full"] != 2*800 || all["now other full"] != 800 {
			t.Errorf("%s: %d series, %v counted elsewhere, %v now", label, len(all), all["n_total other full"], all["now other full"])
		}
		if all["n_total route-0 full"] != 2 || all["rest_seconds route-199 full"] != 1 || all["n_total route-200 full"] != 0 {
			t.Errorf("%s: the first places have no figures of their own", label)
		}
		hold(500, 1000) // those of 0 to 499 are given up: what 200 to 499 counted stays
		all = shownAs(t, s)
		if all["n_total other full"] != 2*800 || all["now other full"] != 500 {
			t.Errorf("%s, after a reload: %v counted elsewhere, %v now", label, all["n_total other full"], all["now other full"])
		}
		hold(0, 1) // who had a place of its own has it again
		if all = shownAs(t, s); all["n_total route-0 full"] != 2 || all["n_total other full"] != 2*800 {
			t.Errorf("%s, back again: %v", label, all)
		}
	}
}

// Labels that name no place are as they were reported, and a reporter's labels are its own.
func TestFiguresLabels(t *testing.T) {
	s := NewState()
	s.Begin()
	for i := range 2 * MaxPlaces {
		place := fmt.Sprintf("issuer-%d", i)
		Hold(s, "test", place, func() *counted { return &counted{"issuer", place, 1} })
	}
	s.Keep()
	for key := range shownAs(t, s) {
		if strings.Contains(key, Elsewhere) {
			t.Errorf("%s was added up", key)
		}
	}
	labels := [][2]string{{"scope", "a"}}
	var own tally
	for i := range MaxPlaces {
		own.has(0, fmt.Sprint(i))
	}
	f := Figure{Name: "n", Labels: labels}
	if !own.elsewhere(&f) || f.Labels[0][1] != Elsewhere || labels[0][1] != "a" {
		t.Errorf("%v of %v", f.Labels, labels)
	}
}

// Things are asked in the order they came, so that the same ones get a place of their own on every node and at every start.
func TestEachInOrder(t *testing.T) {
	s := NewState()
	s.Begin()
	for i := range 100 {
		Hold(s, "test", fmt.Sprint(i), func() *counted { return &counted{place: fmt.Sprint(i)} })
	}
	n := 0
	s.Each(func(r Reporter) {
		if r.(*counted).place != fmt.Sprint(n) {
			t.Fatalf("%s came at %d", r.(*counted).place, n)
		}
		n++
	})
}

// BenchmarkFigures is a page of a configuration with 100,000 places.
func BenchmarkFigures(b *testing.B) {
	s := NewState()
	s.Begin()
	for i := range 100_000 {
		place := fmt.Sprintf("route-%d", i)
		Hold(s, "test", place, func() *counted { return &counted{"scope", place, 2} })
	}
	s.Keep()
	for b.Loop() {
		s.Figures(func(Figure) {})
	}
}

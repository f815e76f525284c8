package chart

import "math"

// farthest is how far from zero a number may be to be drawn: beyond it the arithmetic of ranges loses its digits.
const farthest = 1e15

// mostNines is where an axis of percentiles ends at the latest: 99.9999999 %, which needs a billion values to mean anything.
const mostNines = 9

// scale is an axis with the range it shows. Its measure is linear in what is drawn: the number itself, its logarithm, or its nines.
type scale struct {
	kind      kind
	low, high float64 // in the measure
	ticks     []tick
}

type kind int

const (
	linear kind = iota
	logarithmic
	nines
)

// tick is a place with a grid line, and a label unless it is empty.
type tick struct {
	at    float64 // in the measure
	label string
}

// measure is where on the axis a number lies; false when it lies nowhere.
func (k kind) measure(v float64) (float64, bool) {
	if math.IsNaN(v) || math.Abs(v) > farthest {
		return 0, false
	}
	switch k {
	case logarithmic:
		if v < 1/farthest {
			return 0, false
		}
		return math.Log10(v), true
	case nines:
		return min(-math.Log10(1-min(max(v, 0), 100)/100), mostNines), true
	}
	return v, true
}

// reach is the range that what is to be seen takes.
type reach struct {
	low, high float64
	any       bool
}

func (r *reach) add(m float64) {
	if !r.any {
		r.low, r.high, r.any = m, m, true
	}
	r.low, r.high = min(r.low, m), max(r.high, m)
}

// newScale makes an axis for what it has to reach. room is about how many labels it has place for; round ends it at a tick.
func newScale(a *Axis, r reach, room int, round bool) *scale {
	s := &scale{kind: a.kind(), low: r.low, high: r.high}
	if !r.any {
		s.low, s.high = 0, 1
	}
	end, ended := 0.0, false
	if a.Max != 0 {
		end, ended = s.kind.measure(a.Max)
	}
	if ended {
		s.high = end
		s.low = min(s.low, end)
	}
	room = max(room, 2)
	switch s.kind {
	case logarithmic:
		s.logs(a.Unit, room, ended)
	case nines:
		s.nines(a.Unit, room, ended)
	default:
		s.linear(a.Unit, room, round && !ended)
	}
	return s
}

func (a *Axis) kind() kind {
	switch {
	case a.Log:
		return logarithmic
	case a.Nines:
		return nines
	}
	return linear
}

// linear puts ticks at round numbers: steps of 1, 2 or 5 times a power of ten.
func (s *scale) linear(unit string, room int, round bool) {
	if s.low > 0 {
		s.low = 0
	}
	if s.high < 0 {
		s.high = 0
	}
	if s.high-s.low <= max(1e-9*max(math.Abs(s.low), math.Abs(s.high)), 1/farthest) {
		s.high = s.low + max(1, math.Abs(s.low))
	}
	step := roundStep((s.high - s.low) / float64(room))
	if s.low < 0 {
		s.low = math.Floor(s.low/step+1e-9) * step
	}
	if round {
		s.high = math.Ceil(s.high/step-1e-9) * step
	}
	// Both ends are within 1e15 and a step is at least a tenth of the range over room: the loop is short.
	for i := math.Ceil(s.low/step - 1e-9); i*step <= s.high+step*1e-9; i++ {
		s.ticks = append(s.ticks, tick{i * step, figure(i*step, step) + spaced(unit)})
	}
}

// roundStep is the smallest of 1, 2 and 5 times a power of ten that is not below.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= least*(1-1e-9) {
			return n * power
		}
	}
	return 10 * power
}

// logs begins and ends at 1, 2 or 5 times a power of ten, and labels those while there is room, else powers alone.
func (s *scale) logs(unit string, room int, ended bool) {
	s.low = logRound(s.low, math.Floor)
	if !ended {
		s.high = logRound(s.high, math.Ceil)
	}
	if s.high-s.low < 0.3 {
		s.high = s.low + 1
	}
	decades := s.high - s.low
	every := max(1, int(math.Ceil(decades/float64(room)))) // labelled powers
	for power := math.Floor(s.low); power <= s.high+1e-9; power++ {
		for n := 1.0; n < 10; n++ {
			at := power + math.Log10(n)
			if at < s.low-1e-9 || at > s.high+1e-9 || n > 1 && decades > 6 {
				continue
			}
			t := tick{at: at}
			if n == 1 && math.Mod(power, float64(every)) == 0 || (n == 2 || n == 5) && decades*3 <= float64(room)*1.3 {
				v := n * math.Pow(10, power)
				t.label = figure(v, v) + spaced(unit)
			}
			s.ticks = append(s.ticks, t)
		}
	}
}

// logRound rounds a logarithm to that of 1, 2 or 5 times a power of ten, down or up.
func logRound(m float64, way func(float64) float64) float64 {
	power := math.Floor(m + 1e-9)
	rest := m - power
	steps := []float64{0, math.Log10(2), math.Log10(5), 1}
	if way(0.5) == 0 {
		for i := len(steps) - 1; i >= 0; i-- {
			if rest >= steps[i]-1e-9 {
				return power + steps[i]
			}
		}
		return power
	}
	for _, step := range steps {
		if rest <= step+1e-9 {
			return power + step
		}
	}
	return power + 1
}

// nines puts ticks at 0, 50, 90, 99, 99.9 and so on.
func (s *scale) nines(unit string, room int, ended bool) {
	s.low = 0
	if s.high < 1 && !ended {
		s.high = 1
	}
	s.high = max(s.high, 0.1)
	every := max(1, int(math.Ceil(s.high/float64(room-1)))) // labelled nines
	add := func(at float64, label string) {
		if at <= s.high+1e-9 {
			s.ticks = append(s.ticks, tick{at, label})
		}
	}
	add(0, "0"+spaced(unit))
	half := ""
	if s.high*3 <= float64(room) {
		half = "50" + spaced(unit)
	}
	add(-math.Log10(0.5), half)
	label := "9"
	for n := 1; n <= mostNines; n++ {
		text := label + "0"
		if n > 1 {
			text = label
		}
		if n%every != 0 {
			text = ""
		} else {
			text += spaced(unit)
		}
		add(float64(n), text)
		if label += "9"; n == 2 {
			label = "99.9"
		}
	}
}

// share is where a measure lies between the ends: 0 to 1 inside. It is cut far outside, so that what is drawn there has few digits.
func (s *scale) share(m float64) float64 {
	return min(max((m-s.low)/(s.high-s.low), -10), 10)
}

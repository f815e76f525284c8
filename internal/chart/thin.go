package chart

import "math"

// most is how many points of a line are written: four a pixel of the widest plot, and some more for lines that go back and forth.
const most = 3000

// spot is a point as it is drawn, in pixels. One that is no spot breaks the line.
type spot struct {
	x, y float64
	gap  bool
}

// thin leaves of a line what can be seen of it: of points that follow each other in one column of pixels the first, the lowest, the highest
// and the last (M4: Jugel et al., A Visualization-Oriented Time Series Data Aggregation, VLDB 2014). What goes back and forth too often
// for that is sampled.
func thin(all []spot) []spot {
	if len(all) <= most/4 {
		return all
	}
	var out []spot
	for i := 0; i < len(all); {
		j := i
		low, high := i, i
		for ; j < len(all) && all[j].gap == all[i].gap && math.Floor(all[j].x) == math.Floor(all[i].x); j++ {
			if all[j].y < all[low].y {
				low = j
			}
			if all[j].y > all[high].y {
				high = j
			}
		}
		kept := -1
		for _, k := range []int{i, min(low, high), max(low, high), j - 1} {
			if k > kept && (k == i || !all[i].gap) {
				out = append(out, all[k])
				kept = k
			}
		}
		i = j
	}
	if len(out) <= most {
		return out
	}
	sampled := out[:0]
	for i := range most {
		sampled = append(sampled, out[i*len(out)/most])
	}
	return sampled
}

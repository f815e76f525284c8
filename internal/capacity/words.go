package capacity

import (
	"math"
	"strconv"
	"time"

	"straum.dev/straum/internal/wording"
)

// number writes a rate or a count with three digits that mean something, in groups: 12,400.
func number(x float64) string {
	if x < 10 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	return wording.Group(strconv.FormatFloat(rounded(x), 'f', 0, 64))
}

// Rate writes requests a second: 12,400/s.
func Rate(x float64) string { return number(x) + "/s" }

// rounded keeps three digits.
func rounded(x float64) float64 {
	if x <= 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(x))-2)
	return math.Round(x/unit) * unit
}

func percent(x float64) string {
	if x > 0 && x < 0.001 {
		return strconv.FormatFloat(x*100, 'g', 1, 64) + " %"
	}
	if x < 0.0995 {
		return strconv.FormatFloat(x*100, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(x*100, 'f', 0, 64) + " %"
}

// Span writes a time with three digits.
func Span(d time.Duration) string { return span(d) }

func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e3, 'g', 3, 64) + " µs"
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
}

// cores writes how many.
func cores(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// size writes bytes.
func size(b float64) string {
	switch {
	case b < 1<<20:
		return strconv.FormatFloat(b/(1<<10), 'f', 1, 64) + " KiB"
	case b < 1<<30:
		return strconv.FormatFloat(b/(1<<20), 'f', 0, 64) + " MiB"
	}
	return strconv.FormatFloat(b/(1<<30), 'f', 1, 64) + " GiB"
}

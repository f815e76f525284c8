package chart

import (
	"math"
	"strconv"
	"strings"

	"straum.dev/straum/internal/wording"
)

// figure writes a number with as many digits as steps of that size need, thousands apart by commas.
func figure(v, step float64) string {
	suffix := ""
	for _, big := range []struct {
		at   float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}} {
		if math.Abs(step) >= big.at/10 && math.Abs(v) >= big.at {
			v, step, suffix = v/big.at, step/big.at, big.name
			break
		}
	}
	digits := 0
	if step = math.Abs(step); step > 0 && step < 1 {
		digits = min(int(math.Ceil(-math.Log10(step)-1e-9)), 15)
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if v == 0 || strings.Trim(text, "-0.") == "" {
		return "0"
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return thousands(text) + suffix
}

// brief writes a number with about three digits that count.
func brief(v float64) string {
	if v == 0 {
		return "0"
	}
	return figure(v, math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2))
}

func thousands(text string) string {
	whole, rest, dotted := strings.Cut(text, ".")
	whole = wording.Group(whole)
	if dotted {
		whole += "." + rest
	}
	return whole
}

// spaced is a unit as it stands behind a number: apart, unless it is one that is written close.
func spaced(unit string) string {
	if unit = clip(unit, 12); unit == "" || unit[0] == '/' || unit == "%" || unit == "×" {
		return unit
	}
	return "\u00a0" + unit
}

package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"straum.dev/straum/internal/wording"
)

// span writes a time with three digits that count.
func span(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return wording.Span(d.Seconds())
}

// maybe writes a time that may not be known.
func maybe(d time.Duration, known bool) string {
	if !known {
		return "-"
	}
	return span(d)
}

// rate writes requests a second.
func rate(x float64) string {
	if x < 99.95 && x != math.Trunc(x) {
		return wording.Digits(x) + "/s"
	}
	return wording.Grouped(uint64(math.Round(x))) + "/s"
}

// percent never rounds to 0 or 100 what is neither.
func percent(part, whole uint64) string {
	if part == 0 || whole == 0 {
		return "0%"
	}
	switch x := float64(part) / float64(whole); {
	case x > 0 && x < 0.0005:
		return "<0.1%"
	case x < 1 && x >= 0.9995:
		return ">99.9%"
	default:
		return strconv.FormatFloat(x*100, 'f', 1, 64) + "%"
	}
}

// volume writes bytes.
func volume(n float64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	case n < 1<<20:
		return wording.Digits(n/(1<<10)) + " KiB"
	case n < 1<<30:
		return wording.Digits(n/(1<<20)) + " MiB"
	}
	return wording.Digits(n/(1<<30)) + " GiB"
}

// plain is a name that fits into a line of a terminal and cannot command it.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// howLong writes the length of a run.
func howLong(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strings.TrimSuffix(strings.TrimSuffix(strconv.FormatFloat(d.Seconds(), 'f', 1, 64), "0"), ".") + " s"
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.Round(time.Second).String()
}

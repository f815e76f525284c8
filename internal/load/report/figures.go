package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// span writes a time with three digits that count.
func span(d time.Duration) string {
	switch s := d.Seconds(); {
	case d <= 0:
		return "0"
	case s < 999.5e-6:
		return digits(s*1e6) + "µs"
	case s < 999.5e-3:
		return digits(s*1e3) + "ms"
	default:
		return digits(s) + "s"
	}
}

// maybe writes a time that may not be known.
func maybe(d time.Duration, known bool) string {
	if !known {
		return "-"
	}
	return span(d)
}

func digits(x float64) string {
	switch {
	case x < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

// rate writes requests a second.
func rate(x float64) string {
	if x < 99.95 && x != math.Trunc(x) {
		return digits(x) + "/s"
	}
	return many(uint64(math.Round(x))) + "/s"
}

// many writes a count, thousands apart.
func many(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return many(n) + " " + what + "s"
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
		return digits(n/(1<<10)) + " KiB"
	case n < 1<<30:
		return digits(n/(1<<20)) + " MiB"
	}
	return digits(n/(1<<30)) + " GiB"
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

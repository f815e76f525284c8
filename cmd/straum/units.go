package main

import (
	"fmt"
	"strconv"
	"time"

	"straum.dev/straum/internal/wording"
)

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// age writes how long something has been, in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
}

// span writes a short time in seconds with three digits; "-" for none.
func span(s float64) string {
	if s <= 0 {
		return "-"
	}
	return wording.Span(s)
}

// share writes a part of a whole in brackets; nothing when there is no part.
func share(part, whole uint64) string {
	if part == 0 || whole == 0 {
		return ""
	}
	return " (" + percent(float64(part)/float64(whole)) + ")"
}

// percent never rounds to 0 or 100 what is neither.
func percent(x float64) string {
	switch {
	case x > 0 && x < 0.0005:
		return "<0.1%"
	case x < 1 && x >= 0.9995:
		return ">99.9%"
	}
	return strconv.FormatFloat(x*100, 'f', 1, 64) + "%"
}

// size writes bytes; "unknown" for none, which no process has.
func size(b uint64) string {
	switch {
	case b == 0:
		return "unknown"
	case b < 1<<20:
		return wording.Digits(float64(b)/(1<<10)) + " KiB"
	case b < 1<<30:
		return wording.Digits(float64(b)/(1<<20)) + " MiB"
	}
	return wording.Digits(float64(b)/(1<<30)) + " GiB"
}

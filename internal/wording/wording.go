// Package wording writes numbers and file errors the way all findings, reports and problems do.
//
// It serves no step of a request. It refuses to choose words for anything else: what a number means is said by whoever has counted it.
package wording

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// Cause is what an error of a file says besides the call and the path, which the text around it names already.
func Cause(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// Group puts commas between the thousands of a whole number that is written already.
func Group(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Grouped writes a whole number with commas between thousands: 12,345.
func Grouped[N int | int64 | uint64](n N) string { return Group(fmt.Sprint(n)) }

// Count writes how many of something there are, which has a plural in s: 1 answer, 12,345 answers.
func Count[N int | int64 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Grouped(n) + " " + what + "s"
}

// Digits writes a number that is not negative with three digits that count.
func Digits(x float64) string {
	switch {
	case x < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

// Span writes a time in seconds, above 0, with three digits that count: 429µs, 3.28ms, 12.0s.
func Span(seconds float64) string {
	switch {
	case seconds < 999.5e-6:
		return Digits(seconds*1e6) + "µs"
	case seconds < 999.5e-3:
		return Digits(seconds*1e3) + "ms"
	}
	return Digits(seconds) + "s"
}

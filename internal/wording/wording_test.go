package wording

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"testing"
)

func TestCause(t *testing.T) {
	_, err := os.Open("/nowhere/at/all")
	plain := errors.New("plain")
	for given, want := range map[error]string{
		err: "no such file or directory",
		fmt.Errorf("reading the key: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}): "permission denied",
		plain: "plain",
	} {
		if got := Cause(given); got.Error() != want {
			t.Errorf("%v: %v, want %s", given, got, want)
		}
	}
	if !errors.Is(Cause(err), fs.ErrNotExist) {
		t.Error("what it was is lost")
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Grouped(0): "0", Grouped(999): "999", Grouped(1000): "1,000", Grouped(-123456): "-123,456", Grouped(-1234567): "-1,234,567", Grouped(uint64(math.MaxUint64)): "18,446,744,073,709,551,615",
		Count(0, "answer"): "0 answers", Count(1, "answer"): "1 answer", Count(uint64(12345), "answer"): "12,345 answers",
		Digits(0): "0.00", Digits(9.994): "9.99", Digits(9.996): "10.0", Digits(99.96): "100", Digits(12345.6): "12346",
		Span(429e-6): "429µs", Span(999.6e-6): "1.00ms", Span(3.28e-3): "3.28ms", Span(0.9996): "1.00s", Span(12): "12.0s",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
)

// good is a finding that is as it should be.
func good(is, why string) box.Finding {
	return box.Finding{Severity: box.Good, Is: is, Want: is, Why: why}
}

// unknown is a finding that could not be made. is says why not.
func unknown(is, why, remedy string) box.Finding {
	return box.Finding{Severity: box.Unknown, Is: is, Why: why, Remedy: remedy}
}

// one is the findings of a check that has one.
func one(f box.Finding) []box.Finding { return []box.Finding{f} }

// unread says why a file could not be read.
func unread(file string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "this box has no " + file
	case errors.Is(err, fs.ErrPermission):
		return "this user may not read " + file
	}
	return file + " cannot be read"
}

// number reads a file of the box that holds one whole number.
func number(m *box.Machine, file string) (int64, error) {
	text, err := m.Read(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s holds no whole number", file)
	}
	return n, nil
}

// word reads a file of the box that holds a word; empty when there is none.
func word(m *box.Machine, file string) string {
	text, _ := m.Read(file)
	return text
}

// counter finds the number behind a name in a file of lines "name number"; false when it is not there.
func counter(m *box.Machine, file, name string) (uint64, bool) {
	text, err := m.Read(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && strings.TrimSuffix(f[0], ":") == name {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// percent writes a share with as many digits as matter; it never rounds to 0 what is none.
func percent(x float64) string {
	switch {
	case x > 0 && x < 0.0005:
		return "<0.1%"
	case x < 0.0995:
		return strings.TrimSuffix(strconv.FormatFloat(x*100, 'f', 1, 64), ".0") + "%"
	}
	return strconv.FormatFloat(x*100, 'f', 0, 64) + "%"
}

// short writes a time with two or three digits.
func short(d time.Duration) string {
	for _, unit := range []struct {
		one  time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= unit.one {
			return digits(float64(d)/float64(unit.one)) + unit.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// digits writes a number with two digits when it is short, and none behind a dot that say nothing.
func digits(x float64) string {
	if x >= 9.95 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}

// size writes bytes.
func size(b int64) string {
	for _, unit := range []struct {
		one  int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if b >= unit.one {
			return digits(float64(b)/float64(unit.one)) + " " + unit.name
		}
	}
	return strconv.FormatInt(b, 10) + " B"
}

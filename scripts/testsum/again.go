package main

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// mostAgain is how many failed tests are run again. More than these did not fail by load.
const mostAgain = 6

// again runs the tests that failed once more, each alone and twice, and reports whether all of them passed. A test that fails only beside all
// others, on a machine that is too busy, is shaky: it is named, so that it gets mended, and does not hide whether the change is good. What is no
// matter of load is never run again: a data race, a panic, a test that did not end, a package that does not build.
func (s *summary) again(out io.Writer, flags []string, run func(args ...string) error) bool {
	if len(s.failures) == 0 || len(s.failures) > mostAgain || s.grave {
		return false
	}
	for _, f := range s.failures {
		args := append(append([]string{"test", "-count=2"}, flags...), "-run", "^"+f.test+"$", f.pkg)
		if err := run(args...); err != nil {
			fmt.Fprintf(out, "failed again, alone: %s %s\n", f.pkg, f.test)
			return false
		}
	}
	for _, f := range s.failures {
		fmt.Fprintf(out, "shaky: %s %s failed once beside all others and passed twice alone; mend it\n", f.pkg, f.test)
	}
	return true
}

// failure is a test, not a subtest, that failed.
type failure struct{ pkg, test string }

// fail notes a failed test.
func (s *summary) fail(pkg, test string, printed []string) {
	test, _, _ = strings.Cut(test, "/")
	if f := (failure{pkg, test}); !slices.Contains(s.failures, f) {
		s.failures = append(s.failures, f)
	}
	text := strings.Join(printed, "")
	s.grave = s.grave || strings.Contains(text, "DATA RACE") || strings.Contains(text, "race detected") || strings.Contains(text, "panic: ")
}

// lasting are the flags of a run that hold for a test run again: what is built, and how.
func lasting(args []string) (flags []string) {
	for _, a := range args {
		if a == "-race" || strings.HasPrefix(a, "-tags=") {
			flags = append(flags, a)
		}
	}
	return flags
}

// goTest runs the go command and drops what it prints.
func goTest(args ...string) error { return exec.Command("go", args...).Run() }

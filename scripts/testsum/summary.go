package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64 // seconds
}

// summary counts while it reads. What a test prints is kept until its outcome is known; a passing one's is dropped.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	shaky                   int
	printed                 map[string][]string // by package and test, or by package alone
	inPackage               map[string]int      // tests that ended, by package
	failedIn                map[string]int      // tests that failed, by package
	skips                   []string
	failures                []failure
	grave                   bool // something failed that running it again must not hide
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, printed: map[string][]string{}, inPackage: map[string]int{}, failedIn: map[string]int{}}
}

func (s *summary) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(s.out, "%s", line) // not an event: a message of the go command itself
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Action == "build-output" {
			key = "build " + e.ImportPath
		}
		s.printed[key] = append(s.printed[key], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		s.packageEnds(e)
	} else {
		s.testEnds(e, key)
	}
	delete(s.printed, key)
}

func (s *summary) testEnds(e event, key string) {
	s.inPackage[e.Package]++
	switch e.Action {
	case "pass":
		s.passed++
		// The race detector's report stands where the output of one of the tests that ran at the time went, which may be one that passed.
		if printed := strings.Join(s.printed[key], ""); strings.Contains(printed, "WARNING: DATA RACE") {
			s.grave = true
			fmt.Fprintf(s.out, "--- a race was told while this passed: %s %s\n%s", e.Package, e.Test, printed)
		}
	case "fail":
		s.failed++
		s.failedIn[e.Package]++
		s.fail(e.Package, e.Test, s.printed[key])
		fmt.Fprintf(s.out, "--- failed: %s %s\n%s", e.Package, e.Test, strings.Join(s.printed[key], ""))
	case "skip":
		s.skipped++
		s.skips = append(s.skips, fmt.Sprintf("skipped: %s %s: %s", e.Package, e.Test, reason(s.printed[key])))
	}
}

// reason is the last line a skipped test wrote itself.
func reason(printed []string) string {
	said := "no reason given"
	for _, line := range printed {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = line
		}
	}
	return said
}

func (s *summary) packageEnds(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok      %s (%d tests, %.1f s)\n", e.Package, s.inPackage[e.Package], e.Elapsed)
	case "fail":
		fmt.Fprintf(s.out, "FAILED  %s (%d tests, %.1f s)\n", e.Package, s.inPackage[e.Package], e.Elapsed)
		fmt.Fprint(s.out, strings.Join(s.printed["build "+e.FailedBuild], ""), strings.Join(s.printed[e.Package+" "], ""))
		s.unfinished(e.Package)
		if s.failedIn[e.Package] == 0 {
			s.failed++ // it did not build, or died outside every test
			s.grave = true
		}
	}
}

// unfinished shows what tests printed that never ended: one of them panicked, or ran out of time.
func (s *summary) unfinished(pkg string) {
	for key, printed := range s.printed {
		if name, ok := strings.CutPrefix(key, pkg+" "); ok && name != "" {
			s.grave = true
			fmt.Fprintf(s.out, "--- never ended: %s %s\n%s", pkg, name, strings.Join(printed, ""))
			delete(s.printed, key)
		}
	}
}

func (s *summary) close(code int) {
	for _, skip := range s.skips {
		fmt.Fprintln(s.out, skip)
	}
	if code != 0 && s.failed == 0 {
		fmt.Fprintf(s.out, "go test failed with exit code %d although no test did; see above\n", code)
		s.failed = 1
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped", s.passed, s.failed, s.skipped)
	if s.shaky > 0 {
		fmt.Fprintf(s.out, ", %d shaky", s.shaky)
	}
	fmt.Fprintln(s.out)
}

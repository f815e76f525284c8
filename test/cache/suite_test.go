package cache

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// What a run of the suite has to reach: of its tests for caches that are no browsers, and that a cache can pass at all.
const (
	leastRequired = 149
	leastOptimal  = 79
)

// verdict is what came of one test of the suite, as run.mjs tells it.
type verdict struct {
	ID, Suite, Name string
	Kind            string // required, optimal, or check: what caches do, with no right and wrong
	Browser         bool   // it is for browsers alone, and did not run
	Depends         []string
	Passed          bool
	Why             string
}

// TestSuite runs the public suite through gateways whose route has no other policy than `cache: {}`, each with one kind of store. What fails is named
// in suite/expected.txt with the paragraph that justifies it; nothing else may fail, and what stands there must.
//
// One test alone, with its messages: go test ./test/cache -run TestSuite -v, with STRAUM_CACHE_TEST=id in the environment.
func TestSuite(t *testing.T) {
	t.Parallel()
	expected := readExpected(t)
	dir := installSuite(t)
	for _, store := range []struct{ name, cache string }{
		{"memory", "cache: {}"},
		{"disk", "cache: { memory: 0, disk: { path: kept } }"},
	} {
		t.Run(store.name, func(t *testing.T) {
			if gateway.Race && store.name == "disk" {
				t.Skip("a disk that takes long to answer is left alone, and with the race detector beside other tests any disk does; CI runs this without it")
			}
			t.Parallel()
			verdicts := runSuite(t, dir, store.cache)
			for range 2 { // a busy machine is late at times, and so is what lasts for seconds in the suite
				if failing(verdicts, expected) == 0 {
					break
				}
				verdicts = better(verdicts, runSuite(t, dir, store.cache))
			}
			judge(t, expected, verdicts)
		})
	}
}

// installSuite installs what package-lock.json says, in a folder of the test's own.
func installSuite(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the suite needs Node.js 18 or later with npm: %v", err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "run.mjs"} {
		text, err := os.ReadFile(filepath.Join("suite", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("npm cannot install the suite here: %v\n%s", err, out)
		}
		t.Fatalf("npm cannot install the suite: %v\n%s", err, out)
	}
	return dir
}

// runSuite runs it through a gateway. It takes about twenty seconds, most of which it waits for answers to get stale.
func runSuite(t *testing.T, dir, cache string) []verdict {
	t.Helper()
	addr, endpoint := gateway.Free(t), gateway.Free(t)
	gateway.Start(t, fmt.Sprintf(`
listeners:
  - address: %q
upstreams:
  app: { endpoints: [%q] }
routes:
  - { name: all, match: { path: /* }, upstream: app, policies: [{ cache: {} }] }
%s
`, addr, endpoint, cache))
	_, port, _ := net.SplitHostPort(endpoint)
	told := filepath.Join(t.TempDir(), "told.json")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	one := os.Getenv("STRAUM_CACHE_TEST")
	run := exec.CommandContext(ctx, "node", "--no-warnings", "run.mjs", port, "http://"+addr, told, one)
	run.Dir = dir
	out, err := run.CombinedOutput()
	if one != "" {
		t.Logf("%s", out)
	}
	text, errRead := os.ReadFile(told)
	if err := cmp.Or(err, errRead); err != nil {
		t.Fatalf("the suite did not run to its end: %v\n%s", err, out)
	}
	var verdicts []verdict
	if err := json.Unmarshal(text, &verdicts); err != nil {
		t.Fatal(err)
	}
	return verdicts
}

// failing is how many tests fail that nobody expects to.
func failing(verdicts []verdict, expected map[string]expectation) (n int) {
	for _, v := range verdicts {
		if _, listed := expected[v.ID]; !v.Passed && !listed && !v.Browser && v.Kind != "check" {
			n++
		}
	}
	return n
}

// better is what passed in either of two runs of the same tests.
func better(a, b []verdict) []verdict {
	passed := map[string]bool{}
	for _, v := range b {
		passed[v.ID] = v.Passed
	}
	for i := range a {
		a[i].Passed = a[i].Passed || passed[a[i].ID]
	}
	return a
}

// judge compares what came of the suite with what is expected of it, and tells the score.
func judge(t *testing.T, expected map[string]expectation, verdicts []verdict) {
	t.Helper()
	if os.Getenv("STRAUM_CACHE_TEST") != "" {
		for _, v := range verdicts {
			t.Logf("%s %s: passed: %v; %s", v.Kind, v.ID, v.Passed, v.Why)
		}
		return
	}
	ran, passed, browsers, unable := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	var no []string // checks
	met := map[string]bool{}
	for _, v := range verdicts {
		if v.Browser {
			browsers[v.Kind]++
			continue
		}
		e, listed := expected[v.ID]
		met[v.ID] = listed
		switch {
		case v.Kind == "check":
			if listed {
				t.Errorf("%s is a check, which nobody has to pass: take it out of suite/expected.txt", v.ID)
			}
			if !v.Passed {
				no = append(no, v.ID)
			}
		case !v.Passed && !listed:
			t.Errorf("%s %s fails: %s: %s (%s)", v.Kind, v.ID, v.Name, v.Why, v.Suite)
		case v.Passed && listed:
			t.Errorf("%s %s passes: take it out of suite/expected.txt", v.Kind, v.ID)
		case !v.Passed && e.kind != v.Kind && e.kind != "unable":
			t.Errorf("%s is %s; suite/expected.txt says %s", v.ID, v.Kind, e.kind)
		case !v.Passed && e.kind == "unable":
			unable[v.Kind]++
			continue
		}
		ran[v.Kind]++
		if v.Passed {
			passed[v.Kind]++
		}
	}
	for id := range expected {
		if _, ok := met[id]; !ok {
			t.Errorf("suite/expected.txt names %q, which the suite does not have", id)
		}
	}
	t.Logf("required %d of %d, optimal %d of %d, checks %d of %d; besides for browsers alone %d required and %d optimal, and passed by no cache %d required and %d optimal",
		passed["required"], ran["required"], passed["optimal"], ran["optimal"], passed["check"], ran["check"],
		browsers["required"], browsers["optimal"], unable["required"], unable["optimal"])
	t.Logf("checks answered with no: %s", strings.Join(no, " "))
	if passed["required"] < leastRequired || passed["optimal"] < leastOptimal {
		t.Errorf("required %d, want %d; optimal %d, want %d", passed["required"], leastRequired, passed["optimal"], leastOptimal)
	}
}

// expectation is a line of suite/expected.txt.
type expectation struct{ kind, why string }

// readExpected reads suite/expected.txt.
func readExpected(t *testing.T) map[string]expectation {
	t.Helper()
	f, err := os.Open(filepath.Join("suite", "expected.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	expected := map[string]expectation{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := readExpectation(expected, line); err != nil {
			t.Fatalf("suite/expected.txt: %q: %v", line, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return expected
}

func readExpectation(expected map[string]expectation, line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	id, why, _ := strings.Cut(strings.TrimSpace(rest), " ")
	why = strings.TrimSpace(why)
	if kind != "required" && kind != "optimal" && kind != "unable" {
		return fmt.Errorf("begins with %q, want required, optimal or unable", kind)
	}
	if !strings.HasPrefix(why, "RFC ") {
		return errors.New("does not say why, beginning with the RFC and its paragraph")
	}
	if _, twice := expected[id]; twice {
		return errors.New("stands there twice")
	}
	expected[id] = expectation{kind, why}
	return nil
}

package main

import (
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// summarise feeds what go test would print through a shell and returns what testsum shows, and its exit code.
func summarise(t *testing.T, events string, exit string) (string, int) {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command("sh", "-c", "cat; exit "+exit)
	cmd.Stdin = strings.NewReader(events)
	sum := newSummary(&out)
	code, _ := sum.run(cmd)
	sum.close(code)
	return out.String(), code
}

// What failed by load is run again alone; what is no matter of load is not, nor is more than a few.
func TestAgain(t *testing.T) {
	failing := func(test, printed string) string {
		return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + printed + `"}` + "\n" + `{"Action":"fail","Package":"p","Test":"` + test + `"}` + "\n"
	}
	end := `{"Action":"fail","Package":"p"}`
	bad := errors.New("exit status 1")
	f := func(name, events string, answer error, want bool, wantRun ...string) {
		t.Helper()
		sum := newSummary(io.Discard)
		if err := sum.read(strings.NewReader(events)); err != nil {
			t.Fatal(err)
		}
		var ran []string
		got := sum.again(io.Discard, lasting([]string{"-count=1", "-p", "3", "-race", "-tags=waf", "./..."}), func(args ...string) error {
			ran = append(ran, strings.Join(args, " "))
			return answer
		})
		if got != want || !slices.Equal(ran, wantRun) {
			t.Errorf("%s: %v, ran %q", name, got, ran)
		}
	}
	alone := "test -count=2 -race -tags=waf -run ^A$ p"
	f("by load", failing("A", "awaited in vain")+end, nil, true, alone)
	f("not by load", failing("A", "awaited in vain")+end, bad, false, alone)
	f("subtests are their test's", failing("A/one", "x")+failing("A/two", "x")+failing("A", "x")+end, nil, true, alone)
	f("a race", failing("A", "race detected during execution of test")+end, nil, false)
	f("a panic", failing("A", "panic: boom")+end, nil, false)
	f("many", failing("A", "x")+failing("B", "x")+failing("C", "x")+failing("D", "x")+failing("E", "x")+failing("F", "x")+failing("G", "x")+end, nil, false)
	f("it does not build", end, nil, false)
	f("no end", `{"Action":"output","Package":"p","Test":"B","Output":"..."}`+"\n"+failing("A", "x")+end, nil, false)
}

func TestSummaries(t *testing.T) {
	f := func(name, events, exit string, wantCode int, wantLast string, wantShown ...string) {
		t.Helper()
		out, code := summarise(t, events, exit)
		lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
		if last := lines[len(lines)-1]; last != wantLast || code != wantCode {
			t.Errorf("%s: last line %q, exit %d; want %q, %d", name, last, code, wantLast, wantCode)
		}
		for _, want := range wantShown {
			if !strings.Contains(out, want) {
				t.Errorf("%s: does not show %q:\n%s", name, want, out)
			}
		}
		if strings.Contains(out, "quiet") {
			t.Errorf("%s: shows what a passing test printed:\n%s", name, out)
		}
	}
	f("passing and skipped", `
{"Action":"output","Package":"p","Test":"A","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"=== RUN   B\n"}
{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:1: no redis\n"}
{"Action":"output","Package":"p","Test":"B","Output":"--- SKIP: B (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"B"}
{"Action":"pass","Package":"p","Elapsed":0.5}
`, "0", 0, "1 passed, 0 failed, 1 skipped", "ok      p (2 tests, 0.5 s)", "skipped: p B: b_test.go:1: no redis")
	f("failing", `
{"Action":"output","Package":"p","Test":"A","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}
`, "1", 1, "0 passed, 1 failed, 0 skipped", "--- failed: p A\ngot 1, want 2", "FAILED  p")
	f("a race beside", `
{"Action":"output","Package":"p","Test":"A","Output":"WARNING: DATA RACE\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"race detected during execution of test\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p"}
`, "1", 1, "1 passed, 1 failed, 0 skipped", "WARNING: DATA RACE", "--- failed: p B")
	f("not building", `
{"Action":"build-output","ImportPath":"p [p.test]","Output":"p.go:1: undefined: x\n"}
{"Action":"build-fail","ImportPath":"p [p.test]"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`, "1", 1, "0 passed, 1 failed, 0 skipped", "undefined: x")
	f("dying in the middle of a test", `
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}
`, "2", 2, "1 passed, 1 failed, 0 skipped", "--- never ended: p B\npanic: boom")
	f("no event at all", "go: no such package\n", "1", 1, "0 passed, 1 failed, 0 skipped", "no such package", "exit code 1")
	f("a failure that go test kept quiet about", `{"Action":"fail","Package":"p","Test":"A"}`, "0", 1, "0 passed, 1 failed, 0 skipped")
}

package doctor

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
)

// wrongAdvice reads the list that package setting keeps: what no output may say, each with what excuses it.
func wrongAdvice(t *testing.T) (list []struct{ wrong, unless *regexp.Regexp }) {
	t.Helper()
	text, err := os.ReadFile("../setting/testdata/wrong_advice.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		wrong, unless, ok := strings.Cut(line, " unless ")
		if !ok {
			unless = `a^` // nothing
		}
		list = append(list, struct{ wrong, unless *regexp.Regexp }{regexp.MustCompile("(?is)" + wrong), regexp.MustCompile("(?is)" + unless)})
	}
	return list
}

// noWrongAdvice reads each paragraph for it.
func noWrongAdvice(t *testing.T, paragraphs ...string) {
	t.Helper()
	for _, w := range wrongAdvice(t) {
		for _, p := range paragraphs {
			if found := w.wrong.FindString(p); found != "" && !w.unless.MatchString(p) {
				t.Errorf("wrong advice (%s): %q in\n%s", w.wrong, found, p)
			}
		}
	}
}

// said is all a finding says, as one paragraph.
func said(found []box.Finding) (paragraphs []string) {
	for _, f := range found {
		paragraphs = append(paragraphs, strings.Join([]string{f.ID, f.Is, "to " + f.Want, f.Why, f.Cost, f.Remedy}, " "))
	}
	return paragraphs
}

// TestWrongAdviceIsFound has the list find what it is for.
func TestWrongAdviceIsFound(t *testing.T) {
	list := wrongAdvice(t)
	if len(list) < 20 {
		t.Errorf("only %d entries were read", len(list))
	}
	for _, bad := range []string{"net.ipv4.tcp_tw_recycle = 1", "set GOMAXPROCS=2", "sysctl -w net.ipv4.tcp_fin_timeout=15"} {
		found := false
		for _, w := range list {
			found = found || w.wrong.MatchString(bad)
		}
		if !found {
			t.Errorf("%q passes", bad)
		}
	}
}

// Package advicetest holds texts against advice that was wrong or has become so (../testdata/wrong_advice.txt).
//
// It serves no step of a request and is part of no program: tests alone import it. It refuses to judge a text as a whole: what a
// paragraph says is excused by that paragraph alone.
package advicetest

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// List is the list, read once.
type List []advice

// advice is one line of it.
type advice struct {
	line   string
	wrong  *regexp.Regexp
	unless *regexp.Regexp // what excuses it in the same paragraph; nil is nothing
}

// Check fails the test for each paragraph of the text that gives wrong advice. name says in messages what text it is.
func Check(t testing.TB, name, text string) {
	t.Helper()
	for _, found := range Read(t).Find(text) {
		t.Errorf("%s: %s", name, found)
	}
}

// Find returns what of the list a text says, with the paragraph.
func (all List) Find(text string) (found []string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		for _, a := range all {
			if at := a.wrong.FindString(paragraph); at != "" && (a.unless == nil || !a.unless.MatchString(paragraph)) {
				found = append(found, "gives the wrong advice "+a.line+" by "+at+" in:\n"+paragraph)
			}
		}
	}
	return found
}

// Read reads the list: a regular expression a line, with what excuses it after " unless ".
func Read(t testing.TB) (all List) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	f, err := os.Open(filepath.Join(filepath.Dir(here), "..", "testdata", "wrong_advice.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		wrong, unless, excused := strings.Cut(line, " unless ")
		a := advice{line: line, wrong: regexp.MustCompile(`(?is)` + wrong)}
		if excused {
			a.unless = regexp.MustCompile(`(?is)` + unless)
		}
		all = append(all, a)
	}
	if len(all) < 20 {
		t.Fatalf("the list has %d lines, which cannot be all", len(all))
	}
	return all
}

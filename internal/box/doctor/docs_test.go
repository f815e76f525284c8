package doctor

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
)

// TestDocumentationHasEveryCheck holds docs/doctor.md against the checks, both ways: each has its section below the heading of its group, in order, and the
// section says the severities that the check has, by its patients in severity_test.go.
func TestDocumentationHasEveryCheck(t *testing.T) {
	text, err := os.ReadFile("../../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	noWrongAdvice(t, strings.Split(string(text), "\n\n")...)
	var group, id string
	var told []string
	says := map[string]map[string]bool{}
	heading, severity := regexp.MustCompile("^#### `([a-z0-9_]+)`$"), regexp.MustCompile(`^- (hint|warning|bad): `)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "### "); ok {
			group, id = strings.ToLower(name), ""
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			id = m[1]
			told = append(told, group+" "+id)
			says[id] = map[string]bool{}
		}
		if m := severity.FindStringSubmatch(line); m != nil && id != "" {
			says[id][m[1]] = true
		}
	}
	var are []string
	for _, group := range groups(Checks()) {
		for _, c := range own() {
			if c.Group == group {
				are = append(are, c.Group+" "+c.ID)
			}
		}
	}
	if !slices.Equal(told, are) {
		t.Errorf("docs/doctor.md has\n%s\nthe checks are\n%s", strings.Join(told, "\n"), strings.Join(are, "\n"))
	}
	for id, patients := range sick {
		want := map[string]bool{}
		for s := range patients {
			if s > box.Unknown {
				want[s.String()] = true
			}
		}
		if !maps.Equal(says[id], want) {
			t.Errorf("%s: docs/doctor.md says %v, the check %v", id, slices.Sorted(maps.Keys(says[id])), slices.Sorted(maps.Keys(want)))
		}
	}
}

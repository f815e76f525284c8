package setting

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/box/setting/advicetest"
)

const contradictions = "## Where advice contradicts itself"

// Each rule has its heading in the document and each heading its rule, in the same order.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/tuning.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings, keys []string
	for _, m := range regexp.MustCompile("(?m)^### `(.+)`$").FindAllStringSubmatch(string(text), -1) {
		headings = append(headings, m[1])
	}
	for _, r := range Rules() {
		keys = append(keys, r.Key)
	}
	if !slices.Equal(headings, keys) {
		t.Errorf("docs/tuning.md has\n%q\nthe rules are\n%q", headings, keys)
	}
	before, after, ok := strings.Cut(string(text), contradictions)
	if !ok {
		t.Fatalf("there is no section %q", contradictions)
	}
	advicetest.Check(t, "docs/tuning.md", before)
	// The section has the recipes themselves; whatever comes after it is held to the list again.
	if _, rest, more := strings.Cut(after, "\n## "); more {
		advicetest.Check(t, "docs/tuning.md", rest)
	}
	if found := advicetest.Read(t).Find(strings.ReplaceAll(after, "\n", "\n\n")); len(found) < 15 {
		t.Errorf("of the wrong advice the section has only %d", len(found))
	}
}

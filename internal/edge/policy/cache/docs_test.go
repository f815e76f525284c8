package cache

import (
	"flag"
	"os"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/cache"
)

var update = flag.Bool("update", false, "rewrite the words in docs/cache.md")

// TestWords holds the table of words in docs/cache.md against those there are. Run it with -update after a change.
func TestWords(t *testing.T) {
	const path, begin = "../../../../docs/cache.md", "| word | meaning |\n|---|---|\n"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	if !ok {
		t.Fatalf("%s has no table of words", path)
	}
	table, after, _ := strings.Cut(rest, "\n\n")
	var want strings.Builder
	for _, w := range cache.Words() {
		if cache.Explain(w) == "" {
			t.Errorf("nothing explains %s", w)
		}
		want.WriteString("\n| `" + string(w) + "` | " + cache.Explain(w) + " |")
	}
	fresh := strings.TrimPrefix(want.String(), "\n")
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+fresh+"\n\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if table != fresh {
		t.Errorf("%s is stale; run: go test ./internal/edge/policy/cache -run Words -update", path)
	}
}

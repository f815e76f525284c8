// Package layers holds no code of the program: its tests keep the tree in the shape that ARCHITECTURE.md describes.
// Who may import whom stands in rules_test.go, each ban with its reason. It reads files as text and runs nothing.
package layers

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected faults of the fixture")

func TestLayers(t *testing.T)    { none(t, checkLayers(tree(t, "../.."))) }
func TestDocs(t *testing.T)      { none(t, checkDocs(tree(t, "../.."))) }
func TestForbidden(t *testing.T) { none(t, checkForbidden(tree(t, "../.."))) }

// The fixture breaks every kind of rule once, so each check is seen to fail; what it does right is not reported.
func TestTheFixtureIsRefused(t *testing.T) {
	folders := tree(t, "testdata/tree")
	var got strings.Builder
	for _, part := range []struct {
		name   string
		faults []string
	}{{"layers", checkLayers(folders)}, {"docs", checkDocs(folders)}, {"forbidden", checkForbidden(folders)}} {
		got.WriteString("# " + part.name + "\n" + strings.Join(part.faults, "\n") + "\n\n")
	}
	const golden = "testdata/faults.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("found\n%s\nwant\n%s", got.String(), want)
	}
}

func tree(t *testing.T, root string) []*folder {
	t.Helper()
	folders, err := parseTree(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) == 0 {
		t.Fatalf("no package below %s", root)
	}
	return folders
}

func none(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}

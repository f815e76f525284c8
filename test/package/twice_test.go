package packaged

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Two builds, from different folders, by different people, in different time zones, give the same bytes.
func TestReproducible(t *testing.T) {
	d := packages(t)
	first, second := sums(t, d), sums(t, rebuilt(t))
	if len(first) != 5 {
		t.Errorf("built %d files, want .deb, .rpm, .tar.gz, bill of materials and sums: %v", len(first), slices.Sorted(maps.Keys(first)))
	}
	for name, sum := range first {
		if second[name] != sum {
			t.Errorf("%s differs between two builds", name)
		}
	}
	if len(second) != len(first) {
		t.Errorf("the second build has %d files, the first %d", len(second), len(first))
	}
	check := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = d
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("SHA256SUMS: %v\n%s", err, out)
	}
}

func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		sum := sha256.Sum256([]byte(read(t, filepath.Join(dir, e.Name()))))
		all[e.Name()] = hex.EncodeToString(sum[:])
	}
	return all
}

package route

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRewriteCanonical: whatever canonical path came in, what goes upstream is
// canonical as well, so no template opens a way for dot segments.
func TestRewriteCanonical(t *testing.T) {
	paths := []string{"/{x}/{y}/*"}
	piece := rapid.SampledFrom([]string{"a", ".", "..", ";", "%2F", "%3B", "{x}", "{y}", "/", "/", "-"})
	done := 0
	rapid.Check(t, func(t *rapid.T) {
		template := "/"
		for _, p := range rapid.SliceOfN(piece, 0, 6).Draw(t, "template") {
			template += p
		}
		if rapid.Bool().Draw(t, "rest") {
			template += "/{*}"
		}
		r, err := NewRewrite(template, paths)
		if rapid.Bool().Draw(t, "strip") {
			r, err = NewStripPrefix("/{x}/{y}", paths)
		}
		if err != nil {
			return
		}
		var b Builder
		b.Add(Spec{Paths: paths, EncodedSlash: true})
		table, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := AppendCanonical(nil, rawPaths.Draw(t, "path"))
		if err != nil {
			return
		}
		var m Match
		if table.Lookup(&Query{Path: c.Path}, &m) != Found {
			return
		}
		done++
		out := string(r.Append(nil, c.Path, &m))
		if again, _, err := AppendCanonical(nil, out); err != nil || again.Path != out {
			t.Fatalf("template %s, path %s: %s is not canonical: %q, %v", template, c.Path, out, again.Path, err)
		}
	})
	if done == 0 {
		t.Error("no path was rewritten: the test proved nothing")
	}
}

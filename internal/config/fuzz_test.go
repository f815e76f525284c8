package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"straum.dev/straum/internal/document"
)

// FuzzParse: no file makes us panic, every problem has a place inside the file, and what loads also prints
// and loads again.
func FuzzParse(f *testing.F) {
	scripts, _ := filepath.Glob("testdata/*.txtar")
	for _, script := range scripts {
		if archive, err := txtar.ParseFile(script); err == nil && len(archive.Files) > 0 {
			f.Add(archive.Files[0].Data)
		}
	}
	files, _ := filepath.Glob("../../examples/*.yaml")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(data)
		}
	}
	opt := Options{Getenv: func(name string) (string, bool) { return "0123456789abcdef", len(name) < 8 }}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("x.yaml", data, opt)
		if err != nil {
			problems := err.(*document.Problems)
			_ = problems.Excerpts()
			for _, p := range problems.All() {
				if p.File != "x.yaml" || p.Line < 1 || p.Column < 1 || p.Text == "" {
					t.Errorf("problem without a place: %#v", p)
				}
			}
			return
		}
		view, err := c.Redacted().YAML()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(view, []byte("'***'")) {
			return // *** is no secret
		}
		if _, err := Parse("view.yaml", view, Options{Getenv: opt.Getenv}); err != nil {
			t.Errorf("the view does not load: %v\n%s", err, view)
		}
	})
}

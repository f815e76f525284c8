package config

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"straum.dev/straum/internal/document"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata and docs")

// TestScripts runs testdata/*.txtar. Each archive holds straum.yaml, perhaps other files, and what comes of
// them: "problems" (with excerpts) or "view" (the configuration in force). Lines "env NAME=value" in front
// set variables.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) { run(t, script) })
	}
}

func run(t *testing.T, script string) {
	archive, err := txtar.ParseFile(script)
	if err != nil {
		t.Fatal(err)
	}
	opt := box(archive)
	want := &archive.Files[len(archive.Files)-1]
	c, err := Load("straum.yaml", opt)
	var got []byte
	name := "view"
	if err != nil {
		name, got = "problems", []byte(err.(*document.Problems).Excerpts()+"\n")
	} else if got, err = c.Redacted().YAML(); err != nil {
		t.Fatal(err)
	}
	if *update {
		if want.Name != "problems" && want.Name != "view" {
			archive.Files = append(archive.Files, txtar.File{})
			want = &archive.Files[len(archive.Files)-1]
		}
		want.Name, want.Data = name, got
		if err := os.WriteFile(script, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.Name != name || !bytes.Equal(want.Data, got) {
		t.Errorf("want %s:\n%s\ngot %s:\n%s", want.Name, want.Data, name, got)
	}
}

// box is a file system and an environment that hold only what the archive does.
func box(archive *txtar.Archive) Options {
	files := make(map[string][]byte)
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	env := make(map[string]string)
	for _, line := range strings.Split(string(archive.Comment), "\n") {
		if assignment, ok := strings.CutPrefix(line, "env "); ok {
			name, value, _ := strings.Cut(assignment, "=")
			env[name] = value
		}
	}
	return Options{
		Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(name string) ([]byte, error) {
			data, ok := files[name]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return data, nil
		},
		Glob: func(pattern string) ([]string, error) {
			var names []string
			for name := range files {
				if ok, err := path.Match(pattern, name); err != nil {
					return nil, err
				} else if ok {
					names = append(names, name)
				}
			}
			sort.Strings(names)
			return names, nil
		},
	}
}

package mix

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/load"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata")

// TestFiles runs testdata/*.txtar: mix.yaml with the files beside it, and want, which is the requests that come of it or its problems.
func TestFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no test data", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for _, f := range a.Files {
				files[f.Name] = f.Data
			}
			m, err := File("mix.yaml", Options{Host: "from.url:8080", Fields: []load.Field{{Name: "X-Flag", Value: "given"}, {Name: "accept", Value: "flag"}},
				Getenv: func(name string) (string, bool) { return "the-" + name, name == "TOKEN" },
				ReadFile: func(path string) ([]byte, error) {
					if data, ok := files[path]; ok {
						return data, nil
					}
					return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
				}})
			got := written(m, err)
			if *update {
				i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
				if i < 0 {
					i, a.Files = len(a.Files), append(a.Files, txtar.File{Name: "want"})
				}
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(files["want"]); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// written is a mix, or what is wrong with it, one thing a line.
func written(m *Mix, err error) string {
	var b strings.Builder
	var problems *document.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems.All() {
			b.WriteString(p.Error() + "\n")
		}
		return b.String()
	case err != nil:
		return "error: " + err.Error() + "\n"
	}
	for _, q := range m.Requests {
		fmt.Fprintf(&b, "%s: %s %s %s, weight %g\n", q.Name, q.Method, q.Host, q.Target, q.Weight)
		for _, f := range q.Fields {
			fmt.Fprintf(&b, "\t%s: %s\n", f.Name, f.Value)
		}
		if q.Body != nil {
			fmt.Fprintf(&b, "\tbody %q\n", q.Body)
		}
	}
	for _, note := range m.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}

// A body that is too large is refused without being read whole, and so is all of them together.
func TestBodiesAreBounded(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	if err := big.Truncate(1 << 40); err != nil { // a hole
		t.Skip("no file of that size can be made here:", err)
	}
	put("mix.yaml", "requests:\n  - { path: /a, method: POST, body_file: big }\n")
	_, err = File(filepath.Join(dir, "mix.yaml"), Options{})
	if err == nil || !strings.Contains(err.Error(), "mix.yaml:2:42: requests[0].body_file: the body has more than 16 MiB") {
		t.Errorf("got %v", err)
	}
	text := "requests:\n"
	for i := range 5 {
		text += fmt.Sprintf("  - { path: /%d, method: POST, body_file: large }\n", i)
	}
	large := make([]byte, MaxBody)
	_, err = File("mix.yaml", Options{ReadFile: func(path string) ([]byte, error) {
		if path == "mix.yaml" {
			return []byte(text), nil
		}
		return large, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "mix.yaml:6:42: requests[4].body_file: the bodies together have more than 64 MiB") {
		t.Errorf("got %v", err)
	}
}

// What is taken is what package load takes.
func TestRequestsCanBeSent(t *testing.T) {
	m, err := File("testdata/good.yaml", Options{Host: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	p := load.Plan{Address: "127.0.0.1:1", Requests: m.Requests, Connections: 1, Requested: 1}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	for name := range reserved {
		p.Requests = []load.Request{{Name: "a", Method: "GET", Host: "a", Target: "/", Weight: 1, Fields: []load.Field{{Name: name, Value: "a"}}}}
		if p.Check() == nil {
			t.Errorf("the field %s is refused here and not there", name)
		}
	}
}

// docs/load.md has every key of the file, with what is allowed.
func TestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/load.md")
	if err != nil {
		t.Fatal(err)
	}
	or := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	for _, k := range document.Keys(Document{}) {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", k.Path, or(k.Default), or(k.Range), k.Doc)
		if !strings.Contains(string(text), row+"\n") {
			t.Errorf("docs/load.md lacks the line\n%s", row)
		}
	}
}

// The mix that docs/load.md shows is a good one.
func TestTheMixOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/load.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ = strings.Cut(block, "```\n")
	path := filepath.Join(t.TempDir(), "mix.yaml")
	if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := File(path, Options{Host: "a", Getenv: func(string) (string, bool) { return "secret", true }})
	if err != nil || len(m.Requests) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

// Reports tell the names of requests: a variable in a path is told as it is written.
func TestVariablesAreNotTold(t *testing.T) {
	m, err := File("mix.yaml", Options{Host: "a", Getenv: func(string) (string, bool) { return "secret", true },
		ReadFile: func(string) ([]byte, error) { return []byte("requests:\n  - path: /a?key=${TOKEN}\n"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if q := m.Requests[0]; q.Target != "/a?key=secret" || q.Name != "GET /a?key=${TOKEN}" {
		t.Errorf("%q asks for %q", q.Name, q.Target)
	}
}

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMapInDocsIsFresh(t *testing.T) {
	want, err := mapOf("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/map.md")
	if err != nil || string(got) != want {
		t.Errorf("docs/map.md is stale (%v): run make map", err)
	}
}

func TestStepsAreReadFromDocs(t *testing.T) {
	for doc, want := range map[string]string{
		"Package route. Step 3, route.":               "3",
		"Serves steps 2 and 10.":                      "2 and 10",
		"Steps 4, 8\nand 9 run it; then step 11 logs": "4, 8 and 9",
		"It tells the eleven steps, then step 11.":    "all",
		"Every step.":            "all",
		"A leaf, one step aside": "",
	} {
		if got := steps(doc); got != want {
			t.Errorf("steps(%q) = %q, want %q", doc, got, want)
		}
	}
}

func TestMapOfATree(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"a/a.go":          "package a\n",
		"a/doc.go":        "// Package a chooses: x | y. More words.\n//\n// Step 6.\npackage a\n",
		"a/a_test.go":     "// Package a is tested.\npackage a\n",
		"a/testdata/x.go": "package x\n",
		"b/b_test.go":     "package b\n",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := mapOf(root)
	want := "# Map\n\nWritten by `make map` from the packages' own comments; a test says when it is stale.\n\n" +
		"| package | step | what it is for |\n|---|---|---|\n| a | 6 | Package a chooses: x \\| y. |\n"
	if err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

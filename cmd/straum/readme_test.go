package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/control/revision"
)

var block = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")

// The configurations of the README are good, and the commands it names are there with the flags it names.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	configurations, commands := 0, 0
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		if b[1] == "yaml" {
			configurations++
			if _, _, err := judge(revision.Text("README.md", b[2])); err != nil {
				t.Error(err)
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(line)
			at := slices.IndexFunc(words, func(w string) bool { return w == "straum" || w == "./straum" || w == "./cmd/straum" })
			if at < 0 || at+1 >= len(words) || strings.HasPrefix(line, "go build") {
				continue
			}
			commands++
			root := newRoot()
			c, rest, err := root.Find(words[at+1:])
			if err != nil || c == root {
				t.Errorf("README names %q, which is no command: %v", strings.TrimSpace(line), err)
				continue
			}
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("README: %q: %v", strings.TrimSpace(line), err)
			}
		}
	}
	if configurations == 0 || commands < 5 {
		t.Errorf("found %d configurations and %d commands in the README; have its blocks changed their form?", configurations, commands)
	}
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/retry"
	"straum.dev/straum/internal/edge/upstream"
)

// The configurations of the README are good, and the commands it names are there with the flags it names.
func TestReadme(t *testing.T) {
	configurations, commands := checkPage(t, "../../README.md")
	if configurations == 0 || commands < 5 {
		t.Errorf("found %d configurations and %d commands in the README; have its blocks changed their form?", configurations, commands)
	}
}

// So are those of the pages for operators. Their configurations may be parts: what a whole one needs besides is put in front.
func TestPages(t *testing.T) {
	for page, least := range map[string]struct{ configurations, commands int }{
		"upstreams.md":  {4, 2},
		"http.md":       {1, 0},
		"operations.md": {1, 1},
		"tuning.md":     {0, 1},
	} {
		configurations, commands := checkPage(t, filepath.Join("../../docs", page))
		if configurations < least.configurations || commands < least.commands {
			t.Errorf("found %d configurations and %d commands in %s, want at least %d and %d; have its blocks changed their form?",
				configurations, commands, page, least.configurations, least.commands)
		}
	}
}

// Words that an operator meets in the log, the metrics and the answers stand on the page that explains them.
func TestWordsAreExplained(t *testing.T) {
	upstreams := read(t, "../../docs/upstreams.md")
	for r := upstream.Cold; r <= upstream.Tunnelled; r++ {
		if !strings.Contains(upstreams, "\n| `"+r.String()+"` |") {
			t.Errorf("docs/upstreams.md has no row for %s, for which connections are opened", r)
		}
	}
	for r := retry.NoAttempts; r <= retry.NoBudget; r++ {
		if r != retry.NoBreaker && !strings.Contains(upstreams, "`"+r.String()+"`") { // upstream asks the breaker as it begins a try
			t.Errorf("docs/upstreams.md does not explain %s, for which there was no further try", r)
		}
	}
	pages := upstreams + read(t, "../../docs/http.md") + read(t, "../../docs/policies.md")
	for _, k := range fault.Kinds() {
		if k.Status != 0 && !strings.Contains(pages, "`"+k.Word+"`") {
			t.Errorf("none of docs/upstreams.md, docs/http.md and docs/policies.md explains %s, which clients are told", k.Word)
		}
	}
}

// The links of all pages lead to files that are there, and those with a fragment to a heading.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range append(pages, top...) {
		for _, link := range linked.FindAllStringSubmatch(read(t, page), -1) {
			path, fragment, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, "://") || path == "bench/RESULTS.md" { // make bench writes that one
				continue
			}
			links++
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if fragment != "" && !slices.Contains(headings(read(t, target)), fragment) {
				t.Errorf("%s links to %s, which has no such heading", page, link[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("found %d links; have they changed their form?", links)
	}
}

var (
	block   = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// headings are the fragments that a page can be linked by.
func headings(text string) (all []string) {
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		plain := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(h[1]))
		all = append(all, plain)
	}
	return all
}

// checkPage checks the blocks of a page and counts its configurations and commands.
func checkPage(t *testing.T, path string) (configurations, commands int) {
	t.Helper()
	page := filepath.Base(path)
	for _, b := range block.FindAllStringSubmatch(read(t, path), -1) {
		if b[1] == "yaml" {
			configurations++
			text := b[2]
			if !strings.Contains("\n"+text, "\nlisteners:") {
				text = "listeners: [{ address: \":8080\" }]\n" + text
			}
			if _, _, err := judge(revision.Text(page, text)); err != nil {
				var problems *document.Problems
				if errors.As(err, &problems) {
					t.Errorf("%s", problems.Excerpts())
					continue
				}
				t.Error(err)
			}
			continue
		}
		for line := range strings.Lines(b[2]) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(line)
			at := slices.IndexFunc(words, func(w string) bool { return w == "straum" || w == "./straum" || w == "./cmd/straum" })
			if at > 0 && words[at-1] == "-u" { // the user of sudo, or the unit of journalctl
				words, at = words[at+1:], slices.Index(words[at+1:], "straum")
			}
			if at < 0 || at+1 >= len(words) || strings.HasPrefix(line, "go build") {
				continue
			}
			commands++
			root := newRoot()
			c, rest, err := root.Find(words[at+1:])
			if err != nil || c == root {
				t.Errorf("%s names %q, which is no command: %v", page, strings.TrimSpace(line), err)
				continue
			}
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", page, strings.TrimSpace(line), err)
			}
		}
	}
	return configurations, commands
}

// Each figure of a policy is explained on its page, and those that are of none in docs/metrics.md.
func TestFiguresAreExplained(t *testing.T) {
	pages := read(t, "../../docs/metrics.md")
	files, _ := filepath.Glob("../../docs/policies/*.md")
	for _, file := range files {
		pages += read(t, file)
	}
	sources, _ := filepath.Glob("../../internal/edge/policy/*/*.go")
	found := 0
	for _, file := range append(sources, "world.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`Figure\{Name: "([a-z_]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			if found++; !strings.Contains(pages, "straum_policy_"+m[1]+"`") {
				t.Errorf("%s: no page explains straum_policy_%s", file, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d figures found; are they written otherwise now?", found)
	}
}

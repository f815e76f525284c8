// Package script plays the text scripts that the deciding packages are tested by, so that those who did not write them can review
// what is decided. It serves tests only.
package script

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// Run plays every text script in testdata. A script is a list of blocks parted by an empty line: comments (#) and
// commands, a line "----", the expected output. Each script gets a fresh run function, which executes one command line.
func Run(t *testing.T, fresh func() func(command string, args []string) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run := fresh()
			var rewritten []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
				head, want, _ := strings.Cut(block, "\n----")
				var out strings.Builder
				commands := false
				for line := range strings.SplitSeq(head, "\n") {
					if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
						commands = true
						out.WriteString(run(fields[0], fields[1:]))
					}
				}
				if !commands {
					rewritten = append(rewritten, head)
					continue
				}
				got := strings.TrimSpace(out.String())
				if !*update && got != strings.TrimSpace(want) {
					t.Errorf("%s:\n%s\ngot:\n%s\nwant:\n%s", file, head, got, strings.TrimSpace(want))
				}
				rewritten = append(rewritten, strings.TrimSpace(head+"\n----\n"+got))
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(rewritten, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Option returns what follows "name=" among the arguments.
func Option(args []string, name, otherwise string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return otherwise
}

// Must is v; an error is a mistake of the script.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("script: %v", err))
	}
	return v
}

package tune

import (
	"fmt"
	"strings"
)

// Diff shows what changes in the file in the form of "diff -u", which patch reads. Drop-ins are short, so there is one hunk that has
// every line.
func (f *File) Diff() string {
	from := f.Path
	if !f.There {
		from = "/dev/null"
	}
	a, b := split(f.Is), split(f.Want)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n@@ -%s +%s @@\n", from, f.Path, hunk(len(a)), hunk(len(b)))
	tell := func(mark byte, line string) {
		out.WriteByte(mark)
		out.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
	for _, s := range steps(a, b) {
		tell(s.mark, s.line)
	}
	return out.String()
}

func hunk(lines int) string {
	if lines == 0 {
		return "0,0"
	}
	return fmt.Sprintf("1,%d", lines)
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

type step struct {
	mark byte // ' ', '-' or '+'
	line string
}

// steps lead from one text to the other with the longest common subsequence kept. Beyond some thousand lines, which no drop-in
// has, everything is replaced.
func steps(a, b []string) (all []step) {
	if len(a)*len(b) > 4<<20 {
		for _, l := range a {
			all = append(all, step{'-', l})
		}
		for _, l := range b {
			all = append(all, step{'+', l})
		}
		return all
	}
	common := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, step{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			all = append(all, step{'-', a[i]})
			i++
		default:
			all = append(all, step{'+', b[j]})
			j++
		}
	}
	return all
}

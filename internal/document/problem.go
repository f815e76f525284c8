package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxProblems is how many problems a list keeps; what comes after is only counted. A file that is wrong from
// end to end would otherwise print more than anyone reads.
const MaxProblems = 1000

// A Problem is one mistake in a document: where, and what is found, allowed and suggested, in one sentence.
type Problem struct {
	File   string
	Line   int    // from 1; 0 when the problem has no place in a file
	Column int    // from 1, in characters; 0 when the line as a whole is meant
	Path   string // the keys that lead there, such as upstreams.orders.health.every; "" for the whole document
	Text   string // found, allowed, remedy
	// Suggestion is the key, word or name probably meant; "" when nothing is near.
	Suggestion string

	doc *Document
}

// Error renders the problem on one line: file:line:column: path: text; did you mean "x"?
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.Place())
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Suggestion)
	}
	return b.String()
}

// Place is file:line:column, or the file alone when the place in it is unknown.
func (p Problem) Place() string {
	if p.Line == 0 {
		return p.File
	}
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Excerpt renders the problem with the source line and a caret under the place. Values that are known to be
// secret are replaced in the line. Without a source it is the one line of Error.
func (p Problem) Excerpt() string {
	if p.doc == nil || p.Line == 0 {
		return p.Error()
	}
	line, masked := p.doc.shownLine(p.Line)
	column := p.Column
	if masked > 0 {
		column = min(column, masked)
	}
	line, column = window(line, column)
	number := fmt.Sprint(p.Line)
	margin := strings.Repeat(" ", len(number))
	return fmt.Sprintf("%s\n  %s | %s\n  %s | %s^", p.Error(), number, line, margin, strings.Repeat(" ", column-1))
}

// window cuts a long line to the part around the column, so that the caret stays on the screen.
func window(line string, column int) (string, int) {
	const width, lead = 160, 60
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' ' // a tab is one column for the caret too
		}
		return r
	}, line)
	runes := []rune(line)
	column = max(1, min(column, len(runes)+1))
	if len(runes) <= width {
		return line, column
	}
	from := max(0, min(column-lead, len(runes)-width))
	cut := string(runes[from:min(len(runes), from+width)])
	if from > 0 {
		cut, column = "…"+cut, column+1
	}
	if from+width < len(runes) {
		cut += "…"
	}
	return cut, column - from
}

// Problems are all mistakes found in a document, or in the documents of one configuration. Use Err to return them.
type Problems struct {
	list    []Problem
	dropped int
}

// Add keeps the problems err holds: a Problem, Problems, or several joined. Any other error becomes a Problem
// without a place. nil is ignored.
func (ps *Problems) Add(err error) {
	var (
		one  Problem
		many *Problems
	)
	switch {
	case err == nil:
	case errors.As(err, &many):
		for _, p := range many.list {
			ps.add(p)
		}
		ps.dropped += many.dropped
	case errors.As(err, &one):
		ps.add(one)
	default:
		ps.add(Problem{Text: err.Error()})
	}
}

func (ps *Problems) add(p Problem) {
	if len(ps.list) >= MaxProblems {
		ps.dropped++
		return
	}
	ps.list = append(ps.list, p)
}

// Err returns the problems as an error, or nil when there are none.
func (ps *Problems) Err() error {
	if ps == nil || len(ps.list) == 0 {
		return nil
	}
	return ps
}

// Len is how many problems are kept; Dropped how many more were only counted.
func (ps *Problems) Len() int     { return len(ps.list) }
func (ps *Problems) Dropped() int { return ps.dropped }

// All returns the problems in reading order: by file in the order the files were first blamed, then by line
// and column. A problem reported twice is listed once.
func (ps *Problems) All() []Problem {
	rank := make(map[string]int)
	for _, p := range ps.list {
		if _, ok := rank[p.File]; !ok {
			rank[p.File] = len(rank)
		}
	}
	sorted := slices.Clone(ps.list)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank[a.File], rank[b.File]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	return slices.CompactFunc(sorted, func(a, b Problem) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Path == b.Path && a.Text == b.Text
	})
}

// Error renders one line a problem, in reading order.
func (ps *Problems) Error() string {
	return ps.render(Problem.Error, "\n")
}

// Excerpts renders every problem with its source line and a caret, in reading order.
func (ps *Problems) Excerpts() string {
	return ps.render(Problem.Excerpt, "\n\n")
}

func (ps *Problems) render(one func(Problem) string, between string) string {
	var parts []string
	for _, p := range ps.All() {
		parts = append(parts, one(p))
	}
	if ps.dropped > 0 {
		parts = append(parts, fmt.Sprintf("and %d more problems", ps.dropped))
	}
	return strings.Join(parts, between)
}

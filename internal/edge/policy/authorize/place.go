package authorize

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"straum.dev/straum/internal/condition"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/policy"
)

// compile compiles a condition. An error points at the place inside the expression, where the expression stands in the file as it is
// written; else at the expression, and its text tells the place.
func compile(o policy.Options, text string) (*condition.Condition, error) {
	c, err := condition.Compile(text)
	if err == nil {
		return c, nil
	}
	var e *condition.Error
	if !errors.As(err, &e) {
		return nil, o.Errorf("condition", "%s", err)
	}
	err = o.Errorf("condition", "%s", e.Text)
	var p document.Problem
	if errors.As(err, &p) && inside(&p, strings.TrimRight(text, "\n"), e) {
		return nil, p
	}
	where := fmt.Sprint("at its character ", e.Column)
	if strings.Contains(strings.TrimSpace(text), "\n") {
		where = fmt.Sprintf("in its line %d, column %d", e.Line, e.Column)
	}
	return nil, o.Errorf("condition", "%s: %s", where, e.Text)
}

// inside moves a problem that points at an expression to a place in it. It reports false when what stands in the file is not the
// expression letter by letter: quotes with escapes, lines that are folded, variables.
func inside(p *document.Problem, text string, e *condition.Error) bool {
	lines := strings.Split(text, "\n")
	if e.Line > len(lines) {
		return false
	}
	first, ok := source(*p)
	if !ok || p.Column < 1 {
		return false
	}
	for range p.Column - 1 {
		_, size := utf8.DecodeRuneInString(first)
		first = first[size:]
	}
	if len(lines) == 1 {
		for quote, column := range map[string]int{"": p.Column, `"`: p.Column + 1, "'": p.Column + 1} {
			if rest, ok := strings.CutPrefix(first, quote+text); ok && strings.HasPrefix(rest, quote) {
				p.Column = column + e.Column - 1
				return true
			}
		}
	}
	if !strings.HasPrefix(first, "|") {
		return false
	}
	moved := *p
	moved.Line += e.Line
	line, ok := source(moved)
	want := lines[e.Line-1]
	indent, ok2 := strings.CutSuffix(line, want)
	if !ok || !ok2 || strings.Trim(indent, " ") != "" {
		return false
	}
	p.Line, p.Column = moved.Line, len(indent)+e.Column
	return true
}

// source is the line of the file that a problem points at, as its excerpt shows it; false when it shows only a part.
func source(p document.Problem) (string, bool) {
	shown := strings.Split(p.Excerpt(), "\n")
	if len(shown) != 3 || strings.Contains(shown[1], "…") {
		return "", false
	}
	_, line, ok := strings.Cut(shown[1], " | ")
	return line, ok
}

package doctor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"straum.dev/straum/internal/box"
)

// Style is how a report is written.
type Style struct {
	All    bool // tell of what is good as much as of the rest
	Colour bool
	Width  int // columns to stay within, 40 at least; 0 is 100
}

const (
	usualWidth, leastWidth = 100, 40
	indent                 = 11 // columns before what is found; the word for its severity is within
)

// colours are those of severities, as terminals know them.
var colours = map[box.Severity]string{box.Good: "\x1b[32m", box.Unknown: "\x1b[35m", box.Hint: "\x1b[36m", box.Warning: "\x1b[33m", box.Bad: "\x1b[1;31m"}

// WriteText writes findings for people: by group, what is worst first, with why, what it costs and how to mend it below. What is good takes one
// line a group.
func WriteText(w io.Writer, checks []Check, found []box.Finding, s Style) error {
	if s.Width == 0 {
		s.Width = usualWidth
	}
	s.Width = max(s.Width, leastWidth)
	t := &text{w: bufio.NewWriter(w), style: s}
	for _, group := range groups(checks) {
		t.group(group, in(group, checks, found))
	}
	t.summary(found)
	return t.w.Flush()
}

// groups are the headings, in the order their first checks are in.
func groups(checks []Check) (names []string) {
	for i := range checks {
		if !slices.Contains(names, checks[i].Group) {
			names = append(names, checks[i].Group)
		}
	}
	return names
}

// in are the findings of a group, what is worst first.
func in(group string, checks []Check, found []box.Finding) (part []box.Finding) {
	of := groupsOf(checks)
	for _, f := range found {
		if of[f.ID] == group {
			part = append(part, f)
		}
	}
	// Those that could not be made for the same reason stand together, so that they take one line.
	first := map[string]int{}
	for i, f := range part {
		if _, ok := first[f.Is]; !ok {
			first[f.Is] = i
		}
	}
	slices.SortStableFunc(part, func(a, b box.Finding) int {
		if a.Severity != b.Severity {
			return int(b.Severity) - int(a.Severity)
		}
		if a.Severity == box.Unknown {
			return first[a.Is] - first[b.Is]
		}
		return 0
	})
	return part
}

func groupsOf(checks []Check) map[string]string {
	of := make(map[string]string, len(checks))
	for i := range checks {
		of[checks[i].ID] = checks[i].Group
	}
	return of
}

// text writes a report.
type text struct {
	w     *bufio.Writer
	style Style
}

func (t *text) group(name string, found []box.Finding) {
	if len(found) == 0 {
		return
	}
	fmt.Fprintln(t.w, strings.ToUpper(name))
	var fine []string
	for i := 0; i < len(found); i++ {
		switch f := found[i]; {
		case f.Severity == box.Good && !t.style.All:
			fine = append(fine, title(f))
		case f.Severity == box.Unknown && !t.style.All:
			same := alike(found[i:])
			t.unknown(same)
			i += len(same) - 1
		default:
			same := oneMatter(found[i:])
			t.finding(same...)
			i += len(same) - 1
		}
	}
	if len(fine) > 0 {
		t.mark(box.Good)
		t.wrap(strings.Join(merge(fine), ", "), indent, indent)
	}
	fmt.Fprintln(t.w)
}

// alike are the findings at the head of a list that could not be made for the same reason.
func alike(found []box.Finding) []box.Finding {
	n := 1
	for n < len(found) && found[n].Severity == box.Unknown && found[n].Is == found[0].Is {
		n++
	}
	return found[:n]
}

// unknown writes findings that could not be made for the same reason: one at length, several in a line.
func (t *text) unknown(found []box.Finding) {
	if len(found) == 1 {
		t.finding(found[0])
		return
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = title(f)
	}
	t.mark(box.Unknown)
	t.wrap(strings.Join(merge(names), ", ")+": "+clean(found[0].Is), indent, indent)
}

// title names what a finding is about.
func title(f box.Finding) string {
	if f.Subject == "" {
		return f.ID
	}
	return f.ID + " (" + clean(f.Subject) + ")"
}

// merge joins the names of one check about several things: "disk_space (log)", "disk_space (state)" to "disk_space (log, state)".
func merge(names []string) (out []string) {
	for _, name := range names {
		id, subject, ok := strings.Cut(name, " (")
		last := len(out) - 1
		if ok && last >= 0 && strings.HasPrefix(out[last], id+" (") {
			out[last] = strings.TrimSuffix(out[last], ")") + ", " + subject
			continue
		}
		out = append(out, name)
	}
	return out
}

// mark begins a line with the word for a severity.
func (t *text) mark(s box.Severity) {
	word := fmt.Sprintf("%-*s", indent-2, s)
	if t.style.Colour {
		word = colours[s] + word + "\x1b[0m"
	}
	fmt.Fprint(t.w, "  ", word)
}

// oneMatter are the findings at the head of a list that are of one check and have all but what is in common: three directories on one full disk.
func oneMatter(found []box.Finding) []box.Finding {
	n, f := 1, found[0]
	for n < len(found) {
		g := found[n]
		if g.ID != f.ID || g.Severity != f.Severity || g.Why != f.Why || g.Cost != f.Cost || g.Remedy != f.Remedy {
			break
		}
		n++
	}
	return found[:n]
}

// finding writes findings of one matter: what each is, then what they have in common.
func (t *text) finding(found ...box.Finding) {
	for i, f := range found {
		if i == 0 {
			t.mark(f.Severity)
		} else {
			fmt.Fprintf(t.w, "%*s", indent, "")
		}
		head := title(f) + ": " + clean(f.Is)
		if f.Severity != box.Good && f.Want != "" && f.Want != "-" && f.Want != f.Is {
			head += " → " + clean(f.Want)
		}
		t.wrap(head, indent, indent)
	}
	f := found[0]
	for _, part := range []struct{ word, text string }{{"why", f.Why}, {"cost", f.Cost}, {"mend", f.Remedy}} {
		if part.text != "" {
			fmt.Fprintf(t.w, "%*s%-6s", indent, "", part.word)
			t.wrap(clean(part.text), indent+6, indent+6)
		}
	}
}

// wrap writes words from column at on, and goes on in column left in the lines below.
func (t *text) wrap(words string, at, left int) {
	for i, word := range strings.Fields(words) {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && at+1+n > t.style.Width:
			fmt.Fprintf(t.w, "\n%*s", left, "")
			at = left
		case i > 0:
			fmt.Fprint(t.w, " ")
			at++
		}
		fmt.Fprint(t.w, word)
		at += n
	}
	fmt.Fprintln(t.w)
}

// clean takes what a terminal would obey out of a text: some of it comes from files, drivers and other machines.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

func (t *text) summary(found []box.Finding) {
	counts, names := map[box.Severity]int{}, map[box.Severity][]string{}
	for _, f := range found {
		counts[f.Severity]++
		names[f.Severity] = append(names[f.Severity], title(f))
	}
	var parts []string
	for s := box.Bad; ; s-- {
		if n := counts[s]; n > 0 {
			word := s.String()
			if n > 1 && (s == box.Warning || s == box.Hint) {
				word += "s"
			}
			part := fmt.Sprintf("%d %s", n, word)
			if s >= box.Warning { // they may have left the screen
				part += ": " + strings.Join(merge(names[s]), ", ")
			}
			parts = append(parts, part)
		}
		if s == box.Good {
			break
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing was looked at")
	}
	t.wrap(strings.Join(parts, "; "), 0, 0)
}

// line is a finding as JSON, with what tells where and when it belongs.
type line struct {
	At    *time.Time `json:"at,omitempty"`
	Group string     `json:"group"`
	box.Finding
}

// WriteJSON writes one object a finding, each on a line of its own. at is when it was found; zero leaves it out.
func WriteJSON(w io.Writer, checks []Check, found []box.Finding, at time.Time) error {
	of := groupsOf(checks)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, f := range found {
		l := line{Group: of[f.ID], Finding: f}
		if !at.IsZero() {
			l.At = &at
		}
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

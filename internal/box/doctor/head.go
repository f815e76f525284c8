package doctor

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// WriteHead writes what was looked at: the box, the configuration and the gateway. notes are said below, one a line.
func WriteHead(w io.Writer, p *Patient, notes []string, s Style) error {
	if s.Width == 0 {
		s.Width = usualWidth
	}
	t := &text{w: bufio.NewWriter(w), style: s}
	row := func(name, words string) {
		fmt.Fprintf(t.w, "%-*s", indent, name)
		t.wrap(clean(words), indent, indent)
	}
	row("box", theBox(p))
	switch {
	case p.File == "":
		row("file", "none: what depends on the configuration is left out or taken as without one; name it with -c FILE")
	case p.Config == nil:
		row("file", p.File+", which has mistakes: what depends on it is left out")
	default:
		row("file", p.File)
	}
	if p.Running != nil {
		what := "runs"
		if p.Running.PID != 0 {
			what = fmt.Sprintf("runs, pid %d", p.Running.PID)
		}
		row("gateway", what+", version "+p.Running.Version)
	}
	for _, n := range notes {
		row("note", n)
	}
	fmt.Fprintln(t.w)
	return t.w.Flush()
}

// theBox is what the facts come to, in a line.
func theBox(p *Patient) string {
	var parts []string
	add := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	f := p.Facts
	add(f.Distro)
	if f.Kernel.Text != "" {
		add("Linux " + f.Kernel.Text)
	}
	add(kindOfGuest(f.Guest))
	if f.Online > 0 {
		add(wording.Count(f.Online, "core"))
	}
	if f.Memory > 0 {
		add(size(f.Memory))
	}
	if p.Vitals != nil {
		add("watched for " + short(p.Vitals.Window))
	}
	return strings.Join(parts, ", ")
}

// kindOfGuest is what is around the box, in words; empty when that cannot be seen.
func kindOfGuest(g box.Guest) string {
	var text string
	switch g.Machine {
	case "":
	case "none":
		text = "hardware"
	default:
		text = g.Machine + " guest"
	}
	if g.Container != "" {
		text = strings.TrimSuffix("container ("+g.Container+") on "+text, " on ")
	}
	return text
}

package tune

import "strings"

// line is one setting in a drop-in.
type line struct {
	key, value string
	file       string // that the value goes to: /proc/sys/..., /sys/..., or the unit's drop-in
	why        string
}

// dropIn is one of the files that are written.
type dropIn struct {
	path   string // as seen on the box
	header string // what a new one begins with
	takes  func(line) bool
	write  func(line) string                              // a line of it
	read   func(text string) (key, value string, ok bool) // what a line of it sets
}

const written = `# Written by straum tune, and read at every start. "straum tune --undo" puts back what was before.
# docs/tuning.md says more about each.
`

var dropIns = []dropIn{
	{sysctlDropIn, written, func(l line) bool { return strings.HasPrefix(l.file, "/proc/sys/") },
		func(l line) string { return l.key + " = " + l.value }, readSysctl},
	{unitDropIn, written + "\n[Service]\n", func(l line) bool { return l.file == unitDropIn },
		func(l line) string { return l.key + "=" + l.value }, readUnit},
	{tmpDropIn, written, func(l line) bool { return strings.HasPrefix(l.file, "/sys/") },
		func(l line) string { return "w " + l.file + " - - - - " + l.value }, readTmp},
}

// readSysctl reads a line of sysctl.d(5): a key with dots or slashes, with a minus in front when it may fail.
func readSysctl(text string) (key, value string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' || text[0] == ';' {
		return "", "", false
	}
	key, value, ok = strings.Cut(strings.TrimPrefix(text, "-"), "=")
	return sysctlName(strings.TrimSpace(key)), strings.TrimSpace(value), ok
}

// sysctlName writes a key with dots. Whichever of dot and slash comes first parts the words; the other one is part of a word then.
func sysctlName(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '.' {
		return key
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(key)
}

func readUnit(text string) (key, value string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' || text[0] == ';' || text[0] == '[' {
		return "", "", false
	}
	key, value, ok = strings.Cut(text, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value), ok
}

func readTmp(text string) (key, value string, ok bool) {
	f := strings.Fields(text)
	if len(f) < 7 || !strings.HasPrefix(f[0], "w") {
		return "", "", false
	}
	return f[1], strings.Join(f[6:], " "), true
}

// edit returns the text with these lines in it. What it has already stays to the byte; what it has otherwise is replaced, with the comment
// above it; the rest goes to the end.
func (d *dropIn) edit(text string, lines []line) string {
	if len(lines) == 0 {
		return text
	}
	for _, l := range lines {
		text = d.set(text, l)
	}
	return text
}

func (d *dropIn) set(text string, l line) string {
	wantKey, wantValue, _ := d.read(d.write(l))
	all := strings.SplitAfter(text, "\n")
	for i := len(all) - 1; i >= 0; i-- { // the last one counts
		key, value, ok := d.read(all[i])
		switch {
		case !ok || key != wantKey:
			continue
		case same(value, wantValue):
			return text
		case key == "ExecStartPre": // there may be several, and others are not ours
			continue
		}
		from := i
		for from > 0 && strings.HasPrefix(all[from-1], "#") {
			from--
		}
		return strings.Join(all[:from], "") + d.explained(l) + strings.Join(all[i+1:], "")
	}
	if text == "" {
		text = d.header
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if d.path == unitDropIn && section(text) != "[Service]" {
		text += "\n[Service]\n"
	}
	return text + "\n" + d.explained(l)
}

// section is the heading that the end of a unit's text stands under.
func section(text string) (heading string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "[") {
			heading = l
		}
	}
	return heading
}

// explained is the line below its reason.
func (d *dropIn) explained(l line) string {
	const width = 110
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(l.why) {
		if column == 0 || column+1+len(word) > width {
			if column > 0 {
				b.WriteByte('\n')
			}
			b.WriteByte('#')
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	if column > 0 {
		b.WriteByte('\n')
	}
	return b.String() + d.write(l) + "\n"
}

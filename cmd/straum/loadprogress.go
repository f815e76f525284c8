package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"straum.dev/straum/internal/load"
)

// progressLine shows how a run goes: on a terminal one line that is drawn anew, elsewhere a line every five seconds.
type progressLine struct {
	w        io.Writer
	terminal bool
	drawn    bool
	last     time.Duration
	before   string // what runs, among several
}

const progressEvery = 5 * time.Second // on what is no terminal

// begin is called before a run.
func (l *progressLine) begin(rate float64, several bool) {
	if f, ok := l.w.(*os.File); ok {
		l.terminal = isTerminal(f) && os.Getenv("TERM") != "dumb"
	}
	if several {
		l.before = fmt.Sprintf("%g/s: ", rate)
	}
}

// tell is called by the run.
func (l *progressLine) tell(p load.Progress) {
	if l.terminal {
		fmt.Fprintf(l.w, "\r\033[K%s%s", l.before, progressText(p, true))
		l.drawn = true
		return
	}
	if p.Elapsed-l.last >= progressEvery {
		l.last = p.Elapsed
		fmt.Fprintf(l.w, "%s%s\n", l.before, progressText(p, false))
	}
}

// end is called after a run: the line makes room for the report.
func (l *progressLine) end() {
	if l.drawn {
		fmt.Fprint(l.w, "\r\033[K")
	}
}

// progressText is one line, at most 79 characters with the widest numbers that are common.
func progressText(p load.Progress, bar bool) string {
	var b strings.Builder
	if bar && p.Total > 0 {
		const cells = 10
		full := min(int(cells*p.Elapsed/p.Total), cells)
		fmt.Fprintf(&b, "[%s%s] ", strings.Repeat("=", full), strings.Repeat(" ", cells-full))
	}
	fmt.Fprintf(&b, "%.0fs", p.Elapsed.Seconds())
	if p.Total > 0 {
		fmt.Fprintf(&b, "/%.0fs", p.Total.Seconds())
	}
	fmt.Fprintf(&b, " %.0f/s", p.Rate)
	if !p.Warm {
		return b.String() + " warming up"
	}
	fmt.Fprintf(&b, " p50 %s p95 %s p99 %s", span(p.P50.Seconds()), span(p.P95.Seconds()), span(p.P99.Seconds()))
	if p.Failed > 0 {
		fmt.Fprintf(&b, ", %d failed", p.Failed)
	}
	return b.String()
}

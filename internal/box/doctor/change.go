package doctor

import (
	"fmt"
	"io"
	"time"

	"straum.dev/straum/internal/box"
)

// Change is a finding that matters more or less than it did.
type Change struct {
	Was box.Severity
	New bool // there was no such finding; Was means nothing then
	box.Finding
	Gone bool // there is none any more; Finding is the last there was
}

// Changes compares two looks. Numbers that move within a severity are no change.
func Changes(before, after []box.Finding) (all []Change) {
	type key struct{ id, subject string }
	was := make(map[key]box.Finding, len(before))
	for _, f := range before {
		was[key{f.ID, f.Subject}] = f
	}
	for _, f := range after {
		k := key{f.ID, f.Subject}
		old, ok := was[k]
		if !ok || old.Severity != f.Severity {
			all = append(all, Change{Was: old.Severity, New: !ok, Finding: f})
		}
		delete(was, k)
	}
	for _, f := range before {
		if _, left := was[key{f.ID, f.Subject}]; left {
			all = append(all, Change{Was: f.Severity, Gone: true, Finding: f})
		}
	}
	return all
}

// WriteChanges writes a line a change, with the time of day.
func WriteChanges(w io.Writer, all []Change, at time.Time) error {
	for _, c := range all {
		text := fmt.Sprintf("%s → %s: %s", c.Was, c.Severity, clean(c.Is))
		switch {
		case c.New:
			text = fmt.Sprintf("%s: %s", c.Severity, clean(c.Is))
		case c.Gone:
			text = fmt.Sprintf("%s → gone", c.Was)
		}
		if _, err := fmt.Fprintf(w, "%s %s: %s\n", at.Format(time.TimeOnly), title(c.Finding), text); err != nil {
			return err
		}
	}
	return nil
}

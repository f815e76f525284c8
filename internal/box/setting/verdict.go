package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// fine says that what is may stay.
func fine(is, why string) Verdict {
	return Verdict{Finding: box.Finding{Severity: box.Good, Is: is, Why: why}}
}

// propose says what should be set instead of what is.
func propose(severity box.Severity, is, set, why string) Verdict {
	return Verdict{Finding: box.Finding{Severity: severity, Is: is, Why: why}, Set: set}
}

// worse raises the severity to what a count of losses makes it, and tells the cost: some in the window are bad, some since the box
// started are a warning where something can be done, and a hint where nothing can.
func (v Verdict) worse(window, boot uint64, what string) Verdict {
	switch {
	case window > 0:
		v.Severity, v.Cost = box.Bad, fmt.Sprintf("%s just now, %s since the box started", counted(window, what), wording.Grouped(max(boot, window)))
	case boot > 0 && v.Set != "":
		v.Severity, v.Cost = max(v.Severity, box.Warning), counted(boot, what)+" since the box started"
	case boot > 0:
		v.Severity, v.Cost = max(v.Severity, box.Hint), counted(boot, what)+" since the box started"
	}
	return v
}

// unread says that a setting could not be read. Not seeing one that does not matter here is no harm, which why says.
func unread(err error, why string) Verdict {
	is := "cannot be read: " + wording.Cause(err).Error()
	if errors.Is(err, fs.ErrNotExist) {
		is = "not there"
	}
	return Verdict{Finding: box.Finding{Severity: box.Unknown, Is: is, Want: "-", Why: why}}
}

// counted writes how many of something there are: "1 overflow", "12,345 overflows". what is the singular, with a * where the plural's s goes
// when that is not the end.
func counted(n uint64, what string) string {
	s := "s"
	if n == 1 {
		s = ""
	}
	if before, after, ok := strings.Cut(what, "*"); ok {
		return wording.Grouped(n) + " " + before + s + after
	}
	return wording.Grouped(n) + " " + what + s
}

// mib writes bytes in whole MiB, or KiB below one.
func mib(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

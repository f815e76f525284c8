package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Between these two lines of a results file stands what people wrote; Write carries it over untouched.
const (
	keepBegin = "<!-- kept by hand: from here -->"
	keepEnd   = "<!-- kept by hand: to here -->"
)

// firstKept stands there until somebody writes more.
const firstKept = "## What falls short\n\nNothing noted yet.\n"

// Write replaces the results file by the measured text, with the part kept by hand behind it. A file whose marks are
// damaged is left alone: the text between them could not be told from ours.
func Write(file, measured string) error {
	kept := firstKept
	old, err := os.ReadFile(file)
	switch {
	case err == nil:
		if kept, err = keptPart(string(old)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	text := strings.TrimRight(measured, "\n") + "\n\n" + keepBegin + "\n" + kept + keepEnd + "\n"
	return os.WriteFile(file, []byte(text), 0o644)
}

func keptPart(old string) (string, error) {
	_, rest, begun := strings.Cut(old, keepBegin+"\n")
	kept, _, ended := strings.Cut(rest, keepEnd)
	if !begun || !ended {
		return "", fmt.Errorf("the lines %q and %q are not both there; put them around what is kept by hand, or remove the file", keepBegin, keepEnd)
	}
	return kept, nil
}

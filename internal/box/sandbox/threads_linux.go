package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/wording"
)

// verify looks at every thread. It needs /proc among what may be read, and tells when it cannot look.
func (f *InForce) verify() error {
	want, err := capabilities()
	if err != nil {
		return nil // told already
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		f.lack("whether every thread is in the sandbox cannot be seen: %s", wording.Cause(err).Error())
		return nil
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		if err := f.verifyThread(string(text), want); err != nil {
			return fmt.Errorf("the thread %s of this process is not in the sandbox: %w", task.Name(), err)
		}
	}
	if root := slices.Concat(f.Read, f.Write, f.Execute); f.Landlock > 0 && !slices.Contains(root, "/") && !f.Refuses("/", false) {
		return errors.New("the file system is open, although the kernel said that it was not any more")
	}
	return nil
}

// verifyThread judges the text of a thread's status.
func (f *InForce) verifyThread(status string, want held) error {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		expected := set(0)
		switch key {
		case "NoNewPrivs":
			if f.NoNewPrivileges && value != "1" {
				return fmt.Errorf("NoNewPrivs is %s", value)
			}
			continue
		case "CapEff":
			expected = want.effective
		case "CapPrm":
			expected = want.permitted
		case "CapInh":
			expected = want.inheritable
		default:
			continue
		}
		if n, err := strconv.ParseUint(value, 16, 64); err != nil || set(n) != expected {
			return fmt.Errorf("%s is %s and not %016x", key, value, uint64(expected))
		}
	}
	return nil
}

package gateway

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Pause stops a process by SIGSTOP, until SIGCONT, and waits until all its threads have stopped: the signal alone leaves them time for an answer.
func Pause(t testing.TB, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Await(t, "a process stops", func() bool {
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Pid))
		for _, thread := range threads {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", p.Pid, thread.Name()))
			if _, state, _ := bytes.Cut(stat, []byte(") ")); !bytes.HasPrefix(state, []byte("T")) {
				return false
			}
		}
		return len(threads) > 0
	})
}

package process

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestStatFieldsAreCountedBehindTheName(t *testing.T) {
	user, system, err := parseStat([]byte("7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 75 0 0 20 0 1 0 99"))
	if err != nil || user != 250 || system != 75 {
		t.Fatalf("parseStat = %d, %d, %v; want 250, 75", user, system, err)
	}
	if _, _, err := parseStat([]byte("7 (a) S 1")); err == nil {
		t.Fatal("a short line must be refused")
	}
}

func TestBusyTimeLeavesOutIdleAndWaiting(t *testing.T) {
	stat := []byte("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 1000 2000 4 5 6 7 8\ncpu1 1 1 1 1 1 1 1 1 0 0\n")
	if busy, err := parseBusy(stat, 0); err != nil || busy != 210*time.Millisecond {
		t.Errorf("parseBusy = %v, %v; want 21 ticks", busy, err)
	}
	if _, err := parseBusy(stat, 2); err == nil {
		t.Error("a core that is not there must be refused")
	}
}

// ended says whether a process is gone, or only waits for whoever inherited it to take notice.
func ended(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// The shell burns processor time in itself and in a child, ends when told to, and runs where we said.
func TestStartedProgramIsPinnedMeasuredAndStopped(t *testing.T) {
	output := filepath.Join(t.TempDir(), "out")
	p, err := Start(0, output, []string{"WORD=given"}, "sh", "-c",
		`grep Cpus_allowed_list /proc/self/status; echo $WORD; (while :; do :; done) & while :; do :; done`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		cpu, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu.User > 0 && len(p.pids()) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no processor time or no child seen: %+v, %v", cpu, p.pids())
		}
	}
	if now, peak, err := p.RSS(); err != nil || now == 0 || peak < now {
		t.Fatalf("RSS = %d, %d, %v", now, peak, err)
	}
	if err := p.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	family := p.pids()
	p.Stop()
	<-p.Exited()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		left := slices.DeleteFunc(slices.Clone(family), func(pid int) bool { return ended(pid) })
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are still there", left)
		}
	}
	text, _ := os.ReadFile(output)
	if got := strings.Join(strings.Fields(string(text)), " "); got != "Cpus_allowed_list: 0 given" {
		t.Fatalf("output = %q", got)
	}
}

package ticket

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs collects what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func newFile(t testing.TB, name string, period time.Duration) (*File, *logs) {
	t.Helper()
	out := new(logs)
	f, err := NewFile(name, Period(period), slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return f, out
}

func secrets(t testing.TB, f *File, at time.Time) Secrets {
	t.Helper()
	s, err := f.Secrets(at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "made", "tickets")
	f, out := newFile(t, name, time.Hour)
	first := secrets(t, f, start)
	if first.Current == first.Previous || first.Current == first.Next || first.Current == (Secret{}) {
		t.Errorf("drew %v", first)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	again, more := newFile(t, name, time.Hour)
	if secrets(t, again, start) != first {
		t.Error("a restart draws others")
	}
	later := secrets(t, again, start.Add(time.Hour))
	if later.Previous != first.Current || later.Current != first.Next || later.Next == first.Current || later.Number != first.Number+1 {
		t.Error("a period later they are not the same, moved on")
	}
	if secrets(t, f, start.Add(time.Hour)) != later {
		t.Error("another process with the same file has others")
	}
	text, _ := os.ReadFile(name)
	if r, err := parse(text); err != nil || len(r.secrets) != 3 {
		t.Errorf("the file holds %v, %v", r, err)
	}
	if out.count("level=") != 0 || more.count("level=") != 0 {
		t.Error("there is nothing to tell, and the log is not empty")
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 2 {
		t.Errorf("beside the file and its lock there are %v", left)
	}
}

// A file that cannot be used is renewed, and the log says why.
func TestFileRenewed(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, want string
		spoil      func(name string) error
		remembered bool // a process that runs goes on with what it has
	}{
		{"rubbish", "not what straum writes", func(name string) error { return os.WriteFile(name, []byte("rubbish"), 0o600) }, true},
		{"emptied", "not what straum writes", func(name string) error { return os.Truncate(name, 0) }, true},
		{"cut off", "damaged or edited", func(name string) error { return os.Truncate(name, 290) }, true},
		{"exposed", "others may read it (permissions 0640, wanted 0600)", func(name string) error { return os.Chmod(name, 0o640) }, false},
		{"of another period", "its period is 2h0m0s, and now 1h0m0s is wanted", func(name string) error {
			os.Remove(name)
			other, _ := newFile(t, name, 2*time.Hour)
			_, err := other.Secrets(start)
			return err
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(dir, c.name)
			running, runningLog := newFile(t, name, time.Hour)
			first := secrets(t, running, start)
			spoil := func() {
				t.Helper()
				if err := c.spoil(name); err != nil {
					t.Fatal(err)
				}
			}
			spoil()
			f, out := newFile(t, name, time.Hour)
			second := secrets(t, f, start)
			if second == first || out.count(c.want) != 1 || out.count("renewed") != 1 {
				t.Errorf("renewed: %v; the log has it %d times", second != first, out.count(c.want))
			}
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file is %v, %v", info.Mode(), err)
			}
			if restarted, _ := newFile(t, name, time.Hour); secrets(t, restarted, start) != second {
				t.Error("what was renewed is not kept")
			}
			spoil()
			third := secrets(t, running, start)
			if (third == first) != c.remembered || runningLog.count(c.want) != 1 {
				t.Errorf("a running process went on with its own: %v, want %v; the log tells %d times", third == first, c.remembered, runningLog.count(c.want))
			}
		})
	}
}

// Without a place to keep them there are secrets all the same, the same until they are over.
func TestFileCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	occupied := filepath.Join(dir, "occupied")
	if err := os.MkdirAll(occupied, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(file, "tickets"), occupied} {
		f, _ := newFile(t, name, time.Hour)
		first, err := f.Secrets(start)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "wanted is") {
			t.Errorf("%s: said %v", name, err)
		}
		second, err := f.Secrets(start.Add(time.Hour))
		if err == nil || first.Current == (Secret{}) || second.Previous != first.Current {
			t.Errorf("%s: %v, %v, %v", name, first, second, err)
		}
	}
}

// The file may go while the process runs; it comes back with the same secrets.
func TestFileRemoved(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tickets")
	f, _ := newFile(t, name, time.Hour)
	first := secrets(t, f, start)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if secrets(t, f, start) != first {
		t.Error("draws others")
	}
	if again, _ := newFile(t, name, time.Hour); secrets(t, again, start) != first {
		t.Error("the file did not come back")
	}
}

// Processes that come to a new period together agree on its secrets.
func TestFileShared(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tickets")
	const processes, periods = 4, 10
	var boxes [processes]*File
	for i := range boxes {
		boxes[i], _ = newFile(t, name, time.Hour)
	}
	for n := range periods {
		var got [processes]Secrets
		var all sync.WaitGroup
		for i, f := range boxes {
			all.Go(func() { got[i], _ = f.Secrets(start.Add(time.Duration(3*n) * time.Hour)) })
		}
		all.Wait()
		for i := range got {
			if got[i] != got[0] {
				t.Errorf("period %d: process %d has other secrets than the first", n, i)
			}
		}
	}
}

// A process that hangs while it holds the lock does not stop others.
func TestFileLocked(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tickets")
	f, _ := newFile(t, name, time.Hour)
	f.tries = 2
	first := secrets(t, f, start)
	other, err := os.OpenFile(name+".lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	second, err := f.Secrets(start)
	if second != first || err == nil || !strings.Contains(err.Error(), "another process holds") {
		t.Errorf("got %v, %v", second == first, err)
	}
}

func TestNewFileRefuses(t *testing.T) {
	if _, err := NewFile("x", Period(time.Second), slog.Default()); err == nil || !strings.Contains(err.Error(), "from 1m0s to 168h0m0s") {
		t.Errorf("said %v", err)
	}
}

// What is no file is refused, and nobody waits for a pipe to be written to.
func TestNoRegularFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tickets")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	f, _ := newFile(t, name, time.Hour)
	got := make(chan error)
	go func() { _, err := f.Secrets(start); got <- err }()
	select {
	case err := <-got:
		if err == nil || !strings.Contains(err.Error(), name+" is not a regular file; clients will start new sessions") {
			t.Errorf("said %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("waits for somebody to write")
	}
}

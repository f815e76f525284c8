// Package fulldisk proves from outside that a log nobody can write to costs lines, which are counted, and no request.
package fulldisk

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// run starts a gateway that logs to a path, and a load on it whose lines are long.
func run(t *testing.T, path string) (*gateway.Gateway, string) {
	t.Helper()
	e := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, "")+fmt.Sprintf("log: { access: { to: %q, buffer: 256KiB } }\n", path))
	return g, listen
}

// load runs requests until a condition holds and wants all of them answered.
func load(t *testing.T, listen, what string, until func() bool) {
	t.Helper()
	long := traffic.Get("/" + strings.Repeat("long/", 150))
	l := traffic.Start(traffic.Plan{Addr: listen, Conns: 8, Request: func(int, int) string { return long }})
	gateway.Await(t, what, until)
	if r := l.Stop(); r.Failed > 0 || r.Requests == 0 {
		t.Errorf("%d of %d requests failed, such as:\n%s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// balance proves that no line is missing from the count: those written, those lost and those waiting are all there were.
func balance(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	var all, written, lost float64
	gateway.Await(t, "every request has a line, written or lost", func() bool {
		n := g.Numbers()
		all, written, lost = n.Sum("straum_requests_total"), n.Sum("straum_log_written_total"), n.Sum("straum_log_lost_total")
		return written+lost == all && n.Sum("straum_log_waiting_lines") == 0
	})
	t.Logf("%v requests, %v lines written, %v lost", all, written, lost)
}

// TestTinyDisk fills a disk of 256 KiB with the log, makes room again, and finds later lines and a line about the lost.
func TestTinyDisk(t *testing.T) {
	t.Parallel()
	disk := tinyDisk(t)
	path := filepath.Join(disk, "access.log")
	g, listen := run(t, path)
	load(t, listen, "the disk is full and lines are lost", func() bool {
		n := g.Numbers()
		return n.Sum("straum_log_lost_total", `reason="failing"`) > 100 && n.Sum("straum_log_failing") == 1
	})
	if g.Number("straum_log_write_failures_total") == 0 {
		t.Error("no failed write was counted")
	}
	full, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	// What waited nearly fills the small disk again: room is made until there is an end of it.
	var after bytes.Buffer
	gateway.Await(t, "lines are written again", func() bool {
		text, _ := os.ReadFile(path)
		after.Write(text)
		if len(text) > 100<<10 {
			os.Truncate(path, 0)
		}
		n := g.Numbers()
		return n.Sum("straum_log_failing") == 0 && n.Sum("straum_log_waiting_lines") == 0
	})
	if r, _, err := traffic.Once(listen, traffic.Get("/after")); err != nil || r.StatusCode != http.StatusOK {
		t.Error(r, err)
	}
	gateway.Await(t, "the line of a later request", func() bool {
		text, _ := os.ReadFile(path)
		after.Write(text)
		return bytes.Contains(text, []byte(`"/after"`))
	})
	if !bytes.Contains(after.Bytes(), []byte(`"lost_since_start":`)) {
		t.Error("no line tells how many were lost")
	}
	if !bytes.Contains(full, []byte(`"path":"/long/`)) {
		t.Error("nothing was written before the disk was full")
	}
	balance(t, g)
}

// TestAlwaysFull logs to a device that is always full.
func TestAlwaysFull(t *testing.T) {
	t.Parallel()
	g, listen := run(t, "/dev/full")
	load(t, listen, "lines are lost", func() bool { return g.Number("straum_log_lost_total", `reason="failing"`) > 100 })
	if n := g.Numbers(); n.Sum("straum_log_failing") != 1 || n.Sum("straum_log_written_total") != 0 || !g.Ready() {
		t.Errorf("got failing %v, written %v, ready %t", n.Sum("straum_log_failing"), n.Sum("straum_log_written_total"), g.Ready())
	}
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
}

// TestStuckPipe logs to a named pipe whose reader has stopped reading, and then reads on.
func TestStuckPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // so that neither side waits for the other to open it
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	g, listen := run(t, path)
	load(t, listen, "lines are lost", func() bool { return g.Number("straum_log_lost_total", `reason="slow"`) > 100 })
	go io.Copy(io.Discard, pipe)
	balance(t, g)
}

// stuckPipe makes a pipe that nobody reads from until the test does.
func stuckPipe(t *testing.T) (path string, pipe *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return path, pipe
}

// TestStuckPipeAtTheEnd stops a gateway whose log is stuck: it ends in spite of it.
func TestStuckPipeAtTheEnd(t *testing.T) {
	t.Parallel()
	path, _ := stuckPipe(t)
	g, listen := run(t, path)
	load(t, listen, "lines are lost", func() bool { return g.Number("straum_log_lost_total") > 0 })
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
}

// TestLeavingAStuckPipe changes the log from a stuck pipe to a file at a reload: it is written there.
func TestLeavingAStuckPipe(t *testing.T) {
	t.Parallel()
	path, _ := stuckPipe(t)
	g, listen := run(t, path)
	load(t, listen, "lines are lost", func() bool { return g.Number("straum_log_lost_total") > 0 })
	config, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(strings.Replace(string(config), path, g.AccessPath, 1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := traffic.Once(listen, traffic.Get("/elsewhere")); err != nil {
		t.Error(err)
	}
	gateway.Await(t, "lines are in the file", func() bool {
		text, _ := os.ReadFile(g.AccessPath)
		return bytes.Contains(text, []byte(`"/elsewhere"`))
	})
}

// TestRotation renames the file under load, with and without a signal: no line is lost or torn.
func TestRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	g, listen := run(t, path)
	l := traffic.Start(traffic.Plan{Addr: listen, Conns: 4, Pause: 1e6})
	for i := range 4 {
		n := l.Requests()
		gateway.Await(t, "requests", func() bool { return l.Requests() > n+300 })
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			g.Signal(syscall.SIGHUP)
		}
		gateway.Await(t, "the new file", func() bool { _, err := os.Stat(path); return err == nil })
	}
	r := l.Stop()
	balance(t, g)
	lines := 0
	files, _ := filepath.Glob(path + "*")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			lines++
			if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") {
				t.Errorf("%s: a torn line: %q", f, line)
			}
		}
	}
	if int64(lines) != r.Requests {
		t.Errorf("got %d lines in %d files for %d requests", lines, len(files), r.Requests)
	}
}

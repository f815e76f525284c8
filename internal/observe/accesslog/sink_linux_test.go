package accesslog

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk fills a real file system and makes room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("straum-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "access.log")
	l := begin(t, Options{Settings: Settings{To: path}}, openSink)
	n := 0
	await(t, "the disk is full", func() bool { l.Observe(numbered(n)); n++; return l.Stats().Failing })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	l.Reopen() // or wait for the rest to be over
	await(t, "all is written", func() bool { s := l.Stats(); return s.Waiting == 0 && !s.Failing })
	finish(t, l)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantEach(t, string(text), n)
}

// TestFullDevice never gets a byte written.
func TestFullDevice(t *testing.T) {
	l := begin(t, Options{Settings: Settings{To: "/dev/full"}}, openSink)
	l.Observe(numbered(0))
	await(t, "the write fails", func() bool { return l.Stats().Failing })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 lines not written: ") {
		t.Errorf("got %v", err)
	}
	<-l.writer.done
}

//go:build linux

package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProbesOfThisBox asks the box the test runs on. What it answers is its own business; that it answers, and leaves nothing behind, is ours.
func TestProbesOfThisBox(t *testing.T) {
	p := Here()
	if c, err := p.Clock(); err != nil && !errors.Is(err, unix.EPERM) {
		t.Errorf("clock: %+v, %v", c, err)
	}
	if d := p.ReadClock(); d <= 0 || d > time.Second {
		t.Errorf("a reading of the clock takes %s", d)
	}
	if s := p.Seal(); s < 1e6 {
		t.Errorf("%g bytes a second", s)
	}
	dir := t.TempDir()
	w, err := p.Write(t.Context(), dir)
	if err != nil || w.Rounds < 1 || w.Rounds > writeRounds || w.Sync <= 0 || w.Sync > w.LongSync || w.Write > w.LongWrite {
		t.Errorf("write: %+v, %v", w, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if s, err := p.Space(dir); err != nil || s.Size <= 0 || s.Free > s.Size {
		t.Errorf("space: %+v, %v", s, err)
	}
	if has, err := p.Offloads("lo"); err != nil || len(has) == 0 {
		t.Errorf("loopback: %v, %v", has, err)
	}
	if _, err := p.Offloads("no-such-one"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is not there: %v", err)
	}
	if !p.There(dir) || p.There(filepath.Join(dir, "none")) {
		t.Error("what is there and what is not is mixed up")
	}
}

// TestWritingGivesWay ends when its time does, and says what stood in its way.
func TestWritingGivesWay(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	dir := t.TempDir()
	if _, err := write(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if _, err := write(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nowhere: %v", err)
	}
}

package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

// TestFullDisk has the store on a disk that is much smaller than it was told, and that others fill to the last byte: every answer is right all the
// same, and once there is room again it is used.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	o := newOrigin(t, "max-age=3600")
	f := open(t, setting{endpoint: o.addr, more: fmt.Sprintf("cache: { memory: 1MiB, max_object: 64KiB, disk: { path: %q, size: 1GiB, max_object: 4MiB } }", filepath.Join(disk, "kept"))})
	all := paths(50)
	load := func(what string, answers int64) {
		c := f.crowd(t, 8, all, 0)
		gateway.Await(t, what, func() bool { return c.answers.Load() >= answers || t.Failed() })
		c.end()
		if t.Failed() {
			t.FailNow()
		}
	}
	load("answers while the disk gets full", 120)

	filler := filepath.Join(disk, "filler")
	if full := fill(t, filler); full == 0 {
		t.Log("the store has left no byte")
	}
	load("answers while others have filled the disk", 120)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	gateway.Await(t, "a long answer is stored once there is room again", func() bool {
		return f.get("/300000/again").hit()
	})
}

// fill writes until there is no room, and says how much that was.
func fill(t *testing.T, path string) (written int) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		n, err := file.Write(make([]byte, 4<<10))
		written += n
		if err != nil {
			return written
		}
	}
}

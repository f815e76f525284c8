package fulldisk

import (
	"os"
	"syscall"
	"testing"
)

// tinyDisk is a directory with room for 256 KiB.
func tinyDisk(t *testing.T) string {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk; TestAlwaysFull is for everybody")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	return disk
}

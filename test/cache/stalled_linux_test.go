package cache

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

// stallingDisk is a folder that stands still when it is told to, as a dying disk does: while the process that serves it by FUSE is stopped, whoever
// opens, reads or writes anything there waits.
type stallingDisk struct {
	path  string
	serve *exec.Cmd
}

func mountStalling(t *testing.T) *stallingDisk {
	t.Helper()
	if _, err := exec.LookPath("bindfs"); err != nil {
		t.Skip("bindfs is not installed")
	}
	d := &stallingDisk{path: t.TempDir()}
	d.serve = exec.Command("bindfs", "-f", "--no-allow-other", t.TempDir(), d.path)
	if err := gateway.Spawn(d.serve); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = d.serve.Wait() // it is ended
		close(ended)
	}()
	t.Cleanup(func() {
		d.stall(false)
		_ = syscall.Unmount(d.path, syscall.MNT_DETACH) // it may never have been mounted
		_ = d.serve.Process.Kill()                      // it may have ended with that
		<-ended
	})
	var outside, inside syscall.Stat_t
	gateway.Await(t, "bindfs mounts", func() bool {
		select {
		case <-ended:
			t.Skip("bindfs cannot mount here")
		default:
		}
		return syscall.Stat(filepath.Dir(d.path), &outside) == nil && syscall.Stat(d.path, &inside) == nil && inside.Dev != outside.Dev
	})
	return d
}

// stall begins or ends a stall.
func (d *stallingDisk) stall(on bool) {
	signal := syscall.SIGCONT
	if on {
		signal = syscall.SIGSTOP
	}
	_ = d.serve.Process.Signal(signal) // one that has ended needs none
}

// TestStalledDisk: while nothing on the disk answers, every request is answered, from memory or by the endpoint; the configuration can be changed,
// and the gateway ends when it is told to. Afterwards the disk is used again.
func TestStalledDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount everywhere")
	}
	disk := mountStalling(t)
	o := newOrigin(t, "max-age=3600")
	f := prepare(t, setting{endpoint: o.addr, more: fmt.Sprintf("cache: { memory: 1MiB, max_object: 64KiB, disk: { path: %q, size: 64MiB, max_object: 4MiB } }", filepath.Join(disk.path, "kept"))})
	f.Gateway = gateway.Start(t, f.config)
	const kept = "/300000/kept"
	f.get(kept)
	f.soon(kept)
	small := f.soon("/1000/small")

	disk.stall(true)
	c := f.crowd(t, 8, paths(50), 0)
	for range 3 {
		from := c.answers.Load()
		gateway.Await(t, "answers while the disk is stalled", func() bool { return c.answers.Load() > from+100 || t.Failed() })
		if got := f.get("/1000/small"); !got.hit() || number(got) != number(small) {
			t.Errorf("what lies in memory is not served: %v", got.header)
		}
	}
	if err := f.Reload(f.config + "# as it was\n"); err != nil {
		t.Error(err)
	}
	f.must("stat")
	f.must("purge", "--url", f.url(kept))
	c.end()

	disk.stall(false)
	gateway.Await(t, "the disk is used again", func() bool {
		got := f.get(kept)
		if err := whole(got); err != nil {
			t.Fatal(err)
		}
		return got.hit()
	})

	disk.stall(true)
	f.get("/300000/written")
	if code := f.Stop(); code != 0 {
		t.Errorf("it ended with code %d while the disk was stalled", code)
	}
	disk.stall(false)
	f.Gateway = gateway.Start(t, f.config)
	f.get(kept)
	f.soon(kept)
}

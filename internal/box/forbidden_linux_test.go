package box_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
)

// What Forbidden says must be what the kernel says when a setting is opened for writing, which changes nothing: for every setting there is,
// here and in a network namespace of one's own.
func TestForbiddenIsTrue(t *testing.T) {
	m := box.Here()
	if guest := m.Facts().Guest; guest.Container != "" {
		t.Skipf("in a container (%s) some are refused though they could be written", guest.Container)
	}
	const within = "STRAUM_TEST_WITHIN"
	n, writable := 0, 0
	err := filepath.WalkDir("/proc/sys", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		name := strings.TrimPrefix(path, "/proc/sys/")
		if strings.Contains(name, ".") || strings.HasPrefix(name, "fs/binfmt_misc/") {
			return nil // an interface with a dot in its name, and a file system of its own
		}
		// Those of user namespaces take a capability of their own; those that end so are for CRIU.
		key := strings.ReplaceAll(name, "/", ".")
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
			writable++
		}
		n++
		if said := m.Forbidden(key); (said == nil) != (err == nil) && !strings.HasPrefix(key, "user.") && !strings.HasSuffix(key, "_next_id") {
			t.Errorf("%s: opening it for writing gives %v, and Forbidden says %v", key, err, said)
		}
		return nil
	})
	if err != nil || n < 100 {
		t.Fatalf("found %d settings, %v", n, err)
	}
	t.Logf("%d settings, %d of which may be written", n, writable)
	for _, key := range []string{"net.core.netdev_max_backlog", "net.core.rmem_max", "net.ipv4.tcp_mem"} {
		if err := m.Forbidden(key); os.Getenv(within) != "" && (err == nil || !strings.Contains(err.Error(), "network namespace")) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if os.Getenv(within) != "" {
		return
	}
	t.Run("in a network namespace", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root makes one")
		}
		if _, err := exec.LookPath("unshare"); err != nil {
			t.Skip("there is no unshare")
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("unshare", "--net", self, "-test.run=^TestForbiddenIsTrue$", "-test.v")
		c.Env = append(os.Environ(), within+"=1")
		out, err := c.CombinedOutput()
		if strings.Contains(string(out), "unshare failed") {
			t.Skipf("%s", out)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

package packaged

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the image holds is enough: the program serves as the image's user in a root with nothing but itself, its configuration and its two folders,
// with no /proc, no /dev, no /tmp, no shell and no account, and the health check says so.
func TestScratch(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change its root")
	}
	d := packages(t)
	need(t, "dpkg-deb", "unshare", "ip")
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{binary(t, d): "usr/bin/straum", "../../packaging/docker/straum.yaml": "etc/straum/straum.yaml"} {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, own := range []string{"var/lib/straum", "run/straum"} {
		if err := os.MkdirAll(filepath.Join(dir, own), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, own), 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	inside := &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	c := exec.Command("/usr/bin/straum", "run", "-c", "/etc/straum/straum.yaml")
	c.Dir, c.Env, c.SysProcAttr = "/", []string{}, inside
	var log strings.Builder
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Skipf("no root of its own can be had: %v", err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	health := func() (string, error) { // as HEALTHCHECK has it; the socket is reached from any network
		h := exec.Command("/usr/bin/straum", "status", "-c", "/etc/straum/straum.yaml")
		h.Dir, h.Env, h.SysProcAttr = "/", []string{}, &syscall.SysProcAttr{Chroot: dir, Credential: inside.Credential}
		out, err := h.CombinedOutput()
		return string(out), err
	}
	var said string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if said, err = health(); err == nil && strings.Contains(said, "\nready\n") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not healthy: %v %s", err, said)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil || strings.Contains(log.String(), "panic") {
		t.Errorf("it did not stop well: %v", err)
	}
	if _, err := health(); err == nil {
		t.Error("the health check says that a gateway that has stopped is well")
	}
	if t.Failed() {
		t.Log(log.String())
	}
}

package packaged

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a condition is awaited. It bounds how long a failure lasts.
const patience = 30 * time.Second

// root is a root file system to install things in: a layer in memory over the machine's own, in namespaces of mounts, processes, network and names.
// All of it is gone when the test ends. Its first process is systemd, or one that waits.
type root struct {
	t   *testing.T
	pid int // of its first process, as the machine counts
}

// layer makes the root and becomes its first process. $1 is an empty folder, $2 what becomes the first process. What the machine may have of us is
// taken out, and what keeps services from starting by being installed, and what would make manual pages' index anew each time.
const layer = `set -eu
mount --make-rprivate /
mount -t tmpfs -o size=1G,mode=755 tmpfs "$1"
cd "$1"; mkdir up work root
mount -t overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if mountpoint -q sys/fs/cgroup || mount -t tmpfs tmpfs sys/fs/cgroup; then :; fi
mount -t cgroup2 cgroup2 sys/fs/cgroup || :
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
: >dev/console; : >../console; mount --bind ../console dev/console
mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ip link set lo up
rm -rf usr/sbin/policy-rc.d etc/straum var/lib/straum var/log/straum etc/systemd/system/*.wants etc/systemd/system/straum.service* var/lib/man-db/auto-update
sed -i '/^straum:/d' etc/passwd etc/group etc/shadow etc/gshadow
: >etc/fstab
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/straum-test.target
mkdir oldroot; pivot_root . oldroot; cd /; umount -l oldroot
echo ready >&3
exec 3>&-
if [ "$2" = systemd ]; then
  exec env -i container=straum PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=straum-test.target --log-target=journal --show-status=no
fi
cat >/dev/null # until the test ends; the shell takes in what ends meanwhile
exit 0`

// newRoot makes one, with systemd as its first process or without. Where it cannot be made the test is skipped.
func newRoot(t *testing.T, systemd bool) *root {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a root file system")
	}
	need(t, "unshare", "nsenter", "dpkg", "ip")
	dir, err := os.MkdirTemp("", "straum-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	ready, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	first := "cat"
	join := ""
	if systemd {
		need(t, "systemctl", "/lib/systemd/systemd")
		group := cgroup(t)
		first, join = "systemd", "echo $$ >"+group+"/cgroup.procs; "
	}
	c := exec.Command("/bin/sh", "-c", join+`exec unshare --pid --fork --kill-child --mount --net --ipc --uts --cgroup /bin/sh -c "$0" sh "$@"`, layer, dir, first)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	stdin, err := c.StdinPipe() // it ends when we do
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = t.Output()
	c.ExtraFiles = []*os.File{tell}
	if err := c.Start(); err != nil {
		tell.Close()
		t.Skipf("no root file system can be made: %v", err)
	}
	tell.Close()
	t.Cleanup(func() {
		stdin.Close()
		_ = c.Process.Kill() // and unshare's child with it, which is the first process there: all others end with it
		_ = c.Wait()
	})
	if line, _ := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
		t.Skip("no root file system can be made; the test says why with -v")
	}
	r := &root{t: t, pid: child(t, c.Process.Pid)}
	if systemd {
		r.await("systemd has started", func() bool {
			out, _ := r.try("systemctl is-system-running")
			return strings.TrimSpace(out) == "running" || strings.TrimSpace(out) == "degraded"
		})
	}
	return r
}

// cgroup makes a control group for systemd to be the root of its own. It needs the second version; controllers are of no matter.
func cgroup(t *testing.T) string {
	t.Helper()
	for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(at + "/cgroup.procs"); err != nil {
			continue
		}
		if kind, err := exec.Command("stat", "-f", "-c", "%T", at).Output(); err != nil || strings.TrimSpace(string(kind)) != "cgroup2fs" {
			continue
		}
		dir, err := os.MkdirTemp(at, "straum-test-")
		if err != nil {
			t.Skipf("no control group can be made: %v", err)
		}
		t.Cleanup(func() { removeGroups(dir) })
		return dir
	}
	t.Skip("there is no cgroup2 file system for systemd")
	return ""
}

// removeGroups removes a control group and those below it, which are empty once their processes have been waited for.
func removeGroups(dir string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var all []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(all[i])
		}
		if _, err := os.Stat(dir); err != nil {
			return
		}
	}
}

// child is the only process that a process has started.
func child(t *testing.T, pid int) int {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	one, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Skipf("no root file system can be made: unshare has the children %q", text)
	}
	return one
}

// try runs a line of shell in the root.
func (r *root) try(line string) (string, error) {
	c := exec.Command("nsenter", "-t", strconv.Itoa(r.pid), "-m", "-p", "-n", "-u", "-i", "-C", "/bin/sh", "-c", line)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root", "SYSTEMD_PAGER="}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	return string(out), err
}

// run runs a line of shell that has to succeed, and gives what it prints.
func (r *root) run(line string) string {
	r.t.Helper()
	out, err := r.try(line)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(out)
}

// put copies a file of the machine into the root.
func (r *root) put(from, to string) {
	r.t.Helper()
	if err := copyFile(from, r.path(to)); err != nil {
		r.t.Fatal(err)
	}
}

// write writes a file there.
func (r *root) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(path), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// path is where the machine sees a path of the root.
func (r *root) path(path string) string { return fmt.Sprintf("/proc/%d/root%s", r.pid, path) }

// is checks mode and owner of paths, as in "750 root:straum"; empty is that nothing is there.
func (r *root) is(want map[string]string) {
	r.t.Helper()
	for path, w := range want {
		have, _ := r.try("stat -c '%a %U:%G' " + path + " 2>/dev/null || :")
		if have = strings.TrimSpace(have); have != w {
			r.t.Errorf("%s is %q, want %q", path, have, w)
		}
	}
}

// await waits until something holds.
func (r *root) await(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

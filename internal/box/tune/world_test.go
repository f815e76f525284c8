package tune

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

const thpFile = "/sys/kernel/mm/transparent_hugepage/enabled"

// aWorld is a box in a directory.
type aWorld struct {
	root string
	t    interface {
		Helper()
		Fatal(...any)
	}
}

func (w aWorld) put(name, text string, mode fs.FileMode) {
	w.t.Helper()
	file := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	_ = os.Remove(file) // its mode may keep us from writing
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w aWorld) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.root, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// quick is a directory in memory where there is one: the property needs thousands of writes that are waited for.
func quick(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "straum-tune-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newWorld is a box as installed, with values that the verdicts of this file are about.
func newWorld(t *testing.T) aWorld {
	t.Helper()
	w := aWorld{t.TempDir(), t}
	w.install()
	return w
}

func (w aWorld) install() {
	w.put("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", 0o444)
	w.put("/proc/sys/net/core/somaxconn", "128\n", 0o644)
	w.put("/proc/sys/net/ipv4/tcp_fastopen", "1\n", 0o644)
	w.put("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t262144\n", 0o644)
	w.put("/proc/sys/net/netfilter/nf_conntrack_max", "1024\n", 0o644)
	w.put("/proc/sys/net/netfilter/nf_conntrack_count", "0\n", 0o444)
	w.put(thpFile, "[always] madvise never\n", 0o644)
	w.put("/etc/systemd/system/straum.service", "[Service]\nExecStart=/usr/bin/straum\n", 0o644)
	w.put("/etc/hostname", "box\n", 0o644)
	for _, dir := range []string{"/etc/sysctl.d", "/etc/tmpfiles.d", "/var/lib"} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w aWorld) tuner(d Disk) *Tuner {
	return &Tuner{Machine: &box.Machine{Root: w.root}, Root: w.root, Disk: d}
}

// shot is every file of the box with mode, owner and bytes.
func (w aWorld) shot() string {
	w.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(w.root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := owner(info)
		fmt.Fprintf(&b, "%s %s %d:%d", strings.TrimPrefix(file, w.root), info.Mode(), uid, gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", data)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

func verdict(key, file, set string) setting.Verdict {
	if file == "" {
		file = box.Sysctl(key)
	}
	return setting.Verdict{Finding: box.Finding{ID: key, Why: "It has to be " + set + " here, since the test says so (with nf_conntrack_buckets), and says it at some length to have the line broken at least once."}, Set: set, File: file}
}

var wanted = []setting.Verdict{
	verdict("net.core.somaxconn", "", "4096"),
	verdict("net.ipv4.tcp_fastopen", "", "3"),
	verdict("net.ipv4.tcp_rmem", "", "4096 131072 6291456"),
	verdict("net.netfilter.nf_conntrack_max", "", "65536"),
	verdict("thp", thpFile, "madvise"),
	verdict("LimitNOFILE", unitDropIn, "131072"),
}

var errBroken = errors.New("the power went out")

// shakyDisk behaves as the kernel where that differs from files, and loses power or refuses one value when it is told to.
type shakyDisk struct {
	osDisk
	left   int               // steps until the power goes out; negative is never
	refuse string            // a value's file that cannot be written
	made   map[string]string // what the kernel makes of values
	steps  int               // that changed something
	torn   bool              // the power goes out in the midst of a file
}

func (d *shakyDisk) step() error {
	if d.left == 0 {
		return errBroken
	}
	d.left--
	d.steps++
	return nil
}

func (d *shakyDisk) Mkdir(name string, mode fs.FileMode) error {
	if _, err := os.Lstat(name); err == nil {
		return fs.ErrExist
	}
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.Mkdir(name, mode)
}

func (d *shakyDisk) Create(name string, data []byte, mode fs.FileMode, uid, gid int) error {
	if err := d.step(); err != nil {
		if d.torn {
			d.torn = false
			_ = d.osDisk.Create(name, data[:len(data)/2], 0o600, uid, gid)
		}
		return err
	}
	return d.osDisk.Create(name, data, mode, uid, gid)
}

func (d *shakyDisk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.Rename(from, to)
}

func (d *shakyDisk) Remove(name string) error {
	if _, err := os.Lstat(name); err != nil {
		return err
	}
	if entries, err := os.ReadDir(name); err == nil && len(entries) > 0 {
		return errors.New("not empty")
	}
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.Remove(name)
}

func (d *shakyDisk) Poke(name string, data []byte) error {
	if d.refuse != "" && strings.HasSuffix(name, d.refuse) {
		return fs.ErrPermission
	}
	if err := d.step(); err != nil {
		return err
	}
	if other := d.made[strings.TrimSpace(string(data))]; other != "" {
		data = []byte(other + "\n")
	}
	if strings.HasSuffix(name, thpFile) {
		word := strings.TrimSpace(string(data))
		data = []byte(strings.Replace("always madvise never\n", word, "["+word+"]", 1))
	}
	return d.osDisk.Poke(name, data)
}

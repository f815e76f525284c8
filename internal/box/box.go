// Package box reads the machine the gateway runs on as its files under /proc and /sys show it: which kernel, what kind of guest, how
// many cores and how much memory may be used, and which settings of the kernel this guest may write.
//
// It serves no step of a request: it is a guest beside the data plane. What follows from its numbers is said elsewhere: vitals samples
// them, setting judges what the kernel is set to, doctor tells, tune changes, sandbox gives up what the process does not need.
//
// It refuses to guess. A file that is not there or may not be read leaves a fact unknown, which is never the same as zero. Everything is
// read below a root, so that the trees of other machines can be judged in tests.
package box

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is how many bytes of one file are read; those of the kernel are much shorter.
const maxFile = 1 << 20

// Machine is a box whose files lie below a root. It holds nothing open and is safe for any number of goroutines.
type Machine struct {
	Root string // "/", or the tree of another box
}

// Here is the machine the program runs on.
func Here() *Machine { return &Machine{Root: "/"} }

// Path is where a file of the box lies for us. name is absolute as seen on the box.
func (m *Machine) Path(name string) string { return filepath.Join(m.Root, name) }

// Read returns a file of the box without the white space around it. The error is that of os.ReadFile.
func (m *Machine) Read(name string) (string, error) {
	f, err := os.Open(m.Path(name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// FS is the file system of the box, for packages that read from one.
func (m *Machine) FS() fs.FS { return os.DirFS(m.Root) }

// Sysctl is the file of a kernel setting: net.core.somaxconn is /proc/sys/net/core/somaxconn.
func Sysctl(key string) string { return "/proc/sys/" + strings.ReplaceAll(key, ".", "/") }

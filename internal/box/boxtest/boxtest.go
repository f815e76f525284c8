// Package boxtest makes boxes to test with: trees of files as the kernels of other machines show them under /proc and /sys.
//
// It serves no step of a request and is part of no program: tests alone import it. It refuses to touch the machine the test runs on: all
// it writes lies in the directory it is given.
//
// A tree is a txtar archive in internal/box/testdata/trees. Its comment says what box it is. Three sections are no files: "-links-" has a
// symbolic link a line (path -> target), "-denied-" a path a line that may not be read, "-readonly-" a path a line that may not be written.
package boxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"straum.dev/straum/internal/box"
)

// What a change may be besides a text.
const (
	Denied   = "\x00denied"    // the file is there and may not be read
	Link     = "\x00link "     // followed by the target of a symbolic link
	ReadOnly = "\x00readonly " // followed by the text of a file that may not be written
)

// Tree unpacks a tree into a directory of the test's and returns the box it shows. changes are from the path of a file, with or without the
// leading slash, to its new text; an empty one removes the file or directory.
func Tree(t testing.TB, name string, changes map[string]string) *box.Machine {
	t.Helper()
	m, err := Unpack(scratch(t), name, changes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scratch is a directory of the test's, in memory where that can be had: a tree has some 300 files, and a test many trees.
func scratch(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "straum-box-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Names are the trees there are, sorted.
func Names() []string {
	dir, err := trees()
	if err != nil {
		panic(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		panic(err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".txtar")
	}
	slices.Sort(files)
	return files
}

// Unpack is Tree into an empty directory of the caller's.
func Unpack(to, name string, changes map[string]string) (*box.Machine, error) {
	dir, err := trees()
	if err != nil {
		return nil, err
	}
	archive, err := txtar.ParseFile(filepath.Join(dir, name+".txtar"))
	if err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(to) // macOS keeps its temporary files behind one
	if err != nil {
		return nil, err
	}
	m := &box.Machine{Root: root}
	lists := map[string][]string{}
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "-") {
			lists[f.Name] = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
			continue
		}
		if err := put(m.Path(f.Name), string(f.Data)); err != nil {
			return nil, err
		}
	}
	for _, line := range lists["-links-"] {
		from, target, ok := strings.Cut(line, " -> ")
		if !ok {
			return nil, fmt.Errorf("%s: found the link %q; wanted path -> target", name, line)
		}
		if err := put(m.Path(from), Link+target); err != nil {
			return nil, err
		}
	}
	for _, path := range lists["-readonly-"] {
		if err := os.Chmod(m.Path(path), 0o444); err != nil {
			return nil, err
		}
	}
	for _, path := range lists["-denied-"] {
		if err := put(m.Path(path), Denied); err != nil {
			return nil, err
		}
	}
	// What is removed goes first: a directory may be removed to be made anew.
	for _, removed := range []bool{true, false} {
		for path, text := range changes {
			if (text == "") != removed {
				continue
			}
			if err := put(m.Path(path), text); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// unreadable is a file of the kernel that nobody may read, root neither.
const unreadable = "/proc/sys/net/ipv4/route/flush"

// put makes a file what a change says.
func put(path, text string) error {
	if text == "" {
		return os.RemoveAll(path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.IsDir() {
		if err := os.Remove(path); err != nil { // a link must not be written through
			return err
		}
	}
	if target, ok := strings.CutPrefix(text, Link); ok {
		return os.Symlink(target, path)
	}
	if text, ok := strings.CutPrefix(text, ReadOnly); ok {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		return os.Chmod(path, 0o444)
	}
	if text != Denied {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if os.Geteuid() != 0 {
		return os.WriteFile(path, nil, 0)
	}
	return os.Symlink(unreadable, path) // to root, modes mean nothing
}

// trees is where the archives lie, seen from any package's directory.
func trees() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		at := filepath.Join(dir, "internal", "box", "testdata", "trees")
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return at, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = above
	}
}

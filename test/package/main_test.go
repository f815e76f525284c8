// Package packaged builds what is given out and uses it as an operator does: installs, runs, upgrades, removes and purges the .deb in a root of
// its own, starts the service under a real systemd with its real unit, and reads the .rpm, the archive, the bill of materials, the image and
// the Compose file. It is about no step of the request. It refuses to touch the machine it runs on: all that changes is a layer in memory over
// its root file system, in namespaces that end with the test.
package packaged

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is built, and that it was built at another time than now.
const (
	newVersion = "0.10.0" // of both, so that versions are compared as numbers
	oldVersion = "0.9.0"
	commit     = "0123456789abcdef0123456789abcdef01234567"
	epoch      = 1700000000
	oldHint    = "# Only " + oldVersion + " says this.\n"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		<-built.old.done
		<-built.again.done
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is what make package makes, each once: new from a copy of the tree, old, which is the .deb of an earlier version alone, and again, from a copy
// elsewhere with all that could differ differing. The last two are made while tests are at work with the first.
var built struct {
	once       sync.Once
	dir        string
	err        error // of new
	old, again made
}

// made is one that is under way.
type made struct {
	done chan struct{}
	err  error // once done is closed
}

// packages is the folder with what is given out.
func packages(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("packages are built with GNU tools")
	}
	built.once.Do(func() { built.err = buildAll() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "new")
}

// earlier is the folder with the earlier version.
func earlier(t *testing.T) string { t.Helper(); return built.old.await(t, "old") }

// rebuilt is the folder with what the second build has made.
func rebuilt(t *testing.T) string { t.Helper(); return built.again.await(t, "again") }

func (m *made) await(t *testing.T, name string) string {
	t.Helper()
	packages(t)
	<-m.done
	if m.err != nil {
		t.Fatal(m.err)
	}
	return filepath.Join(built.dir, name)
}

// buildAll builds new, and begins with the others.
func buildAll() (err error) {
	built.old.done, built.again.done = make(chan struct{}), make(chan struct{})
	defer func() {
		if err != nil {
			close(built.old.done)
			close(built.again.done)
		}
	}()
	if built.dir, err = os.MkdirTemp("", "straum-package-"); err != nil {
		return err
	}
	// Copies are taken at once, since somebody may be at work in the tree.
	one, other := filepath.Join(built.dir, "one"), filepath.Join(built.dir, "deeper", "down", "another tree")
	if err := copyTree("../..", one, other); err != nil {
		return err
	}
	// The first by itself: it fills Go's cache, from which the others take what they have in common.
	if err := build(one, "new", newVersion, "", "022"); err != nil {
		return err
	}
	// The old one's configuration has another hint, so that an upgrade has something to decide.
	starter := filepath.Join(one, "packaging", "straum.yaml")
	text, err := os.ReadFile(starter)
	if err != nil {
		return err
	}
	if err := os.WriteFile(starter, append(text, oldHint...), 0o644); err != nil {
		return err
	}
	go func() {
		built.old.err = build(one, "old", oldVersion, "deb", "022")
		close(built.old.done)
		built.again.err = build(other, "again", newVersion, "", "077", "TZ=Asia/Kathmandu", "LANG=de_DE.UTF-8", "USER=somebody", "LOGNAME=somebody", "GOFLAGS=-mod=mod", "GOAMD64=v2")
		close(built.again.done)
	}()
	return nil
}

func build(tree, to, version, formats, umask string, env ...string) error {
	c := exec.Command("/bin/sh", "-c", "umask "+umask+" && exec scripts/package amd64")
	c.Dir = tree
	c.Env = append(append(os.Environ(), "DIST="+filepath.Join(built.dir, to), "VERSION=v"+version, "COMMIT="+commit, fmt.Sprint("SOURCE_DATE_EPOCH=", epoch),
		"FORMATS="+formats, "FAST=1"), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/package for %s: %w\n%s", to, err, out)
	}
	return nil
}

// copyTree copies what git knows or would take. The first copy has the times of now, as a checkout has; further ones are of another day and of
// somebody who lets nobody else read.
func copyTree(from string, to ...string) error {
	list := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		for i, dir := range to {
			path := filepath.Join(dir, name)
			if err := copyFile(filepath.Join(from, name), path); err != nil {
				return err
			}
			stat, err := os.Lstat(path)
			if i == 0 || err != nil {
				continue // the first, or it is not there any more
			}
			day := time.Unix(1e9, 0)
			if err := errors.Join(os.Chmod(path, stat.Mode()&0o700), os.Chtimes(path, day, day)); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		return nil // removed and not committed yet
	}
	if err != nil {
		return err
	}
	defer in.Close()
	stat, err := in.Stat()
	if err != nil || stat.IsDir() {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, stat.Mode()&fs.ModePerm)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// need skips a test when a program is not installed; scripts/need installs those of scripts/packages.txt.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// output runs a program and gives what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// one is the one file of a pattern.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: found %q, want one file: %v", pattern, files, err)
	}
	return files[0]
}

package revision

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
)

// Source reads a configuration. It reads files through opt alone.
type Source func(opt config.Options) (*config.Config, error)

// File is the configuration in a file.
func File(path string) Source {
	return func(opt config.Options) (*config.Config, error) { return config.Load(path, opt) }
}

// Text is a configuration that is not in a file; name stands in problems.
func Text(name, text string) Source {
	return func(opt config.Options) (*config.Config, error) { return config.Parse(name, []byte(text), opt) }
}

// reading sees all that is read from files for one load: what it was, and where it was looked for.
type reading struct {
	mu    sync.Mutex
	sum   hash.Hash
	dirs  map[string]bool
	files map[string]bool
	noted map[string]string // files that policies read when they are bound, and what stands for their content
}

func newReading() *reading {
	return &reading{sum: sha256.New(), dirs: map[string]bool{}, files: map[string]bool{}, noted: map[string]string{}}
}

// readFile reads a file, one byte more of it than a document may have, so that too large a one is refused without being read whole.
func (r *reading) readFile(path string) ([]byte, error) {
	data, err := readBounded(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file(path)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		r.file(target) // a file behind a link changes in its own place
	}
	// A file that is gone is a change too.
	fmt.Fprintf(r.sum, "%q %d %t\n", path, len(data), err == nil)
	r.sum.Write(data)
	return data, err
}

// also counts a file in that the configuration names and does not hold, and that nobody watches: one that changes who may enter comes into
// force with the next load and not by itself.
func (r *reading) also(path string) {
	sum, err := digest(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.sum, "%q %t\n", path, err == nil)
	r.sum.Write(sum)
}

// note counts a file in, as also does, that only shows when policies are bound. What it holds is looked at now, before it is used: what changes
// from now on is a change.
func (r *reading) note(path string) {
	sum, err := digest(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted[filepath.Clean(path)] = fmt.Sprintf("%t %x", err == nil, sum)
}

// forget forgets what was noted, to note what is read now, and returns the files.
func (r *reading) forget() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := slices.Sorted(maps.Keys(r.noted))
	clear(r.noted)
	return files
}

// digest stands for the content of a file, which may be large: files of credentials are.
func digest(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // whoever uses it refuses the rest
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return sum.Sum(nil), err
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is a directory")}
	}
	return io.ReadAll(io.LimitReader(f, document.MaxBytes+1))
}

// glob finds included files. Their directory is watched as long as it is not itself a pattern.
func (r *reading) glob(pattern string) ([]string, error) {
	if dir := filepath.Dir(pattern); !strings.ContainsAny(dir, `*?[\`) {
		r.mu.Lock()
		r.look(dir)
		r.mu.Unlock()
	}
	return filepath.Glob(pattern)
}

func (r *reading) look(dir string) { r.dirs[filepath.Clean(dir)] = true }

func (r *reading) file(path string) {
	r.files[filepath.Clean(path)] = true
	r.look(filepath.Dir(path))
}

// digest stands for everything read so far.
func (r *reading) digest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := sha256.New()
	all.Write(r.sum.Sum(nil))
	for _, path := range slices.Sorted(maps.Keys(r.noted)) {
		fmt.Fprintf(all, "%q %s\n", path, r.noted[path])
	}
	return hex.EncodeToString(all.Sum(nil))
}

// options are those of one load.
func (r *reading) options(getenv func(string) (string, bool), policies map[string]any) config.Options {
	return config.Options{Getenv: getenv, ReadFile: r.readFile, Glob: r.glob, Policies: policies}
}

// places are the directories where files were looked for, in order, and the files that were read.
func (r *reading) places() (dirs []string, files map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.dirs)), maps.Clone(r.files)
}

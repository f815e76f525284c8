package sandbox

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Refuses says whether it is the sandbox, and nothing else, that keeps a file from being read, or, with write, a directory from being
// written to, or a file that is no ordinary one. Of what does not exist yet the directory counts that it would be made in. It asks the
// kernel, so that links, mounts and directories that were replaced since are judged as they will be. It may wait for a disk.
func (f *InForce) Refuses(path string, write bool) bool {
	if f == nil || f.Landlock == 0 {
		return false
	}
	if write {
		return f.refusesWrite(path)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == unix.EACCES && access(path, unix.R_OK) == nil // Landlock has no part in what access(2) says
}

func (f *InForce) refusesWrite(path string) bool {
	var stat unix.Stat_t
	for unix.Stat(path, &stat) == unix.ENOENT && path != "/" {
		path = filepath.Dir(path)
	}
	flags := unix.O_WRONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		flags |= unix.O_TMPFILE // a file without a name, gone at once
	}
	fd, err := unix.Open(path, flags, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	if err == unix.EOPNOTSUPP || err == unix.EISDIR { // the file system, or the kernel, has no such files
		return access(path, unix.W_OK) == nil && !slices.ContainsFunc(f.Write, func(above string) bool { return beneath(path, above) })
	}
	return err == unix.EACCES && access(path, unix.W_OK) == nil
}

// beneath says whether a path leads to a directory or below it.
func beneath(path, above string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	above, err = filepath.EvalSymlinks(above)
	return err == nil && (path == above || strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/"))
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// openSocket listens at a path that only its owner may open. Permissions are right from the first moment: there is no time in
// which others could connect. A missing parent directory is made, for its owner alone. remove takes the file away, unless it
// is another's by then.
func openSocket(path string) (ln net.Listener, remove func(), err error) {
	if !filepath.IsAbs(path) {
		return nil, nil, fmt.Errorf("admin: socket %q: allowed: an absolute path", path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("admin: the socket's directory cannot be made: %w", err)
	}
	if err := checkDirectory(dir); err != nil {
		return nil, nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, nil, err
	}
	ln, err = listenPrivate(path)
	if err != nil {
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	// Closing must not remove what a successor has put there.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err == nil && made.Mode().Perm() != socketMode {
		err = fmt.Errorf("socket %s has the permissions %04o in place of %04o: this file system does not keep them; set admin.socket to a path on another, such as /run", path, made.Mode().Perm(), socketMode)
	}
	if err != nil {
		_ = ln.Close() // nobody came in
		_ = os.Remove(path)
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	return ln, func() {
		// The number of an inode is given out again, so the time counts as well.
		if now, err := os.Lstat(path); err == nil && os.SameFile(made, now) && made.ModTime().Equal(now.ModTime()) {
			_ = os.Remove(path) // what is left is found stale by the next
		}
	}, nil
}

const socketMode = fs.FileMode(0o600)

// checkDirectory refuses a directory in which others could put a socket of theirs in the place of ours.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("admin: the socket's directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("admin: %s, in which the socket is to be, is no directory", dir)
	}
	if owner := ownerOf(info); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("admin: the directory %s belongs to user %d, who could replace the socket; allowed: the user that runs straum (%d) or root", dir, owner, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("admin: the directory %s is writable by others (%04o), who could replace the socket; chmod go-w it, or set admin.socket to a path elsewhere", dir, info.Mode().Perm())
	}
	return nil
}

// answerTime is how long a socket that is there has to answer before it is taken for one in use.
const answerTime = time.Second

// clearStale removes a socket that a dead process left behind, and nothing else.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("admin: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("admin: %s is there and no socket; move it away, or set admin.socket to another path", path)
	case ownerOf(info) != os.Geteuid() && os.Geteuid() != 0:
		return fmt.Errorf("admin: the socket %s belongs to user %d, and straum runs as %d; remove it, or set admin.socket to another path", path, ownerOf(info), os.Geteuid())
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close() // it was a knock
		return fmt.Errorf("admin: another process answers at %s; is straum running already? Stop it, or set admin.socket to another path", path)
	case errors.Is(err, syscall.ECONNREFUSED):
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("admin: it is not clear whether %s is in use: %w; remove it if it is not", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("admin: the socket that a dead process left behind: %w", err)
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readNow asks for what is in the page cache. Some file systems cannot say, which is as if nothing were.
func (f *realFile) readNow(b []byte, offset int64) (n int) {
	for n < len(b) {
		m, err := unix.Preadv2(int(f.fd), [][]byte{b[n:]}, offset+int64(n), unix.RWF_NOWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil || m <= 0 {
			break
		}
		n += m
	}
	return n
}

func (d folder) room() (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// lock takes the lock of a file, or says that another holds it.
func lock(f *os.File) (ok bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

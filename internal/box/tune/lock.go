package tune

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// errBusy says that another one is at work.
var errBusy = errors.New("another straum tune is at work; try again when it is done")

// lock keeps two of us apart, by a lock on the directory of the record, which is made when it is not there. release removes the directory when
// it is empty. The kernel gives the lock back when we end, however we end.
func (t *Tuner) lock() (release func(), err error) {
	name := t.at(stateDir)
	for range 10 {
		err := t.disk().Mkdir(name, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		info, err := t.disk().Lstat(name)
		if err != nil {
			return nil, err
		}
		if uid, _ := owner(info); !info.IsDir() || uid != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			return nil, fmt.Errorf("%s is %s and belongs to user %d; it has to be a directory of user %d that nobody else may write to", name, info.Mode(), uid, os.Geteuid())
		}
		d, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			d.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errBusy
			}
			return nil, os.NewSyscallError("flock", err)
		}
		// One that ended meanwhile may have removed the directory that we hold: then it keeps nobody out.
		held, err1 := d.Stat()
		now, err2 := os.Lstat(name)
		if err1 == nil && err2 == nil && os.SameFile(held, now) {
			return func() {
				_ = t.disk().Remove(name) // fails while there is a record
				d.Close()
			}, nil
		}
		d.Close()
	}
	return nil, errBusy
}

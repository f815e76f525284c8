package sandbox

import (
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	override   set = 1 << unix.CAP_DAC_OVERRIDE
	readSearch set = 1 << unix.CAP_DAC_READ_SEARCH
)

// needed are the capabilities without which files would be out of reach that are wanted: root without them is a user like any other,
// who may not open the files of others. effective is what the process has.
func (f *InForce) needed(effective set) (keep set) {
	if effective&(override|readSearch) == 0 {
		return 0
	}
	var unread, unwritten []string
	if err := without(override|readSearch, func() { unread, unwritten = f.beyond() }); err != nil {
		return 0 // a process that may not give up capabilities keeps them all
	}
	if len(unwritten) > 0 && effective&override != 0 {
		f.lack("CAP_DAC_OVERRIDE is kept, for another user owns %s", unwritten[0])
		return override
	}
	if len(unread) > 0 {
		f.lack("CAP_DAC_READ_SEARCH is kept, for another user owns %s", unread[0])
		keep = readSearch
		if effective&readSearch == 0 {
			keep = override
		}
	}
	return keep
}

// without does something on a thread that lacks capabilities meanwhile.
func without(less set, do func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	have, err := capabilities()
	if err != nil {
		return err
	}
	lower := have
	lower.effective &^= less
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, lower.data()
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	do()
	data = have.data()
	return unix.Capset(&header, &data[0]) // cannot fail: the permitted set was left alone
}

// beyond are the wanted places that this thread cannot use.
func (f *InForce) beyond() (unread, unwritten []string) {
	for _, path := range slices.Concat(f.wants.Read, f.wants.Execute) {
		if denied(path, unix.R_OK) {
			unread = append(unread, path)
		}
	}
	for _, path := range f.wants.Write {
		if denied(path, unix.W_OK) {
			unwritten = append(unwritten, path)
		}
	}
	return unread, unwritten
}

// denied says whether the owner and the mode of a file, or of a directory on the way to it, forbid this thread to use it.
func denied(path string, mode uint32) bool {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		mode |= unix.X_OK
	}
	return access(path, mode) == unix.EACCES
}

// access asks as whom the thread is (faccessat2, Linux 5.8). For older kernels x/sys works it out from owner and mode.
func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}

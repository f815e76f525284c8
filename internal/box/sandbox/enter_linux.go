package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Enter gives up everything else, for all threads of the process, those to come included. It is called once, when all that needs more is
// done. Every thread is stopped for some microseconds a step, some tens of steps when the process runs as root.
//
// What the kernel cannot do is in Lacking. An error is a mistake in w, before anything was given up, or says that a thread was found
// that is not in the sandbox, in spite of all: then nothing may be relied on.
func Enter(w Wants) (*InForce, error) {
	keep, err := w.check()
	if err != nil {
		return nil, err
	}
	f := &InForce{wants: w}
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno == 0 {
		f.NoNewPrivileges = true
	} else {
		f.lack("programs that this one runs may gain privileges: %s", why(errno))
	}
	have, err := capabilities()
	if err != nil {
		f.lack("the capabilities of the process are not known, and stay: %s", why(err))
	} else {
		keep |= f.needed(have.effective)
	}
	f.restrictFiles(w) // needs what is given up next, to see the places
	if err == nil {
		f.reduce(have, keep)
	}
	return f, f.verify()
}

// check refuses what cannot be meant, and returns the capabilities to keep.
func (w *Wants) check() (keep set, err error) {
	for _, paths := range [][]string{w.Read, w.Write, w.Execute} {
		for _, path := range paths {
			if !filepath.IsAbs(path) {
				return 0, fmt.Errorf("found the path %q; allowed are absolute ones", path)
			}
		}
	}
	for _, name := range w.Capabilities {
		n := slices.Index(names[:], name)
		if n < 0 {
			return 0, fmt.Errorf("found the capability %q; allowed are those of capabilities(7), such as CAP_NET_BIND_SERVICE", name)
		}
		keep |= 1 << n
	}
	return keep, nil
}

func (f *InForce) lack(format string, args ...any) {
	f.Lacking = append(f.Lacking, fmt.Sprintf(format, args...))
}

// why words an error of a system call by what most likely is behind it.
func why(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // and not what a library makes of it
	}
	switch {
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL):
		return "this kernel cannot"
	case errors.Is(err, syscall.EOPNOTSUPP):
		return "this kernel was started without it (lsm= on its command line)"
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return "the container or the service manager does not let it be asked for (" + err.Error() + ")"
	}
	return err.Error()
}

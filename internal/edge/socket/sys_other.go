//go:build !linux

// The twins of sys_linux.go for development on other systems. They are correct and not tuned: two writes instead of one, and a
// peer's close is seen only when nothing is left to read before it.

package socket

import "syscall"

func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), errno(err)
		}
	}
}

func sysQuiet(fd uintptr) bool { return sysState(fd) == PeerSilent }

func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), errno(err)
		}
	}
}

func sysWritev(fd uintptr, first, second []byte) (int, syscall.Errno) {
	n, failed := sysWrite(fd, first)
	if failed != 0 || n < len(first) {
		return n, failed
	}
	m, failed := sysWrite(fd, second)
	if failed == syscall.EAGAIN {
		failed = 0
	}
	return n + m, failed
}

func sysState(fd uintptr) PeerState {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
	for err == syscall.EINTR {
		n, _, err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
	}
	switch {
	case err == syscall.EAGAIN:
		return PeerSilent
	case err != nil:
		return PeerGone
	case n == 0:
		return PeerClosed
	}
	return PeerTalks
}

func sysShutdown(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

// sysUnacknowledged cannot be told here, so that only idempotent requests are tried again.
func sysUnacknowledged(uintptr) int64 { return -1 }

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

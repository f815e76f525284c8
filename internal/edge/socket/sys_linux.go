package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysRead receives. It is recvfrom and not read, which would take the long way through the file layer.
func sysRead(fd uintptr, p []byte) (int, syscall.Errno) { return receive(fd, p, 0) }

// sysQuiet says whether there is nothing to read, not even the end.
func sysQuiet(fd uintptr) bool {
	var one [1]byte
	_, errno := receive(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errno == syscall.EAGAIN
}

func receive(fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// sysWrite sends without the signal that a closed peer would raise.
func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			syscall.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

func sysWritev(fd uintptr, first, second []byte) (int, syscall.Errno) {
	runs := [2]syscall.Iovec{
		{Base: unsafe.SliceData(first), Len: uint64(len(first))},
		{Base: unsafe.SliceData(second), Len: uint64(len(second))},
	}
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&runs)), uintptr(len(runs)))
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// sysState uses poll and not a peek, because a peer's close is to be seen behind bytes that are still unread.
func sysState(fd uintptr) PeerState {
	set := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	var errno syscall.Errno
	for {
		_, _, errno = syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&set)), 1, uintptr(unsafe.Pointer(&unix.Timespec{})), 0, 0, 0)
		if errno != syscall.EINTR { // the runtime's preemption signals interrupt even a poll that does not wait
			break
		}
	}
	events := set[0].Revents
	switch {
	case errno != 0 || events&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
		return PeerGone
	case events&unix.POLLRDHUP != 0:
		return PeerClosed
	case events&unix.POLLIN != 0:
		return PeerTalks
	}
	return PeerSilent
}

func sysShutdown(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

func sysUnacknowledged(fd uintptr) int64 {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return -1
	}
	return int64(n)
}

package edge_test

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets two sockets listen on one port.
func reusePort(_, _ string, rc syscall.RawConn) (err error) {
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return err
}

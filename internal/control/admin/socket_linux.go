package admin

import (
	"context"
	"net"
	"syscall"
)

// listenPrivate sets the permissions on the socket before it gets its name: the kernel makes the file with those of the socket,
// less the umask. Nothing of the process is changed for it.
func listenPrivate(path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if refused := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(socketMode)) }); refused != nil {
			return refused
		}
		return err
	}}
	return config.Listen(context.Background(), "unix", path)
}

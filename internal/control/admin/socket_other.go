//go:build !linux

package admin

import (
	"net"
	"syscall"
)

// listenPrivate narrows the umask while the socket is made. Other systems than Linux have no way that touches the socket alone;
// a file that another goroutine makes at that moment gets the narrow permissions too.
func listenPrivate(path string) (net.Listener, error) {
	before := syscall.Umask(0o177)
	defer syscall.Umask(before)
	return net.Listen("unix", path)
}

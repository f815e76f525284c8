package socket

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// hold keeps what is written back until the stream ends, or lets it go.
func hold(t *testing.T, raw *net.TCPConn, on bool) {
	rc, err := raw.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	value := 0
	if on {
		value = 1
	}
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, value) })
	if err != nil {
		t.Error(err)
	}
}

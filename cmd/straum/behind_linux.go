package main

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// behind is the process that listens at a socket, as numbered where we are; 0 when it cannot be seen from here. What the process says its number
// is counts in its own container, where it is often 1: here that is somebody else.
func behind(ctx context.Context, socket string) int {
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

package listen

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/clock"
)

const (
	// maxSwept bounds the work between two looks at what else the acceptor is told.
	maxSwept = 256
	// gather is how long connections are left to gather in the queue while many of the banned come: waking up for each costs more than
	// dropping it (12 µs of processor time for each, and 7 with this). It is what others may have to wait then.
	gather = 4 * time.Millisecond
)

// clear drops what waits in the queue behind a connection that was dropped, and goes on as long as more of them come than one in a
// moment. It ends with the first connection that is let in, which is held for next.
func (a *acceptor) clear() {
	rush := clock.Now()-a.dropped < int64(gather)
	_, empty := a.sweep()
	for empty && rush && a.until.Load() == 0 {
		time.Sleep(gather)
		var n int
		n, empty = a.sweep()
		rush = n > 0
	}
	a.dropped = clock.Now()
}

// sweep drops what is in the queue without package net, which makes a connection ready for use for as much again as the rest costs. It
// says how many those were, and whether it ended because there are no more.
func (a *acceptor) sweep() (n int, empty bool) {
	control(a.ln, func(ln int) {
		for n < maxSwept {
			fd, from, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				empty = err == unix.EAGAIN
				return // anything else Accept will find, too, and deal with it
			}
			if peer, ok := address(from); !ok || !a.l.set.guard.Drops(peer) {
				a.held = os.NewFile(uintptr(fd), "connection")
				return
			}
			n++
			a.l.dropped.Add(1)
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(fd)
		}
	})
	return n, empty
}

func address(a unix.Sockaddr) (netip.Addr, bool) {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr), true
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap(), true
	}
	return netip.Addr{}, false
}

// probes are the keep-alive probes of a connection that did not come from Accept: package net sets its own on it.
var probes = net.KeepAliveConfig{Enable: true, Idle: probeAfter * time.Second, Interval: probeInterval * time.Second, Count: probeCount}

// adopt makes a connection of the one that is held. It needs another descriptor for a moment; without one it stays held.
func (a *acceptor) adopt() (net.Conn, error) {
	nc, err := net.FileConn(a.held)
	if err != nil {
		return nil, err
	}
	a.held.Close()
	a.held = nil
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(probes)
	}
	return nc, nil
}

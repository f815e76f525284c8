package listen

import (
	"net"
	"net/netip"

	"straum.dev/straum/internal/edge/socket"
)

// Guard watches the doors: it says who is not let in at all, and is told who came only to disturb. Its methods are called for each
// connection by the goroutines that serve them and must not wait. IPv4 addresses are never in their IPv6 form. Nobody is asked or told about
// connections without an address, as those on a unix socket are.
type Guard interface {
	// Drops says whether connections from an address are dropped. It is asked for the peer as the connection is accepted, and once more
	// for the client that a trusted proxy names in a PROXY header.
	Drops(netip.Addr) bool
	// Abandoned is told of a handshake that failed by what the client did or left undone: one of Late, Gone and NoTLS. Gone is told of
	// clients alone that have left with our half of the handshake, which costs us a signature; who connects and leaves looks whether
	// somebody listens, as monitors do. Late is not told of clients whose words lie unread, because this box is too busy. The other
	// outcomes may be our doing as well: a certificate that clients refuse, or that is missing.
	Abandoned(client netip.Addr, how Outcome)
}

// drops drops a connection that was just accepted if it is one to be dropped, with a reset: it keeps no state in the kernel, where a
// connection that is closed in order stays for a minute, and tells the peer nothing.
func (l *listener) drops(nc net.Conn) bool {
	guard := l.set.guard
	if guard == nil {
		return false
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	peer, ok := tcp.RemoteAddr().(*net.TCPAddr)
	if !ok || !guard.Drops(peer.AddrPort().Addr().Unmap()) {
		return false
	}
	l.dropped.Add(1)
	tcp.SetLinger(0) // fails only when the peer was faster
	tcp.Close()
	return true
}

// drops is the same for a connection whose client a PROXY header has named. Its owner closes it.
func (c *conn) drops() bool {
	guard, client := c.l.set.guard, c.info.Peer.Addr()
	if guard == nil || !client.IsValid() || !guard.Drops(client) {
		return false
	}
	c.l.dropped.Add(1)
	if tcp, ok := c.sock.Net().(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	return true
}

// report tells of a handshake that failed, if the client is to blame.
func (c *conn) report(how Outcome) {
	guard, client := c.l.set.guard, c.info.Peer.Addr()
	if guard == nil || !client.IsValid() {
		return
	}
	switch how {
	case NoTLS:
	case Late:
		if c.sock.State() != socket.PeerSilent {
			return
		}
	case Gone:
		if c.sock.Sent() == 0 {
			return
		}
	default:
		return
	}
	guard.Abandoned(client, how)
}

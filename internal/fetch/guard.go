package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// errGuard is an address that the guard refused.
var errGuard = errors.New("the address is refused")

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisNet   = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122 §3.2.1.3: Linux takes it for this box

	// metadata are the addresses outside the link-local networks where clouds tell a machine its secrets.
	metadata = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
		netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
		netip.MustParseAddr("168.63.129.16"),   // Azure
	}
)

// forbidden says why an address is never connected to, whoever named it; empty when it may be.
func forbidden(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a.IsMulticast() || a == broadcast:
		return "an address of many"
	case a.IsUnspecified() || thisNet.Contains(a):
		return "no address"
	}
	for _, m := range metadata {
		if a == m {
			return "the metadata service of a cloud"
		}
	}
	return ""
}

// dialTimeout bounds making a connection; a request's own time may end it sooner.
const dialTimeout = 5 * time.Second

// dial connects. The guard looks at each address that a name turned out to have, just before it is connected to, so that no name can
// change its mind in between.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	local := isLocalhost(host)
	d := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: it cannot be read", errGuard)
		}
		if why := forbidden(at.Addr()); why != "" {
			return fmt.Errorf("%w: it is %s", errGuard, why)
		}
		if local && !at.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%w: localhost is not this box", errGuard)
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

package resolve

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
)

// LookupFunc looks up the addresses of one family, network being "ip4" or "ip6". server is Settings.Server. It returns when ctx
// ends, and is called from several goroutines.
type LookupFunc func(ctx context.Context, server, network, name string) ([]netip.Addr, error)

// Lookup is the LookupFunc of net.Resolver: first the hosts file, then DNS with the search list, tries and timeouts of the
// system (resolv.conf; a name that ends in a dot is taken as it is). A server replaces only whom it asks.
func Lookup(ctx context.Context, server, network, name string) ([]netip.Addr, error) {
	r := net.Resolver{
		PreferGo: server != "", // the only one that dials as it is told
		Dial: func(inner context.Context, network, system string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(inner, network, cmp.Or(server, system))
			if err == nil {
				// net.Resolver returns when ctx ends, but goes on reading for seconds, beyond any bound of ours.
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	}
	addresses, err := r.LookupNetIP(ctx, network, name)
	if err == nil {
		return addresses, nil
	}
	if ctx.Err() != nil { // not what came of closing the socket
		return nil, &net.DNSError{Err: "no answer within the timeout", Name: name, Server: server, IsTimeout: true}
	}
	if e := (*net.DNSError)(nil); server != "" && errors.As(err, &e) {
		named := *e
		named.Server = server // it names the one of resolv.conf, which was not asked
		return nil, &named
	}
	return nil, err
}

package upstream

import (
	"crypto/tls"
	"runtime"
	"sync/atomic"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/roundtrip"
)

// line is the connections to one endpoint that were made under the same terms. When those change, the endpoint gets a new line, and the
// old one ends together with the exchanges that still use it: no connection made under old terms is used under new ones.
type line struct {
	terms
	endpoint *endpoint
	agreed   *tls.Config // offers what the protocol says; nil in the clear
	http1    *tls.Config // offers HTTP/1.1 alone
	http2    *tls.Config // offers HTTP/2 alone
	pool     *pool       // of connections that speak HTTP/1.1
	shared   *shared     // of those that speak HTTP/2
	// plain says that the endpoint chose HTTP/1.1 when it had the choice.
	plain atomic.Bool
}

func newLine(e *endpoint, t terms, s *TLS) *line {
	l := &line{terms: t, endpoint: e, pool: newPool(runtime.GOMAXPROCS(0), &e.audit)}
	l.shared = newShared(l.pool)
	if s != nil {
		l.http1 = t.config(s.Config, e.address, alpnHTTP1)
		l.http2 = t.config(s.Config, e.address, alpnHTTP2)
		switch t.protocol {
		case HTTP1:
			l.agreed = l.http1
		case HTTP2:
			l.agreed = l.http2
		case Auto:
			l.agreed = t.config(s.Config, e.address, alpnHTTP2, alpnHTTP1)
		}
	}
	return l
}

// set puts the limits in force.
func (l *line) set(s Pool) {
	l.pool.set(s)
	l.shared.keep.Store(int64(s.Idle))
}

// sharing says whether a request is to go over HTTP/2, as far as is known. One that asks to switch to another protocol cannot.
func (l *line) sharing(upgrade bool) bool {
	return l.protocol == HTTP2 && !upgrade || l.protocol == Auto && !upgrade && !l.plain.Load()
}

// connection is what a try goes over: one of HTTP/1.1 that it has for itself, or a place on one of HTTP/2.
type connection struct {
	own    *socket.Conn
	shared *roundtrip.Conn
}

func (c connection) none() bool { return c.own == nil && c.shared == nil }

// open opens a connection until the time by. The caller has admitted it to the pool. What speaks HTTP/2 has a place reserved for the
// caller, and is shared with others from then on.
func (l *line) open(by int64, upgrade bool) (connection, *fault.Fault) {
	conn, f := l.endpoint.dial(by)
	if f != nil {
		return connection{}, f
	}
	config := l.agreed
	if upgrade {
		config = l.http1
	}
	speaks := l.protocol == HTTP2 && !upgrade
	if config != nil {
		if err := conn.DialTLS(config, by); err != nil {
			conn.Close()
			return connection{}, tlsFault(err, l.name)
		}
		agreed := conn.TLS().NegotiatedProtocol == alpnHTTP2
		if speaks && !agreed {
			conn.Close()
			return connection{}, fault.At(fault.UpstreamTLS, fault.NotConnected, errNoHTTP2)
		}
		speaks = agreed
		if l.protocol == Auto && !upgrade {
			l.plain.Store(!agreed)
		}
	}
	if !speaks {
		return connection{own: conn}, nil
	}
	stream, err := roundtrip.Open(conn, by, l.shared.wake)
	switch {
	case err == nil:
	case socket.Alert(err): // in TLS 1.3 the endpoint's last word comes when our handshake is over
		return connection{}, tlsFault(err, l.name)
	case clock.Now() >= by:
		return connection{}, fault.At(fault.ConnectTimeout, fault.NotConnected, err)
	default:
		return connection{}, fault.At(fault.UpstreamInvalid, fault.NotConnected, err)
	}
	if !stream.Reserve() {
		stream.Close()
		return connection{}, fault.At(fault.UpstreamRefused, fault.NotConnected, errNoStreams)
	}
	l.shared.add(stream)
	return connection{shared: stream}, nil
}

// end lets no connection be kept any more.
func (l *line) end(why Reason) {
	l.pool.close(why)
	l.shared.close(why)
}

// probing is the TLS configuration for health checks, nil in the clear.
func (l *line) probing(c *health.Check) *tls.Config {
	if c != nil && (c.GRPC || l.protocol == HTTP2) && l.http2 != nil {
		return l.http2
	}
	return l.http1
}

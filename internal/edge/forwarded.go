package edge

import (
	"net/netip"
	"strconv"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// maxHops bounds how many addresses of X-Forwarded-For are looked at.
const maxHops = 32

// trusts says whether the word of an address about where a request came from is taken.
func (l *Listener) trusts(a netip.Addr) bool {
	return l.trusted != nil && a.IsValid() && l.trusted.Contains(a)
}

// client finds who asks: the peer, or if the peer is trusted the nearest address in X-Forwarded-For that is not, walking from the
// right. What is not an address ends the walk, since everything left of it may be made up.
func (t *trip) client() netip.Addr {
	peer := t.x.Conn.Peer.Addr()
	if !t.believed() {
		return peer
	}
	client, hops := peer, 0
	fields := t.x.Request.Header.All()
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].Known != exchange.XForwardedFor {
			continue
		}
		for list := fields[i].Value; list != ""; {
			last := list
			if comma := strings.LastIndexByte(list, ','); comma >= 0 {
				list, last = list[:comma], list[comma+1:]
			} else {
				list = ""
			}
			a, ok := parseHop(strings.TrimSpace(last))
			if hops++; !ok || hops > maxHops {
				return client
			}
			client = a
			if !t.listener.trusts(a) {
				return client
			}
		}
	}
	return client
}

// parseHop reads one element of X-Forwarded-For: an address, or an address with a port.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// believed says whether the peer's forwarding fields count. A peer on a unix socket is a program of this box that was given the
// right to connect; it counts only when any peer does.
func (t *trip) believed() bool { return t.listener.trusts(t.x.Conn.Peer.Addr()) }

// appendForwarded writes the fields that tell an endpoint who asked and how. What a client sent under these names is dropped, unless
// it came from a trusted peer, whose list is continued.
func (t *trip) appendForwarded(b []byte) []byte {
	x := t.x
	h := &x.Request.Header
	peer := x.Conn.Peer.Addr()
	believed := t.believed()

	b = append(b, "X-Forwarded-For: "...)
	if believed {
		for _, f := range h.All() {
			if f.Known == exchange.XForwardedFor {
				b = append(append(b, f.Value...), ", "...)
			}
		}
	}
	b = appendAddr(b, peer)
	b = t.appendOr(b, "\r\nX-Forwarded-Proto: ", believed, exchange.XForwardedProto, x.Request.Scheme)
	host, _ := h.Get(exchange.Host)
	b = t.appendOr(b, "\r\nX-Forwarded-Host: ", believed, exchange.XForwardedHost, host)
	b = append(b, "\r\nX-Forwarded-Port: "...)
	if port, ok := h.Get(exchange.XForwardedPort); ok && believed {
		b = append(b, port...)
	} else {
		b = strconv.AppendUint(b, uint64(x.Conn.Local.Port()), 10)
	}
	b = append(b, "\r\nX-Real-IP: "...)
	b = appendAddr(b, x.Client)

	b = append(b, "\r\nForwarded: "...)
	if believed {
		for _, f := range h.All() {
			if f.Known == exchange.Forwarded {
				b = append(append(b, f.Value...), ", "...)
			}
		}
	}
	b = append(b, "for="...)
	switch {
	case !peer.IsValid():
		b = append(b, "unknown"...)
	case peer.Is6():
		b = append(append(peer.AppendTo(append(b, `"[`...)), ']'), '"')
	default:
		b = peer.AppendTo(b)
	}
	b = append(b, ";proto="...)
	b = append(b, x.Request.Scheme...)
	return append(b, "\r\n"...)
}

func (t *trip) appendOr(b []byte, name string, believed bool, known exchange.Known, own string) []byte {
	b = append(b, name...)
	if value, ok := t.x.Request.Header.Get(known); ok && believed {
		own = value
	}
	return append(b, own...)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "unknown"...)
	}
	return a.AppendTo(b)
}

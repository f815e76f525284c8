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
func (s *ListenerSettings) trusts(a netip.Addr) bool {
	return s.Trusted != nil && a.IsValid() && s.Trusted.Contains(a)
}

// believes says whether the forwarding fields of a peer count. A peer on a unix socket has no address; it is a program of this box
// that was given the right to connect, so on a listener that trusts anyone it is trusted.
func (s *ListenerSettings) believes(peer netip.Addr) bool {
	if !peer.IsValid() {
		return s.Trusted != nil
	}
	return s.trusts(peer)
}

// client finds who asks: the peer, or if the peer is trusted the nearest address in X-Forwarded-For that is not, walking from the
// right. What is not an address ends the walk, since everything left of it may be made up.
func (t *trip) client() netip.Addr {
	peer := t.x.Conn.Peer.Addr()
	if !t.believed {
		return peer
	}
	client, hops := peer, 0
	fields := t.x.Request.Header.All()
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].Known != exchange.XForwardedFor {
			continue
		}
		for list, more := fields[i].Value, true; more; {
			last := list
			comma := strings.LastIndexByte(list, ',')
			if more = comma >= 0; more {
				list, last = list[:comma], list[comma+1:]
			}
			a, ok := parseHop(strings.Trim(last, " \t"))
			if hops++; !ok || hops > maxHops {
				return client
			}
			client = a
			if !t.set.trusts(a) {
				return client
			}
		}
	}
	return client
}

// parseHop reads one element of X-Forwarded-For: an address, or an address with a port, an IPv6 one then in brackets. A zone is
// dropped, since it means something to another box only.
func parseHop(s string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		end := strings.IndexByte(inner, ']')
		if end < 0 || inner[end+1:] != "" && !isPort(inner[end+1:]) || strings.IndexByte(inner[:end], ':') < 0 {
			return netip.Addr{}, false
		}
		s = inner[:end]
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 && strings.IndexByte(s[colon+1:], ':') < 0 {
		if !isPort(s[colon:]) {
			return netip.Addr{}, false
		}
		s = s[:colon] // one colon: IPv4 and a port
	}
	if percent := strings.IndexByte(s, '%'); percent >= 0 {
		if strings.IndexByte(s[:percent], ':') < 0 {
			return netip.Addr{}, false // only IPv6 has zones
		}
		s = s[:percent]
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

// isPort says whether s is a colon and a port.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	_, err := strconv.ParseUint(s[1:], 10, 16)
	return err == nil
}

// appendForwarded writes the fields that tell an endpoint who asked and how. What a client sent under these names is dropped, unless
// it came from a trusted peer, whose list is continued.
func (t *trip) appendForwarded(b []byte) []byte {
	x := t.x
	h := &x.Request.Header
	peer := x.Conn.Peer.Addr()
	believed := t.believed

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
	if x.Client.IsValid() {
		b = append(b, "\r\nX-Real-IP: "...)
		b = x.Client.AppendTo(b)
	}

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

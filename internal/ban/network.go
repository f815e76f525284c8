package ban

import (
	"encoding/binary"
	"net/netip"
)

// What an address is scored as. In IPv6 a /64 is what one customer has at least, and whoever has it has all its addresses.
const (
	bits4 = 32
	bits6 = 64
)

// Network is what an address is scored and banned as: itself, or in IPv6 its /64; ok is false for no address. An IPv4 address that is
// written as an IPv6 one is itself, and a zone is dropped.
func Network(a netip.Addr) (n netip.Prefix, ok bool) {
	a = a.Unmap()
	switch {
	case a.Is4():
		return netip.PrefixFrom(a, bits4), true
	case a.Is6():
		return netip.PrefixFrom(a.WithZone(""), bits6).Masked(), true
	}
	return netip.Prefix{}, false
}

// key is a network that is scored: the upper half of an IPv6 address, or an IPv4 address in the lower half, mapped as in RFC 4291 §2.5.5.2,
// so that it is never 0.
type key struct{ high, low uint64 }

const mapped = 0xffff << 32

func keyOf(a netip.Addr) (key, bool) {
	if !a.IsValid() {
		return key{}, false
	}
	b := a.As16() // of an IPv4 address the mapped one
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if high == 0 && low>>32 == mapped>>32 {
		return key{0, low}, true
	}
	return key{high, 0}, true
}

func (k key) network() netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.high)
	binary.BigEndian.PutUint64(b[8:], k.low)
	if k.low != 0 {
		return netip.PrefixFrom(netip.AddrFrom16(b).Unmap(), bits4)
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), bits6)
}

// wide stands for the network of so many bits that holds a key's; it is the key of no address.
func (k key) wide(bits int) key {
	mark := uint64(bits) << 56
	if k.low != 0 {
		return key{0, k.low>>(bits4-bits)<<(bits4-bits) | mark}
	}
	return key{k.high >> (64 - bits) << (64 - bits), mark}
}

// wider is the network of so many bits that holds another.
func wider(n netip.Prefix, bits int) netip.Prefix { return netip.PrefixFrom(n.Addr(), bits).Masked() }

// canonical is a network as it is kept; ok is false for none. An IPv4 network that is written as an IPv6 one is itself.
func canonical(n netip.Prefix) (netip.Prefix, bool) {
	if !n.IsValid() {
		return n, false
	}
	if a := n.Addr(); a.Is4In6() {
		if n.Bits() < 96 {
			return n, false // it holds all of IPv4, and more
		}
		n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
	}
	return netip.PrefixFrom(n.Addr().WithZone(""), n.Bits()).Masked(), true
}

// name is a network as the log names it, empty for not at all.
func (a Addresses) name(n netip.Prefix) string {
	switch a {
	case Full:
	case Masked:
		most := 48
		if n.Addr().Is4() {
			most = 24
		}
		n = wider(n, min(n.Bits(), most))
	default:
		return ""
	}
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

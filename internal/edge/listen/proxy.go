package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
)

// maxProxyHeader bounds a PROXY header, its TLVs included. It is the size of the buffer the header is read into.
const maxProxyHeader = 4 << 10

// proxyHeader is what a PROXY header told.
type proxyHeader struct {
	// Source and Destination are the client's connection as the proxy saw it. Both are invalid when the header names none (LOCAL,
	// UNKNOWN, unix sockets, datagrams): then the connection's own addresses count.
	Source, Destination netip.AddrPort
}

var (
	signatureV1 = []byte("PROXY ")
	signatureV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

	errProxyMissing = errors.New("no PROXY header at the beginning of the connection; the peer is in proxy_protocol's trusted " +
		"prefixes, so one is required: make the peer send it, or take the peer out of the list")
)

// parseProxy reads a PROXY protocol header, version 1 or 2, from the beginning of b (haproxy.org, proxy-protocol.txt, sections
// 2.1 and 2.2). n is the length of the header. more says that b is a proper beginning of one and the rest is still to come; it is
// never set for maxProxyHeader bytes or more.
func parseProxy(b []byte) (h proxyHeader, n int, more bool, err error) {
	switch {
	case startsLike(b, signatureV2):
		return parseProxyV2(b)
	case startsLike(b, signatureV1):
		return parseProxyV1(b)
	}
	return h, 0, false, errProxyMissing
}

// startsLike says whether b begins with sign, as far as there is b.
func startsLike(b, sign []byte) bool {
	if len(b) < len(sign) {
		return bytes.HasPrefix(sign, b)
	}
	return bytes.HasPrefix(b, sign)
}

// maxProxyV1 is the longest line of version 1 with its CRLF.
const maxProxyV1 = 107

func parseProxyV1(b []byte) (h proxyHeader, n int, more bool, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxProxyV1)], '\n')
	if end < 0 {
		if len(b) >= maxProxyV1 {
			return h, 0, false, fmt.Errorf("PROXY v1: no line end within %d bytes", maxProxyV1)
		}
		if cr := bytes.IndexByte(b, '\r'); cr >= 0 && cr != len(b)-1 {
			return h, 0, false, errors.New("PROXY v1: a carriage return without a line feed")
		}
		return h, 0, true, nil
	}
	n = end + 1
	if bytes.IndexByte(b[:end], '\r') != end-1 {
		return h, 0, false, errors.New("PROXY v1: the line must end with one CRLF")
	}
	rest := b[len(signatureV1) : end-1]
	family, rest, spaced := bytes.Cut(rest, []byte(" "))
	switch string(family) {
	case "UNKNOWN":
		return h, n, false, nil // whatever follows is to be ignored
	case "TCP4", "TCP6":
	default:
		return h, 0, false, fmt.Errorf("PROXY v1: protocol %q; TCP4, TCP6 and UNKNOWN exist", family)
	}
	words := bytes.Split(rest, []byte(" "))
	if !spaced || len(words) != 4 {
		return h, 0, false, errors.New("PROXY v1: want source, destination and their two ports, parted by single spaces")
	}
	four := string(family) == "TCP4"
	if h.Source, err = textAddress(words[0], words[2], four); err != nil {
		return proxyHeader{}, 0, false, err
	}
	if h.Destination, err = textAddress(words[1], words[3], four); err != nil {
		return proxyHeader{}, 0, false, err
	}
	return h, n, false, nil
}

func textAddress(address, port []byte, four bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(string(address))
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("PROXY v1: %q is not an address of the protocol announced", address)
	}
	number := 0
	for _, digit := range port {
		if digit < '0' || digit > '9' {
			number = 1 << 16
			break
		}
		number = number*10 + int(digit-'0')
		if number > 0xffff {
			break
		}
	}
	if len(port) == 0 || number > 0xffff || port[0] == '0' && len(port) > 1 {
		return netip.AddrPort{}, fmt.Errorf("PROXY v1: %q is not a port", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), nil
}

const (
	headV2   = 16 // signature, version and command, family, length
	commands = 0x0f

	tlvCRC32C = 0x03
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func parseProxyV2(b []byte) (h proxyHeader, n int, more bool, err error) {
	if len(b) < headV2 {
		return h, 0, true, nil
	}
	if b[12]>>4 != 2 {
		return h, 0, false, fmt.Errorf("PROXY v2: version %d after the signature of version 2", b[12]>>4)
	}
	command := b[12] & commands
	if command > 1 {
		return h, 0, false, fmt.Errorf("PROXY v2: command %d; 0 (LOCAL) and 1 (PROXY) exist", command)
	}
	family, transport := b[13]>>4, b[13]&0x0f
	if family > 3 || transport > 2 {
		return h, 0, false, fmt.Errorf("PROXY v2: address family and transport 0x%02x do not exist", b[13])
	}
	n = headV2 + int(binary.BigEndian.Uint16(b[14:]))
	if n > maxProxyHeader {
		return h, 0, false, fmt.Errorf("PROXY v2: a header of %d bytes; %d are accepted", n, maxProxyHeader)
	}
	if len(b) < n {
		return h, 0, true, nil
	}
	if command == 0 || family == 0 {
		return h, n, false, nil // LOCAL, the proxy's own connection, or unspecified: the rest is to be skipped unread
	}
	payload := b[headV2:n]
	size := [...]int{0, 4 + 4 + 2 + 2, 16 + 16 + 2 + 2, 108 + 108}[family]
	if len(payload) < size {
		return h, 0, false, fmt.Errorf("PROXY v2: %d bytes of addresses; the family has %d", len(payload), size)
	}
	if err = checkTLVs(b[:n], headV2+size); err != nil {
		return h, 0, false, err
	}
	if transport != 1 {
		return h, n, false, nil // not a stream, so not what is connected here
	}
	switch family {
	case 1:
		h.Source = rawAddress(payload[0:4], payload[8:10])
		h.Destination = rawAddress(payload[4:8], payload[10:12])
	case 2:
		h.Source = rawAddress(payload[0:16], payload[32:34])
		h.Destination = rawAddress(payload[16:32], payload[34:36])
	}
	return h, n, false, nil
}

func rawAddress(address, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(address) // 4 or 16 bytes always make one
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// checkTLVs walks the type-length-value fields that begin at from. They must fill the header exactly, and a CRC32C among them
// must be right; the others are of no use here.
func checkTLVs(header []byte, from int) error {
	for at := from; at < len(header); {
		if len(header)-at < 3 {
			return errors.New("PROXY v2: a TLV is cut short")
		}
		value := at + 3
		next := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if next > len(header) {
			return errors.New("PROXY v2: a TLV is longer than the header")
		}
		if header[at] == tlvCRC32C {
			if next-value != 4 {
				return fmt.Errorf("PROXY v2: a CRC32C of %d bytes; it has 4", next-value)
			}
			sum := crc32.Update(0, castagnoli, header[:value])
			sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0}) // the field itself counts as zeros
			sum = crc32.Update(sum, castagnoli, header[next:])
			if sum != binary.BigEndian.Uint32(header[value:next]) {
				return errors.New("PROXY v2: the CRC32C is wrong; the header was damaged on the way")
			}
		}
		at = next
	}
	return nil
}

package http2

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
)

// The grammar of names, values, hosts and lengths is that of wire/http1, so that one request means the same whichever way it comes.
// Only names differ: here they must be in lower case.

const (
	nameByte = 1 << iota // may stand in a field name: a token byte that is not upper case
	tokenByte
	hostByte // may stand in a host: reg-name without percent-encoding
	hexDigit
)

var class = func() (t [256]uint8) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = nameByte | tokenByte | hostByte | hexDigit
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = nameByte | tokenByte | hostByte
		t[c-0x20] = tokenByte | hostByte
	}
	for c := byte('a'); c <= 'f'; c++ {
		t[c] |= hexDigit
		t[c-0x20] |= hexDigit
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= nameByte | tokenByte
	}
	for _, c := range []byte("-._~") {
		t[c] |= hostByte
	}
	return t
}()

// all says whether s is not empty and holds only bytes of the class.
func all(s string, of uint8) bool {
	for i := range len(s) {
		if class[s[i]]&of == 0 {
			return false
		}
	}
	return len(s) > 0
}

// cleanValue says whether s is a field value as RFC 9113 §8.2.1 and RFC 9110 §5.5 allow it: no control characters but HTAB, no white
// space at either end.
func cleanValue(s string) bool {
	if s == "" {
		return true
	}
	if first, last := s[0], s[len(s)-1]; first == ' ' || first == '\t' || last == ' ' || last == '\t' {
		return false
	}
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for len(b) >= 8 {
		word := binary.LittleEndian.Uint64(b)
		below := (word - ones*0x20) & ^word & highs // a byte below 0x20
		gone := word ^ ones*0x7f                    // a zero byte where 0x7f stood
		if below|(gone-ones)&^gone&highs != 0 && !cleanBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanBytes(b)
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// visible says whether s holds only visible ASCII: what :path may hold as a whole.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// foldIs says whether s is lower, which is in lower case, without regard to the case of ASCII letters.
func foldIs(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads a length: digits only, at most 18 of them, which is beyond any content and below overflow.
func decimal(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// splitHost checks an authority and takes it apart: a name or IPv4 address, or an IPv6 literal in brackets, and an optional port. The
// host is returned in lower case without a trailing dot.
func splitHost(s string) (host, port string, ok bool) {
	if s == "" {
		return "", "", false
	}
	end, literal := len(s), s[0] == '['
	if literal {
		end = strings.IndexByte(s, ']') + 1
		if end < len("[::]") || !isIPv6(s[1:end-1]) {
			return "", "", false
		}
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		end = colon
	}
	host, port = s[:end], s[end:]
	if port != "" {
		port = port[1:]
		n, digits := decimal(port)
		if s[end] != ':' || !digits || n > 65535 || len(port) > 5 {
			return "", "", false
		}
	}
	if literal {
		return strings.ToLower(host), port, true
	}
	if !all(host, hostByte) {
		return "", "", false
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || host[0] == '.' || host[len(host)-1] == '.' || len(host) > 253 || strings.Contains(host, "..") {
		return "", "", false
	}
	return strings.ToLower(host), port, true // which copies only where there is something to lower
}

// isIPv6 says whether s is an IPv6 address without a zone (RFC 3986 §3.2.2).
func isIPv6(s string) bool {
	for i := range len(s) {
		if c := s[i]; class[c]&hexDigit == 0 && c != ':' && c != '.' {
			return false
		}
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

// shadowsKnown says whether a name becomes one that the gateway relies on once underscores are taken for hyphens, as CGI-like
// endpoints take them. Such a field is dropped: it could pass for one that we set ourselves.
func shadowsKnown(name string) bool {
	if strings.IndexByte(name, '_') < 0 || len(name) > 32 {
		return false
	}
	var plain [32]byte
	for i := range len(name) {
		plain[i] = name[i]
		if name[i] == '_' {
			plain[i] = '-'
		}
	}
	return exchange.Lookup(unsafe.String(&plain[0], len(name))) != exchange.Other
}

package grammar

import (
	"net/netip"
	"slices"
	"strings"
	"unsafe"
)

// IsVisible says whether s holds only visible ASCII: what a request target may hold as a whole (RFC 3986 §2). Which of these bytes may
// stand where is a matter of step 3, which brings a path to its one form.
func IsVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// SplitQuery takes a path with a query apart at the first question mark, which belongs to neither (RFC 3986 §3.4).
func SplitQuery(target string) (path, query string) {
	if mark := strings.IndexByte(target, '?'); mark >= 0 {
		return target[:mark], target[mark+1:]
	}
	return target, ""
}

// SplitHost checks the value of Host, or an authority, and takes it apart (RFC 9110 §7.2, RFC 9113 §8.3.1): a name or IPv4 address, or
// an IPv6 literal in brackets, and an optional port of at most five digits, up to 65535. The host is returned in lower case and
// without a dot at its end; it has at most 253 bytes (RFC 1035 §2.3.4).
//
// Stricter than RFC 3986 §3.2: user information, percent-encoding, sub-delimiters, IPvFuture, zones and a colon without a port are
// refused. No client sends them, and readers take them in different ways.
func SplitHost(s string) (host, port string, ok bool) {
	if s == "" {
		return "", "", false
	}
	end, capitals := 0, false
	if s[0] == '[' {
		end = strings.IndexByte(s, ']') + 1
		if end < len("[::]") || !isIPv6(s[1:end-1]) {
			return "", "", false
		}
		host, capitals = s[:end], true // perhaps
	} else {
		for end < len(s) && class[s[end]]&hostByte != 0 {
			capitals = capitals || 'A' <= s[end] && s[end] <= 'Z'
			end++
		}
		host = TrimDot(s[:end])
		if host == "" || host[0] == '.' || host[len(host)-1] == '.' || len(host) > 253 || strings.Contains(host, "..") {
			return "", "", false
		}
	}
	if end < len(s) {
		port = s[end+1:]
		if n, digits := Decimal(port); s[end] != ':' || !digits || n > 65535 || len(port) > 5 {
			return "", "", false
		}
	}
	if capitals {
		host, _ = AppendLower(nil, host)
	}
	return host, port, true
}

// TrimDot takes the dot off the end of a name: with or without, it is the same name of DNS.
func TrimDot(host string) string { return strings.TrimSuffix(host, ".") }

// AppendLower gives a host in lower case (RFC 3986 §3.2.2). One without capitals is returned as it is; otherwise the lower case is
// appended to dst, and shares its memory.
func AppendLower(dst []byte, host string) (lower string, ext []byte) {
	for i := range len(host) {
		if 'A' <= host[i] && host[i] <= 'Z' {
			base := len(dst)
			dst = append(slices.Grow(dst, len(host)), host...)
			out := dst[base:]
			for j := i; j < len(out); j++ {
				if 'A' <= out[j] && out[j] <= 'Z' {
					out[j] |= 0x20
				}
			}
			return unsafe.String(unsafe.SliceData(out), len(out)), dst
		}
	}
	return host, dst
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

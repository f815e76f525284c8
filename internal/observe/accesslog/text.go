package accesslog

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// cut marks where a value was too long, and what stands for a value that is not told.
const cut = "…"

// plain tells the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendText appends s as the inside of a JSON string, at most room bytes of it and then a cut mark. What a terminal or a
// reader could take for something else is escaped: control characters, invalid UTF-8, invisible and direction-changing runes,
// foreign line ends.
func appendText(b []byte, s string, room int) []byte {
	if len(s) > room {
		return appendEscaped(b, s, room)
	}
	end := len(b) + len(s)
	if end > cap(b) {
		b = slices.Grow(b, len(s))
	}
	if !copyPlain(b[len(b):end], s) {
		return appendEscaped(b, s, room)
	}
	return b[:end]
}

// copyPlain copies s to p, which is as long, and returns whether all of it was plain. It takes eight bytes at a time: nearly all
// values are plain, and byte by byte this would be most of what a line costs. The last step overlaps the one before.
func copyPlain(p []byte, s string) bool {
	from := unsafe.Slice(unsafe.StringData(s), len(s))
	n := len(p)
	switch {
	case n >= 8:
		last := binary.LittleEndian.Uint64(from[n-8:])
		odd := oddBytes(last)
		to := p
		for ; len(from) > 8 && len(to) > 8; from, to = from[8:], to[8:] {
			w := binary.LittleEndian.Uint64(from)
			odd |= oddBytes(w)
			binary.LittleEndian.PutUint64(to, w)
		}
		binary.LittleEndian.PutUint64(p[n-8:], last)
		return odd == 0
	case n >= 4:
		first, last := binary.LittleEndian.Uint32(from), binary.LittleEndian.Uint32(from[n-4:])
		binary.LittleEndian.PutUint32(p, first)
		binary.LittleEndian.PutUint32(p[n-4:], last)
		return oddBytes(uint64(first)|uint64(last)<<32) == 0
	}
	for i, c := range from {
		if !plain[c] {
			return false
		}
		p[i] = c
	}
	return true
}

// oddBytes is 0 when each of the eight bytes in w is plain. Adding one carries into the highest bit of a byte that is 0x7f, and
// subtracting borrows into that of a byte that is less than what is subtracted; after an exclusive or, a byte that is sought is 0
// and so less than 1. A plain byte passes no carry or borrow on, so the first odd byte shows whatever is above it.
func oddBytes(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	return (w | (w + each) | (w - each*' ') | ((w ^ each*'"') - each) | ((w ^ each*'\\') - each)) & high
}

func appendEscaped(b []byte, s string, room int) []byte {
	limit := len(b) + room
	for i := 0; i < len(s); {
		before := len(b)
		size := 1
		if c := s[i]; c < utf8.RuneSelf {
			b = appendASCII(b, c)
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(b, `\ufffd`...)
			case !unicode.IsPrint(r):
				b = appendRune(b, r)
			default:
				b = append(b, s[i:i+size]...)
			}
		}
		if len(b) > limit {
			return append(b[:before], cut...)
		}
		i += size
	}
	return b
}

func appendASCII(b []byte, c byte) []byte {
	switch {
	case plain[c]:
		return append(b, c)
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	}
	return appendUnit(b, uint16(c))
}

func appendRune(b []byte, r rune) []byte {
	if r < 0x10000 {
		return appendUnit(b, uint16(r))
	}
	r -= 0x10000
	b = appendUnit(b, uint16(0xd800+r>>10))
	return appendUnit(b, uint16(0xdc00+r&0x3ff))
}

func appendUnit(b []byte, u uint16) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
}

// appendNumber appends a field whose value is a number. Most numbers of a line have few digits, and b has room for them.
func appendNumber(b []byte, key string, n int64) []byte {
	b = append(b, key...)
	switch {
	case uint64(n) < 10:
		return append(b, byte('0'+n))
	case uint64(n) < 100:
		return append(b, byte('0'+n/10), byte('0'+n%10))
	case uint64(n) < 1000:
		return append(b, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
	case uint64(n) < 10000:
		return append(b, byte('0'+n/1000), byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
	}
	return strconv.AppendInt(b, n, 10)
}

// longName is the length beyond which the name of a query parameter is taken for a secret someone put there without a name.
const longName = 40

// appendQuery appends a query with its names and without its values, except those of the parameters in keep.
func appendQuery(b []byte, query string, keep []string, room int) []byte {
	limit := len(b) + room
	for first := true; ; first = false {
		pair, rest, more := strings.Cut(query, "&")
		name, value, has := strings.Cut(pair, "=")
		left := limit - len(b)
		if left <= len("&=…") {
			return append(b, cut...)
		}
		if !first {
			b = append(b, '&')
		}
		if len(name) > longName {
			b = append(b, cut...)
		} else {
			b = appendText(b, name, left-len("&=…"))
		}
		if has {
			b = append(b, '=')
			switch {
			case value == "":
			case kept(keep, name):
				b = appendText(b, value, max(limit-len(b), 0))
			default:
				b = append(b, cut...)
			}
		}
		if !more {
			return b
		}
		query = rest
	}
}

func kept(keep []string, name string) bool {
	for _, k := range keep {
		if k == name {
			return true
		}
	}
	return false
}

// appendClient appends an address as the settings allow.
func appendClient(b []byte, a netip.Addr, detail Client) []byte {
	a = a.Unmap()
	switch {
	case detail != ClientMasked:
	case a.Is4():
		q := a.As4()
		for _, octet := range q[:3] {
			b = append(appendNumber(b, "", int64(octet)), '.')
		}
		return append(b, '0')
	default:
		p, _ := a.Prefix(48)
		a = p.Addr()
	}
	return a.WithZone("").AppendTo(b)
}

// withoutClient takes the client's own address out of a text meant for the operator, so that the cause of a fault does not tell
// what the line's client field was told to hide.
func withoutClient(text string, addrs ...netip.Addr) string {
	var room [64]byte
	for _, a := range addrs {
		if !a.IsValid() {
			continue
		}
		text = without(text, a.AppendTo(room[:0]))
		if a.Is4In6() {
			text = without(text, a.Unmap().AppendTo(room[:0]))
		}
	}
	return text
}

// without makes a new text only when there is something to take out: most causes name no client.
func without(text string, addr []byte) string {
	if !strings.Contains(text, string(addr)) {
		return text
	}
	return strings.ReplaceAll(text, string(addr), "client")
}

package http1

import (
	"encoding/binary"
	"unsafe"
)

// The classes of bytes (RFC 9110 §5.6.2, RFC 3986).
const (
	tchar    = 1 << iota // may stand in a token
	hostByte             // may stand in a host: reg-name without percent-encoding
	hexDigit
)

var class = func() (t [256]uint8) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = tchar | hostByte | hexDigit
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = tchar | hostByte
		t[c-0x20] = tchar | hostByte
	}
	for c := byte('a'); c <= 'f'; c++ {
		t[c] |= hexDigit
		t[c-0x20] |= hexDigit
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= tchar
	}
	for _, c := range []byte("-._~") {
		t[c] |= hostByte
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if class[s[i]]&tchar == 0 {
			return false
		}
	}
	return len(s) > 0
}

// cleanValue says whether b holds only what a field value may: no control characters but HTAB. Eight bytes are looked at together;
// only a run with something suspicious is looked at one by one.
func cleanValue(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for len(b) >= 8 {
		word := binary.LittleEndian.Uint64(b)
		below := (word - ones*0x20) & ^word & highs   // a byte below 0x20
		delete := word ^ ones*0x7f                    // a zero byte where 0x7f stood
		isDelete := (delete - ones) & ^delete & highs // finds zero bytes
		if below|isDelete != 0 && !cleanSlow(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanSlow(b)
}

func cleanSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// visible says whether b holds only visible ASCII: what a request target may hold as a whole.
func visible(b []byte) bool {
	for _, c := range b {
		if c <= 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// view makes a string of b without copying. It lives as long as the buffer of b is left alone.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
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

// nextElement takes the next element off a comma-separated list (RFC 9110 §5.6.1). Empty elements are skipped; ok is false at the
// end.
func nextElement(list string) (element, rest string, ok bool) {
	for list != "" {
		end := 0
		for end < len(list) && list[end] != ',' {
			end++
		}
		element = list[:end]
		rest = ""
		if end < len(list) {
			rest = list[end+1:]
		}
		for element != "" && (element[0] == ' ' || element[0] == '\t') {
			element = element[1:]
		}
		for element != "" && (element[len(element)-1] == ' ' || element[len(element)-1] == '\t') {
			element = element[:len(element)-1]
		}
		if element != "" {
			return element, rest, true
		}
		list = rest
	}
	return "", "", false
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

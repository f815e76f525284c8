package grammar

import (
	"encoding/binary"
	"unsafe"
)

// IsValue says whether s holds only what a field value may: no control characters but HTAB (RFC 9110 §5.5). Eight bytes are looked at
// together, the last eight of a longer value perhaps once more; only a run with something suspicious is looked at one by one.
//
// White space at the ends is not looked for: in HTTP/1 it stands around values without belonging to them (RFC 9112 §5.1) and is to be
// trimmed before, see [TrimSpace].
func IsValue(s string) bool {
	if len(s) < 8 {
		return isValueSlow(s)
	}
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	last := len(b) - 8
	for at := 0; at < last; at += 8 {
		if suspicious(binary.LittleEndian.Uint64(b[at:])) && !isValueSlow(s[at:at+8]) {
			return false
		}
	}
	return !suspicious(binary.LittleEndian.Uint64(b[last:])) || isValueSlow(s[last:])
}

// suspicious says whether one of eight bytes is a control character, HTAB among them.
func suspicious(word uint64) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	below := (word - ones*0x20) & ^word & highs   // a byte below 0x20
	delete := word ^ ones*0x7f                    // a zero byte where 0x7f stood
	isDelete := (delete - ones) & ^delete & highs // finds zero bytes
	return below|isDelete != 0
}

func isValueSlow(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// IsTrimmedValue is IsValue for HTTP/2, where white space would belong to a value and may not stand at its ends (RFC 9113 §8.2.1).
func IsTrimmedValue(s string) bool {
	if s == "" {
		return true
	}
	if first, last := s[0], s[len(s)-1]; first == ' ' || first == '\t' || last == ' ' || last == '\t' {
		return false
	}
	return IsValue(s)
}

// TrimSpace takes spaces and tabs off both ends: the optional white space of RFC 9110 §5.6.3.
func TrimSpace(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// NextElement takes the next element off a comma-separated list (RFC 9110 §5.6.1). Empty elements are skipped; ok is false at the
// end. Quotes mean nothing: it is for lists of tokens.
func NextElement(list string) (element, rest string, ok bool) {
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
		if element = TrimSpace(element); element != "" {
			return element, rest, true
		}
		list = rest
	}
	return "", "", false
}

// Decimal reads a length (RFC 9110 §8.6): digits only, at most 18 of them, which is beyond any content and below overflow.
func Decimal(s string) (int64, bool) {
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

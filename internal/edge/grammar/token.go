package grammar

const (
	tchar     = 1 << iota // may stand in a token
	lowerByte             // may stand in a token in lower case
	hostByte              // may stand in a host: reg-name without percent-encoding
	hexDigit
)

// class has the classes of all bytes (RFC 9110 §5.6.2, RFC 3986 §3.2.2). It never changes.
var class = func() (t [256]uint8) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = tchar | lowerByte | hostByte | hexDigit
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = tchar | lowerByte | hostByte
		t[c-0x20] = tchar | hostByte
	}
	for c := byte('a'); c <= 'f'; c++ {
		t[c] |= hexDigit
		t[c-0x20] |= hexDigit
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= tchar | lowerByte
	}
	for _, c := range []byte("-._~") {
		t[c] |= hostByte
	}
	return t
}()

// IsTokenByte says whether c may stand in a token (RFC 9110 §5.6.2).
func IsTokenByte(c byte) bool { return class[c]&tchar != 0 }

// IsHexDigit says whether c is a hexadecimal digit, in either case.
func IsHexDigit(c byte) bool { return class[c]&hexDigit != 0 }

// IsToken says whether s is a token (RFC 9110 §5.6.2): a method, or a field name in HTTP/1.
func IsToken(s string) bool {
	for i := range len(s) {
		if class[s[i]]&tchar == 0 {
			return false
		}
	}
	return len(s) > 0
}

// IsQuotable says whether s can stand in a quoted string as it is (RFC 9110 §5.6.4): printable ASCII without quotes and backslashes.
func IsQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// IsLowerToken says whether s is a token without capitals: a field name in HTTP/2, where one with capitals makes the request malformed
// (RFC 9113 §8.2.1).
func IsLowerToken(s string) bool {
	for i := range len(s) {
		if class[s[i]]&lowerByte == 0 {
			return false
		}
	}
	return len(s) > 0
}

// FoldIs says whether s is lower, which is in lower case, without regard to the case of ASCII letters.
func FoldIs(s, lower string) bool {
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

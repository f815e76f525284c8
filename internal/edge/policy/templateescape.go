package policy

import "unicode/utf8"

// escape is how what a template gives is written where it stands.
type escape uint8

const (
	asIs escape = iota
	inPath
	inQuery
	inParam
	inHost
	inJSON
)

// Sets of bytes that stay as they are in a part of a URL, a bit each.
const (
	unreserved uint8 = 1 << iota // RFC 3986 §2.3
	ofPath                       // may stand in a path that is escaped already
	ofParam                      // may stand in a parameter, of something escaped already
	ofQuery                      // may stand in a query that is escaped already
)

var stays = func() (t [256]uint8) {
	add := func(set uint8, bytes string) {
		for i := range len(bytes) {
			t[bytes[i]] |= set
		}
	}
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	add(unreserved|ofPath|ofParam|ofQuery, plain)
	add(ofPath|ofQuery, "&=+")
	add(ofPath|ofParam|ofQuery, "!$'()*,;:@/%")
	add(ofQuery, "?")
	return t
}()

// set is what stays of a fact. Those that are parts of the request's address have their escapes already.
func (how escape) set(f fact) uint8 {
	switch f {
	case requestPath, pathParam:
		if how == inPath {
			return ofPath
		}
		return ofParam
	case requestQuery:
		if how == inQuery {
			return ofQuery
		}
	}
	return unreserved
}

// appendLiteral appends text of the template itself.
func (how escape) appendLiteral(dst []byte, text string) []byte {
	if how != inParam {
		return append(dst, text...)
	}
	from := len(dst)
	dst, _ = how.escape(append(dst, text...), from, none)
	return dst
}

// escape writes what begins at start in the way it may stand there, and reports false when there is none. What does not stay as it is, is written
// behind first and then moved.
func (how escape) escape(dst []byte, start int, f fact) ([]byte, bool) {
	switch how {
	case asIs:
		return dst, true
	case inHost:
		if f == requestHost || f == requestAuthority {
			return dst, len(dst) > start
		}
		return dst, isLabel(dst[start:])
	case inJSON:
		if plainJSON(dst[start:]) {
			return dst, true
		}
		end := len(dst)
		dst = appendJSON(dst, start)
		return dst[:start+copy(dst[start:], dst[end:])], true
	}
	set, end, i := how.set(f), len(dst), start
	for i < end && stays[dst[i]]&set != 0 {
		i++
	}
	if i == end {
		return dst, true
	}
	start = i
	for ; i < end; i++ {
		c := dst[i]
		if stays[c]&set != 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	return dst[:start+copy(dst[start:], dst[end:])], true
}

// isLabel says whether p may be a label of a host.
func isLabel(p []byte) bool {
	for _, c := range p {
		if c != '-' && !('0' <= c && c <= '9') && !('a' <= c|0x20 && c|0x20 <= 'z') {
			return false
		}
	}
	return len(p) > 0 && p[0] != '-' && p[len(p)-1] != '-'
}

func plainJSON(p []byte) bool {
	for _, c := range p {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendJSON appends what begins at start once more, as the inside of a string. What is no UTF-8 becomes U+FFFD.
func appendJSON(dst []byte, start int) []byte {
	for end := len(dst); start < end; {
		r, size := utf8.DecodeRune(dst[start:end])
		start += size
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// AppendEscaped appends a query as it came, but for what no address may hold (RFC 3986 §3.4), which some clients do not escape.
func AppendEscaped(dst []byte, query string) []byte {
	from := len(dst)
	dst, _ = inQuery.escape(append(dst, query...), from, requestQuery)
	return dst
}

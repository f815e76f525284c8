package route

import (
	"errors"
	"unsafe"
)

// Reasons for which a path is refused. Each is the client's fault (400).
var (
	ErrNotRooted    = errors.New("path does not begin with a slash")
	ErrCharacter    = errors.New("path holds a character that a URI may only hold percent-encoded (a space, a control character, # or ?, or a byte outside ASCII)")
	ErrBackslash    = errors.New("path holds a backslash")
	ErrEscape       = errors.New("path holds a percent sign that is not followed by two hexadecimal digits")
	ErrControl      = errors.New("path holds a percent-encoded control character")
	ErrAboveRoot    = errors.New("path climbs above the root by dot segments")
	ErrHiddenDots   = errors.New("path hides a . or .. segment behind an encoded slash or a path parameter")
	ErrEncodedSlash = errors.New("path holds an encoded slash or backslash, which this route does not allow")
)

// Canonical is a path in the one form used for matching, policies, cache keys
// and what is sent upstream.
type Canonical struct {
	// Path begins with "/" and holds only what RFC 3986 allows in a path. It
	// aliases either the raw path or the scratch given, and lives as long.
	Path string

	// EncodedSlash: the raw path held %2F or %5C, be it in a segment that a later
	// .. took away. The caller refuses the request with [ErrEncodedSlash] unless
	// the route allows it.
	EncodedSlash bool
}

// AppendCanonical gives the canonical form of the path of a request-target (no
// query, no fragment). A path that is canonical is returned as it is and dst
// stays untouched; otherwise the form is appended to dst, which grows (and
// allocates) only when it has less than 3*len(raw)+1 bytes free.
//
// The form, after RFC 3986 sections 5.2.4 and 6.2.2:
//   - an empty path is "/";
//   - an encoded unreserved character is decoded, once; every other escape is
//     kept, its digits in upper case. Hence %2e counts as a dot, and %252e does not;
//   - printable ASCII that a path may not hold raw (<>[]^`{|} and the quotation mark) is encoded,
//     as some browsers forget to;
//   - several slashes in a row are one, and this comes before dot segments,
//     so that /a//../b is /b;
//   - dot segments are removed;
//   - path parameters (;x=1) are left alone.
//
// It is stricter than the RFC in four ways, each a known way around a gateway's
// rules: .. above the root is refused where the RFC would clamp it, an upstream
// might not; raw bytes outside ASCII are refused, for nobody can know how the
// upstream reads them; encoded control characters are refused; and so are dot
// segments that only some upstreams see (..%2F, ..%5C, ..;x).
//
// The form is idempotent: AppendCanonical of a canonical path is that path.
func AppendCanonical(dst []byte, raw string) (Canonical, []byte, error) {
	if isCanonical(raw) {
		return Canonical{Path: raw}, dst, nil
	}
	base := len(dst)
	ext, slash, err := appendCanonical(dst, raw)
	if err != nil {
		return Canonical{}, dst, err
	}
	out := ext[base:]
	if string(out) == raw {
		return Canonical{Path: raw, EncodedSlash: slash}, dst, nil
	}
	// The string shares the scratch instead of copying it: the data path may not
	// allocate, and the doc of Path states how long it lives.
	return Canonical{Path: unsafe.String(unsafe.SliceData(out), len(out)), EncodedSlash: slash}, ext, nil
}

// Classes of bytes in a raw path.
const (
	bad     = iota // refused raw
	encode         // printable, not allowed by the RFC: encoded
	plain          // stands for itself
	special        // slash and percent: looked at closely
)

// unreserved are the characters of RFC 3986 section 2.3, whose escapes are decoded.
var class, unreserved = func() (c [256]uint8, u [256]bool) {
	for _, b := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") {
		c[b], u[b] = plain, true
	}
	for _, b := range []byte("!$&'()*+,;=:@") {
		c[b] = plain
	}
	for _, b := range []byte("\"<>[]^`{|}") {
		c[b] = encode
	}
	c['/'], c['%'] = special, special
	return
}()

// isCanonical is the fast path. It may say no to a canonical path with rare
// contents (an encoded slash, a dot segment's look-alike); never yes to another.
func isCanonical(raw string) bool {
	if raw == "" || raw[0] != '/' {
		return false
	}
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch class[c] {
		case plain:
		case special:
			if c == '%' {
				if i+2 >= len(raw) || !upperHex(raw[i+1]) || !upperHex(raw[i+2]) {
					return false
				}
				v := unhex(raw[i+1])<<4 | unhex(raw[i+2])
				if unreserved[v] || v < ' ' || v == 0x7F || v == '/' || v == '\\' {
					return false
				}
				i += 2
				continue
			}
			if i+1 == len(raw) {
				return true
			}
			switch raw[i+1] {
			case '/':
				return false
			case '.':
				j := i + 2
				if j < len(raw) && raw[j] == '.' {
					j++
				}
				if j == len(raw) || raw[j] == '/' || raw[j] == ';' || raw[j] == '%' {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

// appendCanonical is the slow path. While it runs, out[root:] is canonical up to
// seg, where the segment being read begins; out[seg-1] is always a slash.
func appendCanonical(dst []byte, raw string) (out []byte, slash bool, err error) {
	if raw == "" {
		return append(dst, '/'), false, nil
	}
	if raw[0] != '/' {
		return dst, false, ErrNotRooted
	}
	root := len(dst)
	out = append(dst, '/')
	seg := len(out)
	hides := false // the segment holds an encoded slash or begins with a dot

	for i := 1; ; i++ {
		if i >= len(raw) || raw[i] == '/' {
			piece := out[seg:]
			switch {
			case len(piece) == 0:
			case string(piece) == ".":
				out = out[:seg]
			case string(piece) == "..":
				if seg == root+1 {
					return dst, false, ErrAboveRoot
				}
				seg--
				for out[seg-1] != '/' {
					seg--
				}
				out = out[:seg]
			default:
				if hides && hidesDots(piece) {
					return dst, false, ErrHiddenDots
				}
				if i < len(raw) {
					out = append(out, '/')
					seg = len(out)
				}
			}
			if i >= len(raw) {
				return out, slash, nil
			}
			hides = false
			continue
		}

		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return dst, false, ErrEscape
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			switch {
			case c < ' ' || c == 0x7F:
				return dst, false, ErrControl
			case c == '/' || c == '\\':
				slash, hides = true, true
				out = appendEscape(out, c)
				continue
			case !unreserved[c]:
				out = appendEscape(out, c)
				continue
			}
		}
		switch class[c] {
		case plain:
			if c == '.' && len(out) == seg {
				hides = true
			}
			out = append(out, c)
		case encode:
			out = appendEscape(out, c)
		default:
			if c == '\\' {
				return dst, false, ErrBackslash
			}
			return dst, false, ErrCharacter
		}
	}
}

// hidesDots tells whether a segment, not itself a dot segment, becomes one or
// falls into some for an upstream that decodes slashes first or drops path
// parameters first (/public/..;/admin). Escapes are in upper case already.
func hidesDots(seg []byte) bool {
	start, param := 0, -1 // of the piece between separators; where its parameters begin
	for i := 0; ; i++ {
		width := 0
		if i < len(seg) {
			switch {
			case seg[i] == ';':
				if param < 0 {
					param = i
				}
				continue
			case seg[i] != '%':
				continue
			}
			switch string(seg[i+1 : i+3]) {
			case "3B":
				if param < 0 {
					param = i
				}
				continue
			case "2F", "5C":
				width = 3
			default:
				continue
			}
		}
		end := i
		if param >= 0 {
			end = param
		}
		if p := string(seg[start:end]); p == "." || p == ".." {
			return true
		}
		if width == 0 {
			return false
		}
		start, param = i+width, -1
		i += width - 1
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func upperHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F'
}

// unhex gives the value of a digit known to be hexadecimal.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

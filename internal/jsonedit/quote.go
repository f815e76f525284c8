package jsonedit

import "unicode/utf8"

// AppendQuoted appends text as a JSON string (RFC 8259 §7). What is no UTF-8 becomes U+FFFD.
func AppendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// appendUnescaped appends what the inside of a good string means.
func appendUnescaped(dst, text []byte) []byte {
	for at := 0; at < len(text); {
		c := text[at]
		if c != '\\' {
			dst = append(dst, c)
			at++
			continue
		}
		switch c = text[at+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(text[at+2:])
			at += 6
			if r >= 0xD800 && r < 0xDC00 {
				low, _ := hex4(text[at+2:])
				r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
				at += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
		at += 2
	}
	return dst
}

package chart

import "unicode/utf8"

// longest is how many characters of a name are drawn.
const longest = 120

// escape appends a text as content or as the value of an attribute, of HTML and of XML. What neither may hold, and what turns the direction
// of writing or cannot be seen, becomes U+FFFD: a name may come from a log, and so from anybody.
func escape(b []byte, s string) []byte {
	for _, r := range s {
		switch r {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '"':
			b = append(b, "&quot;"...)
		case '\'':
			b = append(b, "&#39;"...)
		case '\n', '\t', '\r':
			b = append(b, ' ')
		default:
			if unfit(r) {
				r = utf8.RuneError
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// unfit are characters that are not written: controls, noncharacters, and those that change how their neighbours are read.
func unfit(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0:
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0x061c:
	case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
	case r >= 0xe0000 && r <= 0xe0fff, r >= 0xf0000:
	default:
		return false
	}
	return true
}

// clip cuts a text to so many characters, and says so by an ellipsis.
func clip(s string, most int) string {
	n := 0
	for i := range s {
		if n++; n == most {
			if i+1 < len(s) && utf8.RuneCountInString(s[i:]) > 1 {
				return s[:i] + "…"
			}
			return s
		}
	}
	return s
}

// width is about how wide a text of that size is drawn in a common sans serif: rather too wide, so that nothing is cut.
func width(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case r == ' ', r == '.', r == ',', r == ':', r == 'i', r == 'l', r == '\u00a0', r == '/', r == '|':
			w += 0.33
		case r == 'm', r == 'M', r == 'W', r == 'w', r == '%', r == '…':
			w += 0.92
		case r >= 'A' && r <= 'Z':
			w += 0.7
		case r >= 0x1100:
			w++
		default:
			w += 0.57
		}
	}
	return w * size
}

// fit cuts a text to a width.
func fit(s string, size, room float64) string {
	s = clip(s, longest)
	for n := utf8.RuneCountInString(s); n > 1 && width(s, size) > room; n-- {
		s = clip(s, n-1)
	}
	return s
}

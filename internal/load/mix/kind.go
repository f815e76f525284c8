package mix

import "strings"

// kindOf is what requests of a log are told as: the method and the path, with {id} for each segment that looks like one. The query says
// little about what is asked for, and is left out.
func kindOf(method, target string) string {
	path, _, _ := strings.Cut(target, "?")
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if isID(s) {
			segments[i] = "{id}"
		}
	}
	name := method + " " + strings.Join(segments, "/")
	if len(name) > 120 {
		name = name[:117] + "..."
	}
	return name
}

// isID says whether a segment looks like a number, a UUID, a hash or the like: digits alone, or long and made of hexadecimal digits, or
// long with digits among its letters.
func isID(s string) bool {
	digits, hex, other := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '-':
			hex++
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', c == '_':
			other++
		default:
			return false
		}
	}
	switch {
	case s == "":
		return false
	case digits == len(s):
		return true
	case other == 0:
		return digits > 0 && len(s) >= 8
	}
	return digits >= 3 && len(s) >= 16
}

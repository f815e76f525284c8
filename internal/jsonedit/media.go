package jsonedit

import "strings"

// IsJSON says whether a Content-Type is that of JSON: application/json (RFC 8259 §11) or a type that ends in +json (RFC 6839 §3.1).
func IsJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.Trim(kind, " \t")
	const suffix = "+json"
	return strings.EqualFold(kind, "application/json") ||
		len(kind) > len(suffix) && strings.EqualFold(kind[len(kind)-len(suffix):], suffix) && strings.Count(kind, "/") == 1
}

// InUTF8 says whether a Content-Type names no other charset than UTF-8. JSON has no such parameter (RFC 8259 §11), but who reads it by one
// that is named reads something else than what was judged: UTF-7 and UTF-16 hide quotation marks. It is strict with what it cannot read.
func InUTF8(contentType string) bool {
	_, rest, more := strings.Cut(contentType, ";")
	for more {
		var p string
		p, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(p, "=")
		name, _, _ = strings.Cut(name, "*") // RFC 8187
		if !strings.EqualFold(strings.Trim(name, " \t"), "charset") {
			continue
		}
		value = strings.Trim(value, " \t")
		if n := len(value) - 1; n > 0 && value[0] == '"' && value[n] == '"' {
			value = value[1:n]
		}
		switch {
		case strings.EqualFold(value, "utf-8"), strings.EqualFold(value, "utf8"), strings.EqualFold(value, "us-ascii"):
		default:
			return false
		}
	}
	return true
}

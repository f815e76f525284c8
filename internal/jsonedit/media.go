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

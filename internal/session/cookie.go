package session

import (
	"strconv"
	"strings"
)

// Each calls f for the cookies in the value of a Cookie field (RFC 6265 §5.4), in its order. Quotation marks around a value are kept.
func Each(field string, f func(name, value string)) {
	for field != "" {
		var pair string
		pair, field, _ = strings.Cut(field, ";")
		name, value, ok := strings.Cut(pair, "=")
		if ok {
			f(strings.Trim(name, " \t"), strings.Trim(value, " \t"))
		}
	}
}

// Without is the value of a Cookie field without the cookies that are ours, and whether there were any. What is left is as it was.
func Without(field string, ours func(name string) bool) (string, bool) {
	found := false
	Each(field, func(name, _ string) { found = found || ours(name) })
	if !found {
		return field, false
	}
	rest := make([]string, 0, 8)
	for pair := range strings.SplitSeq(field, ";") {
		name, _, _ := strings.Cut(pair, "=")
		if pair = strings.Trim(pair, " \t"); pair != "" && !ours(strings.Trim(name, " \t")) {
			rest = append(rest, pair)
		}
	}
	return strings.Join(rest, "; "), true
}

// Line is the value of a Set-Cookie field: for the whole host, out of reach of scripts, and not sent with requests other sites cause,
// but for links followed (RFC 6265bis §5.5). age is how long the browser keeps it, in seconds; 0 removes it.
func Line(name, value string, age int64, secure bool) string {
	line := name + "=" + value + "; Path=/; Max-Age=" + strconv.FormatInt(age, 10) + "; HttpOnly; SameSite=Lax"
	if secure {
		line += "; Secure"
	}
	return line
}

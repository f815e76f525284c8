package freshness

import (
	"math"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// splitETag reads an entity tag (RFC 9110 §8.8.3): opaque is with its quotes. What is none is given back whole, and is not ok.
func splitETag(s string) (opaque string, weak, ok bool) {
	opaque, weak = strings.CutPrefix(s, "W/")
	if n := tagLength(opaque); n == 0 || n != len(opaque) {
		return s, false, false
	}
	return opaque, weak, true
}

// tagLength is how long the quoted tag is that s begins with, 0 when it begins with none.
func tagLength(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c <= 0x20, c == 0x7f:
			return 0
		}
	}
	return 0
}

// NotModified says whether a request is answered with 304 by a stored response with this entity tag (RFC 9110 §13, RFC 9111 §4.3.2): If-None-Match
// before If-Modified-Since. It is for GET and HEAD, and for stored responses whose status is 200. A tag that is none matches only the same text.
func NotModified(h *exchange.Fields, etag string, t *Terms) bool {
	noneMatch, since := false, ""
	sinces := 0
	for i := range h.All() {
		f := &h.All()[i]
		switch f.Known {
		case exchange.IfNoneMatch:
			noneMatch = true
			if f.Value == "*" || etag != "" && listsTag(f.Value, etag) {
				return true
			}
		case exchange.IfModifiedSince:
			since = f.Value
			sinces++
		}
	}
	if noneMatch || sinces != 1 {
		return false
	}
	at, ok := ParseDate(since, floorSeconds(t.ResponseTime))
	if !ok {
		return false
	}
	modified := t.LastModified
	if modified == 0 {
		modified = t.Date
	}
	return modified <= at
}

// listsTag compares weakly (RFC 9110 §8.8.3.2). Commas in tags do not end them.
func listsTag(list, etag string) bool {
	mine, _, _ := splitETag(etag)
	for list != "" {
		if c := list[0]; c == ',' || c == ' ' || c == '\t' {
			list = list[1:]
			continue
		}
		rest := strings.TrimPrefix(list, "W/")
		if n := tagLength(rest); n > 0 && (n == len(rest) || rest[n] == ',' || rest[n] == ' ' || rest[n] == '\t') {
			if rest[:n] == mine {
				return true
			}
			list = rest[n:]
			continue
		}
		if strings.HasPrefix(rest, `"`) { // nobody can say where it ends
			return false
		}
		member, after, _ := strings.Cut(list, ",")
		if grammar.TrimSpace(member) == etag {
			return true
		}
		list = after
	}
	return false
}

// parseLength reads a length: digits alone. What is longer than all lengths is the longest.
func parseLength(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + d
	}
	return n, true
}

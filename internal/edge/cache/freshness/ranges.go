package freshness

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// Part says what of a representation is asked for.
type Part uint8

// The parts.
const (
	Whole       Part = iota
	Partial          // bytes from..to-1: 206
	Unsatisfied      // 416
)

// Range is what a GET asks for of a representation of size bytes, with If-Range judged (RFC 9110 §14, §13.1.5). One range only: several are answered
// with the whole, as is what is not understood. It is for stored responses whose status is 200, and after NotModified. from and to are 0 and size
// unless it is Partial.
func Range(h *exchange.Fields, etag string, t *Terms, size int64) (from, to int64, what Part) {
	spec := ""
	ranges, conditions := 0, 0
	same := true
	for i := range h.All() {
		f := &h.All()[i]
		switch f.Known {
		case exchange.Range:
			spec = f.Value
			ranges++
		case exchange.IfRange:
			conditions++
			same = t.unchanged(f.Value, etag)
		}
	}
	if ranges != 1 || conditions > 1 || !same {
		return 0, size, Whole
	}
	return readRange(spec, size)
}

func readRange(spec string, size int64) (from, to int64, what Part) {
	unit, set, ok := strings.Cut(spec, "=")
	if !ok || !fold(unit, "bytes") {
		return 0, size, Whole
	}
	first, last, ok := strings.Cut(grammar.TrimSpace(set), "-")
	if !ok {
		return 0, size, Whole
	}
	end, ended := parseLength(last)
	if first == "" { // the last so many
		switch {
		case !ended || size == 0 && end > 0:
			return 0, size, Whole
		case end == 0:
			return 0, size, Unsatisfied
		}
		return max(size-end, 0), size, Partial
	}
	from, ok = parseLength(first)
	if !ok || last != "" && (!ended || end < from) {
		return 0, size, Whole
	}
	if from >= size {
		return 0, size, Unsatisfied
	}
	if last == "" || end >= size {
		return from, size, Partial
	}
	return from, end + 1, Partial
}

// unchanged judges If-Range, by strong comparison: a weak tag never fits, nor a date that is not that of the last change, or so close to when the
// response was made that there may have been another change (RFC 9110 §8.8.2.2; 60 seconds allow for clocks that differ).
func (t *Terms) unchanged(condition, etag string) bool {
	if opaque, weak, ok := splitETag(condition); ok {
		mine, mineWeak, ok := splitETag(etag)
		return ok && !weak && !mineWeak && mine == opaque
	}
	at, ok := ParseDate(condition, floorSeconds(t.ResponseTime))
	return ok && t.LastModified != 0 && at == t.LastModified && t.Date-t.LastModified >= 60
}

package freshness

import (
	"encoding/binary"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// MaxVary is how many field names a Vary may have.
const MaxVary = 16

// Vary reads the field names of Vary, in lower case, sorted, each once, and appends them to names[:0]; all says that there is a *. At most MaxVary
// names count; more are all, and so is what is no name.
func Vary(h *exchange.Fields, names []string) (_ []string, all bool) {
	names = names[:0]
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Vary {
			continue
		}
		for list, more := f.Value, true; more; {
			var name string
			name, list, more = cutList(list)
			if name == "" {
				continue
			}
			if name == "*" || !grammar.IsToken(name) {
				return names[:0], true
			}
			name = strings.ToLower(name)
			at, found := slices.BinarySearch(names, name)
			if found {
				continue
			}
			if len(names) == MaxVary {
				return names[:0], true
			}
			names = slices.Insert(names, at, name)
		}
	}
	return names, false
}

// varies says whether Vary means all, without keeping the names.
func varies(h *exchange.Fields) bool {
	if h.Count(exchange.Vary) == 0 {
		return false
	}
	var room [MaxVary]string
	_, all := Vary(h, room[:0])
	return all
}

// Language is the one Content-Language of a response, for AppendVariant: empty when it has none, or several.
func Language(h *exchange.Fields) string {
	language := ""
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Other || !fold(f.Name, "Content-Language") {
			continue
		}
		if language != "" || !grammar.IsToken(f.Value) {
			return ""
		}
		language = f.Value
	}
	return language
}

// How the value of a field stands in a variant's key. They keep one form from looking like another.
const (
	absent     = iota
	plain      // lines put together, without space at commas
	ordered    // languages or codings, in one order
	preferred  // the language of what is stored
	alone      // as it came: fields that are no lists
	formLength = 5
)

// AppendVariant appends what tells this request from others by the fields named: values normalised, each with its length before it (RFC 9111 §4.1).
// language is the Content-Language of what is stored, which a request that prefers it gets whatever else it accepts; empty when unknown, and of no
// effect when it is more than one.
//
// Languages are compared without regard to case, space and order of equals; codings by which are accepted, not which are liked better: whoever
// accepts what is stored gets it. Names and cookies are taken as they are; of all else lines are put together, and space at commas is left out.
func AppendVariant(b []byte, names []string, h *exchange.Fields, language string) []byte {
	for _, name := range names {
		at := len(b)
		b = append(b, absent, 0, 0, 0, 0)
		known := exchange.Lookup(name)
		first := -1
		for i := range h.All() {
			if f := &h.All()[i]; isField(f, known, name) {
				first = i
				break
			}
		}
		if first < 0 {
			continue
		}
		switch known {
		case exchange.AcceptEncoding:
			b = appendCodings(b, at, h)
		case exchange.AcceptLanguage:
			b = appendLanguages(b, at, h, language)
		case exchange.Cookie:
			b = appendLines(b, at, h, known, name, alone, "; ")
		case exchange.UserAgent, exchange.Authorization, exchange.ProxyAuthorization, exchange.Referer, exchange.Origin, exchange.Host, exchange.Range, exchange.IfRange,
			exchange.IfModifiedSince, exchange.IfUnmodifiedSince:
			b = appendLines(b, at, h, known, name, alone, "\x00")
		default:
			b = appendLines(b, at, h, known, name, plain, ",")
		}
		binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-formLength))
	}
	return b
}

func isField(f *exchange.Field, known exchange.Known, name string) bool {
	return f.Known == known && (known != exchange.Other || fold(f.Name, name))
}

// appendLines appends the lines of a field, in order. As plain, space around commas that are in no quoted string is left out.
func appendLines(b []byte, at int, h *exchange.Fields, known exchange.Known, name string, form byte, between string) []byte {
	b[at] = form
	lines := 0
	for i := range h.All() {
		f := &h.All()[i]
		if !isField(f, known, name) {
			continue
		}
		if lines++; lines > 1 {
			b = append(b, between...)
		}
		if form == alone {
			b = append(b, f.Value...)
		} else {
			b = appendTight(b, f.Value)
		}
	}
	return b
}

func appendTight(b []byte, value string) []byte {
	for i := 0; ; {
		start := i
		for i < len(value) && value[i] != ',' {
			if value[i] == '"' {
				if end := closing(value, i); end > 0 {
					i = end
				}
			}
			i++
		}
		b = append(b, grammar.TrimSpace(value[start:i])...)
		if i == len(value) {
			return b
		}
		b = append(b, ',')
		i++
	}
}

// weighted is a member of Accept-Language or Accept-Encoding.
type weighted struct {
	name string
	q    int // thousandths
}

// maxWeighted is how many members are put in order; longer lists are taken as they are.
const maxWeighted = 24

// readWeighted reads members with their weights (RFC 9110 §12.4.2). ok is false when there are too many, or one is not of that form.
func readWeighted(h *exchange.Fields, known exchange.Known, room *[maxWeighted]weighted) (list []weighted, ok bool) {
	list = room[:0]
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != known {
			continue
		}
		for rest, more := f.Value, true; more; {
			var member string
			member, rest, more = cutList(rest)
			if member == "" {
				continue
			}
			w := weighted{member, 1000}
			if name, weight, has := strings.Cut(member, ";"); has {
				w.name = grammar.TrimSpace(name)
				if w.q, ok = parseWeight(grammar.TrimSpace(weight)); !ok {
					return nil, false
				}
			}
			if !grammar.IsToken(w.name) || len(list) == maxWeighted {
				return nil, false
			}
			list = append(list, w)
		}
	}
	return list, true
}

// parseWeight reads q=0.5 as thousandths.
func parseWeight(s string) (int, bool) {
	if len(s) < 3 || len(s) > 7 || s[0]|0x20 != 'q' || s[1] != '=' || s[2] != '0' && s[2] != '1' || len(s) > 3 && s[3] != '.' {
		return 0, false
	}
	q := int(s[2]-'0') * 1000
	for i, worth := 4, 100; i < len(s); i, worth = i+1, worth/10 {
		if !isDigit(s[i]) {
			return 0, false
		}
		q += int(s[i]-'0') * worth
	}
	return q, q <= 1000
}

func appendLanguages(b []byte, at int, h *exchange.Fields, language string) []byte {
	var room [maxWeighted]weighted
	list, ok := readWeighted(h, exchange.AcceptLanguage, &room)
	if !ok {
		return appendLines(b, at, h, exchange.AcceptLanguage, "", plain, ",")
	}
	best := 0
	for _, w := range list {
		best = max(best, w.q)
	}
	for _, w := range list {
		if w.q == best && best > 0 && language != "" && fold(w.name, language) {
			b[at] = preferred
			return appendLower(b, language)
		}
	}
	sortWeighted(list, true)
	b[at] = ordered
	for i, w := range list {
		if i > 0 && w.q == list[i-1].q && fold(w.name, list[i-1].name) {
			continue
		}
		b = appendLower(b, w.name)
		b = append(b, ';', byte(w.q>>8), byte(w.q), ',')
	}
	return b
}

// appendCodings appends which content codings a request accepts, by name; what it refuses counts only where it would be accepted otherwise. Codings
// nobody here knows count too: an endpoint may know them.
func appendCodings(b []byte, at int, h *exchange.Fields) []byte {
	var room [maxWeighted]weighted
	list, ok := readWeighted(h, exchange.AcceptEncoding, &room)
	if !ok {
		return appendLines(b, at, h, exchange.AcceptEncoding, "", plain, ",")
	}
	const identity = "identity" // accepted unless it is refused, itself or by *;q=0
	any, none := false, false   // *, and *;q=0
	accepted, refused := false, false
	for i := range list {
		w := &list[i]
		switch {
		case w.name == "*":
			any, none = any || w.q > 0, none || w.q == 0
		case fold(w.name, identity):
			accepted, refused = accepted || w.q > 0, refused || w.q == 0
		case fold(w.name, "x-gzip"):
			w.name = "gzip"
		case fold(w.name, "x-compress"):
			w.name = "compress"
		}
	}
	sortWeighted(list, false)
	b[at] = ordered
	for i, w := range list {
		if w.name == "*" || fold(w.name, identity) || i > 0 && fold(w.name, list[i-1].name) || w.q == 0 && !any {
			continue
		}
		if w.q == 0 {
			b = append(b, '!')
		}
		b = appendLower(b, w.name)
		b = append(b, ',')
	}
	if any {
		b = append(b, "*,"...)
	}
	if !accepted && (refused || none && !any) {
		b = append(b, "!identity,"...)
	}
	return b
}

// sortWeighted sorts a short list in place, by weight and then by name, or by name and then by weight; the greater weight comes first. Neither is
// done by a function given along, for which the list would have to be allocated.
func sortWeighted(list []weighted, byWeight bool) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && before(&list[j], &list[j-1], byWeight); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

func before(x, y *weighted, byWeight bool) bool {
	if x.q != y.q && (byWeight || fold(x.name, y.name)) {
		return x.q > y.q
	}
	return lessFold(x.name, y.name)
}

func lessFold(x, y string) bool {
	for i := 0; i < len(x) && i < len(y); i++ {
		if a, b := lower(x[i]), lower(y[i]); a != b {
			return a < b
		}
	}
	return len(x) < len(y)
}

func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, lower(s[i]))
	}
	return b
}

func lower(c byte) byte {
	if c-'A' <= 'Z'-'A' {
		return c | 0x20
	}
	return c
}

package freshness

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// readTarget reads a targeted field (RFC 9213): a dictionary of structured fields (RFC 9651 §3.2), read to the letter. ok is false when the response
// has none, or when it is empty or wrong: then it does not count. Of a directive said twice the last counts, as everywhere in such dictionaries.
//
// Lines are read one by one: a string that goes on in the next line, which a reader may take for one, is an error here.
func readTarget(h *exchange.Fields, name string) (c control, ok bool) {
	c = unsaid
	c.targeted = true
	members := 0
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Other || !fold(f.Name, name) {
			continue
		}
		r := reader{s: f.Value}
		for r.skip(" "); r.s != ""; {
			key, v, good := r.member()
			if !good {
				return unsaid, false
			}
			c.take(key, v)
			members++
			if r.skip(" \t"); r.s == "" {
				break
			}
			if r.s[0] != ',' {
				return unsaid, false
			}
			r.s = r.s[1:]
			if r.skip(" \t"); r.s == "" { // a comma ends no dictionary
				return unsaid, false
			}
		}
	}
	if members == 0 {
		return unsaid, false
	}
	return c, true
}

// take adds a directive, and forgets what an earlier one of the same name said. A number that is none is 0, as in Cache-Control; what forbids
// something does so with whatever value but false, what allows something only with true. Names of fields (no-cache="a") are not looked at: it is as
// if there were none.
func (c *control) take(key string, v value) {
	yes, anything := v.kind == boolean && v.n == 1, v.kind != boolean || v.n == 1
	seconds := int64(0)
	if v.kind == integer && v.n >= 0 {
		seconds = min(v.n, MaxSeconds)
	}
	switch key {
	case "no-store":
		c.noStore = anything
	case "no-cache":
		c.noCache = anything
	case "private":
		c.private = anything
	case "public":
		c.public = yes
	case "must-revalidate":
		c.mustRevalidate = anything
	case "proxy-revalidate":
		c.proxyRevalidate = anything
	case "must-understand":
		c.mustUnderstand = anything
	case "immutable":
		c.immutable = yes
	case "max-age":
		c.maxAge = seconds
	case "s-maxage":
		c.sMaxAge = seconds
	case "stale-while-revalidate":
		c.whileRevalidating = seconds
	case "stale-if-error":
		c.ifError = seconds
	}
}

// value is the value of a member, as far as a directive may have it.
type value struct {
	kind kind
	n    int64 // of an integer; 1 for true
}

type kind uint8

const (
	integer kind = iota
	boolean
	other
)

// reader reads structured fields (RFC 9651 §4.2): what it has read is gone from s.
type reader struct{ s string }

func (r *reader) skip(set string) {
	for r.s != "" && (r.s[0] == set[0] || len(set) > 1 && r.s[0] == set[1]) {
		r.s = r.s[1:]
	}
}

func (r *reader) member() (key string, v value, ok bool) {
	if key, ok = r.key(); !ok {
		return key, v, false
	}
	if r.s == "" || r.s[0] != '=' {
		return key, value{boolean, 1}, r.parameters()
	}
	r.s = r.s[1:]
	if r.s != "" && r.s[0] == '(' {
		return key, value{kind: other}, r.innerList()
	}
	if v, ok = r.bare(); !ok {
		return key, v, false
	}
	return key, v, r.parameters()
}

func (r *reader) key() (string, bool) {
	i := 0
	for i < len(r.s) && (isLower(r.s[i]) || r.s[i] == '*' || i > 0 && (isDigit(r.s[i]) || r.s[i] == '_' || r.s[i] == '-' || r.s[i] == '.')) {
		i++
	}
	key := r.s[:i]
	r.s = r.s[i:]
	return key, i > 0
}

// parameters reads what may follow a value. It counts for nothing (RFC 9213 §2.1).
func (r *reader) parameters() bool {
	for r.s != "" && r.s[0] == ';' {
		r.s = r.s[1:]
		r.skip(" ")
		if _, ok := r.key(); !ok {
			return false
		}
		if r.s != "" && r.s[0] == '=' {
			r.s = r.s[1:]
			if _, ok := r.bare(); !ok {
				return false
			}
		}
	}
	return true
}

func (r *reader) innerList() bool {
	r.s = r.s[1:]
	for {
		if r.skip(" "); r.s == "" {
			return false
		}
		if r.s[0] == ')' {
			r.s = r.s[1:]
			return r.parameters()
		}
		if _, ok := r.bare(); !ok || !r.parameters() {
			return false
		}
		if r.s == "" || r.s[0] != ' ' && r.s[0] != ')' {
			return false
		}
	}
}

// bare reads a value without parameters.
func (r *reader) bare() (value, bool) {
	if r.s == "" {
		return value{}, false
	}
	switch c := r.s[0]; {
	case c == '-' || isDigit(c):
		return r.number()
	case c == '?':
		if len(r.s) < 2 || r.s[1] != '0' && r.s[1] != '1' {
			return value{}, false
		}
		v := value{boolean, int64(r.s[1] - '0')}
		r.s = r.s[2:]
		return v, true
	case c == '"':
		return value{kind: other}, r.text()
	case c == '%':
		return value{kind: other}, r.display()
	case c == ':':
		return value{kind: other}, r.bytes()
	case c == '@':
		r.s = r.s[1:]
		v, ok := r.number()
		return value{kind: other}, ok && v.kind == integer
	case c == '*' || isLower(c|0x20):
		i := 1
		for i < len(r.s) && (grammar.IsTokenByte(r.s[i]) || r.s[i] == ':' || r.s[i] == '/') {
			i++
		}
		r.s = r.s[i:]
		return value{kind: other}, true
	}
	return value{}, false
}

// number reads an integer of at most 15 digits, or a decimal of at most 12 and 3.
func (r *reader) number() (value, bool) {
	s, sign := r.s, int64(1)
	if s != "" && s[0] == '-' {
		s, sign = s[1:], -1
	}
	i, n := 0, int64(0)
	for i < len(s) && i < 16 && isDigit(s[i]) {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	if i == 0 || i > 15 {
		return value{}, false
	}
	if i == len(s) || s[i] != '.' {
		r.s = s[i:]
		return value{integer, sign * n}, true
	}
	whole := i
	for i++; i < len(s) && isDigit(s[i]); i++ {
	}
	r.s = s[i:]
	return value{kind: other}, whole <= 12 && i-whole-1 >= 1 && i-whole-1 <= 3
}

func (r *reader) text() bool {
	for i := 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '\\':
			if i++; i == len(r.s) || r.s[i] != '"' && r.s[i] != '\\' {
				return false
			}
		case c == '"':
			r.s = r.s[i+1:]
			return true
		case c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}

// display reads %"..." (RFC 9651 §3.3.8). That what it spells is UTF-8 is not asked.
func (r *reader) display() bool {
	if len(r.s) < 2 || r.s[1] != '"' {
		return false
	}
	for i := 2; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '%':
			if i+2 >= len(r.s) || !isLowerHex(r.s[i+1]) || !isLowerHex(r.s[i+2]) {
				return false
			}
			i += 2
		case c == '"':
			r.s = r.s[i+1:]
			return true
		case c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}

func (r *reader) bytes() bool {
	for i := 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == ':':
			r.s = r.s[i+1:]
			return true
		case isLower(c|0x20) || isDigit(c) || c == '+' || c == '/' || c == '=':
		default:
			return false
		}
	}
	return false
}

func isDigit(c byte) bool    { return c-'0' <= 9 }
func isLower(c byte) bool    { return c-'a' <= 'z'-'a' }
func isLowerHex(c byte) bool { return isDigit(c) || c-'a' <= 5 }

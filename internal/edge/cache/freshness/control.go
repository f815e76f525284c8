package freshness

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// directive is one member of Cache-Control (RFC 9111 §5.2): a name, and perhaps an argument.
type directive struct {
	name string
	arg  string // between the quotes, if it had them: escapes are left as they are
	has  bool   // it has an argument
	// odd says that it is not quite what the grammar allows: space around "=", something after the closing quote, or a quote that never closes. What
	// allows something does not count then, what forbids something does.
	odd bool
	// open says that a quote never closes, so that nobody can say where the directives after it begin.
	open bool
}

// nextDirective reads the first directive of a list and says what is left. It makes progress with each call, whatever it is given.
func nextDirective(s string) (d directive, rest string, ok bool) {
	i := 0
	for i < len(s) && (s[i] == ',' || isSpace(s[i])) {
		i++
	}
	if i == len(s) {
		return d, "", false
	}
	start := i
	for i < len(s) && s[i] != ',' && s[i] != '=' {
		if s[i] == '"' {
			d.odd, d.open = true, true
		}
		i++
	}
	d.name = grammar.TrimSpace(s[start:i])
	if i == len(s) || s[i] == ',' {
		return d, s[i:], true
	}
	if len(d.name) != i-start {
		d.odd = true
	}
	d.has = true
	i++
	start = i
	for i < len(s) && isSpace(s[i]) {
		i, d.odd = i+1, true
	}
	if i < len(s) && s[i] == '"' {
		if end := closing(s, i); end > 0 {
			d.arg = s[i+1 : end]
			i = end + 1
			for i < len(s) && s[i] != ',' {
				d.odd = d.odd || !isSpace(s[i])
				i++
			}
			return d, s[i:], true
		}
		d.odd, d.open = true, true
	}
	for i < len(s) && s[i] != ',' {
		if s[i] == '"' {
			d.odd, d.open = true, true
		}
		i++
	}
	d.arg = grammar.TrimSpace(s[start:i])
	return d, s[i:], true
}

// closing is where the quote that opens at s[i] closes, 0 when it never does.
func closing(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return 0
}

func (d *directive) is(name string) bool { return fold(d.name, name) }

// seconds is the argument as a number of seconds, 0 when it is none: freshness that nobody can read is no freshness (RFC 9111 §4.2.1).
func (d *directive) seconds() int64 {
	if !d.number() {
		return 0
	}
	n, _ := parseSeconds(d.arg)
	return n
}

func (d *directive) number() bool {
	if !d.has || d.odd {
		return false
	}
	_, ok := parseSeconds(d.arg)
	return ok
}

// fields says whether the argument is a list of at least one field name, and only of those. A directive with another argument counts as one without.
func (d *directive) fields() bool {
	if !d.has || d.odd {
		return false
	}
	found := false
	for rest := d.arg; ; {
		name, left, more := cutList(rest)
		if name != "" {
			if !grammar.IsToken(name) {
				return false
			}
			found = true
		}
		if !more {
			return found
		}
		rest = left
	}
}

// cutList cuts the first member off a list without quotes. It may be empty.
func cutList(s string) (member, rest string, more bool) {
	for i := range len(s) {
		if s[i] == ',' {
			return grammar.TrimSpace(s[:i]), s[i+1:], true
		}
	}
	return grammar.TrimSpace(s), "", false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// control is what a response says to a shared cache, by Cache-Control or by a targeted field.
type control struct {
	noStore, noCache, private, public, mustRevalidate, proxyRevalidate, mustUnderstand, immutable bool

	maxAge, sMaxAge, whileRevalidating, ifError int64 // seconds, or Unsaid

	targeted bool // by a targeted field: Expires does not count (RFC 9213 §2.2)
}

var unsaid = control{maxAge: Unsaid, sMaxAge: Unsaid, whileRevalidating: Unsaid, ifError: Unsaid}

// readControl reads what a response says to caches. The first of the targeted fields that is valid and not empty comes before Cache-Control.
func readControl(h *exchange.Fields, rules *Rules) control {
	for _, target := range rules.Targets {
		if c, ok := readTarget(h, target); ok {
			return c
		}
	}
	c := unsaid
	open := false
	for i := range h.All() {
		if f := &h.All()[i]; f.Known == exchange.CacheControl {
			open = c.read(f.Value) || open
		}
	}
	if open { // whatever it says for how long it is fresh may be part of a text
		c.maxAge, c.sMaxAge = shorter(c.maxAge, 0), min(c.sMaxAge, 0)
		c.whileRevalidating, c.ifError, c.public, c.immutable = 0, 0, false, false
	}
	return c
}

// read adds the directives of one line. Of several values the shortest counts. open says that a quote of it never closes.
func (c *control) read(value string) (open bool) {
	for {
		d, rest, ok := nextDirective(value)
		if !ok {
			return open
		}
		value = rest
		open = open || d.open
		switch {
		case d.is("no-store"):
			c.noStore = true
		case d.is("no-cache"):
			c.noCache = c.noCache || !d.fields()
		case d.is("private"):
			c.private = c.private || !d.fields()
		case d.is("public"):
			c.public = c.public || !d.has
		case d.is("must-revalidate"):
			c.mustRevalidate = true
		case d.is("proxy-revalidate"):
			c.proxyRevalidate = true
		case d.is("must-understand"):
			c.mustUnderstand = true
		case d.is("immutable"):
			c.immutable = c.immutable || !d.has
		case d.is("max-age"):
			c.maxAge = shorter(c.maxAge, d.seconds())
		case d.is("s-maxage"):
			c.sMaxAge = shorter(c.sMaxAge, d.seconds())
		case d.is("stale-while-revalidate"):
			c.whileRevalidating = shorter(c.whileRevalidating, d.seconds())
		case d.is("stale-if-error"):
			c.ifError = shorter(c.ifError, d.seconds())
		}
	}
}

// names says whether no-cache or private of Cache-Control name this field (RFC 9111 §5.2.2.4, §5.2.2.7). private does not count for a cache of one
// consumer.
func names(h *exchange.Fields, field string, rules *Rules) bool {
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.CacheControl {
			continue
		}
		for value := f.Value; ; {
			d, rest, ok := nextDirective(value)
			if !ok {
				break
			}
			value = rest
			if (d.is("no-cache") || d.is("private") && !rules.Partitioned) && d.fields() && inList(d.arg, field) {
				return true
			}
		}
	}
	return false
}

// inList says whether a list without quotes has this member, in any case.
func inList(list, member string) bool {
	for more := true; more; {
		var m string
		m, list, more = cutList(list)
		if fold(m, member) {
			return true
		}
	}
	return false
}

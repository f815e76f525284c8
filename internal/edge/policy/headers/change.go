package headers

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// take takes the fields away that are to be removed by their names.
func (c *changes) take(h *exchange.Fields) {
	for i := range c.remove {
		h.DelHeader(c.remove[i].text)
	}
}

// takeAll takes those away of which the names begin in a certain way, but for protected ones, and for Vary in responses: what others vary by they go
// on varying by.
func (c *changes) takeAll(h *exchange.Fields, response bool) {
	for _, prefix := range c.prefixes {
		for i := 0; i < h.Len(); {
			f := &h.All()[i]
			if len(f.Name) < len(prefix) || !looksLike(prefix, f.Name) || policy.Protected(f, response) || response && f.Known == exchange.Vary {
				i++
				continue
			}
			h.DelHeader(f.Name) // all of that name, of which this is the first
		}
	}
}

// looksLike says whether endpoints may take the beginning of a name for a prefix: in any case, and with underscores for hyphens, as CGI does.
func looksLike(prefix, name string) bool {
	for i := range len(prefix) {
		if plain(prefix[i]) != plain(name[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case c == '_':
		return '-'
	}
	return c
}

// name gives fields another name where they stand. Those that had it go, as soon as one gets it; of requests they went before, whatever comes of it.
func (c *changes) name(h *exchange.Fields) {
	for i := range c.rename {
		p := &c.rename[i]
		if !has(h, p.from) {
			continue
		}
		for j := 0; j < h.Len(); {
			if f := &h.All()[j]; len(f.Name) == len(p.to.text) && looksLike(p.to.text, f.Name) && !is(f, p.from) {
				h.DelHeader(f.Name)
				continue
			}
			j++
		}
		all := h.All()
		for j := range all {
			if is(&all[j], p.from) {
				all[j].Name, all[j].Known = p.to.text, p.to.known
			}
		}
	}
}

func has(h *exchange.Fields, n name) bool {
	all := h.All()
	for i := range all {
		if is(&all[i], n) {
			return true
		}
	}
	return false
}

func is(f *exchange.Field, n name) bool {
	return f.Known == n.known && (n.known != exchange.Other || strings.EqualFold(f.Name, n.text))
}

// write sets and adds. A template of which nothing comes, or that cannot stand in a field, leaves the field out: without the value, and also without
// the one it had.
func (c *changes) write(h *exchange.Fields, x *exchange.Exchange) {
	unfit := false
	for i := range c.values {
		v := &c.values[i]
		text, there := v.text, true
		if v.template != nil {
			made, ok := v.template.AppendField(x.Scratch(), x)
			text, there = x.KeepScratch(made), ok && len(made) > 0
			unfit = unfit || !ok
		}
		switch {
		case v.add && there:
			h.Append(v.known, v.name.text, text)
		case v.add:
		case !there:
			h.DelHeader(v.name.text)
		default:
			h.SetHeader(v.name.text, text)
		}
	}
	if unfit {
		x.Judge(Kind.Name, "unfit")
	}
}

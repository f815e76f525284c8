package apikey

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// place is where a key may stand in a request.
type place struct {
	header        string
	known         exchange.Known // what header is
	scheme        string         // in front of the key in header; empty for none
	query, cookie string
}

// find gives the key and how many there are, 2 standing for any more. Keys are views of the request, but for one in the query that is
// escaped.
func (p *place) find(x *exchange.Exchange) (key string, found int) {
	add := func(one string) {
		if found++; found == 1 {
			key = one
		}
	}
	fields := x.Request.Header.All()
	for i := range fields {
		f := &fields[i]
		if p.isHeader(f) {
			if one, ok := p.inField(f.Value); ok {
				add(one)
			}
		}
		if p.cookie != "" && f.Known == exchange.Cookie {
			for rest := f.Value; rest != ""; {
				var pair string
				pair, rest, _ = strings.Cut(rest, ";")
				if value, ok := p.inCookie(pair); ok {
					add(value)
				}
			}
		}
	}
	if p.query != "" {
		for rest := x.Request.Query; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, "&")
			if value, ok := p.inQuery(pair); ok {
				add(unescape(value))
			}
		}
	}
	return key, min(found, 2)
}

func (p *place) isHeader(f *exchange.Field) bool {
	return p.header != "" && f.Known == p.known && (p.known != exchange.Other || len(f.Name) == len(p.header) && strings.EqualFold(f.Name, p.header))
}

// inField gives the key of a field's value. One with another scheme in front is none of ours.
func (p *place) inField(value string) (key string, ok bool) {
	if p.scheme == "" {
		return value, true
	}
	scheme, rest, _ := strings.Cut(value, " ")
	if len(scheme) != len(p.scheme) || !strings.EqualFold(scheme, p.scheme) {
		return "", false
	}
	return grammar.TrimSpace(rest), true
}

// inCookie gives the value of a pair of the Cookie field (RFC 6265 §4.2.1), which may be quoted.
func (p *place) inCookie(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	if strings.Trim(name, " \t") != p.cookie {
		return "", false
	}
	value = strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, true
}

// inQuery gives the value of a parameter, still escaped. Its name may be escaped too: endpoints would understand it.
func (p *place) inQuery(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	if name != p.query && (strings.IndexByte(name, '%') < 0 || len(name) > 3*len(p.query) || unescape(name) != p.query) {
		return "", false
	}
	return value, true
}

// unescape undoes what the query of a form escapes. Escapes that are none are left as they are.
func unescape(text string) string {
	if strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 || len(text) > 3*maxKey {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(text) && grammar.IsHexDigit(text[i+1]) && grammar.IsHexDigit(text[i+2]):
			b = append(b, digit(text[i+1])<<4|digit(text[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// cutHeader takes the key out of the header.
func (p *place) cutHeader(x *exchange.Exchange) {
	fields := x.Request.Header.All()
	for i := range fields {
		if !p.isHeader(&fields[i]) {
			continue
		}
		if _, ok := p.inField(fields[i].Value); !ok {
			continue
		}
		if p.known != exchange.Other {
			x.Request.Header.Del(p.known) // there is one alone, or nobody was accepted
		} else {
			x.Request.Header.DelHeader(p.header)
		}
		return
	}
}

// cutCookie takes the key's cookie out, and with the last cookie the field.
func (p *place) cutCookie(x *exchange.Exchange) {
	if p.cookie == "" {
		return
	}
	fields := x.Request.Header.All()
	emptied := false
	for i := range fields {
		if fields[i].Known != exchange.Cookie {
			continue
		}
		if rest, ok := cut(fields[i].Value, ';', func(pair string) bool { _, ok := p.inCookie(pair); return ok }); ok {
			fields[i].Value = strings.Trim(rest, " \t")
			emptied = emptied || fields[i].Value == ""
		}
	}
	if emptied {
		p.dropEmptyCookies(x)
	}
}

func (p *place) dropEmptyCookies(x *exchange.Exchange) {
	var kept []string
	for _, f := range x.Request.Header.All() {
		if f.Known == exchange.Cookie && f.Value != "" {
			kept = append(kept, f.Value)
		}
	}
	x.Request.Header.Del(exchange.Cookie)
	for _, value := range kept {
		x.Request.Header.Append(exchange.Cookie, exchange.Cookie.String(), value)
	}
}

// cutQuery takes the key's parameter out of the query and of the target as received.
func (p *place) cutQuery(x *exchange.Exchange) {
	if p.query == "" || x.Request.Query == "" {
		return
	}
	q := &x.Request
	rest, ok := cut(q.Query, '&', func(pair string) bool { _, ok := p.inQuery(pair); return ok })
	if !ok {
		return
	}
	q.Query = rest
	before, query, _ := strings.Cut(q.Target, "?")
	switch {
	case rest == "":
		q.Target = before
	case strings.HasPrefix(query, rest): // the key stood at the end
		q.Target = q.Target[:len(before)+1+len(rest)]
	default:
		q.Target = before + "?" + rest
		q.Query = q.Target[len(before)+1:]
	}
}

// cut takes the elements that drop names out of a list, and says whether there were any. Nothing is copied when they stand at an end.
func cut(list string, separator byte, drop func(element string) bool) (rest string, any bool) {
	for list != "" { // at the beginning
		end := strings.IndexByte(list, separator)
		if end < 0 {
			if drop(list) {
				return "", true
			}
			return list, any
		}
		if !drop(list[:end]) {
			break
		}
		list, any = list[end+1:], true
	}
	for { // at the end
		begin := strings.LastIndexByte(list, separator)
		if begin < 0 || !drop(list[begin+1:]) {
			break
		}
		list, any = list[:begin], true
	}
	kept := 0 // in between
	var b []byte
	for at := 0; at < len(list); {
		end := strings.IndexByte(list[at:], separator)
		if end < 0 {
			break
		}
		if end += at; drop(list[at:end]) {
			b = append(b, list[kept:at]...)
			kept = end + 1
		}
		at = end + 1
	}
	if kept == 0 {
		return list, any
	}
	return string(append(b, list[kept:]...)), true
}

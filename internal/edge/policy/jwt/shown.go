package jwt

import (
	"net/url"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// shown is what a request shows.
type shown uint8

const (
	none  shown = iota
	once        // and text is it
	twice       // in two places, or two in one
	wrong       // something that cannot be a token
)

// find looks for a token in all places it may be.
func (p *jwt) find(r *exchange.Request) (text string, found shown) {
	note := func(t string, f shown) {
		switch {
		case f == none:
		case found != none:
			found = twice
		default:
			text, found = t, f
		}
	}
	known := exchange.Lookup(p.options.Header)
	for _, f := range r.Header.All() {
		if f.Known == known && (known != exchange.Other || strings.EqualFold(f.Name, p.options.Header)) {
			t, is := inHeader(f.Value, known == exchange.Authorization)
			if is != none && known == exchange.Authorization && r.Header.Count(known) > 1 {
				is = twice // with another scheme's beside it nobody knows which one endpoints will believe
			}
			note(t, is)
		}
		if p.options.Cookie != "" && f.Known == exchange.Cookie {
			for rest, pair := f.Value, ""; rest != ""; {
				pair, rest = nextCookie(rest)
				if value, ok := cookieValue(pair, p.options.Cookie); ok {
					note(value, once)
				}
			}
		}
	}
	if p.options.Query != "" {
		for rest, pair := r.Query, ""; rest != ""; {
			pair, rest, _ = strings.Cut(rest, "&")
			if value, ok := queryValue(pair, p.options.Query); ok {
				note(value, once)
			}
		}
	}
	return text, found
}

// inHeader reads a field: "Bearer" and a token (RFC 6750 §2.1); the word may be missing where nothing else can be meant.
func inHeader(value string, strict bool) (string, shown) {
	const scheme = "bearer"
	if len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) && (len(value) == len(scheme) || value[len(scheme)] == ' ') {
		text := strings.TrimLeft(value[len(scheme):], " ")
		if text == "" {
			return "", wrong
		}
		return text, once
	}
	if strict || value == "" {
		return "", none // another scheme is another policy's
	}
	return value, once
}

// nextCookie takes the first pair off a Cookie field.
func nextCookie(value string) (pair, rest string) {
	pair, rest, _ = strings.Cut(value, ";")
	return strings.Trim(pair, " \t"), rest
}

func cookieValue(pair, name string) (string, bool) {
	key, value, ok := strings.Cut(pair, "=")
	if !ok || strings.Trim(key, " \t") != name {
		return "", false
	}
	value = strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, true
}

// queryValue reads a pair of the query. A name that is escaped means the same to endpoints, so it does here; a token never needs escapes,
// and one with them is found malformed.
func queryValue(pair, name string) (string, bool) {
	key, value, _ := strings.Cut(pair, "=")
	if key == name {
		return value, true
	}
	if strings.Contains(key, "%") {
		plain, err := url.QueryUnescape(key)
		return value, err == nil && plain == name
	}
	return "", false
}

// hide takes what endpoints are not to see out of the places a token may be in, whether it is a good one or not.
func (p *jwt) hide(r *exchange.Request) {
	if p.options.Query != "" && r.Query != "" {
		p.hideParameter(r)
	}
	if p.options.Forward {
		return
	}
	known := exchange.Lookup(p.options.Header)
	if known == exchange.Other {
		r.Header.DelHeader(p.options.Header)
	} else if value, there := r.Header.Get(known); there {
		if _, found := inHeader(value, true); found != none {
			r.Header.Del(known)
		}
	}
	if p.options.Cookie != "" {
		p.hideCookie(r)
	}
}

func (p *jwt) hideParameter(r *exchange.Request) {
	var kept []string
	found := false
	for pair := range strings.SplitSeq(r.Query, "&") {
		if _, is := queryValue(pair, p.options.Query); is {
			found = true
		} else {
			kept = append(kept, pair)
		}
	}
	if found {
		r.Query = strings.Join(kept, "&")
	}
}

func (p *jwt) hideCookie(r *exchange.Request) {
	var left []string // what is left of each field
	found := false
	for _, f := range r.Header.All() {
		if f.Known != exchange.Cookie {
			continue
		}
		var kept []string
		for rest, pair := f.Value, ""; rest != ""; {
			pair, rest = nextCookie(rest)
			if _, is := cookieValue(pair, p.options.Cookie); is {
				found = true
			} else {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			left = append(left, strings.Join(kept, "; "))
		}
	}
	if !found {
		return
	}
	r.Header.Del(exchange.Cookie)
	for _, value := range left {
		r.Header.Append(exchange.Cookie, exchange.Cookie.String(), value)
	}
}

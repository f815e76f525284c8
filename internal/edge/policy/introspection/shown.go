package introspection

import (
	"net/url"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// shown is what a request shows: how often a token, and the last of them.
type shown struct {
	token string
	times int
}

func (s *shown) add(token string) { s.token, s.times = token, s.times+1 }

// find looks for a token in every place it may be.
func (u *checked) find(r *exchange.Request) (s shown) {
	others := 0 // fields Authorization of other schemes
	for _, f := range r.Header.All() {
		switch {
		case u.carries(&f):
			if token, is := bearer(f.Value, u.header == exchange.Authorization); is {
				s.add(token)
			} else {
				others++
			}
		case f.Known == exchange.Cookie && u.options.Cookie != "":
			for pair := range strings.SplitSeq(f.Value, ";") {
				if token, is := u.inCookie(pair); is {
					s.add(token)
				}
			}
		}
	}
	if u.options.Query != "" {
		for pair := range strings.SplitSeq(r.Query, "&") {
			if token, is := u.inQuery(pair); is {
				s.add(token)
			}
		}
	}
	if s.times > 0 && u.header == exchange.Authorization {
		s.times += others // nobody knows which of them endpoints will believe
	}
	return s
}

// carries says whether this is the field that tokens are in.
func (u *checked) carries(f *exchange.Field) bool {
	return f.Known == u.header && (u.header != exchange.Other || strings.EqualFold(f.Name, u.options.Header))
}

// bearer reads the value of a field (RFC 6750 §2.1). In Authorization the scheme must be there: another one is another policy's.
func bearer(value string, must bool) (token string, is bool) {
	scheme, rest, _ := strings.Cut(value, " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimLeft(rest, " "), true
	}
	return value, !must && value != ""
}

func (u *checked) inCookie(pair string) (token string, is bool) {
	key, value, _ := strings.Cut(pair, "=")
	if strings.Trim(key, " \t") != u.options.Cookie {
		return "", false
	}
	value = strings.Trim(value, " \t")
	if inner, quoted := strings.CutPrefix(value, `"`); quoted {
		value = strings.TrimSuffix(inner, `"`)
	}
	return value, true
}

// inQuery reads a pair of the query, escaped or not: endpoints will take it for the same.
func (u *checked) inQuery(pair string) (token string, is bool) {
	key, value, _ := strings.Cut(pair, "=")
	if strings.Contains(key, "%") {
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
	}
	if key != u.options.Query {
		return "", false
	}
	if strings.ContainsAny(value, "%+") {
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
	}
	return value, true
}

// hide takes the token out of every place it may be in, good or not.
func (u *checked) hide(r *exchange.Request) {
	carried, baked := false, false
	for _, f := range r.Header.All() {
		if u.carries(&f) {
			_, is := bearer(f.Value, u.header == exchange.Authorization)
			carried = carried || is
		} else if f.Known == exchange.Cookie && u.options.Cookie != "" {
			_, found := without(f.Value, ";", u.inCookie)
			baked = baked || found
		}
	}
	if carried {
		r.Header.DelHeader(u.options.Header)
	}
	if baked {
		var left []string
		for _, f := range r.Header.All() {
			if f.Known == exchange.Cookie {
				if rest, _ := without(f.Value, ";", u.inCookie); rest != "" {
					left = append(left, rest)
				}
			}
		}
		r.Header.Del(exchange.Cookie)
		for _, value := range left {
			r.Header.Append(exchange.Cookie, exchange.Cookie.String(), value)
		}
	}
	if u.options.Query != "" {
		if rest, found := without(r.Query, "&", u.inQuery); found {
			r.Query = rest
		}
	}
}

// without is a list without the items that are a token, and whether there were any.
func without(list, between string, is func(string) (string, bool)) (string, bool) {
	var kept []string
	found := false
	for item := range strings.SplitSeq(list, between) {
		if _, it := is(item); it {
			found = true
			continue
		}
		kept = append(kept, item)
	}
	return strings.Trim(strings.Join(kept, between), " \t"), found
}

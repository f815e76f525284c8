package policy

import (
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// Shown says where a request may show a credential that is text, such as a key or a token. Check has to be called first; after that it is
// not changed and used by many exchanges at once.
//
// A parameter is looked for in Request.Target, which stays as received, and taken out of Request.Query, which endpoints and logs get. So
// two methods may take the same parameter, and one that asks for a signature of the address sees what the client signed.
type Shown struct {
	// Header is the name of the field, empty for none.
	Header string
	// Scheme is the word in front of the credential there (RFC 9110 §11.4), in any case; empty for none. A field with another one shows
	// nothing.
	Scheme string
	// Bare says that the word may be missing in fields other than Authorization.
	Bare bool
	// Query and Cookie are the names of a query parameter and a cookie, empty for none.
	Query, Cookie string
	// Forward leaves the credential in the field and the cookie for endpoints. In the query it never stays.
	Forward bool

	known exchange.Known // what Header is
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

// Check says what is wrong with the places, at the options header, scheme, query and cookie.
func (s *Shown) Check(o Options) error {
	switch s.known = exchange.Lookup(s.Header); {
	case s.Header == "" && s.Query == "" && s.Cookie == "":
		return o.Errorf("header", "no place is left where a credential may stand; name a header, a query parameter or a cookie")
	case strings.Trim(s.Header, letters) != "":
		return o.Errorf("header", "%q is not a field name: letters, digits and hyphens are allowed", s.Header)
	case s.known == exchange.Authorization && s.Scheme == "":
		return o.Errorf("header", "Authorization carries more than a key; add the word in front of it, such as scheme: ApiKey")
	case s.known != exchange.Other && s.known != exchange.Authorization:
		return o.Errorf("header", "%s has a meaning of its own in HTTP or to this gateway; choose another name, such as X-Api-Key", s.known)
	case s.Scheme != "" && !grammar.IsToken(s.Scheme):
		return o.Errorf("scheme", "%q is not a word of RFC 9110 §11.1: no spaces, quotes and the like", s.Scheme)
	case s.Scheme != "" && s.Header == "" && !s.Bare:
		return o.Errorf("scheme", "the scheme stands in front of a credential in a header, and header is empty")
	case strings.Trim(s.Query, letters+"._") != "":
		return o.Errorf("query", "%q is not a name for a parameter: letters, digits, - . and _ are allowed", s.Query)
	case strings.Trim(s.Cookie, letters+"._") != "":
		return o.Errorf("cookie", "%q is not a name for a cookie: letters, digits, - . and _ are allowed", s.Cookie)
	}
	return nil
}

// Find gives the credential and how many there are, 2 standing for any more: nobody knows then which one endpoints would believe. A field
// beside another one of the same name counts for two, whatever the other says. The credential may be empty, which is a bad one. It is a view
// of the request, unless it stands in the query and is escaped.
//
// What is found in the query is taken out at once, so that it reaches no log, no other service and no endpoint, whatever becomes of it.
// A cookie, if there is one, is set aside unless Forward says otherwise: other methods still find it, and no service is sent it, see SetAside.
func (s *Shown) Find(x *exchange.Exchange) (credential string, times int) {
	lines, fields, cookies, parameters := 0, 0, 0, 0
	add := func(one string, count *int) {
		if *count++; fields+cookies+parameters == 1 {
			credential = one
		}
	}
	all := x.Request.Header.All()
	for i := range all {
		f := &all[i]
		if s.isHeader(f) {
			lines++
			if one, ok := s.inField(f.Value); ok {
				add(one, &fields)
			}
		} else if s.Cookie != "" && f.Known == exchange.Cookie {
			for rest := f.Value; rest != ""; {
				var pair string
				pair, rest, _ = strings.Cut(rest, ";")
				if one, ok := s.inCookie(pair); ok {
					add(one, &cookies)
				}
			}
		}
	}
	if s.Query != "" {
		_, rest, _ := strings.Cut(x.Request.Target, "?")
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, "&")
			if one, ok := s.inQuery(pair); ok {
				add(unescape(one), &parameters)
			}
		}
	}
	if parameters > 0 {
		s.Conceal(x)
	}
	switch {
	case s.Forward || cookies == 0:
	case cookies == 1:
		s.setAside(x)
	default:
		s.takeCookie(x) // no method goes on with those, and a field for each would cost more than they did
	}
	if fields > 0 {
		fields = lines
	}
	return credential, min(fields+cookies+parameters, 2)
}

// Conceal takes credentials out of the query, good or not. Find finds them all the same.
func (s *Shown) Conceal(x *exchange.Exchange) {
	if s.Query == "" || x.Request.Query == "" {
		return
	}
	if rest, any := without(x.Request.Query, '&', func(pair string) bool { _, ok := s.inQuery(pair); return ok }); any {
		x.Request.Query = rest
	}
}

// Take takes credentials out of every place where endpoints are not to see them, whether they were looked for or not: with Forward, those
// that were accepted stay. What another method accepted and forwards stays too.
func (s *Shown) Take(x *exchange.Exchange, finding Finding) {
	s.Conceal(x)
	if s.Forward && finding == Accepted {
		s.putBack(x)
		return
	}
	s.takeCookie(x)
	s.takeField(x)
}

// Vouched says whether the value of a field is the credential that a method accepted and that endpoints are to see, see
// exchange.Exchange.Vouched: by itself, or with one word for its scheme in front. Nothing else may stand beside it, or a client could hide
// a forged credential next to its good one.
func Vouched(x *exchange.Exchange, value string) bool {
	if x.Vouched == "" || value == x.Vouched {
		return x.Vouched != ""
	}
	end := strings.IndexAny(value, " \t")
	return end > 0 && strings.TrimLeft(value[end:], " \t") == x.Vouched
}

func (s *Shown) isHeader(f *exchange.Field) bool {
	return s.Header != "" && f.Known == s.known && (s.known != exchange.Other || len(f.Name) == len(s.Header) && strings.EqualFold(f.Name, s.Header))
}

// inField gives the credential of a field's value. One with another scheme in front is another method's.
func (s *Shown) inField(value string) (credential string, ok bool) {
	n := len(s.Scheme)
	if n == 0 {
		return value, true
	}
	if len(value) >= n && strings.EqualFold(value[:n], s.Scheme) && (len(value) == n || value[n] == ' ' || value[n] == '\t') {
		return strings.TrimLeft(value[n:], " \t"), true
	}
	return value, s.Bare && s.known != exchange.Authorization && value != ""
}

// inCookie gives the value of a pair of the Cookie field (RFC 6265 §4.2.1), which may be quoted.
func (s *Shown) inCookie(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	if strings.Trim(name, " \t") != s.Cookie {
		return "", false
	}
	value = strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return value, true
}

// inQuery gives the value of a parameter, still escaped. Its name may be escaped too: endpoints would understand it.
func (s *Shown) inQuery(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	return value, name == s.Query || len(name) > len(s.Query) && len(name) <= 3*len(s.Query) && unescape(name) == s.Query
}

// takeField takes the credential's fields out of the header. Those of the same name that show something else stay.
func (s *Shown) takeField(x *exchange.Exchange) {
	h := &x.Request.Header
	shown := false
	var others []exchange.Field
	all := h.All()
	for i := range all {
		if !s.isHeader(&all[i]) {
			continue
		}
		if _, ok := s.inField(all[i].Value); ok && !Vouched(x, all[i].Value) {
			shown = true
		} else {
			others = append(others, all[i])
		}
	}
	if !shown {
		return
	}
	if s.known != exchange.Other {
		h.Del(s.known)
	} else {
		h.DelHeader(s.Header)
	}
	for _, f := range others {
		h.Append(f.Known, f.Name, f.Value)
	}
}

// aside is the name of a Cookie field that was set aside. It is told from a client's by where the text lies, not by the text, so that nobody
// can send one, and one that went on by mistake would be a cookie like others (RFC 9113 §8.2.3 splits them in the same way).
var aside = strings.Clone("Cookie")

// SetAside says whether a field holds cookies that are credentials which endpoints are not to see. No service is to be sent it.
func SetAside(f *exchange.Field) bool {
	return f.Known == exchange.Cookie && unsafe.StringData(f.Name) == unsafe.StringData(aside)
}

// setAside moves the credential's cookies into fields of their own, which stay until Take.
func (s *Shown) setAside(x *exchange.Exchange) {
	h := &x.Request.Header
	emptied := false
	for i := range h.Len() {
		f := &h.All()[i]
		if f.Known != exchange.Cookie || SetAside(f) {
			continue
		}
		value := f.Value
		rest, any := without(value, ';', s.isCookie)
		if !any {
			continue
		}
		f.Value = strings.Trim(rest, " \t")
		emptied = emptied || f.Value == ""
		for value != "" {
			var pair string
			if pair, value, _ = strings.Cut(value, ";"); s.isCookie(pair) {
				h.Append(exchange.Cookie, aside, strings.Trim(pair, " \t"))
			}
		}
	}
	if emptied {
		dropEmptyCookies(h)
	}
}

// putBack lets endpoints see the credential's cookies though another method had set them aside.
func (s *Shown) putBack(x *exchange.Exchange) {
	all := x.Request.Header.All()
	for i := range all {
		if SetAside(&all[i]) && s.isCookie(all[i].Value) {
			all[i].Name = exchange.Cookie.String()
		}
	}
}

func (s *Shown) isCookie(pair string) bool { _, ok := s.inCookie(pair); return ok }

// takeCookie takes the credential's cookies out, and with the last cookie the field.
func (s *Shown) takeCookie(x *exchange.Exchange) {
	if s.Cookie == "" {
		return
	}
	// A cookie that another method vouches for stays, and that method puts it back.
	all := x.Request.Header.All()
	emptied := false
	for i := range all {
		if all[i].Known != exchange.Cookie {
			continue
		}
		if rest, any := without(all[i].Value, ';', func(pair string) bool {
			one, ok := s.inCookie(pair)
			return ok && (x.Vouched == "" || one != x.Vouched)
		}); any {
			all[i].Value = strings.Trim(rest, " \t")
			emptied = emptied || all[i].Value == ""
		}
	}
	if emptied {
		dropEmptyCookies(&x.Request.Header)
	}
}

// dropEmptyCookies takes fields out that no cookie is left in, and leaves all others where they stand.
func dropEmptyCookies(h *exchange.Fields) {
	const nameless = "" // nobody can send such a field
	all := h.All()
	for i := range all {
		if all[i].Known == exchange.Cookie && all[i].Value == "" {
			all[i].Known, all[i].Name = exchange.Other, nameless
		}
	}
	h.DelHeader(nameless)
}

// unescape undoes what the query of a form escapes. Escapes that are none are left as they are.
func unescape(text string) string {
	if strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 {
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

// without is a list without the elements that drop names, and whether there were any. Nothing is copied when they stand at an end.
func without(list string, separator byte, drop func(element string) bool) (rest string, any bool) {
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

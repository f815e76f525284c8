package route

import "strings"

// condition is a header field or query parameter a route asks for.
type condition struct {
	name    string // header names in lower case
	value   string // to be equal to, unless present
	query   bool   // of the query; else of the header
	present bool   // any value will do
}

func (c *condition) String() string {
	kind, value := "header ", c.value
	if c.query {
		kind = "query "
	}
	if c.present {
		value = "*"
	}
	return kind + c.name + ": " + value
}

// holds looks at the first field line, or the first query parameter, of that
// name; so two conditions on one name with different values exclude each other.
func (c *condition) holds(q *Query) bool {
	if c.query {
		value, ok := queryValue(q.RawQuery, c.name)
		return ok && (c.present || equalDecoded(value, c.value))
	}
	if q.Header == nil {
		return false
	}
	value, ok := q.Header.Header(c.name)
	return ok && (c.present || value == c.value)
}

func allHold(conditions []condition, q *Query) bool {
	for i := range conditions {
		if !conditions[i].holds(q) {
			return false
		}
	}
	return true
}

// queryValue finds the first parameter of that name and gives its raw value.
// Parameters are separated by & alone.
func queryValue(raw, name string) (string, bool) {
	for raw != "" {
		pair := raw
		if i := strings.IndexByte(raw, '&'); i >= 0 {
			pair, raw = raw[:i], raw[i+1:]
		} else {
			raw = ""
		}
		key, value := pair, ""
		if i := strings.IndexByte(pair, '='); i >= 0 {
			key, value = pair[:i], pair[i+1:]
		}
		if pair != "" && equalDecoded(key, name) {
			return value, true
		}
	}
	return "", false
}

// equalDecoded compares the form-decoded raw (+ is a space) with want. An escape
// that is none stands for itself.
func equalDecoded(raw, want string) bool {
	n := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]):
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
		}
		if n == len(want) || want[n] != c {
			return false
		}
		n++
	}
	return n == len(want)
}

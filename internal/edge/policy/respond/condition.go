package respond

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// has says whether a client has what has this tag (RFC 9110 §13.1.2). Tags are compared weakly, as is asked for there.
func has(x *exchange.Exchange, tag string) bool {
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" {
		return false
	}
	fields := x.Request.Header.All()
	for i := range fields {
		if fields[i].Known == exchange.IfNoneMatch && lists(fields[i].Value, tag) {
			return true
		}
	}
	return false
}

// lists says whether tag is in a list of entity tags, or the list is a star. What is no list has none. tag is a strong one.
func lists(list, tag string) bool {
	if list == "*" {
		return true
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		one := strings.TrimPrefix(list, "W/")
		if one == "" || one[0] != '"' {
			return false
		}
		end := strings.IndexByte(one[1:], '"')
		if end < 0 {
			return false
		}
		if one[:end+2] == tag {
			return true
		}
		list = one[end+2:]
	}
}

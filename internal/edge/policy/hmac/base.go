package hmac

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
)

// appendBase appends the signature base (RFC 9421 §2.5): what the signature was made over, if it is good. It returns false when the request
// lacks one of the components, or nothing is known of it.
func appendBase(b []byte, q *exchange.Request, s *signature) ([]byte, bool) {
	for _, name := range s.components[:s.n] {
		b = append(append(append(b, '"'), name...), `": `...)
		var ok bool
		if name[0] == '@' {
			b, ok = appendDerived(b, q, name)
		} else {
			b, ok = appendField(b, &q.Header, name)
		}
		if !ok {
			return b, false
		}
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, s.params...), true
}

// appendField appends the values of all lines of a field.
func appendField(b []byte, header *exchange.Fields, name string) ([]byte, bool) {
	known, found := exchange.Lookup(name), false
	all := header.All()
	for i := range all {
		if all[i].Known != known || known == exchange.Other && !strings.EqualFold(all[i].Name, name) {
			continue
		}
		if found {
			b = append(b, ", "...)
		}
		b, found = append(b, all[i].Value...), true
	}
	return b, found
}

// appendDerived appends a derived component (RFC 9421 §2.2). Path and query are those the client sent, not the canonical ones that routes
// are found by: the client signed the former, and they decide the latter.
func appendDerived(b []byte, q *exchange.Request, name string) ([]byte, bool) {
	switch name {
	case "@method":
		b = append(b, q.Method...)
	case "@scheme":
		b = append(b, q.Scheme...)
	case "@authority":
		b = appendAuthority(b, q)
	case "@target-uri":
		b = append(append(b, q.Scheme...), "://"...)
		b = appendAuthority(b, q)
		path, query, asked := split(q.Target)
		b = append(b, path...)
		if asked {
			b = append(append(b, '?'), query...)
		}
	case "@request-target":
		b = append(b, q.Target...)
	case "@path":
		path, _, _ := split(q.Target)
		b = append(b, path...)
	case "@query":
		_, query, _ := split(q.Target)
		b = append(append(b, '?'), query...)
	default:
		return b, false
	}
	return b, true
}

// derived are the derived components that are known.
var derived = []string{"@method", "@scheme", "@authority", "@target-uri", "@request-target", "@path", "@query"}

// appendAuthority appends the host in lower case, with its port unless it is the scheme's own.
func appendAuthority(b []byte, q *exchange.Request) []byte {
	b = append(b, q.Host...)
	if q.Port != "" && !(q.Scheme == "http" && q.Port == "80" || q.Scheme == "https" && q.Port == "443") {
		b = append(append(b, ':'), q.Port...)
	}
	return b
}

// split finds path and query in a request target, and whether there is a query at all.
func split(target string) (path, query string, asked bool) {
	if _, rest, absolute := strings.Cut(target, "://"); absolute && target[0] != '/' {
		at := strings.IndexAny(rest, "/?")
		if at < 0 {
			at = len(rest)
		}
		target = rest[at:]
	}
	path, query, asked = strings.Cut(target, "?")
	if path == "" {
		path = "/"
	}
	return path, query, asked
}

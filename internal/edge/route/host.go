package route

import (
	"fmt"
	"strings"

	"straum.dev/straum/internal/edge/grammar"
)

// AppendHost gives the form of a Host value that Lookup wants: lower case, no
// port, no trailing dot. A value that has this form, perhaps followed by a port,
// is returned as a part of itself; otherwise the form is appended to dst, and
// the host given shares dst's memory. It does not check the syntax (step 2 does).
func AppendHost(dst []byte, raw string) (host string, ext []byte) {
	host = raw
	// The last colon begins a port unless it stands inside an IPv6 literal.
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return grammar.AppendLower(dst, grammar.TrimDot(host))
}

// hostPattern is a host a route asks for: a name, the suffix of a wildcard, or any.
type hostPattern struct {
	name string // without "*." and without trailing dot; empty is any host
	wild bool
}

func (h hostPattern) String() string {
	switch {
	case h.name == "":
		return "*"
	case h.wild:
		return "*." + h.name
	}
	return h.name
}

func parseHost(text string) (hostPattern, error) {
	if text == "*" {
		return hostPattern{}, nil
	}
	h := hostPattern{name: strings.TrimSuffix(strings.ToLower(text), ".")}
	if strings.HasPrefix(h.name, "*.") {
		h.name, h.wild = h.name[2:], true
	}
	if strings.HasPrefix(h.name, "[") && strings.HasSuffix(h.name, "]") && !h.wild {
		return h, nil
	}
	if h.name == "" {
		return h, fmt.Errorf("host %q is empty: write a name, a wildcard such as *.example.com, or leave hosts out for any host", text)
	}
	if len(h.name) > 253 {
		return h, fmt.Errorf("host %.40q... has %d characters: a name has at most 253", text, len(h.name))
	}
	for label := range strings.SplitSeq(h.name, ".") {
		if label == "" {
			return h, fmt.Errorf("host %q has an empty label: write single dots between labels", text)
		}
		for _, c := range label {
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			case c == '*':
				return h, fmt.Errorf("host %q has a * elsewhere than as its whole first label: write *.example.com", text)
			case c == ':':
				return h, fmt.Errorf("host %q has a port: ports belong to listeners, write the name alone", text)
			case c > 0x7F:
				return h, fmt.Errorf("host %q has a character outside ASCII: write the xn-- form", text)
			default:
				return h, fmt.Errorf("host %q has the character %q: a name holds letters, digits, - and _", text, c)
			}
		}
	}
	return h, nil
}

package redirect

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// target is an address, in parts that are put together each in its own way (RFC 3986 §3).
type target struct {
	scheme   string           // with "://" behind; empty for the client's
	host     *policy.Template // with its port; nil for an address on the host that was asked
	path     *policy.Template
	query    *policy.Template // nil for none
	fragment string           // with "#" before
	own      bool             // the scheme is the one that the client came by
}

// The facts that may be a whole host, and the one that begins with a slash.
const (
	hostFact      = "{request.host}"
	authorityFact = "{request.authority}"
	pathFact      = "{request.path}"
	schemeFact    = "{request.scheme}"
)

// newTarget takes an address of the configuration apart.
func newTarget(text string) (*target, error) {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^`+"`", c) >= 0 {
			return nil, fmt.Errorf("%.80q has a character at byte %d that no address has; write it with a percent sign, as %%20 for a space", text, i+1)
		}
	}
	if strings.Contains(text, "{{") || strings.Contains(text, "}}") {
		return nil, fmt.Errorf("%.80q has a brace, which no address has; write %%7B and %%7D", text)
	}
	t := &target{}
	rest := text
	if hash := outside(rest, "#"); hash >= 0 {
		rest, t.fragment = rest[:hash], rest[hash:]
		if strings.ContainsAny(t.fragment, "{}") {
			return nil, errors.New("what stands behind # is the same for all; take the braces out of it")
		}
	}
	var query string
	if mark := outside(rest, "?"); mark >= 0 {
		rest, query = rest[:mark], rest[mark+1:]
		if query == "" {
			return nil, errors.New("there is a ? with nothing behind; remove it")
		}
	}
	var err error
	if query != "" {
		if t.query, err = policy.NewTemplate(query); err != nil {
			return nil, err
		}
	}
	path := rest
	if scheme, behind, absolute := strings.Cut(rest, "://"); absolute && outside(scheme, "/") < 0 {
		switch {
		case scheme == schemeFact:
			t.own = true
		case scheme == "http" || scheme == "https":
			t.scheme = scheme + "://"
		default:
			return nil, fmt.Errorf("%.80q leads to %.20q; allowed: http, https and %s", text, scheme, schemeFact)
		}
		slash := outside(behind, "/")
		if at := strings.Index(behind, pathFact); at >= 0 && (slash < 0 || at < slash) {
			slash = at // it brings its slash
		}
		if slash < 0 {
			slash, behind = len(behind), behind+"/"
		}
		path = behind[slash:]
		if t.host, err = newHost(behind[:slash]); err != nil {
			return nil, err
		}
	}
	if path == "" || path[0] != '/' && !strings.HasPrefix(path, pathFact) {
		return nil, fmt.Errorf("%.80q is neither an address nor a path, or lets the client say which; begin with https://, http:// or a slash", text)
	}
	if t.host == nil && strings.HasPrefix(path, "//") {
		return nil, fmt.Errorf("%.80q begins with two slashes, behind which a host would stand; write https:// before it, or one slash", text)
	}
	if t.path, err = policy.NewTemplate(path); err != nil {
		return nil, err
	}
	if constant, ok := t.path.Constant(); ok && climbs([]byte(constant)) {
		return nil, fmt.Errorf("%.80q has a . or .. for a segment; write the path that is meant", text)
	}
	return t, nil
}

// outside finds the first of some bytes that is not between braces.
func outside(text, bytes string) int {
	inside := false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '{' || c == '}':
			inside = c == '{'
		case !inside && strings.IndexByte(bytes, c) >= 0:
			return i
		}
	}
	return -1
}

// newHost compiles a host. A fact of the client's choice may be a label of it and no more: a domain has to stand behind that is somebody's, which one
// of the top level is not.
func newHost(text string) (*policy.Template, error) {
	if strings.ContainsAny(text, "@") {
		return nil, errors.New("a name or a password before the host is taken for the host by people; remove it")
	}
	sample := strings.NewReplacer(authorityFact, "a.example:1", hostFact, "a.example").Replace(text)
	for at := strings.IndexByte(sample, '{'); at >= 0; at = strings.IndexByte(sample, '{') {
		end := strings.IndexByte(sample, '}')
		if end < at || end+1 == len(sample) || sample[end+1] != '.' || !strings.Contains(sample[end+2:], ".") {
			return nil, fmt.Errorf("the host %.80q ends in what the client says, so that it could lead anywhere; allowed: %s, %s, and other facts before a domain of two labels at least", text, hostFact, authorityFact)
		}
		sample = sample[:at] + "a" + sample[end+1:]
	}
	if _, _, ok := grammar.SplitHost(sample); !ok {
		return nil, fmt.Errorf("the host %.80q is not valid; write a name or an address, and a port if it is not the usual one", text)
	}
	return policy.NewTemplate(text)
}

// append appends the address for a request, with the query of the request behind its own. It reports false when none comes of it.
func (t *target) append(dst []byte, x *exchange.Exchange, query string) ([]byte, bool) {
	ok := true
	if t.host != nil {
		if dst = append(dst, t.scheme...); t.own {
			dst = append(append(dst, x.Request.Scheme...), "://"...)
		}
		if dst, ok = t.host.AppendHost(dst, x); !ok {
			return dst, false
		}
	}
	path := len(dst)
	if dst, ok = t.path.AppendPath(dst, x); !ok || climbs(dst[path:]) {
		return dst, false
	}
	if t.host == nil { // two slashes would begin a host
		dst = oneSlash(dst, path)
	}
	mark := byte('?')
	if t.query != nil {
		if dst, ok = t.query.AppendQuery(append(dst, mark), x); !ok {
			return dst, false
		}
		mark = '&'
	}
	if query != "" {
		dst = policy.AppendEscaped(append(dst, mark), query)
	}
	dst = append(dst, t.fragment...)
	return dst, len(dst) <= policy.MaxFilled
}

// oneSlash takes all but one of the slashes away that a path begins with.
func oneSlash(dst []byte, path int) []byte {
	more := 0
	for path+1+more < len(dst) && dst[path+1+more] == '/' {
		more++
	}
	return append(dst[:path+1], dst[path+1+more:]...)
}

// climbs says whether a path has a segment that browsers take for the directory itself or the one above (URL standard §4.4).
func climbs(path []byte) bool {
	for len(path) > 0 {
		var segment []byte
		segment, path, _ = bytes.Cut(path, []byte("/"))
		dots := 0
		for len(segment) > 0 && dots < 3 {
			switch {
			case segment[0] == '.':
				segment = segment[1:]
			case len(segment) > 2 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
				segment = segment[3:]
			default:
				dots = 3
				continue
			}
			dots++
		}
		if dots == 1 || dots == 2 {
			return true
		}
	}
	return false
}

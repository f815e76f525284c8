package route

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds on what a route may ask for. More is refused when the table is built.
const (
	MaxParams     = 16 // {param} segments in one path; also the size of Match
	MaxSegments   = 64 // segments of one path
	MaxConditions = 16 // header and query conditions of one route
	MaxMethods    = 64 // different methods named in one table
)

// pattern is a path a route asks for. It is shared by all hosts of the route.
type pattern struct {
	text   string   // in canonical form, the operator's parameter names kept
	params []string // names in order, without braces
	rest   bool     // ends in /*
}

// segment is one step of a pattern through the tree. The segment of a trailing
// slash, and the only one of "/", is the empty literal.
type segment struct {
	literal string
	param   bool
}

var errDotSegment = errors.New("a . or .. segment can never match, for such segments are removed from the request's path first")

// parsePattern reads a path pattern: literal segments, whole {param} segments,
// and at most one * as the last segment.
func parsePattern(text string, encodedSlash bool) (*pattern, []segment, error) {
	p := &pattern{}
	if text == "" || text[0] != '/' {
		return nil, nil, fmt.Errorf("path %q does not begin with a slash: write /%s", text, text)
	}
	parts := strings.Split(text[1:], "/")
	if len(parts) > MaxSegments {
		return nil, nil, fmt.Errorf("path %.40q... has %d segments: at most %d are allowed", text, len(parts), MaxSegments)
	}
	canonical := make([]byte, 0, len(text))
	segments := make([]segment, 0, len(parts))
	for i, part := range parts {
		last := i == len(parts)-1
		canonical = append(canonical, '/')
		switch {
		case part == "*" && last:
			p.rest = true
			canonical = append(canonical, '*')
			continue
		case part == "*":
			return nil, nil, fmt.Errorf("path %q has a * before its end: write {name} for one segment, /* only as the end", text)
		case part == "" && !last:
			return nil, nil, fmt.Errorf("path %q has an empty segment: write one slash, as slashes in a row are one in the request's path", text)
		case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}"):
			name := part[1 : len(part)-1]
			if err := checkParamName(name); err != nil {
				return nil, nil, fmt.Errorf("path %q: %w", text, err)
			}
			for _, other := range p.params {
				if other == name {
					return nil, nil, fmt.Errorf("path %q has the parameter {%s} twice: give each a name of its own", text, name)
				}
			}
			if len(p.params) == MaxParams {
				return nil, nil, fmt.Errorf("path %q has more than %d parameters", text, MaxParams)
			}
			p.params = append(p.params, name)
			segments = append(segments, segment{param: true})
			canonical = append(canonical, part...)
			continue
		case strings.ContainsAny(part, "{}"):
			return nil, nil, fmt.Errorf("path %q has a brace inside the segment %q: a parameter is a whole segment, as in /{name}/", text, part)
		case strings.Contains(part, "*"):
			return nil, nil, fmt.Errorf("path %q has a * inside the segment %q: only a whole last segment may be *; write %%2A for the character", text, part)
		}
		from := len(canonical)
		var err error
		if canonical, err = appendLiteral(canonical, part, encodedSlash); err != nil {
			return nil, nil, fmt.Errorf("path %q: %w", text, err)
		}
		segments = append(segments, segment{literal: string(canonical[from:])})
	}
	p.text = string(canonical)
	for i, from := 0, 1; i < len(segments); i++ {
		// Literals share the memory of the text, which the table keeps anyway.
		n := strings.IndexByte(p.text[from:], '/')
		if n < 0 {
			n = len(p.text) - from
		}
		if !segments[i].param {
			segments[i].literal = p.text[from : from+n]
		}
		from += n + 1
	}
	return p, segments, nil
}

func checkParamName(name string) error {
	for i, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
			return fmt.Errorf("{%s} is no parameter: a name is a letter or _ and then letters, digits and _; for all that follows write /* as the end", name)
		}
	}
	if name == "" {
		return errors.New("{} has no name: write {name}")
	}
	return nil
}

// appendLiteral appends the canonical form of a literal segment. An operator may
// write characters outside ASCII; a client may not, and sends their UTF-8 encoded.
func appendLiteral(dst []byte, part string, encodedSlash bool) ([]byte, error) {
	raw := []byte{'/'}
	for i := 0; i < len(part); i++ {
		if part[i] >= 0x80 {
			raw = appendEscape(raw, part[i])
		} else {
			raw = append(raw, part[i])
		}
	}
	c, _, err := AppendCanonical(nil, string(raw))
	switch {
	case errors.Is(err, ErrAboveRoot):
		return dst, errDotSegment
	case err != nil:
		return dst, err
	case c.Path == "/" && part != "":
		return dst, errDotSegment
	case c.EncodedSlash && !encodedSlash:
		return dst, fmt.Errorf("segment %q holds an encoded slash, which the route refuses: set encoded_slash on the route", part)
	}
	return append(dst, c.Path[1:]...), nil
}

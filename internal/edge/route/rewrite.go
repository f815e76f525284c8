package route

import (
	"fmt"
	"slices"
	"strings"
)

// Rewrite makes the path an upstream sees from the canonical path of a request
// and its Match. It is compiled once and may be used by any number of goroutines.
// The nil Rewrite changes nothing.
type Rewrite struct {
	strip int     // leading segments to drop; used when there are no parts
	parts []piece // the template
}

// piece is a stretch of a template: literal text, then perhaps a value.
type piece struct {
	literal string
	param   string // name; empty for none
	rest    bool   // {*}
}

// NewStripPrefix compiles strip_prefix: the path without the segments of prefix,
// "/" if nothing is left. Every path of the route must begin with the prefix,
// segment by segment, so that there is always something to strip; a {param} of
// the prefix must stand in the paths too.
func NewStripPrefix(prefix string, paths []string) (*Rewrite, error) {
	text := strings.TrimSuffix(prefix, "/")
	if text == "" {
		return nil, fmt.Errorf("strip_prefix %q strips nothing: leave it out", prefix)
	}
	want, segments, err := parsePattern(text, true)
	if err != nil {
		return nil, fmt.Errorf("strip_prefix: %w", err)
	}
	if want.rest {
		return nil, fmt.Errorf("strip_prefix %q ends in /*: write the part to strip alone, %s", prefix, strings.TrimSuffix(text, "/*"))
	}
	for _, path := range pathsOrAny(paths) {
		p, _, err := parsePattern(path, true)
		if err != nil {
			return nil, err
		}
		if left, ok := strings.CutPrefix(p.text, want.text); !ok || left != "" && left[0] != '/' {
			return nil, fmt.Errorf("strip_prefix %q: the route's path %s does not begin with it", prefix, path)
		}
	}
	return &Rewrite{strip: len(segments)}, nil
}

// NewRewrite compiles a template such as /v2/{id} or /new/{*}. {name} stands for
// a parameter that every path of the route has, {*} for what the /* of the paths
// took; it must be the whole last segment. Without {*}, what /* took is dropped.
//
// When the request's path was the bare prefix of /*, the slash in front of {*}
// is left out as well: with path /a/* and template /b/{*}, /a becomes /b, /a/
// becomes /b/, and /a/x becomes /b/x.
func NewRewrite(template string, paths []string) (*Rewrite, error) {
	fail := func(format string, args ...any) (*Rewrite, error) {
		return nil, fmt.Errorf("rewrite %q: "+format, append([]any{template}, args...)...)
	}
	if template == "" || template[0] != '/' {
		return fail("it does not begin with a slash: write /%s", template)
	}
	r := &Rewrite{}
	var p piece
	literal := []byte{}
	parts := strings.Split(template[1:], "/")
	for i, part := range parts {
		literal = append(literal, '/')
		if part == "{*}" {
			if i < len(parts)-1 {
				return fail("{*} is not its end: what /* took can only be put last")
			}
			p.rest = true
			break
		}
		if part == "" && i < len(parts)-1 {
			return fail("it has an empty segment: write one slash")
		}
		for whole := part; part != ""; {
			before, after, found := strings.Cut(part, "{")
			if strings.ContainsAny(before, "}*") {
				return fail("%q in the segment %q is no parameter: write {name}, or {*} as the whole last segment", "}*", whole)
			}
			if before != "" {
				// A value beside dots could make a dot segment that upstreams act on.
				if before != whole && strings.Trim(before, ".") == "" {
					return fail("dots alone stand beside a parameter in the segment %q: put a letter to them or leave them out", whole)
				}
				var err error
				if literal, err = appendLiteral(literal, before, true); err != nil {
					return fail("%w", err)
				}
			}
			if !found {
				break
			}
			name, tail, closed := strings.Cut(after, "}")
			if !closed {
				return fail("the brace in the segment %q is not closed", whole)
			}
			if name == "*" {
				return fail("{*} shares the segment %q with something else: it must be the whole last segment", whole)
			}
			if err := checkParamName(name); err != nil {
				return fail("%w", err)
			}
			r.parts = append(r.parts, piece{literal: string(literal), param: name})
			literal, part = literal[:0], tail
		}
	}
	p.literal = string(literal)
	if p.literal != "" || p.rest {
		r.parts = append(r.parts, p)
	}
	if err := r.check(paths); err != nil {
		return fail("%w", err)
	}
	return r, nil
}

// check sees to it that every path of the route offers what the template takes.
func (r *Rewrite) check(paths []string) error {
	for _, path := range pathsOrAny(paths) {
		p, _, err := parsePattern(path, true)
		if err != nil {
			return err
		}
		for _, part := range r.parts {
			if part.rest && !p.rest {
				return fmt.Errorf("{*} stands for what /* takes, but the route's path %s does not end in /*", path)
			}
			if part.param != "" && !slices.Contains(p.params, part.param) {
				offers := "it has none"
				if len(p.params) > 0 {
					offers = "it has {" + strings.Join(p.params, "}, {") + "}"
				}
				return fmt.Errorf("the route's path %s has no parameter {%s}: %s", path, part.param, offers)
			}
		}
	}
	return nil
}

func pathsOrAny(paths []string) []string {
	if len(paths) == 0 {
		return []string{"/*"}
	}
	return paths
}

// Append appends the path for the upstream to dst, which grows only if it is too
// short. path is the canonical path m was found with. The result is canonical. It
// panics if m was not found by a path the Rewrite was compiled for.
func (r *Rewrite) Append(dst []byte, path string, m *Match) []byte {
	if r == nil {
		return append(dst, path...)
	}
	if len(r.parts) == 0 {
		for range r.strip {
			i := strings.IndexByte(path[1:], '/')
			if i < 0 {
				return append(dst, '/')
			}
			path = path[1+i:]
		}
		return append(dst, path...)
	}
	from := len(dst)
	for i := range r.parts {
		p := &r.parts[i]
		dst = append(dst, p.literal...)
		switch {
		case p.param != "":
			value, ok := m.Param(p.param)
			if !ok {
				panic("BUG: rewrite used with the match of another route")
			}
			dst = append(dst, value...)
		case p.rest && m.bare:
			if len(dst) > from+1 {
				dst = dst[:len(dst)-1]
			}
		case p.rest:
			dst = append(dst, m.rest...)
		}
	}
	return dst
}

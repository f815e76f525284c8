package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/route"
)

// path makes the path endpoints are asked for.
type path struct {
	to    *policy.Template // for the whole of it; nil for the rest
	strip string           // without a slash at its end
	parts []replacement
	add   *policy.Template // nil for nothing
}

// longest is how long a path may be once it is rewritten, in bytes.
const longest = policy.MaxFilled

var (
	errUntold  = errors.New("the rewritten path has a part that cannot be told of this request, or is too long")
	errDots    = errors.New("the rewritten path has a . or .. segment")
	errSlash   = errors.New("the rewritten path has an encoded slash or backslash that the client's path has not")
	errLongest = errors.New("the rewritten path is too long")
)

func newPath(options *Path) (*path, error) {
	p := &path{}
	var err error
	if options.To != "" {
		p.to, err = newTemplate("the path", options.To)
		return p, err
	}
	if options.StripPrefix != "" {
		prefix := strings.TrimSuffix(options.StripPrefix, "/")
		canonical, _, err := route.AppendCanonical(nil, prefix)
		switch {
		case prefix == "":
			return nil, fmt.Errorf("strip_prefix %q strips nothing: leave it out", options.StripPrefix)
		case err != nil:
			return nil, fmt.Errorf("strip_prefix %q: %w", options.StripPrefix, err)
		}
		p.strip = strings.Clone(canonical.Path)
	}
	for i := range options.Replace {
		r, err := newReplacement(&options.Replace[i])
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, r)
	}
	if options.AddPrefix != "" {
		if p.add, err = newTemplate("add_prefix", strings.TrimSuffix(options.AddPrefix, "/")); err != nil {
			return nil, err
		}
	}
	if p.strip == "" && p.parts == nil && p.add == nil {
		return nil, errors.New("nothing is done to the path: write a template, or strip_prefix, replace or add_prefix")
	}
	return p, nil
}

// newTemplate compiles a template that begins a path.
func newTemplate(what, text string) (*policy.Template, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("%s %.60q does not begin with a slash", what, text)
	}
	for rest := text; rest != ""; {
		var before string
		if before, rest, _ = strings.Cut(rest, "{"); strings.ContainsAny(before, "?#") {
			return nil, fmt.Errorf("%s %.60q has a query: that is set under query", what, text)
		}
		_, rest, _ = strings.Cut(rest, "}")
	}
	t, err := policy.NewTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if constant, ok := t.Constant(); ok {
		if _, _, err := route.AppendCanonical(nil, constant); err != nil {
			return nil, fmt.Errorf("%s %.60q: %w", what, text, err)
		}
		if hasDots(constant) {
			return nil, fmt.Errorf("%s %.60q has a . or .. segment", what, text)
		}
	}
	return t, nil
}

// of gives the path for an exchange, in canonical form, which lives as long as it does.
func (p *path) of(x *exchange.Exchange) (string, error) {
	b, ok := x.Scratch(), true
	if p.to != nil {
		if b, ok = p.to.AppendPath(b, x); !ok {
			return "", errUntold
		}
		return settle(x, b)
	}
	if p.add != nil {
		if b, ok = p.add.AppendPath(b, x); !ok {
			return "", errUntold
		}
	}
	from := len(b)
	b = append(b, p.stripped(x.Request.Path)...)
	for i := range p.parts {
		if b, ok = p.parts[i].apply(b, from); !ok {
			return "", errLongest
		}
	}
	return settle(x, b)
}

// stripped is the path without the prefix, if it has that.
func (p *path) stripped(whole string) string {
	rest, ok := strings.CutPrefix(whole, p.strip)
	switch {
	case !ok || p.strip == "", rest != "" && rest[0] != '/':
		return whole
	case rest == "":
		return "/"
	}
	return rest
}

// settle brings what was put together to canonical form and refuses what no configuration can have meant. Segments of dots would take away
// what stands before them; a slash that somebody escaped so that it is none would become one at an endpoint.
func settle(x *exchange.Exchange, b []byte) (string, error) {
	raw := x.KeepScratch(b)
	switch {
	case len(raw) > longest:
		return "", errLongest
	case hasDots(raw):
		return "", errDots
	}
	canonical, _, err := route.AppendCanonical(nil, raw)
	if err != nil {
		return "", err
	}
	if canonical.EncodedSlash && !strings.Contains(x.Request.Path, "%2F") && !strings.Contains(x.Request.Path, "%5C") {
		return "", errSlash
	}
	return canonical.Path, nil
}

// hasDots says whether a segment is . or .., also when its dots are encoded.
func hasDots(path string) bool {
	for path != "" {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		dots := 0
		for segment != "" && dots < 3 {
			switch {
			case segment[0] == '.':
				segment = segment[1:]
			case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && segment[2]|0x20 == 'e':
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

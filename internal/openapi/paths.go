package openapi

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// segment is a place in the tree of paths.
type segment struct {
	fixed   map[string]*segment
	open    []opening // more fixed text first
	methods map[string]*Operation
	allow   string
}

// opening is a segment with {names} in it.
type opening struct {
	text  string
	match *regexp.Regexp // nil for {name} alone
	next  *segment
}

var methods = []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}

// braces finds {names}.
var braces = regexp.MustCompile(`\{([^{}]+)\}`)

// paths makes the tree.
func (l *loading) paths(d *Document, root place) error {
	paths, _ := root.at("paths").value.(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		item, err := l.follow(root.at("paths", path))
		if err != nil {
			return err
		}
		end, names, err := d.paths.grow(path)
		if err != nil {
			return root.at("paths", path).errorf("%v", err)
		}
		if end.methods == nil {
			end.methods = map[string]*Operation{}
		}
		for _, method := range methods {
			at := item.at(strings.ToLower(method))
			if at.value == nil {
				continue
			}
			if end.methods[method] != nil {
				return at.errorf("two paths of the document are the same for a request")
			}
			if l.operations++; l.operations > maxOperations {
				return at.errorf("there are more than %d operations", maxOperations)
			}
			if end.methods[method], err = l.operation(item, at, names); err != nil {
				return err
			}
		}
		end.allow = strings.Join(slices.Sorted(maps.Keys(end.methods)), ", ")
	}
	d.Operations = l.operations
	return nil
}

// grow makes the place of a path. names are those in its braces, in order.
func (s *segment) grow(path string) (*segment, []string, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil, fmt.Errorf("a path begins with a slash")
	}
	var names []string
	for text := range strings.SplitSeq(path[1:], "/") {
		found := braces.FindAllStringSubmatchIndex(text, -1)
		if found == nil {
			if u, err := url.PathUnescape(text); err == nil {
				text = u
			}
			if s.fixed == nil {
				s.fixed = map[string]*segment{}
			}
			if s.fixed[text] == nil {
				s.fixed[text] = &segment{}
			}
			s = s.fixed[text]
			continue
		}
		o := opening{next: &segment{}}
		pattern, last := "^", 0
		for _, at := range found {
			names = append(names, text[at[2]:at[3]])
			pattern += regexp.QuoteMeta(text[last:at[0]]) + "(.+?)"
			o.text += text[last:at[0]] + "{}"
			last = at[1]
		}
		pattern += regexp.QuoteMeta(text[last:]) + "$"
		if o.text += text[last:]; o.text != "{}" {
			o.match = regexp.MustCompile(pattern)
		}
		if i := slices.IndexFunc(s.open, func(other opening) bool { return other.text == o.text }); i >= 0 {
			s = s.open[i].next
			continue
		}
		s.open = append(s.open, o)
		slices.SortStableFunc(s.open, func(a, b opening) int { return len(b.text) - len(a.text) })
		s = o.next
	}
	return s, names, nil
}

// maxTries bounds the search for a path.
const maxTries = 1000

// search finds the place of a path. values are what its braces stand for.
type search struct {
	values []string
	tries  int
}

// find goes down; what is fixed comes before what is open (OpenAPI 3.1.0 §4.8.8.2).
func (f *search) find(s *segment, path string) *segment {
	if f.tries++; f.tries > maxTries {
		return nil
	}
	text, rest, more := strings.Cut(path, "/")
	if u, err := url.PathUnescape(text); err == nil {
		text = u
	}
	down := func(next *segment) *segment {
		if !more {
			if next.methods == nil {
				return nil
			}
			return next
		}
		return f.find(next, rest)
	}
	if next := s.fixed[text]; next != nil {
		if end := down(next); end != nil {
			return end
		}
	}
	for i := range s.open {
		o, before := &s.open[i], len(f.values)
		switch {
		case o.match == nil && text != "":
			f.values = append(f.values, text)
		case o.match == nil:
			continue
		default:
			found := o.match.FindStringSubmatch(text)
			if found == nil {
				continue
			}
			f.values = append(f.values, found[1:]...)
		}
		if end := down(o.next); end != nil {
			return end
		}
		f.values = f.values[:before]
	}
	return nil
}

// Found is what a request is for.
type Found struct {
	*Operation
	values []string // of the path
	// Allow lists the methods the path has, when it has not this one and there is no Operation.
	Allow string
}

// Find finds the operation of a request. path is escaped, and not empty. ok is false when the document has no such path.
func (d *Document) Find(method, path string) (found Found, ok bool) {
	for _, base := range d.bases {
		rest, below := strings.CutPrefix(path, base)
		if !below || !strings.HasPrefix(rest, "/") {
			continue
		}
		f := search{}
		end := f.find(d.paths, rest[1:])
		if end == nil {
			continue
		}
		operation := end.methods[method]
		if operation == nil && method == "HEAD" {
			operation = end.methods["GET"]
		}
		if operation != nil {
			return Found{Operation: operation, values: f.values}, true
		}
		found.Allow, ok = end.allow, true
	}
	return found, ok
}

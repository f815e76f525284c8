// Package openapi judges requests by a document in OpenAPI 3.0 or 3.1: whether there is such an operation, and whether parameters and body are as
// it says.
//
// It is used by policies of step 4, and knows nothing of exchanges. In reading order: openapi.go (loading), older.go (schemas of 3.0 as those of
// today), paths.go (which operation a request is for), operation.go (what an operation takes), parameter.go (parameters as they are written),
// body.go (bodies).
//
// The library getkin/kin-openapi judges the document as a whole when it is loaded. Schemas are read and judged by internal/schema.
//
// It refuses to fetch anything, to read outside the document's directory, and to judge answers. It takes no notice of security: who may is for
// policies that authenticate.
package openapi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"straum.dev/straum/internal/schema"
)

// Options say how a document is loaded.
type Options struct {
	// Formats has format judge, and not only tell.
	Formats bool
	// Base is what all paths of the document stand below; nil takes it from the document's servers.
	Base *string
}

// Document is a document that is ready to judge. It does not change and is used by many at once.
type Document struct {
	bases []string // longest first; without a slash at the end
	paths *segment
	// Operations is how many there are.
	Operations int
}

// Problem is something wrong with a request. It says nothing of values.
type Problem struct {
	In string // path, query, header, cookie or body
	schema.Problem
}

// maxOperations is how many operations a document may have.
const maxOperations = 10_000

// Load loads the document with a name. Errors are in one line, and say where.
func Load(name string, files schema.Files, o Options) (*Document, error) {
	text, err := files(name)
	if err != nil {
		return nil, err
	}
	root, err := schema.Read(name, text)
	if err != nil {
		return nil, err
	}
	top, _ := root.(map[string]any)
	version, _ := top["openapi"].(string)
	old := strings.HasPrefix(version, "3.0.")
	if !old && !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("%s: at /openapi: found %.20q; allowed: a version 3.0 or 3.1, such as 3.1.0", name, version)
	}
	if err := valid(name, text, files); err != nil {
		return nil, err
	}
	l := &loading{name: name, old: old}
	l.library = schema.NewLibrary(files, schema.Options{Formats: o.Formats, Change: func(doc any) any { return today(doc, old, false) }})
	if err := l.library.Add(name, root); err != nil {
		return nil, err
	}
	if root, err = l.library.Document(name); err != nil {
		return nil, err
	}
	d := &Document{paths: &segment{}}
	if d.bases, err = bases(root, o.Base); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := l.paths(d, place{name, "", root}); err != nil {
		return nil, err
	}
	return d, nil
}

// valid has the library judge the document.
func valid(name string, text []byte, files schema.Files) error {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, u *url.URL) ([]byte, error) {
		if u.Scheme != "" || u.Host != "" {
			return nil, fmt.Errorf("found a reference to %s; nothing is fetched: put the file beside this one and refer to its name", u)
		}
		return files(strings.TrimPrefix(u.Path, "./"))
	}
	doc, err := loader.LoadFromDataWithPath(text, &url.URL{Path: name})
	if err == nil {
		err = doc.Validate(context.Background(), openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
	}
	if err != nil {
		return fmt.Errorf("%s: %s", name, line(err.Error()))
	}
	return nil
}

// line makes one line of a text, no longer than is read.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	return text
}

// place is a value in a document.
type place struct {
	name, pointer string
	value         any
}

// at goes down by keys.
func (p place) at(keys ...string) place {
	for _, key := range keys {
		m, _ := p.value.(map[string]any)
		p.pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
		p.value = m[key]
	}
	return p
}

func (p place) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: at %s: %s", p.name, p.pointer, fmt.Sprintf(format, args...))
}

func (p place) text(key string) string {
	m, _ := p.value.(map[string]any)
	s, _ := m[key].(string)
	return s
}

func (p place) truth(key string, otherwise bool) bool {
	m, _ := p.value.(map[string]any)
	if b, ok := m[key].(bool); ok {
		return b
	}
	return otherwise
}

// loading is that of one document.
type loading struct {
	name       string
	old        bool
	library    *schema.Library
	operations int
}

// follow goes where the references of a value lead.
func (l *loading) follow(p place) (place, error) {
	for range 32 {
		m, _ := p.value.(map[string]any)
		ref, ok := m["$ref"].(string)
		if !ok {
			return p, nil
		}
		file, fragment, _ := strings.Cut(ref, "#")
		name := p.name
		if file != "" {
			u, err := (&url.URL{Path: "/" + p.name}).Parse(file)
			if err != nil || u.Scheme != "" || u.Host != "" {
				return p, p.errorf("found a reference to %.100q; nothing is fetched", ref)
			}
			name = strings.TrimPrefix(u.Path, "/")
		}
		fragment, err := url.PathUnescape(fragment)
		if err != nil {
			return p, p.errorf("%.100q is no reference", ref)
		}
		root, err := l.library.Document(name)
		if err != nil {
			return p, err
		}
		to := place{name, "", root}
		for word := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
			if fragment == "" {
				break
			}
			if to = to.at(strings.ReplaceAll(strings.ReplaceAll(word, "~1", "/"), "~0", "~")); to.value == nil {
				return p, p.errorf("nothing is where %.100q leads", ref)
			}
		}
		p = to
	}
	return p, p.errorf("the reference leads in a circle")
}

// schema compiles the schema at a place, nil when there is none.
func (l *loading) schema(p place) (*schema.Schema, error) {
	if p.value == nil {
		return nil, nil
	}
	return l.library.Compile(p.name, p.pointer)
}

// bases are what the paths of a document stand below.
func bases(root any, given *string) ([]string, error) {
	if given != nil {
		return []string{strings.TrimSuffix(*given, "/")}, nil
	}
	top, _ := root.(map[string]any)
	servers, _ := top["servers"].([]any)
	var all []string
	for i, s := range servers {
		server, _ := s.(map[string]any)
		address, _ := server["url"].(string)
		variables, _ := server["variables"].(map[string]any)
		for name, v := range variables {
			variable, _ := v.(map[string]any)
			value, _ := variable["default"].(string)
			address = strings.ReplaceAll(address, "{"+name+"}", value)
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("at /servers/%d/url: %w", i, errors.Unwrap(err))
		}
		base := strings.TrimSuffix(u.EscapedPath(), "/")
		if base != "" && base[0] != '/' {
			base = "/" + base
		}
		all = append(all, base)
	}
	if len(all) == 0 {
		all = []string{""}
	}
	return all, nil
}

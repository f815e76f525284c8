// Package schema judges JSON by JSON Schema: 2020-12, and older drafts that a schema names in $schema.
//
// It is used by policies of step 4 and by internal/openapi, and knows nothing of exchanges. In reading order: schema.go (a library of documents
// and what is compiled from it), read.go (documents as files have them), compile.go (schemas as they are judged by), judge.go (the judgement),
// evaluated.go (what unevaluatedProperties and unevaluatedItems ask for), decimal.go (numbers, exactly).
//
// The library santhosh-tekuri/jsonschema reads schemas, follows references and checks them against their metaschema. The judgement is our own: it
// stops after a bounded number of steps whatever schema and content ask for, keeps the first few problems alone, and tells nothing of values.
//
// It refuses to fetch anything: a $ref leads to a file of the same library or nowhere. It refuses $dynamicRef and $recursiveRef.
package schema

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Files gives the content of the file with a name, which is relative to a directory and does not lead out of it.
type Files func(name string) ([]byte, error)

// The bounds of a library.
const (
	MaxFile  = 8 << 20 // bytes of one file
	MaxFiles = 256
)

// Options say how a library reads schemas.
type Options struct {
	// Formats has format judge, and not only tell.
	Formats bool
	// Change is given every document that is read, before schemas in it are compiled; nil changes nothing.
	Change func(doc any) any
}

// Library is a set of documents that refer to each other. It is used by one goroutine.
type Library struct {
	compiler *jsonschema.Compiler
	options  Options
	files    Files
	docs     map[string]any
	nodes    map[*jsonschema.Schema]*node
}

// NewLibrary makes a library that reads files as they are referred to; nil has none.
func NewLibrary(files Files, o Options) *Library {
	l := &Library{compiler: jsonschema.NewCompiler(), options: o, files: files, docs: map[string]any{}, nodes: map[*jsonschema.Schema]*node{}}
	l.compiler.DefaultDraft(jsonschema.Draft2020)
	l.compiler.UseLoader(loader{l})
	if o.Formats {
		l.compiler.AssertFormat()
		for _, f := range formats {
			l.compiler.RegisterFormat(f)
		}
	}
	return l
}

// scheme is that of the addresses documents have inside a library.
const scheme = "beside"

// Address is where a place in a document is: a name and a JSON pointer.
func Address(name, pointer string) string {
	return (&url.URL{Scheme: scheme, Path: "/" + name, Fragment: pointer}).String()
}

// Add puts a document under a name.
func (l *Library) Add(name string, doc any) error {
	if l.options.Change != nil {
		doc = l.options.Change(doc)
	}
	if err := inside(name, "", doc); err != nil {
		return err
	}
	l.docs[name] = doc
	return l.compiler.AddResource(Address(name, ""), doc)
}

// Document is the one with a name, read now when it was not yet.
func (l *Library) Document(name string) (any, error) {
	if doc, ok := l.docs[name]; ok {
		return doc, nil
	}
	doc, err := l.read(name)
	if err != nil {
		return nil, err
	}
	return doc, l.compiler.AddResource(Address(name, ""), doc)
}

func (l *Library) read(name string) (any, error) {
	if l.files == nil {
		return nil, fmt.Errorf("%s: a schema that stands in the configuration cannot refer to files; put it in a file of its own", name)
	}
	if len(l.docs) >= MaxFiles {
		return nil, fmt.Errorf("%s: more than %d files are referred to", name, MaxFiles)
	}
	text, err := l.files(name)
	if err != nil {
		return nil, err
	}
	doc, err := Read(name, text)
	if err != nil {
		return nil, err
	}
	if l.options.Change != nil {
		doc = l.options.Change(doc)
	}
	if err := inside(name, "", doc); err != nil {
		return nil, err
	}
	l.docs[name] = doc
	return doc, nil
}

// loader reads what schemas refer to.
type loader struct{ l *Library }

// Load implements jsonschema.URLLoader.
func (r loader) Load(address string) (any, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme != scheme || u.Host != "" {
		return nil, fmt.Errorf("found a reference to %s; nothing is fetched: put the file beside this one and refer to its name", address)
	}
	return r.l.read(strings.TrimPrefix(u.Path, "/"))
}

// inside says whether the references of a document stay in its directory or below.
func inside(name, at string, doc any) error {
	switch doc := doc.(type) {
	case map[string]any:
		if ref, ok := doc["$ref"].(string); ok {
			file, _, _ := strings.Cut(ref, "#")
			u, err := url.Parse(file)
			switch {
			case err != nil:
				return fmt.Errorf("%s: at %s: %q is no reference", name, at, ref)
			case u.Scheme == "" && u.Host == "" && file != "" && !path.IsAbs(u.Path) && !strings.Contains(at, "/$id"):
				if to := path.Join(path.Dir(name), u.Path); to == ".." || strings.HasPrefix(to, "../") {
					return fmt.Errorf("%s: at %s/$ref: found %q, which leads out of the directory of the first file; keep all files in it or below", name, at, ref)
				}
			}
		}
		for key, value := range doc {
			if err := inside(name, at+"/"+strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1"), value); err != nil {
				return err
			}
		}
	case []any:
		for i, value := range doc {
			if err := inside(name, fmt.Sprintf("%s/%d", at, i), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Schema judges values. It does not change and is used by many at once.
type Schema struct{ n *node }

// Compile compiles the schema at a place of a document.
func (l *Library) Compile(name, pointer string) (*Schema, error) {
	compiled, err := l.compiler.Compile(Address(name, pointer))
	if err != nil {
		return nil, explain(err)
	}
	n, err := l.node(compiled)
	if err != nil {
		return nil, err
	}
	return &Schema{n}, nil
}

// printer writes what the library says.
var printer = message.NewPrinter(language.English)

// explain says in one line what is wrong with a schema, and where.
func explain(err error) error {
	var invalid *jsonschema.SchemaValidationError
	var why *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &why) {
		place := ours(invalid.URL)
		for len(why.Causes) > 0 {
			why = slices.MaxFunc(why.Causes, func(a, b *jsonschema.ValidationError) int { return len(a.InstanceLocation) - len(b.InstanceLocation) })
		}
		name, pointer, _ := strings.Cut(place, "#")
		for _, word := range why.InstanceLocation {
			pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(word, "~", "~0"), "/", "~1")
		}
		return fmt.Errorf("%s: at %s: %s", name, pointer, why.ErrorKind.LocalizedString(printer))
	}
	var load *jsonschema.LoadURLError
	if errors.As(err, &load) {
		return load.Err
	}
	return errors.New(strings.ReplaceAll(ours(err.Error()), "\n", "; "))
}

// ours takes what addresses have inside a library out of a text.
func ours(text string) string { return strings.ReplaceAll(text, scheme+":///", "") }

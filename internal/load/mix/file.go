package mix

import (
	"path/filepath"
	"slices"
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/wording"
)

// Options are where File gets what is not in the file.
type Options struct {
	Host   string       // of requests that name none
	Fields []load.Field // of requests that have none of the name
	// Getenv returns an environment variable and whether it is set; nil is an empty environment.
	Getenv func(name string) (string, bool)
	// ReadFile reads a file, or its beginning up to one byte more than a body may have; nil is the real file system.
	ReadFile func(path string) ([]byte, error)
}

// Document is the form of the file.
type Document struct {
	Host     string   `yaml:"host" length:"1..255" pattern:"^[!-~]+$" form:"a host, perhaps with a port" doc:"The Host that requests are sent with. That of the URL when left out."`
	Headers  []Header `yaml:"headers,keyed" length:"0..64" pattern:"^[!#$%&'*+.^_|~0-9A-Za-z-]{1,256}$" form:"the name of a header field" doc:"Header fields of every request. One that a request has itself is replaced there."`
	Requests []Entry  `yaml:"requests" required:"true" length:"1..1000" doc:"The requests, chosen by weight."`
}

// Entry is one kind of request.
type Entry struct {
	Name     string   `yaml:"name" length:"1..120" doc:"What reports call it; no two may be the same. Its method and path when left out."`
	Method   string   `yaml:"method" default:"GET" pattern:"^[A-Z][A-Z0-9_-]{0,31}$" form:"a method in capitals" doc:"The method."`
	Path     string   `yaml:"path" required:"true" length:"1..8192" pattern:"^/[!\"$-~]*$" form:"a path with its query, from /, in printable ASCII without spaces and #" doc:"The path, with its query."`
	Host     string   `yaml:"host" length:"1..255" pattern:"^[!-~]+$" form:"a host, perhaps with a port" doc:"Its Host, in place of the common one."`
	Headers  []Header `yaml:"headers,keyed" length:"0..64" pattern:"^[!#$%&'*+.^_|~0-9A-Za-z-]{1,256}$" form:"the name of a header field" doc:"Its header fields."`
	Body     string   `yaml:"body,multiline" doc:"Its body."`
	BodyFile string   `yaml:"body_file" length:"1..4096" doc:"The file of its body, relative to this one."`
	Weight   float64  `yaml:"weight" default:"1" range:"0.001..1000000" doc:"How often it is sent, against the others."`
	_        struct{} `atmost:"body,body_file"`

	Node document.Node `yaml:",self"`
}

// Header is a header field. Its value may be a secret.
type Header struct {
	Name  string          `yaml:",key"`
	Value document.Secret `yaml:"-,short" doc:"The value: as it is, as ${VARIABLE}, or as file:/path."`

	Node document.Node `yaml:",self"`
}

// File reads a mix from a file. The error is *document.Problems, with every mistake found.
func File(path string, o Options) (*Mix, error) {
	if o.ReadFile == nil {
		o.ReadFile = func(path string) ([]byte, error) { return document.ReadFile(path, MaxBody) }
	}
	data, err := o.ReadFile(path)
	if err != nil {
		var ps document.Problems
		ps.Add(document.Problem{File: path, Text: "cannot be read: " + wording.Cause(err).Error()})
		return nil, ps.Err()
	}
	f := file{options: o, names: map[string]bool{}}
	d, err := document.Parse(path, data, document.Sources{Getenv: o.Getenv, ReadFile: o.ReadFile})
	f.problems.Add(err)
	if d == nil {
		return nil, f.problems.Err()
	}
	var written Document
	f.problems.Add(d.Root().Decode(&written))
	common := merge(f.options.Fields, f.fields(written.Headers))
	m := &Mix{}
	for i := range written.Requests {
		m.Requests = append(m.Requests, f.request(&written, &written.Requests[i], common))
	}
	if err := f.problems.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// file is one that is being read.
type file struct {
	options  Options
	problems document.Problems
	names    map[string]bool
	bodies   int
}

func (f *file) blame(at document.Node, format string, args ...any) {
	f.problems.Add(at.Errorf(format, args...))
}

func (f *file) request(d *Document, e *Entry, common []load.Field) load.Request {
	q := load.Request{Name: e.Name, Method: e.Method, Host: e.Host, Target: e.Path, Weight: e.Weight}
	for _, host := range []string{d.Host, f.options.Host} {
		if q.Host == "" {
			q.Host = host
		}
	}
	if q.Name == "" {
		path := e.Path
		if written, ok := e.Node.At("path").Any().(string); ok {
			path = written // with its variables as they are written: reports tell names, and a variable may hold a secret
		}
		if q.Name = e.Method + " " + path; len(q.Name) > 120 {
			q.Name = q.Name[:117] + "..."
		}
	}
	if e.Path == "" {
		return q // a problem already
	}
	if f.names[q.Name] {
		f.blame(e.Node.At("name"), "another request is called %q; give each a name of its own", q.Name)
	}
	f.names[q.Name] = true
	if e.Method == "CONNECT" {
		f.blame(e.Node.At("method"), "found CONNECT; allowed: any other method, since it asks for a tunnel and not for an answer")
	}
	q.Fields = merge(common, f.fields(e.Headers))
	q.Body = f.body(e)
	return q
}

// merge is what is common and not said otherwise, then what is one's own.
func merge(common, own []load.Field) []load.Field {
	var out []load.Field
	for _, c := range common {
		if !slices.ContainsFunc(own, func(o load.Field) bool { return strings.EqualFold(o.Name, c.Name) }) {
			out = append(out, c)
		}
	}
	return append(out, own...)
}

// fields checks what only a reader of header fields can.
func (f *file) fields(headers []Header) []load.Field {
	var out []load.Field
	for _, h := range headers {
		if why := Reserved(h.Name); why != "" {
			f.blame(h.Node, "the header field %s cannot be given: %s", h.Name, why)
			continue
		}
		value := h.Value.Reveal()
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			f.blame(h.Node, "the value has control characters, which a header field cannot have")
			continue
		}
		out = append(out, load.Field{Name: h.Name, Value: value})
	}
	return out
}

func (f *file) body(e *Entry) []byte {
	body, at := []byte(e.Body), e.Node.At("body")
	if e.BodyFile != "" {
		at = e.Node.At("body_file")
		path := e.BodyFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(at.File()), path)
		}
		var err error
		if body, err = f.options.ReadFile(path); err != nil {
			f.blame(at, "the file %s cannot be read: %s", path, wording.Cause(err).Error())
			return nil
		}
	}
	if len(body) == 0 {
		return nil
	}
	f.bodies += len(body)
	switch {
	case len(body) > MaxBody:
		f.blame(at, "the body has more than %d MiB, which is the most one may have", MaxBody>>20)
	case f.bodies > MaxBodies:
		f.blame(at, "the bodies together have more than %d MiB, which is the most they may have", MaxBodies>>20)
	}
	return body
}

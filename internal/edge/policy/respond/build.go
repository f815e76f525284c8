package respond

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	r := &respond{status: options.Status, kind: options.Type}
	if bare(r.status) && (options.Body != "" || options.File != "" || options.Type != "") {
		return nil, o.Errorf("status", "an answer of %d has no body (RFC 9110 §6.4.1); take body, file and type away, or choose another status", r.status)
	}
	if r.status == 206 {
		return nil, o.Errorf("status", "an answer of 206 is a part of one, and there is nothing here to part; choose another status")
	}
	if options.Type != "" && !isType(options.Type) {
		return nil, o.Errorf("type", "%.80q is no media type; write one such as application/json or text/plain; charset=utf-8", options.Type)
	}
	for _, name := range slices.Sorted(maps.Keys(options.Headers)) {
		h, err := newHeader(name, options.Headers[name])
		if err != nil {
			return nil, o.Errorf("headers", "%s", err)
		}
		r.headers = append(r.headers, h)
	}
	if options.File != "" {
		if r.kind == "" {
			r.kind = typeOfName(options.File)
		}
		return &unread{respond: r, path: o.Beside(options.File), asTemplate: options.Template, at: o}, nil
	}
	if r.kind == "" && options.Body != "" {
		r.kind = typeOf(options.Body)
	}
	if key, err := r.fill([]byte(options.Body), options.Template); err != nil {
		return nil, o.Errorf(key, "%s", err)
	}
	return r, nil
}

// bare says whether an answer of a status has no body.
func bare(status int) bool { return status == 204 || status == 205 || status == 304 }

// isType says whether a text has the form of a media type (RFC 9110 §8.3.1); what its parameters are is not looked at.
func isType(text string) bool {
	essence, _, _ := strings.Cut(text, ";")
	first, second, ok := strings.Cut(grammar.TrimSpace(essence), "/")
	return ok && grammar.IsToken(first) && grammar.IsToken(second) && exchange.FitsField(text)
}

// newHeader compiles a field of the answer.
func newHeader(name, text string) (header, error) {
	if err := policy.CheckField(name, true); err != nil {
		return header{}, err
	}
	known := exchange.Lookup(name)
	switch known {
	case exchange.ContentType:
		return header{}, errors.New("Content-Type is the option type; write it there")
	case exchange.ETag:
		return header{}, errors.New("ETag is made of the body; remove it")
	}
	t, err := policy.NewTemplate(text)
	if err != nil {
		return header{}, fmt.Errorf("%s: %w", name, err)
	}
	h := header{known: known, name: name, template: t}
	if always, ok := t.Constant(); ok {
		if !exchange.FitsField(always) {
			return header{}, fmt.Errorf("%s: a value has no control characters, and no space at its ends", name)
		}
		h.text, h.template = always, nil
	}
	return h, nil
}

// fill gives the answer its body. With an error it says which option is to blame.
func (r *respond) fill(body []byte, asTemplate bool) (key string, err error) {
	if asTemplate {
		form, ok := formOf(r.kind)
		switch {
		case len(body) == 0:
			return "template", errors.New("there is no body to be a template; add body or file, or remove this")
		case !ok:
			return "template", fmt.Errorf("how facts are written in %s is not known here; allowed: application/json and other types of JSON, and text/plain", r.kind)
		case !utf8.Valid(body):
			return "template", errors.New("a template is UTF-8, and the body is not")
		}
		t, err := policy.NewBodyTemplate(string(body), maxTemplate)
		if err == nil {
			err = t.CheckBody(form)
		}
		if err != nil {
			return "template", err
		}
		if always, ok := t.Constant(); ok {
			r.body = []byte(always)
		} else {
			r.template, r.form = t, form
			return "", nil
		}
	} else {
		r.body = body
	}
	if r.status == 200 && len(r.body) > 0 {
		sum := sha256.Sum256(r.body)
		r.tag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	}
	return "", nil
}

// formOf says how facts are written in a type.
func formOf(kind string) (policy.Form, bool) {
	essence, _, _ := strings.Cut(kind, ";")
	switch essence = strings.ToLower(grammar.TrimSpace(essence)); {
	case essence == "application/json" || strings.HasSuffix(essence, "+json"):
		return policy.JSON, true
	case essence == "text/plain":
		return policy.Text, true
	}
	return 0, false
}

// The types of bodies that do not say.
const (
	plainText = "text/plain; charset=utf-8"
	jsonText  = "application/json"
)

// typeOf finds out the type of a body in the configuration.
func typeOf(body string) string {
	if start := strings.TrimLeft(body, " \t\n"); start != "" && (start[0] == '{' || start[0] == '[') {
		return jsonText
	}
	return plainText
}

// typeOfName finds out the type of a file. It goes by its name alone, and is the same on every box.
func typeOfName(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return jsonText
	case ".html", ".htm":
		return "text/html; charset=utf-8"
	case ".txt":
		return plainText
	case ".xml":
		return "application/xml"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	case ".pdf":
		return "application/pdf"
	}
	return "application/octet-stream"
}

// unread is the policy before its file was read.
type unread struct {
	respond    *respond
	path       string
	asTemplate bool
	at         policy.Options
}

// Bind implements policy.Binder.
func (u *unread) Bind(*policy.World) (any, error) {
	body, err := read(u.path)
	if err != nil {
		return nil, u.at.Errorf("file", "%s", err)
	}
	r := *u.respond
	if key, err := r.fill(body, u.asTemplate); err != nil {
		return nil, u.at.Errorf(key, "%s", err)
	}
	return &r, nil
}

// read reads a file that is not longer than it may be.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for who writes to it
		return nil, fmt.Errorf("%s is no file that can be read as a whole", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%s has more than %d bytes; put it behind an upstream", path, maxBody)
	}
	return body, nil
}

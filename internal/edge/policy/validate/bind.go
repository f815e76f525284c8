package validate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/openapi"
	"straum.dev/straum/internal/schema"
	"straum.dev/straum/internal/wording"
)

// unbound is the policy before its files were read.
type unbound struct {
	common
	at      policy.Options
	key     string // the option with the file
	file    string
	openapi bool
	formats bool
	base    *string
	pass    bool
	bodies  *bodies
}

// Bind implements policy.Binder.
func (u *unbound) Bind(w *policy.World) (any, error) {
	dir := filepath.Dir(u.file)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, u.at.Errorf(u.key, "%s cannot be read: %v", u.file, wording.Cause(err))
	}
	defer func() { _ = root.Close() }()
	name := filepath.Base(u.file)
	files := reader(root, func(name string) { w.Reads(filepath.Join(dir, name)) })
	if u.openapi {
		d, err := openapi.Load(name, files, openapi.Options{Formats: u.formats, Base: u.base})
		if err != nil {
			return nil, u.at.Errorf(u.key, "%v", err)
		}
		return &described{common: u.common, document: d, pass: u.pass}, nil
	}
	l := schema.NewLibrary(files, schema.Options{Formats: u.formats})
	_, err = l.Document(name)
	b := *u.bodies
	if err == nil {
		b.schema, err = l.Compile(name, "")
	}
	if err != nil {
		return nil, u.at.Errorf(u.key, "%v", err)
	}
	return &b, nil
}

// reader reads files below a directory, and none that a link leads out to. told hears of each before it is read.
func reader(root *os.Root, told func(name string)) schema.Files {
	return func(name string) ([]byte, error) {
		if filepath.IsLocal(filepath.FromSlash(name)) {
			told(filepath.FromSlash(name))
		}
		f, err := root.Open(filepath.FromSlash(name))
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %v", filepath.Join(root.Name(), name), wording.Cause(err))
		}
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(io.LimitReader(f, schema.MaxFile+1))
		if err == nil && len(text) > schema.MaxFile {
			err = fmt.Errorf("%s: the file has more than %d MiB", name, schema.MaxFile>>20)
		}
		return text, err
	}
}

package config

import (
	"errors"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/wording"
)

// Options are where Load and Parse get what is not in the file.
type Options struct {
	// Getenv returns an environment variable and whether it is set; nil is an empty environment.
	Getenv func(name string) (string, bool)
	// ReadFile and Glob reach the file system. nil is the real one for Load and none for Parse.
	ReadFile func(path string) ([]byte, error)
	Glob     func(pattern string) ([]string, error)
	// Policies are the options structs of all policies by name. When set, a policy of any other name is an
	// error, and Redacted shows options that are not secret. The options are not decoded here.
	Policies map[string]any
}

// Load reads the configuration at path and what it includes. The error is *document.Problems, with every
// mistake found.
func Load(path string, opt Options) (*Config, error) {
	if opt.ReadFile == nil {
		opt.ReadFile = func(path string) ([]byte, error) { return document.ReadFile(path, document.MaxBytes) }
	}
	if opt.Glob == nil {
		opt.Glob = filepath.Glob
	}
	data, err := opt.ReadFile(path)
	if err != nil {
		var ps document.Problems
		ps.Add(document.Problem{File: path, Text: "cannot be read: " + wording.Cause(err).Error()})
		return nil, ps.Err()
	}
	return Parse(path, data, opt)
}

// Parse is Load of a file whose content is at hand; name is used in problems, and relative paths start from
// its directory.
func Parse(name string, data []byte, opt Options) (*Config, error) {
	l := loader{opt: opt, config: new(Config)}
	l.main(name, data)
	l.config.files, l.config.documents, l.config.policies = l.files, l.documents, opt.Policies
	if !l.lost {
		check(l.config, &l.problems)
	}
	if err := l.problems.Err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

// Files lists every file this configuration was read from: the main file, those included, and those that
// secrets decoded so far came from.
func (c *Config) Files() []string {
	files := slices.Clone(c.files)
	for _, d := range c.documents {
		files = append(files, d.Files()...)
	}
	return files
}

type loader struct {
	opt      Options
	config   *Config
	problems document.Problems

	files     []string
	documents []*document.Document

	total int
	lost  bool // a file could not be read at all, so what is missing may be in it
}

func (l *loader) main(name string, data []byte) {
	d := l.parse(name, data)
	if d == nil {
		return
	}
	l.problems.Add(d.Root().Decode(l.config))
	l.config.Node = d.Root()
	l.include(d)
}

func (l *loader) parse(name string, data []byte) *document.Document {
	l.files = append(l.files, name)
	l.total += len(data)
	d, err := document.Parse(name, data, document.Sources{Getenv: l.opt.Getenv, ReadFile: l.opt.ReadFile})
	l.problems.Add(err)
	if d == nil {
		l.lost = true
		return nil
	}
	l.documents = append(l.documents, d)
	return d
}

// include merges the files that the globs match, each once, in the order of the globs and, within one, of names.
func (l *loader) include(main *document.Document) {
	seen := map[string]bool{filepath.Clean(main.Name()): true}
	for i, pattern := range l.config.Include {
		at := main.Root().At("include", i)
		if pattern == "" {
			continue // already a problem
		}
		if l.opt.Glob == nil || l.opt.ReadFile == nil {
			l.problems.Add(at.Errorf("files cannot be included here"))
			return
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(main.Name()), pattern)
		}
		paths, err := l.opt.Glob(pattern)
		switch {
		case errors.Is(err, filepath.ErrBadPattern):
			l.problems.Add(at.Errorf("the glob cannot be used: %s; * ? and [a-z] are special, \\ makes them plain", wording.Cause(err).Error()))
			continue
		case err != nil:
			l.problems.Add(at.Errorf("found %q; %s", pattern, wording.Cause(err).Error()))
			l.lost = true
			continue
		case len(paths) == 0 && !strings.ContainsAny(pattern, `*?[\`):
			l.problems.Add(at.Errorf("the file %s is not there", pattern))
			l.lost = true
			continue
		}
		sort.Strings(paths)
		for _, path := range paths {
			if seen[filepath.Clean(path)] {
				continue
			}
			seen[filepath.Clean(path)] = true
			if len(seen)-1 > MaxFiles {
				l.problems.Add(at.Errorf("more than %d files are included", MaxFiles))
				return
			}
			if l.total > MaxTotal {
				l.problems.Add(at.Errorf("the files together have more than %d MiB", MaxTotal>>20))
				return
			}
			l.merge(at, path)
		}
	}
}

func (l *loader) merge(at document.Node, path string) {
	data, err := l.opt.ReadFile(path)
	if err != nil {
		l.problems.Add(at.Errorf("the file %s cannot be read: %s", path, wording.Cause(err).Error()))
		l.lost = true
		return
	}
	d := l.parse(path, data)
	if d == nil {
		return
	}
	var p Part
	var problems *document.Problems
	if errors.As(d.Root().Decode(&p), &problems) {
		for _, p := range problems.All() {
			if slices.Contains(mainOnly, p.Path) {
				p.Text, p.Suggestion = "this key belongs in the main file, "+l.config.Node.File(), ""
			}
			l.problems.Add(p)
		}
	}
	c := &l.config.Part
	c.Listeners = append(c.Listeners, p.Listeners...)
	c.Upstreams = append(c.Upstreams, p.Upstreams...)
	c.Policies = append(c.Policies, p.Policies...)
	c.Consumers = append(c.Consumers, p.Consumers...)
	c.CredentialFiles = append(c.CredentialFiles, p.CredentialFiles...)
	c.Plans = append(c.Plans, p.Plans...)
	c.Routes = append(c.Routes, p.Routes...)
}

// mainOnly are the keys of Config that are not in Part; a test holds it against the types.
var mainOnly = []string{"include", "log", "metrics", "admin", "acme", "state", "bans", "redis", "cache", "secret", "shutdown", "sandbox"}

// Redacted is the configuration in force: every default written out, includes merged, secrets replaced.
func (c *Config) Redacted() document.View {
	merged := *c
	merged.Include = nil // what it brought is here
	return document.NewView(merged, c.policies)
}

// Schema is the JSON Schema of the configuration, for editors. policies are the options structs of all
// policies by name; with none, any policy with any options is allowed.
func Schema(policies map[string]any) ([]byte, error) {
	return document.Schema("Straum configuration", Config{}, policies)
}

// Keys describes every key, for the reference in the docs.
func Keys() []document.Key { return document.Keys(Config{}) }

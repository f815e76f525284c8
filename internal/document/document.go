package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of a document. What goes over one is a problem that names it.
const (
	MaxBytes   = 16 << 20 // of a file
	MaxDepth   = 64       // of mappings and lists within each other
	MaxAliased = 100_000  // nodes that aliases add when each is written out
	MaxText    = 1 << 20  // bytes of one scalar after ${} expansion
	MaxSecret  = 64 << 10 // bytes of a file a secret is read from
)

// Sources is where values come from that are not written in the document. A nil function means there are none:
// every ${VARIABLE} is unset, every file: reference is refused.
type Sources struct {
	// Getenv returns the value of a variable and whether it is set.
	Getenv func(name string) (string, bool)
	// ReadFile returns the content of the file a secret refers to. Relative paths have been resolved against
	// the directory of the document.
	ReadFile func(path string) ([]byte, error)
}

// A Document is one parsed file. Its nodes may be decoded by several goroutines.
type Document struct {
	name    string
	data    []byte // for excerpts
	sources Sources
	root    *node

	mu      sync.Mutex
	plans   plans
	secrets map[int]int // line to the first column of a secret in it
	files   []string    // read for secrets
	lines   []int       // offsets of line starts, made when the first excerpt is drawn
}

// Parse reads one document. name is used in problems and to resolve relative file: references. The error is
// *Problems. After a syntax error nothing can be known of the rest, so it stands alone and there is no
// Document. What else is wrong with the structure, such as a key that is there twice, comes with a Document
// all the same, so that the caller can look for more problems in it before giving up.
//
// A file that is empty or holds only comments gives a document whose root decodes to defaults.
func Parse(name string, data []byte, sources Sources) (*Document, error) {
	d := &Document{name: name, data: data, sources: sources, plans: make(plans), secrets: make(map[int]int)}
	var ps Problems
	if p, bad := d.badBytes(); bad {
		ps.add(p)
		return nil, ps.Err()
	}
	root, err := d.compose()
	if err != nil {
		ps.Add(err)
		return nil, ps.Err()
	}
	return d, d.settle(root)
}

// Format prints the name, whatever the verb, and never the content, which may hold secrets.
func (d *Document) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.name) }

// Name is the name the document was parsed under.
func (d *Document) Name() string { return d.name }

// Root is the node of the whole document.
func (d *Document) Root() Node { return Node{doc: d, n: d.root} }

// Files lists the files read for file: references so far, in the order of first reading.
func (d *Document) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.files)
}

// badBytes refuses what is no text before the YAML library sees it, which would not always say where.
func (d *Document) badBytes() (Problem, bool) {
	if len(d.data) > MaxBytes {
		return d.problemAt(1, 1, "", fmt.Sprintf("the file has more than %d MiB; split it with include", MaxBytes>>20)), true
	}
	line, column := 1, 1
	for i := 0; i < len(d.data); {
		c := d.data[i]
		switch {
		case c == '\n':
			line, column, i = line+1, 1, i+1
		case c == '\t' || c == '\r' || c >= ' ' && c < 0x7f:
			column, i = column+1, i+1
		case c < utf8.RuneSelf:
			return d.problemAt(line, column, "", fmt.Sprintf("found the control character 0x%02x; only text is allowed: is this a YAML file?", c)), true
		default:
			r, size := utf8.DecodeRune(d.data[i:])
			if r == utf8.RuneError && size == 1 {
				return d.problemAt(line, column, "", fmt.Sprintf("found the byte 0x%02x, which is not UTF-8; save the file as UTF-8", c)), true
			}
			if r == '\uFEFF' && i > 0 || r >= 0x80 && r < 0xA0 && r != 0x85 || r == 0xFFFE || r == 0xFFFF {
				return d.problemAt(line, column, "", fmt.Sprintf("found the character %U, which YAML does not allow; remove it", r)), true
			}
			column, i = column+1, i+size
		}
	}
	return Problem{}, false
}

// compose lets the YAML library build the nodes of the single document.
func (d *Document) compose() (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(d.data), yaml.WithPlugin(limits{}))
	if err != nil {
		return nil, d.syntax(err)
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, d.syntax(err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, d.problemAt(second.Line, second.Column, "",
			"found a second document (---); only one a file is allowed: move it to a file of its own and include it")
	} else if !errors.Is(err, io.EOF) {
		return nil, d.syntax(err)
	}
	return &first, nil
}

// limits bounds nesting while the library still parses, before anything recursive walks the nodes. Aliases
// are bounded by settle: the library counts them only when it constructs values, which it never does for us.
type limits struct{}

func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d levels", MaxDepth)
	}
	return nil
}

func (limits) CheckAlias(int, int) error { return nil }

// syntax turns the library's error into a problem. The library gives up at the first.
func (d *Document) syntax(err error) Problem {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return d.problemAt(1, 1, "", "cannot be read as YAML: "+err.Error())
	}
	text := "not YAML: " + le.Message
	if le.ContextMsg != "" {
		text += " " + le.ContextMsg
		if at := le.ContextMark; at.Line > 0 && at.Line != le.Mark.Line {
			text += fmt.Sprintf(" that starts at %d:%d", at.Line, at.Column)
		}
	}
	switch {
	case strings.Contains(le.Message, "mapping values are not allowed"):
		text += "; is the line indented too far, or a value with \": \" in it not in quotes?"
	case strings.Contains(le.Message, "cannot start any token"):
		text += "; indent with spaces, not tabs, and put values that start with @ % or ` in quotes"
	}
	line, column := le.Mark.Line, le.Mark.Column
	if line == 0 {
		line, column = le.ContextMark.Line, le.ContextMark.Column
	}
	return d.problemAt(line, column, "", text)
}

// problemAt makes a problem whose place is inside the file, whatever it was told.
func (d *Document) problemAt(line, column int, path, text string) Problem {
	return Problem{File: d.name, Line: max(line, 1), Column: max(column, 1), Path: path, Text: text, doc: d}
}

// shownLine returns a source line fit for a terminal, and the column from which on it was masked, or 0.
func (d *Document) shownLine(line int) (string, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil {
		d.lines = []int{0}
		for i, c := range d.data {
			if c == '\n' {
				d.lines = append(d.lines, i+1)
			}
		}
	}
	if line > len(d.lines) {
		return "", 0
	}
	text := d.data[d.lines[line-1]:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	s := strings.TrimSuffix(strings.TrimPrefix(string(text), "\uFEFF"), "\r")
	from := secretLike(s)
	if at := d.secrets[line]; at > 0 && (from == 0 || at < from) {
		from = at
	}
	if from == 0 {
		return s, 0
	}
	runes := []rune(s)
	return string(runes[:min(from-1, len(runes))]) + hidden, from
}

// secretLike returns the column after a key that by its name holds a secret, or 0. It covers lines that could
// not be decoded, where the types did not tell; decoded secrets are known exactly.
func secretLike(line string) int {
	low := strings.ToLower(line)
	best := -1
	for _, word := range []string{"token", "secret", "password", "passwd", "passphrase", "api_key", "apikey", "private_key", "credential"} {
		for from := 0; ; {
			i := strings.Index(low[from:], word)
			if i < 0 {
				break
			}
			from += i + len(word)
			rest := strings.TrimLeft(low[from:], "abcdefghijklmnopqrstuvwxyz_-\"' ")
			if !strings.HasPrefix(rest, ":") || strings.HasPrefix(low[from:], "_file") { // the name of a file is none
				continue
			}
			if at := len(low) - len(rest) + 1; best < 0 || at < best {
				best = at
			}
			break
		}
	}
	if best < 0 || strings.TrimSpace(low[best:]) == "" {
		return 0
	}
	return utf8.RuneCountInString(low[:best]) + 2
}

// hide remembers that a secret stands at this place, so that no excerpt shows it.
func (d *Document) hide(n *node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.secrets[int(n.line)]; at == 0 || int(n.column) < at {
		d.secrets[int(n.line)] = int(n.column)
	}
}

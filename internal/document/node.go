package document

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Node is a value in a document that remembers its place. It is small and copied freely. The zero Node has
// no document; problems made from it have no place.
//
// A struct field of type Node keeps its value as written, to be decoded later by whoever knows its type.
type Node struct {
	doc *Document
	n   *node
}

// Format prints the place and the path, whatever the verb, and never the value, which may be a secret.
func (n Node) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, strings.TrimSpace(n.Place()+" "+n.Path()))
}

// IsZero says that there is no value.
func (n Node) IsZero() bool { return n.n == nil }

// IsEqual says whether both are the same place of the same document.
func (n Node) IsEqual(other Node) bool { return n == other }

// File is the name of the document, "" for the zero Node.
func (n Node) File() string {
	if n.doc == nil {
		return ""
	}
	return n.doc.name
}

// Line counts from 1; 0 for the zero Node.
func (n Node) Line() int {
	if n.n == nil {
		return 0
	}
	return int(n.n.line)
}

// Column counts characters from 1; 0 for the zero Node.
func (n Node) Column() int {
	if n.n == nil {
		return 0
	}
	return int(n.n.column)
}

// Place is file:line:column.
func (n Node) Place() string {
	return Problem{File: n.File(), Line: n.Line(), Column: n.Column()}.Place()
}

// Path is the keys that lead to the node, such as routes[2].match.path. Inside a value used through an alias
// it is the path to where that value is written, as Line and Column are.
func (n Node) Path() string {
	if n.n == nil || n.doc == nil {
		return ""
	}
	// Nodes come in the order of their places, so the way down to one is found by comparing places, and no
	// node needs to carry its path.
	var b strings.Builder
	for at := n.doc.root; at != n.n && len(at.kids) > 0; {
		if at.kind == kindList {
			i := last(len(at.kids), func(i int) bool { return n.n.before(&at.kids[i]) })
			fmt.Fprintf(&b, "[%d]", i)
			at = &at.kids[i]
			continue
		}
		i := last(len(at.kids)/2, func(i int) bool { return n.n.before(&at.kids[2*i]) })
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		key := &at.kids[2*i]
		b.WriteString(pathKey(key.value))
		if key == n.n {
			break
		}
		at = &at.kids[2*i+1]
	}
	return b.String()
}

// last returns the last of n items before the first one that is past, or 0.
func last(n int, past func(int) bool) int { return max(sort.Search(n, past)-1, 0) }

func (n *node) before(other *node) bool {
	return n.line < other.line || n.line == other.line && n.column < other.column
}

// pathKey writes a key so that the dots of a path stay unambiguous and the path stays short.
func pathKey(key string) string {
	if key == "" || strings.ContainsAny(key, ".[] \t\n\"") || len(key) > 64 {
		return quote(key)
	}
	return key
}

// At goes down by keys (strings) and indexes (ints), through aliases. Where the way ends early it returns the
// last node there was, so that a problem about something absent points at what it is absent from.
func (n Node) At(steps ...any) Node {
	for _, step := range steps {
		next, ok := n.step(step)
		if !ok {
			return n
		}
		n = next
	}
	return n
}

// Has says whether the node is a mapping with the key.
func (n Node) Has(key string) bool {
	_, ok := n.step(key)
	return ok
}

func (n Node) step(step any) (Node, bool) {
	if n.n == nil {
		return n, false
	}
	at := n.n.follow()
	switch step := step.(type) {
	case string:
		if at.kind == kindMapping {
			for i := 0; i+1 < len(at.kids); i += 2 {
				if at.kids[i].value == step {
					return Node{n.doc, &at.kids[i+1]}, true
				}
			}
		}
	case int:
		if at.kind == kindList && step >= 0 && step < len(at.kids) {
			return Node{n.doc, &at.kids[step]}, true
		}
	}
	return n, false
}

// Key returns the node of the key itself, for problems about a name rather than its value; n when it is absent.
func (n Node) Key(key string) Node {
	if n.n == nil {
		return n
	}
	at := n.n.follow()
	if at.kind == kindMapping {
		for i := 0; i+1 < len(at.kids); i += 2 {
			if at.kids[i].value == key {
				return Node{n.doc, &at.kids[i]}
			}
		}
	}
	return n
}

// Errorf makes a problem that points at the node. The text says what is found, what is allowed and the remedy,
// without place or path.
func (n Node) Errorf(format string, args ...any) Problem {
	text := fmt.Sprintf(format, args...)
	if n.n == nil || n.doc == nil {
		return Problem{Text: text}
	}
	return n.doc.problemAt(n.Line(), n.Column(), n.Path(), text)
}

// Unknown makes a problem about a word that is none of those allowed, with the suggestion nearest to it.
// what says what the word is to be, such as "upstream" or "policy".
func (n Node) Unknown(what, word string, allowed []string) Problem {
	p := n.Errorf("unknown %s %s%s", what, quote(word), among(allowed))
	p.Suggestion = Suggest(word, allowed)
	return p
}

// among lists what is allowed where the list is short enough to be read.
func among(allowed []string) string {
	const most = 24
	switch {
	case len(allowed) == 0:
		return "; none is allowed here"
	case len(allowed) > most:
		return ""
	}
	return "; allowed: " + strings.Join(allowed, ", ")
}

// Off is what is written in place of something that is to be away.
const Off = "off"

// IsOff says whether the value is off.
func (n Node) IsOff() bool {
	return n.n != nil && n.n.follow().kind == kindString && n.n.follow().value == Off
}

// Any returns the node as it is written, in the types of encoding/json: map[string]any, []any, string,
// float64, bool and nil. Variables are not expanded and secrets not hidden.
func (n Node) Any() any {
	if n.n == nil {
		return nil
	}
	return plain(n.n)
}

func plain(n *node) any {
	n = n.follow()
	switch n.kind {
	case kindMapping:
		m := make(map[string]any, len(n.kids)/2)
		for i := 0; i+1 < len(n.kids); i += 2 {
			m[n.kids[i].value] = plain(&n.kids[i+1])
		}
		return m
	case kindList:
		l := make([]any, len(n.kids))
		for i := range n.kids {
			l[i] = plain(&n.kids[i])
		}
		return l
	case kindInt, kindFloat:
		if f, err := strconv.ParseFloat(n.value, 64); err == nil {
			return f
		}
	case kindBool:
		return strings.EqualFold(n.value, "true")
	case kindNull:
		return nil
	}
	return n.value
}

// found names what stands in the document, for the text of a problem.
func found(n *node) string {
	n = n.follow()
	switch n.kind {
	case kindMapping:
		return "a mapping"
	case kindList:
		return "a list"
	case kindNull:
		return "nothing"
	case kindInt, kindFloat:
		return "the number " + clip(n.value)
	case kindBool:
		return n.value
	}
	return quote(n.value)
}

// quote shows text from the document: one line, bounded, control characters escaped.
func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

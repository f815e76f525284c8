package document

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// node is what we keep of a YAML node: a third of its size, and without aliases to follow by hand.
// The children of a mapping are key, value, key, value. Nodes never change once settled.
type node struct {
	value  string
	kids   []node
	target *node // of an alias
	line   int32
	column int32
	kind   kind
	quoted bool // a string by its quotes or block style, whatever it looks like
}

type kind uint8

const (
	kindNull kind = iota
	kindString
	kindInt
	kindFloat
	kindBool
	kindList
	kindMapping
	kindAlias
)

// follow returns the node an alias stands for, or the node itself.
func (n *node) follow() *node {
	for n.kind == kindAlias {
		n = n.target
	}
	return n
}

// settle copies the library's nodes into ours, sets the root, and reports all that is wrong with them before types come in.
func (d *Document) settle(root *yaml.Node) error {
	s := settler{doc: d, anchors: make(map[*yaml.Node]*anchor)}
	top := &node{line: 1, column: 1}
	if root != nil && len(root.Content) > 0 {
		s.copy(root.Content[0], top, 1)
	}
	// Paths are found from the settled tree, so problems are worded only now.
	d.root = top
	var ps Problems
	for _, f := range s.found {
		ps.add(Node{doc: d, n: f.at}.Errorf("%s", f.text))
	}
	ps.dropped += s.dropped
	return ps.Err()
}

type settler struct {
	doc     *Document
	anchors map[*yaml.Node]*anchor
	aliased int // nodes that aliases add
	found   []finding
	dropped int
}

type anchor struct {
	node *node
	size int  // nodes below and including it, aliases written out
	open bool // still being copied: an alias to it would be a cycle
}

type finding struct {
	at   *node
	text string
}

func (s *settler) blame(at *node, format string, args ...any) {
	if len(s.found) >= MaxProblems {
		s.dropped++
		return
	}
	s.found = append(s.found, finding{at, fmt.Sprintf(format, args...)})
}

// copy fills to from the library's node and returns how many nodes it stands for.
func (s *settler) copy(from *yaml.Node, to *node, depth int) int {
	to.line, to.column = int32(max(from.Line, 1)), int32(max(from.Column, 1))
	if depth > 2*MaxDepth {
		// The library's own limit comes first; this one keeps our recursion bounded whatever it does.
		s.blame(to, "nested deeper than %d levels", MaxDepth)
		return 1
	}
	if from.Style&yaml.TaggedStyle != 0 {
		s.blame(to, "found the tag %s; tags are not allowed: write the plain value, in quotes if it is to be a string", from.Tag)
	}
	var a *anchor
	if from.Anchor != "" && from.Kind != yaml.AliasNode {
		a = &anchor{node: to, open: true}
		s.anchors[from] = a
	}
	size := 1
	switch from.Kind {
	case yaml.AliasNode:
		size = s.alias(from, to)
	case yaml.MappingNode:
		to.kind = kindMapping
		size += s.children(from, to, depth)
		s.checkKeys(to)
	case yaml.SequenceNode:
		to.kind = kindList
		size += s.children(from, to, depth)
	default:
		to.kind, to.value = scalarKind(from), from.Value
		to.quoted = from.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	}
	if a != nil {
		a.size, a.open = size, false
	}
	return size
}

func (s *settler) children(from *yaml.Node, to *node, depth int) int {
	size := 0
	to.kids = make([]node, len(from.Content))
	for i, child := range from.Content {
		size += s.copy(child, &to.kids[i], depth+1)
	}
	return size
}

func (s *settler) alias(from *yaml.Node, to *node) int {
	a := s.anchors[from.Alias]
	switch {
	case a == nil:
		s.blame(to, "the alias *%s refers to nothing", from.Value)
		return 1
	case a.open:
		s.blame(to, "the alias *%s stands inside what it refers to", from.Value)
		return 1
	}
	// Sizes may grow exponentially through aliases of aliases, so we stop counting, and keep the alias from
	// being followed, once over the bound.
	if s.aliased > MaxAliased || a.size > MaxAliased-s.aliased {
		if s.aliased <= MaxAliased {
			s.blame(to, "the aliases of this file add more than %d values; write them out or generate the file", MaxAliased)
		}
		s.aliased = MaxAliased + 1
		return 1
	}
	s.aliased += a.size
	to.kind, to.target = kindAlias, a.node
	return a.size
}

// checkKeys refuses keys that are no plain text, merge keys and keys that come twice.
func (s *settler) checkKeys(m *node) {
	var seen map[string]*node
	if len(m.kids) > 16 {
		seen = make(map[string]*node, len(m.kids)/2)
	}
	for i := 0; i+1 < len(m.kids); i += 2 {
		key := &m.kids[i]
		switch {
		case key.kind == kindNull || key.kind >= kindList:
			s.blame(key, "found %s as a key; a key must be text", found(key))
			continue
		case key.value == "<<" && !key.quoted:
			s.blame(key, "merge keys (<<) are not allowed; write the keys out, or use an alias for the whole value")
			continue
		}
		var first *node
		if seen != nil {
			if first = seen[key.value]; first == nil {
				seen[key.value] = key
			}
		} else {
			for j := 0; j < i; j += 2 {
				if k := &m.kids[j]; k.value == key.value && k.kind < kindList && k.kind != kindNull {
					first = k
					break
				}
			}
		}
		if first != nil {
			s.blame(key, "the key %s is here twice, first at line %d, column %d; remove one", quote(key.value), first.line, first.column)
		}
	}
}

// isKey says that checkKeys had nothing against the node as a key.
func isKey(n *node) bool {
	return n.kind != kindNull && n.kind < kindList && (n.value != "<<" || n.quoted)
}

// scalarKind follows the library's resolution, except that dates are text: nothing of ours is a date.
func scalarKind(n *yaml.Node) kind {
	switch n.ShortTag() {
	case "!!null":
		return kindNull
	case "!!int":
		return kindInt
	case "!!float":
		return kindFloat
	case "!!bool":
		return kindBool
	}
	return kindString
}

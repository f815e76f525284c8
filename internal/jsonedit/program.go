package jsonedit

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The bounds of an Edit.
const (
	maxOps   = 64   // of all kinds together
	maxWords = 32   // of one pointer
	maxNodes = 4096 // what the stars of several pointers may come to when each is worked out
)

// Program is an Edit, compiled. It does not change and is used by many at once.
type Program struct {
	take, put *node // nil when there is nothing to do
	moves     int
	sets      []Set
}

// node is a place in a text: what is done there, and where it goes on from there. Where a star and a name both lead on, the name's node holds what
// the star asks for too, so that there is one node for one place.
type node struct {
	name  string
	index int // of an array's element; -1 for a name that is none
	kids  []*node
	star  *node
	last  *node // behind the last element of an array
	// named says that a pointer names the place without a star: it is made when it is not there.
	named bool

	remove  bool
	rename  string
	renames bool // rename is asked for
	below   bool // a kid has renames
	from    int  // number of the Move that takes it, from 1
	to      int  // number of the Move that comes here, from 1
	set     int  // number of the Set, from 1
	starred bool // set is a star's
}

// Compile compiles an Edit. The error is an *OpError.
func Compile(e *Edit) (*Program, error) {
	p := &Program{moves: len(e.Move), sets: slices.Clone(e.Set)}
	c := compiler{}
	if n := len(e.Remove) + len(e.Rename) + len(e.Move) + len(e.Set); n > maxOps {
		return nil, &OpError{"set", "", "there are " + strconv.Itoa(n) + " operations; at most " + strconv.Itoa(maxOps) + " are allowed"}
	}
	take, put := &node{named: true}, &node{named: true}
	for _, path := range e.Remove {
		n := c.reach(take, "remove", path, true, false)
		if n != nil && n == take {
			c.fail("remove", path, "the whole text cannot be removed")
		} else if n != nil && n.remove {
			c.fail("remove", path, "it is removed twice")
		} else if n != nil {
			n.remove = true
		}
	}
	for _, r := range e.Rename {
		n := c.reach(take, "rename", r.Path, true, false)
		switch {
		case n == nil:
		case n == take:
			c.fail("rename", r.Path, "the whole text has no name")
		case strings.HasSuffix(r.Path, "/*"):
			c.fail("rename", r.Path, "not every member of an object can have the same name")
		case n.remove:
			c.fail("rename", r.Path, "it is removed already")
		case n.renames:
			c.fail("rename", r.Path, "it is renamed twice")
		default:
			n.rename, n.renames = r.Name, true
		}
	}
	for i, m := range e.Move {
		if from := c.reach(take, "move", m.From, false, false); from != nil {
			if from.remove || from.from > 0 {
				c.fail("move", m.From, "it is removed or moved already")
			}
			from.from = i + 1
		}
		if to := c.reach(put, "move", m.To, false, true); to != nil {
			if to.to > 0 {
				c.fail("move", m.To, "two values are moved here")
			}
			to.to = i + 1
		}
	}
	for i, s := range e.Set {
		if s.Value != nil {
			if err := Check(s.Value, &Limits{Depth: MaxDepth}); err != nil {
				c.fail("set", s.Path, "the value is not JSON: "+err.Error())
			}
		}
		if n := c.reach(put, "set", s.Path, true, true); n != nil {
			if n.set > 0 {
				c.fail("set", s.Path, "it is set twice")
			}
			n.set = i + 1
		}
	}
	p.take, p.put = c.settle(take), c.settle(put)
	if c.wrong != nil {
		return nil, c.wrong
	}
	return p, nil
}

// compiler holds the first mistake.
type compiler struct {
	wrong *OpError
	nodes int
}

func (c *compiler) fail(op, path, text string) {
	if c.wrong == nil {
		c.wrong = &OpError{op, path, text}
	}
}

// reach is the node of a pointer, which is made when it is not there.
func (c *compiler) reach(n *node, op, path string, stars, puts bool) *node {
	if path == "" {
		return n
	}
	if path[0] != '/' {
		c.fail(op, path, "a JSON pointer begins with a slash, or is empty for the whole text")
		return nil
	}
	words := strings.Split(path[1:], "/")
	if len(words) > maxWords {
		c.fail(op, path, "it is deeper than "+strconv.Itoa(maxWords)+" levels")
		return nil
	}
	named := true
	for _, word := range words {
		name, ok := unescape(word)
		switch {
		case !ok:
			c.fail(op, path, "write ~0 for ~ and ~1 for / in a name")
			return nil
		case word == "*" && !stars:
			c.fail(op, path, "* cannot be used in a move; name the place")
			return nil
		case word == "*":
			if named = false; n.star == nil {
				n.star = &node{index: -1}
			}
			n = n.star
		case word == "-" && puts:
			if n.last == nil {
				n.last = &node{index: -1}
			}
			n = n.last
		default:
			n = n.kid(name, true)
		}
		n.named = n.named || named
	}
	return n
}

func unescape(word string) (string, bool) {
	for i := 0; i < len(word); i++ {
		if word[i] == '~' && (i+1 == len(word) || word[i+1] != '0' && word[i+1] != '1') {
			return "", false
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(word, "~1", "/"), "~0", "~"), true
}

// kid is the node of a name below n, made now if it is asked for.
func (n *node) kid(name string, make bool) *node {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	if !make {
		return nil
	}
	k := &node{name: name, index: indexOf(name)}
	n.kids = append(n.kids, k)
	return k
}

// indexOf is the index that a word is (RFC 6901 §4), -1 for none.
func indexOf(word string) int {
	i, err := strconv.Atoi(word)
	if err != nil || i < 0 || strconv.Itoa(i) != word {
		return -1
	}
	return i
}

// settle works out what stars mean for the names beside them.
func (c *compiler) settle(n *node) *node {
	if len(n.kids) == 0 && n.star == nil && n.last == nil && n.from+n.to+n.set == 0 {
		return nil
	}
	c.spread(n)
	return n
}

func (c *compiler) spread(n *node) {
	if c.nodes++; c.nodes > maxNodes {
		c.fail("set", "", "the stars of these pointers stand for too many places together; use fewer")
		return
	}
	if n.star != nil {
		for _, k := range n.kids {
			k.overlay(n.star)
		}
		c.spread(n.star)
	}
	if len(n.kids) > maxOps {
		c.fail("set", "", "too many names are below one place; use fewer")
		return
	}
	for _, k := range n.kids {
		n.below = n.below || k.renames
		c.spread(k)
	}
	if n.star != nil {
		n.below = n.below || n.star.renames
	}
	if n.last != nil {
		c.spread(n.last)
	}
}

// overlay adds to n what a star beside it asks for. What names it wins.
func (n *node) overlay(star *node) {
	n.remove = n.remove || star.remove
	if star.renames && !n.renames {
		n.rename, n.renames = star.rename, true
	}
	if star.set > 0 && n.set == 0 {
		n.set, n.starred = star.set, true
	}
	for _, k := range star.kids {
		n.kid(k.name, true).overlay(k)
	}
	if star.star != nil {
		if n.star == nil {
			n.star = &node{index: -1}
		}
		n.star.overlay(star.star)
	}
	if star.last != nil {
		if n.last == nil {
			n.last = &node{index: -1}
		}
		n.last.overlay(star.last)
		n.last.starred = false // it is behind what is there
	}
}

// leaf says that nothing is done below.
func (n *node) leaf() bool { return len(n.kids) == 0 && n.star == nil && n.last == nil }

// member is the node of a member, nil for none.
func (n *node) member(name []byte) *node {
	for _, k := range n.kids {
		if k.name == string(name) {
			return k
		}
	}
	return n.star
}

// element is the node of an element, nil for none.
func (n *node) element(i int) *node {
	for _, k := range n.kids {
		if k.index == i {
			return k
		}
	}
	return n.star
}

// run is one text on its way through a Program.
type run struct {
	p      *Program
	limits *Limits
	values Values
	out    []byte
	most   int // bytes of out
	full   bool
	text   []byte  // what is read by take
	side   []byte  // what was taken out
	taken  []place // by move
	set    []byte  // values of this run
	made   []place // where in set they lie, by Set
	mid    []byte  // between the two ways
	name   []byte  // scratch for a name with escapes
	names  []newName
}

// place is where in side something lies.
type place struct {
	from, to int
	there    bool
}

// newName is a name that a member of an object gets.
type newName struct {
	name string
	used bool
}

var runs = sync.Pool{New: func() any { return new(run) }}

// maxKeptBytes is how much room a run keeps of each kind between two texts.
const maxKeptBytes = 64 << 10

// Append appends the text as changed. The error is a *SyntaxError or ErrOutput; dst is as it was then. The result must not lie where text
// does.
func (p *Program) Append(dst, text []byte, l *Limits, values Values) ([]byte, error) {
	if err := Check(text, l); err != nil {
		return dst, err
	}
	r := runs.Get().(*run)
	r.p, r.limits, r.values, r.full = p, l, values, false
	before := len(dst)
	at := skipSpace(text, 0)
	r.side, r.set, r.mid, r.names = r.side[:0], r.set[:0], r.mid[:0], r.names[:0]
	r.taken = r.taken[:0]
	for range p.moves {
		r.taken = append(r.taken, place{})
	}
	r.made = r.made[:0]
	for range p.sets {
		r.made = append(r.made, place{})
	}
	from := text
	if p.take != nil {
		r.text = text
		if p.put == nil {
			r.out, r.most = dst, before+l.Output
		} else {
			r.out, r.most = r.mid, l.Output+len(text) // moves come back later, sets may take their place
		}
		r.takeRoot(at)
		if p.put == nil {
			dst = r.out
		} else {
			r.mid = r.out
			from, at = r.mid, 0
		}
	}
	if p.take == nil || p.put != nil {
		r.out, r.most = dst, before+l.Output
		if p.put == nil {
			r.emit(from[at:skipValue(from, at)])
		} else if !r.full {
			r.place(from, at, p.put)
		}
		dst = r.out
	}
	full := r.full
	r.giveBack()
	if full {
		return dst[:before], ErrOutput
	}
	return dst, nil
}

func (r *run) giveBack() {
	r.p, r.limits, r.values, r.out, r.text = nil, nil, nil, nil, nil
	for _, b := range []*[]byte{&r.side, &r.set, &r.mid, &r.name} {
		if cap(*b) > maxKeptBytes {
			*b = nil
		}
	}
	clear(r.names)
	runs.Put(r)
}

// emit appends to out as much as may be.
func (r *run) emit(b []byte) {
	if r.full || len(r.out)+len(b) > r.most {
		r.full = true
		return
	}
	r.out = append(r.out, b...)
}

func (r *run) mark(c byte) {
	if r.full || len(r.out) >= r.most {
		r.full = true
		return
	}
	r.out = append(r.out, c)
}

// comma parts members and elements.
func (r *run) comma(first *bool) {
	if !*first {
		r.mark(',')
	}
	*first = false
}

// meaning is what the name at a place of a text means, and where it ends.
func (r *run) meaning(text []byte, at int) ([]byte, int) {
	end, escaped := skipString(text, at)
	name := text[at+1 : end-1]
	if escaped {
		r.name = appendUnescaped(r.name[:0], name)
		name = r.name
	}
	return name, end
}

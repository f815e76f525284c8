package exchange

// Names are names of fields that a policy alone may write on requests. A set is made once and shared.
type Names struct {
	list   []string
	begins []string
}

// NewNames makes a set of names, in any case.
func NewNames(list ...string) *Names { return &Names{list: list} }

// Beginning takes all names into the set that begin in one of these ways, as far as trailers go: of the header fields that begin so some may be
// the gateway's own, so that whoever reserves them removes them himself. It is for when the set is made.
func (n *Names) Beginning(ways ...string) *Names {
	n.begins = ways
	return n
}

// Has says whether endpoints may take a name for one of the set: in any case, and with underscores for hyphens, as CGI does.
func (n *Names) Has(name string) bool {
	for _, ours := range n.list {
		if len(ours) == len(name) && looksLike(ours, name) {
			return true
		}
	}
	return false
}

// bars says whether a trailer of this name must not go on.
func (n *Names) bars(name string) bool {
	for _, way := range n.begins {
		if len(way) <= len(name) && looksLike(way, name) {
			return true
		}
	}
	return n.Has(name)
}

func (n *Names) of(f *Field) bool { return n.Has(f.Name) }

func looksLike(a, b string) bool {
	for i := range len(a) {
		if plain(a[i]) != plain(b[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case c == '_':
		return '-'
	}
	return c
}

// Reserve takes names from the client: what it sent under them is removed now, and what it sends later as trailers does not go on. Policies
// that tell endpoints something under names of the operator's choice reserve them before they write any, on every request. A set is reserved
// once; again it does nothing.
func (r *Request) Reserve(names *Names) {
	if names == nil || len(names.list)+len(names.begins) == 0 {
		return
	}
	for i := range r.reserved {
		if r.reserved[i] == names {
			return // what stands there now is the policy's
		}
		if r.reserved[i] == nil {
			r.reserved[i] = names
			r.Header.drop(0, names.of)
			return
		}
	}
	r.Header.drop(0, names.of)
	r.closed = true // more policies than there are kinds: no trailer goes on
}

// Reserved says whether a trailer of this name must not go on. A nil request reserves nothing.
func (r *Request) Reserved(name string) bool {
	if r == nil {
		return false
	}
	for _, names := range r.reserved {
		if names == nil {
			return r.closed
		}
		if names.bars(name) {
			return true
		}
	}
	return r.closed
}

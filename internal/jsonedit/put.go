package jsonedit

// place writes what stands at a place after moves and sets. text has a value at at, which counts when nothing takes its place.
func (r *run) place(text []byte, at int, n *node) {
	if n == nil {
		r.emit(text[at:skipValue(text, at)])
		return
	}
	if value := r.value(n, false); value != nil {
		text, at = value, 0
	}
	r.inside(text, at, n)
}

// value is what comes to a place whatever is there: nil for nothing. absent asks what makes a place that is not there.
func (r *run) value(n *node, absent bool) []byte {
	switch {
	case n.set > 0 && !(absent && n.starred):
		if value := r.p.sets[n.set-1].Value; value != nil {
			return value[skipSpace(value, 0):]
		}
		p := &r.made[n.set-1]
		if !p.there { // a star may ask for it at many places
			p.from = len(r.set)
			r.set = r.values.AppendValue(r.set, n.set-1)
			p.to, p.there = len(r.set), true
		}
		return r.set[p.from:p.to]
	case n.to > 0 && r.taken[n.to-1].there:
		p := r.taken[n.to-1]
		return r.side[p.from:p.to]
	}
	return nil
}

// inside writes a value with what is done below it.
func (r *run) inside(text []byte, at int, n *node) {
	switch {
	case n.leaf():
	case text[at] == '{':
		r.putMembers(text, at, n)
		return
	case text[at] == '[':
		r.putElements(text, at, n)
		return
	}
	r.emit(text[at:skipValue(text, at)])
}

func (r *run) putMembers(text []byte, at int, n *node) {
	r.mark('{')
	first := true
	var seen uint64 // by the number of a kid; there are no more than maxOps
	for at = skipSpace(text, at+1); text[at] != '}'; {
		begin := at
		name, end := r.meaning(text, at)
		kid := n.star
		for i, k := range n.kids {
			if k.name == string(name) {
				kid = k
				seen |= 1 << i
				break
			}
		}
		r.comma(&first)
		r.emit(text[begin:end])
		r.mark(':')
		at = skipSpace(text, skipSpace(text, end)+1)
		r.place(text, at, kid)
		if at = skipSpace(text, skipValue(text, at)); text[at] == ',' {
			at = skipSpace(text, at+1)
		}
	}
	for i, k := range n.kids {
		if seen&(1<<i) == 0 && r.makes(k) {
			r.comma(&first)
			r.quoted(k.name)
			r.mark(':')
			r.make(k)
		}
	}
	r.mark('}')
}

func (r *run) putElements(text []byte, at int, n *node) {
	r.mark('[')
	first := true
	at = skipSpace(text, at+1)
	for i := 0; text[at] != ']'; i++ {
		r.comma(&first)
		r.place(text, at, n.element(i))
		if at = skipSpace(text, skipValue(text, at)); text[at] == ',' {
			at = skipSpace(text, at+1)
		}
	}
	if n.last != nil && r.makes(n.last) {
		r.comma(&first)
		r.make(n.last)
	}
	r.mark(']')
}

// makes says whether something comes to a place that is not there.
func (r *run) makes(n *node) bool {
	if n.set > 0 && !n.starred || n.to > 0 && r.taken[n.to-1].there {
		return true
	}
	for _, k := range n.kids {
		if k.named && r.makes(k) {
			return true
		}
	}
	return n.last != nil && r.makes(n.last)
}

// make writes what comes to a place that is not there.
func (r *run) make(n *node) {
	if value := r.value(n, true); value != nil {
		r.inside(value, 0, n)
		return
	}
	if n.last != nil && !r.makesMember(n) {
		r.mark('[')
		r.make(n.last)
		r.mark(']')
		return
	}
	r.mark('{')
	first := true
	for _, k := range n.kids {
		if k.named && r.makes(k) {
			r.comma(&first)
			r.quoted(k.name)
			r.mark(':')
			r.make(k)
		}
	}
	r.mark('}')
}

func (r *run) makesMember(n *node) bool {
	for _, k := range n.kids {
		if k.named && r.makes(k) {
			return true
		}
	}
	return false
}

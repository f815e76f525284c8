package jsonedit

// takeRoot goes the first way.
func (r *run) takeRoot(at int) {
	from := len(r.out)
	r.take(at, r.p.take)
	if n := r.p.take.from; n > 0 {
		r.lay(n, from)
		r.emit([]byte("{}"))
	}
}

// lay puts what was written to out since from aside, as what a Move takes. Of a name that stands twice the last counts.
func (r *run) lay(move, from int) {
	if r.full {
		return
	}
	start := len(r.side)
	r.side = append(r.side, r.out[from:]...)
	r.out = r.out[:from]
	r.taken[move-1] = place{start, len(r.side), true}
}

// take writes the value at a place without what is removed and taken out, and returns where it ends.
func (r *run) take(at int, n *node) int {
	if n == nil || n.leaf() {
		end := skipValue(r.text, at)
		r.emit(r.text[at:end])
		return end
	}
	switch r.text[at] {
	case '{':
		return r.takeMembers(at, n)
	case '[':
		return r.takeElements(at, n)
	}
	end := skipValue(r.text, at)
	r.emit(r.text[at:end])
	return end
}

func (r *run) takeMembers(at int, n *node) int {
	mine := len(r.names)
	if n.below {
		r.findNew(at, n)
	}
	r.mark('{')
	first := true
	for at = skipSpace(r.text, at+1); r.text[at] != '}'; {
		begin := at
		name, end := r.meaning(r.text, at)
		kid := n.member(name)
		gone := kid != nil && kid.remove || (kid == nil || !kid.renames) && r.givesWay(mine, name)
		at = skipSpace(r.text, skipSpace(r.text, end)+1)
		switch {
		case gone, kid != nil && kid.renames && kid.from == 0 && !r.use(mine, kid.rename):
			at = skipValue(r.text, at)
		case kid != nil && kid.from > 0:
			from := len(r.out)
			at = r.take(at, kid)
			r.lay(kid.from, from)
		default:
			r.comma(&first)
			if kid != nil && kid.renames {
				r.quoted(kid.rename)
			} else {
				r.emit(r.text[begin:end])
			}
			r.mark(':')
			at = r.take(at, kid)
		}
		if at = skipSpace(r.text, at); r.text[at] == ',' {
			at = skipSpace(r.text, at+1)
		}
	}
	r.mark('}')
	r.names = r.names[:mine]
	return at + 1
}

// findNew notes the names that members of an object are going to have.
func (r *run) findNew(at int, n *node) {
	mine := len(r.names)
	for at = skipSpace(r.text, at+1); r.text[at] != '}'; {
		name, end := r.meaning(r.text, at)
		if kid := n.member(name); kid != nil && kid.renames && !kid.remove && kid.from == 0 && !r.has(mine, kid.rename) {
			r.names = append(r.names, newName{name: kid.rename})
		}
		at = skipValue(r.text, skipSpace(r.text, skipSpace(r.text, end)+1))
		if at = skipSpace(r.text, at); r.text[at] == ',' {
			at = skipSpace(r.text, at+1)
		}
	}
}

// has says whether a name was noted already. So there are never more than an Edit has, however often the text repeats one.
func (r *run) has(mine int, name string) bool {
	for i := mine; i < len(r.names); i++ {
		if r.names[i].name == name {
			return true
		}
	}
	return false
}

// givesWay says whether another member gets this name.
func (r *run) givesWay(mine int, name []byte) bool {
	for _, n := range r.names[mine:] {
		if n.name == string(name) {
			return true
		}
	}
	return false
}

// use says whether no other member of the object got this name yet.
func (r *run) use(mine int, name string) bool {
	for i := mine; i < len(r.names); i++ {
		if n := &r.names[i]; n.name == name {
			if n.used {
				return false
			}
			n.used = true
			return true
		}
	}
	return true
}

func (r *run) takeElements(at int, n *node) int {
	r.mark('[')
	first := true
	at = skipSpace(r.text, at+1)
	for i := 0; r.text[at] != ']'; i++ {
		kid := n.element(i)
		switch {
		case kid != nil && kid.remove:
			at = skipValue(r.text, at)
		case kid != nil && kid.from > 0:
			from := len(r.out)
			at = r.take(at, kid)
			r.lay(kid.from, from)
		default:
			r.comma(&first)
			at = r.take(at, kid)
		}
		if at = skipSpace(r.text, at); r.text[at] == ',' {
			at = skipSpace(r.text, at+1)
		}
	}
	r.mark(']')
	return at + 1
}

// quoted writes a name of ours.
func (r *run) quoted(name string) {
	if r.full {
		return
	}
	if r.out = AppendQuoted(r.out, name); len(r.out) > r.most {
		r.full = true
	}
}

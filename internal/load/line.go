package load

// waiting is a place in a line of those who wait for something until a moment.
type waiting struct {
	before, after *waiting
	line          *line
	until         int64
	job           *job  // who waits: one of the two
	conn          *conn //
}

// line is ordered by the moment. Nearly all who join wait longest, so joining is cheap.
type line struct{ first, last *waiting }

func (l *line) join(w *waiting, until int64) {
	w.line, w.until = l, until
	at := l.last
	for at != nil && at.until > until {
		at = at.before
	}
	w.before = at
	if at == nil {
		w.after, l.first = l.first, w
	} else {
		w.after, at.after = at.after, w
	}
	if w.after == nil {
		l.last = w
	} else {
		w.after.before = w
	}
}

// leave does nothing for one who is in no line.
func (w *waiting) leave() {
	l := w.line
	if l == nil {
		return
	}
	if w.before == nil {
		l.first = w.after
	} else {
		w.before.after = w.after
	}
	if w.after == nil {
		l.last = w.before
	} else {
		w.after.before = w.before
	}
	w.before, w.after, w.line = nil, nil, nil
}

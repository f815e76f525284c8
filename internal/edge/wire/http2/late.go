package http2

// late are the streams that are over before their client could know: we reset them, or answered and needed no more of the request. What of
// them is still on its way is dropped. It is bounded twice: in how many there are, the oldest going first, and in how much content of each may
// come, since no window of theirs is raised any more.
type late struct {
	left  map[uint32]int64 // bytes of content that the client may still send, by stream; nil for none
	order []uint32         // in which they came, those included that are gone
}

// add notes a stream whose client may send so much more. At most so many are kept.
func (l *late) add(id uint32, left int64, most int) {
	if l.left == nil {
		l.left = map[uint32]int64{}
	}
	l.left[id] = left
	l.order = append(l.order, id)
	for len(l.order) > most {
		delete(l.left, l.order[0])
		l.order = l.order[1:]
	}
}

// has says whether frames of the stream are to be dropped.
func (l *late) has(id uint32) bool {
	_, ok := l.left[id]
	return ok
}

// take accounts for content of one of them, and says whether the client was allowed to send it.
func (l *late) take(id uint32, size int64) bool {
	left := l.left[id] - size
	l.left[id] = left
	return left >= 0
}

// end forgets a stream whose client has sent the last of it.
func (l *late) end(id uint32) {
	if delete(l.left, id); len(l.left) == 0 {
		l.left, l.order = nil, nil
	}
}

package memory

import "math/rand/v2"

// policy is W-TinyLFU (Einziger, Friedman, Manes: TinyLFU: A Highly Efficient Cache Admission Policy, 2017), where rooms are bytes. What is new waits
// in a window, which keeps what was asked for last. What leaves the window gets into the main part if it was asked for more often than all together
// that would have to make room for it, which is the rule for objects of different sizes (Einziger, Eytan, Friedman, Manes: Lightweight Robust Size
// Aware Cache Management, 2021). The main part protects what was asked for again.
//
// otter, which serves elsewhere in this project, evicts when it gets round to it, so that its bytes are bounded only by refusing what is put; it
// learns nothing of what is asked for before it is half full; and it asks for as many hits of a large object as of a small one.
type policy struct {
	room                         int64
	window, probation, protected segment
	entries                      int
	asked                        sketch
	drop                         func(e *entry)
}

// The shares in percent: the window's of the room, and the protected segment's of the main part. The paper's window of 1 % has up to a point more
// hits where popularity never changes. This one also does as well as LRU with what is asked for a few times in a row and then never again, where that
// one is 18 points behind (TestHitRatio).
const (
	windowShare    = 20
	protectedShare = 80
)

// segment is a list of entries, the one that was asked for last at its front. The list is a ring through root.
type segment struct {
	room, bytes int64
	root        entry
}

func (p *policy) init(drop func(e *entry)) {
	p.drop = drop
	p.asked.init()
	for _, s := range []*segment{&p.window, &p.probation, &p.protected} {
		s.root.prev, s.root.next = &s.root, &s.root
	}
}

func (p *policy) bytes() int64 { return p.window.bytes + p.probation.bytes + p.protected.bytes }

// main is how many bytes the main part may have.
func (p *policy) main() int64 { return p.room - p.window.room }

// put gives an entry its place, or lets one that has a place keep it with another size. It returns those that were evicted, chained by next.
func (p *policy) put(e *entry, size int64) (gone *entry) {
	s := e.segment
	if s == nil {
		p.entries++
	} else {
		s.remove(e)
	}
	p.asked.add(&e.key, p.entries)
	switch e.size = size; {
	case s != nil && s != &p.window:
		s.push(e)
	case size > p.window.room:
		return p.admit(e, nil)
	default:
		p.window.push(e)
	}
	return p.fit()
}

// fit moves on, and out, what has no room where it is.
func (p *policy) fit() (gone *entry) {
	for p.protected.bytes > p.protected.room {
		p.probation.push(p.protected.pop())
	}
	for p.probation.bytes+p.protected.bytes > p.main() {
		gone = p.evict(p.victims().pop(), gone)
	}
	for p.window.bytes > p.window.room {
		gone = p.admit(p.window.pop(), gone)
	}
	return gone
}

// luck is how often somebody gets in who was asked for a few times, though not more often than the others: once in so many. It keeps those who know
// what is asked for often from keeping others out for good.
const luck = 128

// admit lets an entry into the main part, or evicts it.
func (p *policy) admit(e, gone *entry) *entry {
	main := p.main()
	need := p.probation.bytes + p.protected.bytes + e.size - main
	if e.size > main || need > 0 && !p.worth(e, need) {
		return p.evict(e, gone)
	}
	for p.probation.bytes+p.protected.bytes+e.size > main {
		gone = p.evict(p.victims().pop(), gone)
	}
	p.probation.push(e)
	return gone
}

// worth says whether an entry was asked for more often than those who would have to leave for it, all together.
func (p *policy) worth(e *entry, need int64) bool {
	often := p.asked.often(&e.key)
	if often > 5 && rand.Uint32N(luck) == 0 {
		return true
	}
	sum := 0
	for _, s := range []*segment{&p.probation, &p.protected} {
		for v := s.root.prev; v != &s.root && need > 0; v = v.prev {
			if sum += p.asked.often(&v.key); sum >= often {
				return false
			}
			need -= v.size
		}
	}
	return true
}

// victims is the segment that has to make room first.
func (p *policy) victims() *segment {
	if p.probation.bytes > 0 {
		return &p.probation
	}
	return &p.protected
}

func (p *policy) evict(e, gone *entry) *entry {
	p.entries--
	p.drop(e)
	e.next = gone
	return e
}

// read notes that an entry was asked for.
func (p *policy) read(e *entry) {
	p.asked.add(&e.key, p.entries)
	switch s := e.segment; {
	case s == nil:
	case s == &p.probation:
		s.remove(e)
		p.protected.push(e)
		for p.protected.bytes > p.protected.room {
			p.probation.push(p.protected.pop())
		}
	default:
		s.remove(e)
		s.push(e)
	}
}

// remove takes an entry out of its place.
func (p *policy) remove(e *entry) {
	p.entries--
	e.segment.remove(e)
}

// resize gives the policy another room, and returns those that were evicted.
func (p *policy) resize(room int64) (gone *entry) {
	p.room = room
	p.window.room = room * windowShare / 100
	p.protected.room = p.main() * protectedShare / 100
	return p.fit()
}

func (s *segment) push(e *entry) {
	e.segment = s
	s.bytes += e.size
	e.prev, e.next = &s.root, s.root.next
	e.prev.next, e.next.prev = e, e
}

func (s *segment) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next, e.segment = nil, nil, nil
	s.bytes -= e.size
}

// pop takes the entry out that was not asked for for the longest time.
func (s *segment) pop() *entry {
	e := s.root.prev
	s.remove(e)
	return e
}

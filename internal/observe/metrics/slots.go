package metrics

import (
	"strings"
	"sync"
	"sync/atomic"
)

// MaxRoutes and MaxUpstreams are how many names have counters of their own in the life of a process, Other included. A route
// takes about 2 KiB a shard, an upstream 1 KiB.
const (
	MaxRoutes    = 4096
	MaxUpstreams = 1024
)

// Other is the name of slot 0: of everything that has none of its own, and of names that came after the budget was spent.
const Other = "other"

// Slots gives names small numbers, which stay for the life of the process: a name that leaves the configuration and comes back
// finds its counters again. It is used when a snapshot is compiled, not on the path.
type Slots struct {
	most int
	grow func(n int) // makes room for slots below n before any of them is given out

	mu     sync.Mutex
	byName map[string]int
	names  []string
	folded atomic.Uint64
}

func newSlots(most int, grow func(int)) *Slots {
	grow(1)
	return &Slots{most: most, grow: grow, byName: map[string]int{Other: 0}, names: []string{Other}}
}

// Of returns the slot of name, a new one if it has none. When the budget is spent it returns 0 and counts that.
func (s *Slots) Of(name string) int {
	name = strings.ToValidUTF8(name, "\ufffd")
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot, ok := s.byName[name]; ok {
		return slot
	}
	slot := len(s.names)
	if slot >= s.most {
		s.folded.Add(1)
		return 0
	}
	name = strings.Clone(name)
	s.grow(slot + 1)
	s.byName[name] = slot
	s.names = append(s.names, name)
	return slot
}

// list returns the names by slot.
func (s *Slots) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[:len(s.names):len(s.names)]
}

// words is a short list of words that come from the data path, such as the reasons for opening a connection. Finding one takes
// no lock and no allocation; adding one happens a few times in the life of a process. Words beyond its room are Other, at 0.
type words struct {
	list atomic.Pointer[[]string]
	mu   sync.Mutex
}

const maxWords = 16

func (w *words) index(word string) int {
	list := *w.list.Load()
	for i, have := range list {
		if have == word {
			return i
		}
	}
	if len(list) == maxWords {
		return 0
	}
	return w.add(word)
}

func (w *words) add(word string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := *w.list.Load()
	for i, have := range list {
		if have == word {
			return i
		}
	}
	if len(list) == maxWords {
		return 0
	}
	list = append(list[:len(list):len(list)], strings.ToValidUTF8(strings.Clone(word), "\ufffd"))
	w.list.Store(&list)
	return len(list) - 1
}

func newWords() *words {
	w := &words{}
	w.list.Store(&[]string{Other})
	return w
}

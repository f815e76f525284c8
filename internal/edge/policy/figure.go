package policy

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Reporter is a thing with figures to show.
type Reporter interface {
	// Report calls figure for each. It answers from memory.
	Report(figure func(Figure))
}

// Figure is one figure of a policy for the metrics page, where it is called straum_policy_<Name>.
type Figure struct {
	Name    string // snake case with its unit, _total at the end of counters
	Help    string
	Counter bool
	Labels  [][2]string // few, with few values, but for those of places, see State.Figures
	Value   float64
}

// Each calls f for all that is held and has figures, in the order it came to be held.
func (s *State) Each(f func(Reporter)) {
	type one struct {
		Reporter
		number uint64
	}
	s.mu.Lock()
	all := make([]one, 0, len(s.held))
	for _, t := range s.held {
		if r, ok := t.value.(Reporter); ok {
			all = append(all, one{r, t.number})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.number, b.number) })
	for i := range all {
		f(all[i].Reporter)
	}
}

// Figures calls yield for each figure of all that is held, with names for MaxPlaces places at most.
//
// A place is what the labels scope, route, group, upstream and limit say. A configuration may have 100,000 of them, and the page of metrics has
// to be read. The first MaxPlaces values of each label that were ever asked about stand for themselves as long as the process lives. All others
// are called Elsewhere, and their figures are added up; a gauge in seconds is no sum, and is left out. What a thing that is given up has counted
// stays in the sum, so that no counter goes down.
func (s *State) Figures(yield func(Figure)) {
	sums := s.told.sums()
	s.Each(func(r Reporter) {
		r.Report(func(f Figure) {
			if !s.told.elsewhere(&f) {
				yield(f)
			} else {
				sums.add(f)
			}
		})
	})
	for _, f := range sums.list {
		yield(*f)
	}
}

const (
	// MaxPlaces is how many values a label may have that says where a policy stands.
	MaxPlaces = 200
	// Elsewhere is what all further ones are called.
	Elsewhere = "other"
)

// places are the labels that say where a policy stands.
var places = [...]string{"scope", "route", "group", "upstream", "limit"}

// told is which places have figures of their own, and what was counted elsewhere by things that are gone.
type told struct {
	mu   sync.Mutex
	own  [len(places)]map[string]struct{}
	past sums
}

// elsewhere gives a figure the labels it is shown with, and says whether it is one of several then.
func (t *told) elsewhere(f *Figure) (folded bool) {
	var labels [][2]string
	for i, l := range f.Labels {
		at := slices.Index(places[:], l[0])
		if at < 0 || t.has(at, l[1]) {
			continue
		}
		if !folded { // the labels are the reporter's
			folded, labels = true, slices.Clone(f.Labels)
		}
		labels[i][1] = Elsewhere
	}
	if folded {
		f.Labels = labels
	}
	return folded
}

// has says whether a place has figures of its own. It gets them as long as there is room.
func (t *told) has(at int, value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.own[at]
	if _, has := own[value]; has {
		return true
	}
	if len(own) == MaxPlaces {
		return false
	}
	if own == nil {
		own = map[string]struct{}{}
		t.own[at] = own
	}
	own[strings.Clone(value)] = struct{}{}
	return true
}

// leave keeps what a thing counted elsewhere, which is given up.
func (t *told) leave(r Reporter) {
	r.Report(func(f Figure) {
		if f.Counter && f.Value != 0 && t.elsewhere(&f) {
			t.mu.Lock()
			t.past.add(f)
			t.mu.Unlock()
		}
	})
}

// sums are those of the past, to add to.
func (t *told) sums() (now sums) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.past.list {
		now.add(*f)
	}
	return now
}

// sums are figures of which those that have name and labels in common are added up.
type sums struct {
	list  []*Figure
	byKey map[string]*Figure
	key   []byte
}

func (s *sums) add(f Figure) {
	if !f.Counter && strings.HasSuffix(f.Name, "_seconds") {
		return
	}
	s.key = append(s.key[:0], f.Name...)
	for _, l := range f.Labels {
		s.key = append(append(s.key, 0xff), l[1]...)
	}
	if there := s.byKey[string(s.key)]; there != nil {
		there.Value += f.Value
		return
	}
	if s.byKey == nil {
		s.byKey = map[string]*Figure{}
	}
	s.byKey[string(s.key)] = &f
	s.list = append(s.list, &f)
}

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
	s.mu.Lock()
	all := s.reporters()
	s.mu.Unlock()
	for _, r := range all {
		f(r)
	}
}

// reporters are all that have figures. mu is held.
func (s *State) reporters() []Reporter {
	type one struct {
		of     Reporter
		number uint64
	}
	sorted := make([]one, 0, len(s.held))
	for _, t := range s.held {
		if r, ok := t.value.(Reporter); ok {
			sorted = append(sorted, one{r, t.number})
		}
	}
	slices.SortFunc(sorted, func(a, b one) int { return cmp.Compare(a.number, b.number) })
	all := make([]Reporter, len(sorted))
	for i := range sorted {
		all[i] = sorted[i].of
	}
	return all
}

// Figures calls yield for each figure of all that is held, with names for MaxPlaces places at most.
//
// A place is what the labels scope, route, group, upstream and limit say. A configuration may have 100,000 of them, and the page of metrics has
// to be read. The first MaxPlaces values of each label that were ever asked about stand for themselves as long as the process lives. All others
// are called Elsewhere, and their figures are added up; a gauge in seconds is no sum, and is left out. What a thing that is given up has counted
// stays in the sum, so that no counter goes down.
func (s *State) Figures(yield func(Figure)) {
	s.mu.Lock() // so that what is given up meanwhile is counted once
	all, sums := s.reporters(), s.tally.sums()
	s.mu.Unlock()
	for _, r := range all {
		r.Report(func(f Figure) {
			if !s.tally.elsewhere(&f) {
				yield(f)
			} else {
				sums.add(f)
			}
		})
	}
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

// tally is which places have figures of their own, and what was counted elsewhere by things that are gone.
type tally struct {
	mu   sync.Mutex
	own  [len(places)]map[string]struct{}
	past sums
}

// elsewhere gives a figure the labels it is shown with, and says whether it is one of several then.
func (t *tally) elsewhere(f *Figure) (folded bool) {
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
func (t *tally) has(at int, value string) bool {
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

// leave keeps what a thing counted elsewhere, which is given up. The lock of the State is held.
func (t *tally) leave(r Reporter) {
	r.Report(func(f Figure) {
		if f.Counter && f.Value != 0 && t.elsewhere(&f) {
			t.mu.Lock()
			t.past.add(f)
			t.mu.Unlock()
		}
	})
}

// sums are those of the past, to add to.
func (t *tally) sums() (now sums) {
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

package purge

import (
	"slices"
	"sync"
	"sync/atomic"
)

// MaxRules and MaxBytes are how many rules a list holds, and how long their texts may be together. When there are more, the two oldest become one
// that covers both, which may remove more than was asked for, of what is as old as they are.
const (
	MaxRules = 4096
	MaxBytes = 1 << 20
)

// Verdict is what the rules say of an object.
type Verdict uint8

// The verdicts.
const (
	Fine Verdict = iota
	Soft         // stale: to be validated before its next use, whatever its age
	Gone
)

// List is the rules in force. The zero List is empty. Check may be called from any goroutine without waiting for Add.
type List struct {
	newest    atomic.Uint64 // number of the last rule that was added; never goes back
	rules     atomic.Pointer[[]Rule]
	collapsed atomic.Uint64

	saving sync.Mutex

	mu    sync.Mutex // guards changes
	bytes int        // of texts
}

// Check compares an object with the rules that are new to it. requested is when it was asked for, Unix time in nanoseconds. checked is the object's
// own: it is zero at first and belongs to Check. An object that was Soft once remains so; what takes its place has a later time.
func (l *List) Check(url string, tags []string, requested int64, checked *atomic.Uint64) Verdict {
	// checked holds the number of the last rule compared with, and in its lowest bit whether one of them was soft and matched.
	seen := checked.Load()
	newest := l.newest.Load()
	if seen>>1 >= newest {
		return Verdict(seen & 1)
	}
	rules, mark := l.load(), seen&1
	for i := len(rules) - 1; i >= 0 && rules[i].Number > seen>>1; i-- {
		r := &rules[i]
		if r.At < requested || r.Soft && mark != 0 || !r.Matches(url, tags) {
			continue
		}
		if !r.Soft {
			return Gone // not noted: whoever finds it gone drops it
		}
		mark = 1
	}
	// Two that check at once and write in whichever order write the same mark for the same rules; an older number has some rules compared again.
	checked.Store(newest<<1 | mark)
	return Verdict(mark)
}

// Find is the rule by which an object is gone or stale, the hardest and then the latest; for explanations.
func (l *List) Find(url string, tags []string, requested int64) (found Rule, ok bool) {
	for _, r := range l.load() {
		if r.At >= requested && r.Matches(url, tags) && (!ok || found.Soft || !r.Soft) {
			found, ok = r, true
		}
	}
	return found, ok
}

// Add puts a rule in force and gives its number. A rule that another covers already is not added, and has the other's number; those that it covers
// are removed.
func (l *List) Add(r Rule) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	rules := l.load()
	covered := 0
	for i := range rules {
		if !rules[i].joined && rules[i].covers(&r) {
			return rules[i].Number
		}
		if r.covers(&rules[i]) {
			covered++
		}
	}
	r.Number = l.newest.Load() + 1
	if covered > 0 {
		rules = keep(rules, func(q *Rule) bool { return !r.covers(q) })
	}
	// Readers have slices that end before: what is appended behind them in the same array is not theirs.
	rules = append(rules, r)
	l.put(rules)
	for len(rules) > MaxRules || l.bytes > MaxBytes && len(rules) > 1 {
		rules = collapse(rules)
		l.collapsed.Add(1)
		l.put(rules)
	}
	// After the rules: who sees the number sees the rule.
	l.newest.Store(r.Number)
	return r.Number
}

// collapse makes one rule of the oldest and the next of the same host, or of the oldest two. An object that was compared with the later of them was
// compared with both, so that the one that takes their place has its number and its place in the order.
func collapse(rules []Rule) []Rule {
	with := 1
	for i := 1; i < len(rules); i++ {
		if rules[0].common(&rules[i]) != "" {
			with = i
			break
		}
	}
	joined := both(&rules[0], &rules[with])
	kept := make([]Rule, 0, max(len(rules), MaxRules+1))
	for i := 1; i < len(rules); i++ {
		switch r := &rules[i]; {
		case i == with:
			kept = append(kept, joined)
		// Only older ones: to a later rule belong objects that were compared with joined and not with it.
		case i > with || !joined.covers(r):
			kept = append(kept, *r)
		}
	}
	return kept
}

// Retire removes rules that nothing is left for. A hard one: all that is stored was looked at since it was added, up to the number swept, and nothing
// is under way that was asked for at flying or before. A soft one leaves what it matches where it is: nothing is stored that was asked for at oldest
// or before. Times are Unix time in nanoseconds.
func (l *List) Retire(swept uint64, flying, oldest int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(keep(l.load(), func(r *Rule) bool {
		if r.Soft {
			return r.At > oldest
		}
		return r.At > oldest && (r.Number > swept || r.At > flying)
	}))
}

// Newest is the number of the last rule that was added, 0 for none.
func (l *List) Newest() uint64 { return l.newest.Load() }

// Rules are those in force, in the order they came. They are the reader's to look at only.
func (l *List) Rules() []Rule { return slices.Clip(l.load()) }

// Collapsed counts how often two rules became one because there were too many.
func (l *List) Collapsed() uint64 { return l.collapsed.Load() }

func (l *List) load() []Rule {
	if p := l.rules.Load(); p != nil {
		return *p
	}
	return nil
}

// put publishes rules. mu is held.
func (l *List) put(rules []Rule) {
	l.bytes = 0
	for i := range rules {
		l.bytes += len(rules[i].Text)
	}
	l.rules.Store(&rules)
}

func keep(rules []Rule, wanted func(*Rule) bool) []Rule {
	kept := make([]Rule, 0, len(rules)+1)
	for i := range rules {
		if wanted(&rules[i]) {
			kept = append(kept, rules[i])
		}
	}
	return kept
}

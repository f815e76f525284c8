package policy

import (
	"slices"
	"sync"
)

// State keeps what policies hold on to from one revision to the next: remembered tokens, key sets and the goroutines that renew them.
// Each thing stands under its kind and an identity that spells out everything it depends on, so that a policy whose options changed gets
// a new one and all others go on with theirs. Begin, Hold, Start, Keep and Drop are for one revision at a time; Each and Figures may be called at any
// time.
type State struct {
	mu    sync.Mutex
	held  map[string]*thing
	made  uint64 // things so far
	tally tally
}

type thing struct {
	value         any
	number        uint64 // in the order they were made
	used, settled bool   // by the revision that is being put in force; by the one before it
	started       bool
}

// Starter is a thing with work of its own to do, such as renewing what it has. Start is called once, when a revision with it is about to
// take requests: never for one that is only judged.
type Starter interface{ Start() }

// Stopper is a thing that has to be told when nobody will need it any more, whether it was started or not. Exchanges that began before may still use
// it: they must get an answer, an old one or a refusal.
type Stopper interface{ Stop() }

// NewState makes an empty State.
func NewState() *State { return &State{held: map[string]*thing{}} }

// Hold gives the thing of a kind with an identity, made now if it is not there. make must not call Hold.
func Hold[T any](s *State, kind, identity string, make func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := kind + " " + identity
	t := s.held[key]
	if t != nil {
		if value, ok := t.value.(T); ok {
			t.used = true
			return value
		}
		panic("BUG: two things of different types are held as " + kind)
	}
	value := make()
	s.made++
	s.held[key] = &thing{value: value, number: s.made, used: true}
	return value
}

// Begin says that a revision is about to be put in force.
func (s *State) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.held {
		t.used = false
	}
}

// Start says that the revision is about to take requests.
func (s *State) Start() {
	var all []Starter
	s.mu.Lock()
	for _, t := range s.held {
		if starter, ok := t.value.(Starter); ok && t.used && !t.started {
			t.started = true
			all = append(all, starter)
		}
	}
	s.mu.Unlock()
	for _, starter := range all {
		starter.Start()
	}
}

// Keep says that it is in force: what only the one before it needed is given up.
func (s *State) Keep() {
	s.give(func(t *thing) bool {
		t.settled = t.used
		return t.settled
	})
}

// Drop says that it is not: what only it needed is given up.
func (s *State) Drop() { s.give(func(t *thing) bool { return t.settled }) }

// Close gives everything up.
func (s *State) Close() { s.give(func(*thing) bool { return false }) }

func (s *State) give(keep func(*thing) bool) {
	var gone []Stopper
	s.mu.Lock()
	for key, t := range s.held {
		if keep(t) {
			continue
		}
		delete(s.held, key)
		if r, ok := t.value.(Reporter); ok {
			s.tally.leave(r)
		}
		if stopper, ok := t.value.(Stopper); ok {
			gone = append(gone, stopper)
		}
	}
	s.mu.Unlock()
	for _, g := range gone {
		g.Stop()
	}
}

// Attentive is a thing that may need somebody although the gateway goes on, such as an issuer whose keys cannot be had.
type Attentive interface {
	// Attention are sentences for the operator, none when all is well. It answers from memory.
	Attention() []string
}

// Attention is what all that is held needs somebody for.
func (s *State) Attention() (all []string) {
	s.mu.Lock()
	var held []Attentive
	for _, t := range s.held {
		if a, ok := t.value.(Attentive); ok {
			held = append(held, a)
		}
	}
	s.mu.Unlock()
	for _, a := range held {
		all = append(all, a.Attention()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

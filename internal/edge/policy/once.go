package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/replay"
)

// Once lets what callers sign be used once. All routes with one kind of policy share a memory, whatever their options, so that what was used on
// one is not taken on another; it outlives revisions, as long as one route has such a policy.
type Once struct {
	guard replay.Guard
	full  error
}

// OnceTerms are what a policy asks of the memory of its kind. The memory is as large, and as long, as the most that was ever asked for.
type OnceTerms struct {
	// Remember is how many used signatures are remembered.
	Remember int
	// Behind and Ahead are how old a signature may be, and how far ahead of our clock.
	Behind, Ahead time.Duration
	// Remedy is what an operator can do when no more can be remembered.
	Remedy string
	Now    func() time.Time
}

// NewOnce is for Bind of the policy called kind.
func NewOnce(w *World, kind string, terms OnceTerms) *Once {
	m := Hold(w.State, kind, "once", func() *used {
		return &used{Memory: replay.NewMemory(), kind: kind, remedy: terms.Remedy, now: terms.Now}
	})
	m.Ask(terms.Remember, terms.Behind, terms.Ahead, terms.Now().UnixNano())
	return &Once{replay.Guard{Memory: m.Memory, Store: w.Redis, Name: kind}, errors.New("policy " + kind + " remembers as many used signatures of this caller as it may; " + terms.Remedy)}
}

// Knows says whether it would be known if something signed at a time, in seconds since 1970, had been used. If not, it is too old.
func (o *Once) Knows(made int64) bool { return o.guard.Memory.Knows(made) }

// Use uses something signed, named by a hash, on behalf of its owner, and says whether that was the first time. When it cannot be known or
// remembered, the exchange has failed. One owner who signs too much is refused alone.
func (o *Once) Use(x *exchange.Exchange, thing [32]byte, owner string, now time.Time) bool {
	switch o.guard.Use(thing, owner, now.UnixNano()) {
	case replay.Used:
		return false
	case replay.Full:
		x.Fail(fault.New(fault.AuthUnavailable, o.full))
		return false
	}
	return true
}

// used is the memory of one kind of policy.
type used struct {
	*replay.Memory
	kind, remedy string
	now          func() time.Time
}

// Report implements Reporter.
func (u *used) Report(figure func(Figure)) {
	f := u.Figures(u.now().UnixNano())
	figure(Figure{Name: u.kind + "_remembered", Help: "Used signatures that are remembered.", Value: float64(f.Entries)})
	figure(Figure{Name: u.kind + "_replayed_total", Help: "Requests refused because their signature had been used.", Counter: true, Value: float64(f.Used)})
	figure(Figure{Name: u.kind + "_full_total", Help: "Requests refused because no more signatures of their caller could be remembered.", Counter: true, Value: float64(f.Full)})
	figure(Figure{Name: u.kind + "_unshared_total", Help: "Signatures taken without knowing whether another node took them, because the shared store did not answer.", Counter: true, Value: float64(f.Unshared)})
}

// maxOwners is how many callers one sentence names.
const maxOwners = 5

// Attention implements Attentive.
func (u *used) Attention() []string {
	owners := u.Full(u.now().UnixNano())
	if len(owners) == 0 {
		return nil
	}
	of, more := owners, ""
	if n := len(owners) - maxOwners; n > 0 {
		of, more = owners[:maxOwners], fmt.Sprintf(" and %d more", n)
	}
	return []string{"policy " + u.kind + " remembers as many used signatures of " + strings.Join(of, ", ") + more + " as it may: their good requests get 503; " + u.remedy}
}

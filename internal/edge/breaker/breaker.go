package breaker

import (
	"sync"
	"sync/atomic"
	"time"
)

// Breaker guards one upstream. While it is closed, Allow and Done are a few atomic operations; the mutex is taken only to
// change state and, half-open, to hand out and collect probes. A nil Breaker allows everything.
type Breaker struct {
	random   func() uint64
	onChange func(Change)
	settings atomic.Pointer[Settings]
	word     atomic.Uint64 // generation << stateBits | state; changes with every change of state
	until    atomic.Int64  // end of the cooldown, set before word says Open
	_        [64]byte

	active   atomic.Int64
	failures atomic.Int64 // in a row, while closed
	_        [48]byte
	window   window

	mu        sync.Mutex
	since     int64            // of the state
	trips     int              // in a row, see Settings.Cooldown
	cooldown  int64            // of the last trip, without jitter
	probes    [MaxProbes]int64 // half-open: when the probe in this slot counts as hung; 0 = free
	successes int              // half-open: of probes
}

const (
	stateBits = 3
	stateMask = 1<<stateBits - 1
)

const (
	// idempotentFirst is how long after the cooldown only idempotent requests become probes: a request that can be
	// retried elsewhere is a better scout. After that anything goes, or an upstream that only gets POST would never close.
	idempotentFirst = int64(time.Second)
	// shortly is the RetryAfter where nothing tells how long it will take.
	shortly = int64(time.Second)
)

// New returns a closed breaker. random gives uniformly distributed numbers for the jitter. onChange, which may be nil,
// hears of each change of state; it runs on the goroutine of the request that caused it, so it must not wait.
func New(s Settings, now int64, random func() uint64, onChange func(Change)) (*Breaker, error) {
	b := &Breaker{random: random, onChange: onChange, since: now}
	if err := b.Set(s); err != nil {
		return nil, err
	}
	return b, nil
}

// Set replaces the settings. The state, a running cooldown and the requests in flight stay; the window starts anew if its
// length changes.
func (b *Breaker) Set(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.settings.Swap(&s); old == nil || old.Window != s.Window {
		b.window.clear()
	}
	return nil
}

// Permit is the right to make one attempt. Either Done is called on it exactly once, or, where the verdict is known before
// the attempt ends (a long body, a tunnel), first Report and later End, once each. On the zero Permit they do nothing.
type Permit struct {
	breaker *Breaker
	word    uint64 // of the breaker when the permit was given
	probe   int8   // slot + 1, 0 = no probe
}

// Allow asks for one attempt at the time now, in nanoseconds. idempotent says whether the request may be repeated (RFC
// 9110, 9.2.2). If the verdict is a refusal, the permit is the zero Permit.
func (b *Breaker) Allow(now int64, idempotent bool) (Permit, Verdict) {
	if b == nil {
		return Permit{}, Verdict{}
	}
	s := b.settings.Load()
	word := b.word.Load()
	switch State(word & stateMask) {
	case Open:
		if wait := b.until.Load() - now; wait > 0 {
			return Permit{}, Verdict{Refusal: RefusedOpen, RetryAfter: wait}
		}
		return b.allowProbe(s, now, idempotent)
	case HalfOpen:
		return b.allowProbe(s, now, idempotent)
	case ForcedOpen:
		return Permit{}, Verdict{Refusal: RefusedForced, RetryAfter: int64(s.Cooldown)}
	}
	if !b.enter(s) {
		return Permit{}, Verdict{Refusal: RefusedFull, RetryAfter: shortly}
	}
	return Permit{breaker: b, word: word}, Verdict{}
}

// enter counts one request in unless the ceiling is reached. For an instant others may see one too many and be refused;
// one too many is never let in.
func (b *Breaker) enter(s *Settings) bool {
	if active := b.active.Add(1); s.MaxActive > 0 && active > int64(s.MaxActive) {
		b.active.Add(-1)
		return false
	}
	return true
}

// allowProbe decides when the breaker was seen half-open, or open with its cooldown over.
func (b *Breaker) allowProbe(s *Settings, now int64, idempotent bool) (Permit, Verdict) {
	b.mu.Lock()
	permit, verdict, change := b.takeProbe(s, now, idempotent)
	b.mu.Unlock()
	b.tell(change)
	return permit, verdict
}

// takeProbe needs mu.
func (b *Breaker) takeProbe(s *Settings, now int64, idempotent bool) (_ Permit, _ Verdict, change Change) {
	state := b.state()
	until := b.until.Load()
	switch { // again, now that nobody else moves
	case state == ForcedOpen:
		return Permit{}, Verdict{Refusal: RefusedForced, RetryAfter: int64(s.Cooldown)}, change
	case state == Open && now < until:
		return Permit{}, Verdict{Refusal: RefusedOpen, RetryAfter: until - now}, change
	case state == HalfOpen && b.hung(now):
		change = b.trip(s, now, ProbeHung)
		return Permit{}, Verdict{Refusal: RefusedOpen, RetryAfter: b.until.Load() - now}, change
	}
	if state == Open || state == HalfOpen {
		if wait := until + idempotentFirst - now; !idempotent && wait > 0 {
			return Permit{}, Verdict{Refusal: RefusedProbing, RetryAfter: wait}, change
		}
		if state == HalfOpen && b.probing() >= s.Probes {
			return Permit{}, Verdict{Refusal: RefusedProbing, RetryAfter: shortly}, change
		}
	}
	if !b.enter(s) {
		return Permit{}, Verdict{Refusal: RefusedFull, RetryAfter: shortly}, change
	}
	switch state {
	case Open:
		change = b.become(HalfOpen, now, CooldownOver)
	case Closed, ForcedClosed:
		return Permit{breaker: b, word: b.word.Load()}, Verdict{}, change
	}
	slot := 0
	for b.probes[slot] != 0 {
		slot++ // ends: fewer than Probes <= MaxProbes are taken
	}
	b.probes[slot] = max(now+int64(s.ProbeTimeout), 1)
	return Permit{breaker: b, word: b.word.Load(), probe: int8(slot) + 1}, Verdict{Probe: true}, change
}

// Done is Report and End in one.
func (p Permit) Done(now int64, outcome Outcome, latency int64) {
	p.End()
	p.Report(now, outcome, latency)
}

// End gives back the place among the requests in flight.
func (p Permit) End() {
	if p.breaker != nil {
		p.breaker.active.Add(-1)
	}
}

// Report tells what became of the attempt and how long that took, in nanoseconds. If the breaker changed its state since
// the permit was given, the result is about a past that was judged already, and counts for nothing.
func (p Permit) Report(now int64, outcome Outcome, latency int64) {
	b := p.breaker
	if b == nil || b.word.Load() != p.word {
		return
	}
	s := b.settings.Load()
	failed := outcome == Failure
	slow := s.SlowRatio > 0 && latency >= int64(s.SlowCall)
	switch {
	case p.probe > 0:
		b.probeDone(p, s, now, outcome, slow)
		return
	case outcome == Excluded:
		return
	}
	ratios := s.ErrorRatio > 0 || s.SlowRatio > 0
	if ratios {
		b.window.add(now, int64(s.Window)/steps, failed, slow)
	}
	var failures int64
	if failed {
		failures = b.failures.Add(1)
	} else if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
	if !failed && !slow || State(p.word&stateMask) != Closed {
		return
	}
	var cause Cause
	switch {
	case failed && s.ConsecutiveErrors > 0 && failures >= int64(s.ConsecutiveErrors):
		cause = ConsecutiveErrors
	case ratios:
		cause = b.judge(s, now)
	}
	if cause == 0 {
		return
	}
	b.mu.Lock()
	var change Change
	if b.word.Load() == p.word {
		change = b.trip(s, now, cause)
	}
	b.mu.Unlock()
	b.tell(change)
}

// judge returns which ratio is reached, 0 (which no trip has as its cause) if none is.
func (b *Breaker) judge(s *Settings, now int64) Cause {
	c := b.window.sum(now, int64(s.Window)/steps)
	switch {
	case c.Calls < s.MinVolume:
		return 0
	case s.ErrorRatio > 0 && float64(c.Errors) >= s.ErrorRatio*float64(c.Calls):
		return ErrorRatio
	case s.SlowRatio > 0 && float64(c.Slow) >= s.SlowRatio*float64(c.Calls):
		return SlowRatio
	}
	return 0
}

func (b *Breaker) probeDone(p Permit, s *Settings, now int64, outcome Outcome, slow bool) {
	b.mu.Lock()
	var change Change
	if b.word.Load() == p.word && b.probes[p.probe-1] != 0 {
		late := now >= b.probes[p.probe-1]
		b.probes[p.probe-1] = 0
		switch {
		case outcome == Excluded:
		case outcome == Failure:
			change = b.trip(s, now, ProbeFailed)
		case late:
			change = b.trip(s, now, ProbeHung)
		case slow:
			change = b.trip(s, now, ProbeSlow)
		default:
			if b.successes++; b.successes >= s.Successes {
				change = b.become(Closed, now, ProbesSucceeded)
			}
		}
	}
	b.mu.Unlock()
	b.tell(change)
}

// trip needs mu and a state of Closed or HalfOpen.
func (b *Breaker) trip(s *Settings, now int64, cause Cause) Change {
	if b.state() == Closed && now-b.since >= b.cooldown {
		b.trips = 0
	}
	b.trips++
	b.cooldown = s.cooldown(b.trips)
	jitter := float64(b.cooldown) * s.Jitter * float64(b.random()>>11) / (1 << 53)
	b.until.Store(now + b.cooldown + int64(jitter))
	return b.become(Open, now, cause)
}

// become needs mu. What the new state counts begins at nothing.
func (b *Breaker) become(to State, now int64, cause Cause) Change {
	word := b.word.Load()
	c := Change{From: State(word & stateMask), To: to, Cause: cause, At: now, Generation: word>>stateBits + 1}
	if to == Open {
		c.Until = b.until.Load()
	}
	b.since = now
	b.successes = 0
	b.probes = [MaxProbes]int64{}
	b.failures.Store(0)
	b.window.clear()
	b.word.Store(c.Generation<<stateBits | uint64(to))
	return c
}

// tell passes a change on, unless it is the zero one. It must not be called with mu held: the callback may ask the breaker.
func (b *Breaker) tell(c Change) {
	if c.Generation > 0 && b.onChange != nil {
		b.onChange(c)
	}
}

// hung tells whether any probe is past its time; it needs mu.
func (b *Breaker) hung(now int64) bool {
	for _, deadline := range b.probes {
		if deadline != 0 && now >= deadline {
			return true
		}
	}
	return false
}

// probing counts the probes on their way; it needs mu.
func (b *Breaker) probing() (n int) {
	for _, deadline := range b.probes {
		if deadline != 0 {
			n++
		}
	}
	return n
}

func (b *Breaker) state() State { return State(b.word.Load() & stateMask) }

// Force puts the breaker into ForcedOpen or ForcedClosed until Release. Forced closed it does not trip; MaxActive holds
// all the same.
func (b *Breaker) Force(now int64, to State) {
	if to != ForcedOpen && to != ForcedClosed {
		panic("BUG: breaker.Force: not a forced state: " + to.String())
	}
	b.move(now, to)
}

// Release ends a forced state: the breaker is closed, with nothing counted and no trips remembered. In other states it
// does the same, which makes it the operator's reset.
func (b *Breaker) Release(now int64) { b.move(now, Closed) }

func (b *Breaker) move(now int64, to State) {
	b.mu.Lock()
	var change Change
	if b.state() != to {
		b.trips, b.cooldown = 0, 0
		change = b.become(to, now, Operator)
	}
	b.mu.Unlock()
	b.tell(change)
}

// Snapshot is what the admin page and the metrics show.
type Snapshot struct {
	State       State
	Since       int64 // ns
	Until       int64 // ns, end of the cooldown; 0 unless open
	Active      int64 // requests in flight
	Consecutive int64 // failures in a row
	Window      Counts
	Trips       int // in a row
	Probing     int // probes on their way
	Successes   int // of probes
	Generation  uint64
}

// Snapshot returns the state and the counts at the time.
func (b *Breaker) Snapshot(now int64) Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.settings.Load()
	snap := Snapshot{
		State: b.state(), Since: b.since, Active: b.active.Load(), Consecutive: b.failures.Load(),
		Trips: b.trips, Probing: b.probing(), Successes: b.successes, Generation: b.word.Load() >> stateBits,
	}
	if snap.State == Open {
		snap.Until = b.until.Load()
	}
	if s.ErrorRatio > 0 || s.SlowRatio > 0 {
		snap.Window = b.window.sum(now, int64(s.Window)/steps)
	}
	return snap
}

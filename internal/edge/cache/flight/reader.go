package flight

import (
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
)

// reader is a body as one of those who share it reads it: the leader's client, or a follower's. Its fields are the flight's to guard.
type reader struct {
	flight *Flight
	gone   func() bool // may be nil
	pos    int64       // of the next run
	at     *chunk      // where pos lies, or a chunk before; nil at the beginning, and when the flight is flat
	held   *chunk      // the last run is a view of it
	moved  int64       // when Next gave a run of a window last, 0 for never
	fault  *fault.Fault
	index  int  // among the followers
	out    bool // it does not count any more: it left, or was cut off
}

// longestRun is how many bytes a reader of a window is given at once: so much it has to take in the time that stuck allows.
const longestRun = 16 << 10

// Next implements exchange.Body.
func (r *reader) Next() ([]byte, error) {
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unhold(r)
	leads := r == &f.leader
	if leads && f.owner == idle {
		f.begin()
	}
	for {
		switch {
		case r.fault != nil:
			return nil, r.fault
		case r.pos < f.n:
			return f.view(r), nil
		case f.ended && (leads || f.told == nil):
			return nil, f.err
		case f.ended:
			return nil, f.told
		case leads && f.owner == passing:
			return f.direct()
		}
		patience := tick
		if r.gone == nil {
			patience = 0
		}
		if f.sleep(&f.more, patience) && f.asked(r.gone) {
			r.fault = fault.New(fault.ClientGone, nil)
		}
	}
}

// Buffered implements exchange.Body.
func (r *reader) Buffered() bool {
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.pos < f.n || f.ended || r.fault != nil {
		return true
	}
	switch {
	case r != &f.leader:
		return false
	case f.owner == passing:
		return f.rest != nil || f.source.Buffered()
	case f.owner == idle:
		return f.source.Buffered()
	}
	return false
}

// view gives a reader what there is for it, in one run.
func (f *Flight) view(r *reader) []byte {
	from := r.pos
	var run []byte
	if f.flat != nil {
		run, r.at = f.flat[from:f.n:f.n], nil
	} else {
		c := r.at
		if c == nil || c.dropped { // what this reader has not read is not dropped
			c = f.first
		}
		for c.end() <= from {
			c = c.next
		}
		r.at, r.held = c, c
		c.holders++
		run = c.buf[from-c.from : c.n : c.n]
	}
	if f.window {
		run = run[:min(len(run), longestRun)]
		r.moved = clock.Now()
	}
	r.pos += int64(len(run))
	switch {
	case f.first == nil || from >= f.first.end() || r.pos < f.first.end():
	case f.ended:
		f.trim()
	case f.edge == f.first && f.room != nil:
		if f.behind--; f.behind <= 0 {
			wake(&f.room)
		}
	}
	return run
}

// unhold gives back the run that a reader had last.
func (f *Flight) unhold(r *reader) {
	c := r.held
	if c == nil {
		return
	}
	r.held = nil
	if c.holders--; c.holders == 0 && c.dropped {
		f.free(c)
	}
}

package redis

import "sync/atomic"

type counters struct {
	commands, refused, errors, timeouts, skipped, full, opened, reloads atomic.Uint64
}

// Figures are counts since the client was made.
type Figures struct {
	Commands uint64 // sent
	Refused  uint64 // of those, answered with a refusal
	Errors   uint64 // of those, failed because the connection did or the store was not ready
	Timeouts uint64 // of those, not answered within the budget
	Skipped  uint64 // not sent, because the store had not been answering
	Full     uint64 // not sent, because too many were under way
	Opened   uint64 // times it stopped being asked
	Reloads  uint64 // scripts sent again because the store did not have them
	InFlight int64  // under way now, those nobody waits for included
}

// Figures reads the counts.
func (c *Client) Figures() Figures {
	f := &c.figures
	return Figures{f.commands.Load(), f.refused.Load(), f.errors.Load(), f.timeouts.Load(), f.skipped.Load(), f.full.Load(),
		f.opened.Load(), f.reloads.Load(), c.inFlight.Load()}
}

package setting

import (
	"strconv"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// Columns of /proc/net/softnet_stat.
const (
	softnetDropped  = 1
	softnetSqueezed = 2
)

// judgeReceived is about packets that wait for a processor. Those of most network cards do not pass this queue: it is for packets that
// receive packet steering hands over, those of loopback, and those of virtual pairs.
func judgeReceived(s *Sight) Verdict {
	const enough = 4096
	is, err := s.number("net.core.netdev_max_backlog")
	if err != nil {
		return unread(err, "It bounds the packets that wait for one processor. It belongs to the machine, not to a container.")
	}
	var window uint64
	if s.Vitals != nil {
		window = s.Vitals.Network.SoftnetDropped
	}
	boot := s.column("/proc/net/softnet_stat", softnetDropped, 0)
	text := strconv.FormatInt(is, 10)
	const what = "packet* dropped for want of room"
	switch {
	case window == 0 && boot == 0:
		return fine(text, "No packet was dropped for want of room, so a longer queue would only add delay.")
	case is < enough:
		return propose(box.Hint, text, strconv.Itoa(enough), "Packets came faster for a moment than a processor took them, and the queue had no room for the rest. What TCP lost is sent again after a round trip at best, after a fifth of a second or more where only a timer notices.").
			worse(window, boot, what)
	}
	v := fine(text, "The queue is long already; the processor that takes packets from it does not keep up.")
	v.Remedy = "spread packets over the processors (queues of the network card, RPS), and look at softirq and steal"
	return v.worse(window, boot, what)
}

// judgeRound is about how many packets are taken in one round of the soft interrupt before others get their turn.
func judgeRound(s *Sight) Verdict {
	const (
		enough   = 600
		frequent = 10 // rounds a second that ended with packets left
	)
	is, err := s.number("net.core.netdev_budget")
	if err != nil {
		return unread(err, "It bounds the packets taken in one round. It belongs to the machine, not to a container.")
	}
	text := strconv.FormatInt(is, 10)
	var rate float64
	if s.Vitals != nil && s.Vitals.Window > 0 {
		rate = float64(s.Vitals.Network.SoftnetSqueezed) / s.Vitals.Window.Seconds()
	}
	if rate < frequent || is >= enough {
		return fine(text, "Rounds seldom end with packets left. That is no loss by itself: the next round takes them.")
	}
	v := propose(box.Hint, text, strconv.Itoa(enough), "Rounds of the soft interrupt often end with packets left, which then wait for the next one. Twice the packets a round means fewer waits, where it was the number that ended rounds and not their time (net.core.netdev_budget_usecs).")
	v.Cost = wording.Grouped(int64(rate)) + " rounds a second ended with packets left"
	return v
}

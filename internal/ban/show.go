package ban

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// List is a stretch of the bans that run, those that a dry run keeps from being in force included, by network: most of them behind the first
// offset. total is how many there are. With a network it is of those that share addresses with it. Bans wait while a list is made, so it is
// counted without walking through where that can be.
func (e *Engine) List(within netip.Prefix, offset, most int) (page []Ban, total int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	take := func(r *record) {
		if total >= offset && len(page) < most {
			page = append(page, r.ban(e.holdsBack(r)))
		}
		total++
	}
	running := e.ledger.running
	if within, narrow := canonical(within); narrow {
		outer := e.ledger.covering(within)
		for _, r := range outer {
			take(r)
		}
		for n, r := range running.Subnets(within) {
			if n != within { // it is among those that cover it
				take(r)
			}
		}
		return page, total
	}
	for _, r := range running.AllSorted() {
		if len(page) >= most {
			break
		}
		take(r)
	}
	return page, running.Size()
}

// Why says what is known of an address.
func (e *Engine) Why(a netip.Addr) Explanation {
	set := e.set.Load()
	out := Explanation{Address: a, On: set.On, DryRun: set.DryRun, Threshold: set.Threshold, Spares: set.Consumers, Rung: e.Rung(a)}
	n, ok := Network(a)
	if !ok {
		return out
	}
	k, _ := keyOf(a)
	out.Network = n
	now := e.options.Clock()
	s := e.scores.get(k, now)
	out.Score, out.Scores = s.total(), s.by
	if seen := e.seen.Load(); seen != nil {
		out.Consumers = seen.consumers(k, now)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	host := netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
	for _, r := range e.ledger.covering(host) {
		out.Bans = append(out.Bans, r.ban(e.holdsBack(r)))
	}
	if r := e.ledger.records[n]; r != nil {
		out.Count = int(r.count)
		if r.over {
			out.Forgotten = time.UnixMilli(r.until).Add(set.Remember)
		} else if r.until != 0 {
			out.Forgotten = time.UnixMilli(r.until).Add(set.Remember)
		}
	}
	if p, yes := e.protects(set, n, e.options.Now()); yes {
		out.Never, out.NeverBy = p.why, p.network
	}
	return out
}

// Figures are for metrics.
func (e *Engine) Figures() Figures {
	c := &e.counts
	f := Figures{Scored: e.scores.count(), Widened: c.widened.Load(), Ordered: c.ordered.Load(), Removed: c.removed.Load(), Ended: c.ended.Load(),
		Guarded: c.guarded.Load(), Spared: c.spared.Load(), Full: c.full.Load(), Evicted: e.scores.evicted.Load(), Nameless: c.nameless.Load()}
	for i := range f.Strikes {
		f.Strikes[i], f.Made[i] = c.strikes[i].Load(), c.made[i].Load()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f.Bans, f.Remembered = e.tally, len(e.ledger.over.list)
	if e.set.Load().On {
		f.Dry = e.ledger.running.Size() - e.tally[Refuse] - e.tally[Drop] - e.tally[Kernel]
	}
	return f
}

// Attention are sentences for the operator, none when all is well.
func (e *Engine) Attention() (all []string) {
	e.mu.Lock()
	if e.full {
		all = append(all, fmt.Sprintf("bans: %d networks are banned, and there is room for no more; ban wider networks by hand, or make longest shorter", e.ledger.most))
	}
	e.mu.Unlock()
	all = append(all, e.keep.attention()...)
	slices.Sort(all)
	return all
}

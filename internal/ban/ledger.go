package ban

import (
	"cmp"
	"container/heap"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"
)

// maxBans is how many bans are in force or remembered at most.
const maxBans = 1_000_000

// origin is what made a ban.
type origin uint8

const (
	byScore   origin = iota // the score of its own
	byNetwork               // bans of networks inside it
	byHand                  // an Order
)

var originWords = [...]string{ByScore, ByNetwork, "hand"}

// record is the ban of a network that runs, or what is remembered of it. Times are milliseconds of the day's clock.
type record struct {
	network netip.Prefix
	began   int64
	until   int64 // of one that runs: 0 is until it is removed; of one that is over: when it ended
	count   int32 // of its bans so far
	place   int32 // in the heap it is in, -1 in none
	rung    Rung
	origin  origin
	signal  Signal // with byScore
	over    bool
	dry     bool   // begun in a dry run
	dries   int32  // how many of count were
	reason  string // with byHand
	by      string // with byHand
}

// ban is the record as lists show it. kept is what the settings make of its rung.
func (r *record) ban(dry bool) Ban {
	b := Ban{Network: r.network, Rung: r.rung, Began: time.UnixMilli(r.began), Count: int(r.count), Dry: dry}
	if r.until != 0 {
		b.Until = time.UnixMilli(r.until)
	}
	switch r.origin {
	case byScore:
		b.Reason, b.By = r.signal.String(), ByScore
	case byNetwork:
		b.Reason, b.By = "widened", ByNetwork
	default:
		b.Reason, b.By = r.reason, r.by
	}
	return b
}

// ledger holds what there is and was of bans. Time is an argument; whoever uses it holds a lock.
type ledger struct {
	most    int
	records map[netip.Prefix]*record
	running *bart.Table[*record] // of those that run
	ends    queue                // of those that run and end, by until
	over    queue                // of those that are over, by until
}

func newLedger(most int) *ledger {
	l := &ledger{most: most, records: map[netip.Prefix]*record{}, running: new(bart.Table[*record])}
	return l
}

var errFull = errors.New("as many bans are in force as there is room for")

// begin begins a ban, or a further one, of a network that has none that runs. The caller fills in the rest of the record.
func (l *ledger) begin(n netip.Prefix, now, until int64) (*record, error) {
	r := l.records[n]
	if r == nil {
		if len(l.records) >= l.most {
			if len(l.over.list) == 0 {
				return nil, errFull
			}
			l.drop(l.over.list[0])
		}
		r = &record{network: n}
		l.records[n] = r
	} else {
		l.over.remove(r)
	}
	r.began, r.until, r.over, r.dry, r.reason, r.by = now, until, false, false, "", ""
	r.count++
	l.run(r)
	return r, nil
}

// run files a record among those that run.
func (l *ledger) run(r *record) {
	l.running.Insert(r.network, r)
	r.place = -1
	if r.until != 0 {
		l.ends.add(r)
	}
}

// end ends a ban that runs, and remembers it.
func (l *ledger) end(r *record, now int64) {
	l.running.Delete(r.network)
	l.ends.remove(r)
	r.until, r.over = now, true
	l.over.add(r)
}

// drop forgets a record.
func (l *ledger) drop(r *record) {
	if r.over {
		l.over.remove(r)
	} else {
		l.running.Delete(r.network)
		l.ends.remove(r)
	}
	delete(l.records, r.network)
}

// due calls ended for every ban whose time is over, which is ended then, and forgets what need not be remembered any more. It reports
// whether anything was forgotten.
func (l *ledger) due(now int64, remember time.Duration, ended func(*record)) (forgotten bool) {
	for len(l.ends.list) > 0 && l.ends.list[0].until <= now {
		r := l.ends.list[0]
		l.end(r, r.until)
		ended(r)
	}
	for len(l.over.list) > 0 && l.over.list[0].until+remember.Milliseconds() <= now {
		l.drop(l.over.list[0])
		forgotten = true
	}
	return forgotten
}

// notLater sees to it that nothing has happened later than now: after the day's clock was set back, or was wrong when a ban was made, a ban
// lasts no longer than it would if it began now. It reports whether anything changed.
func (l *ledger) notLater(now int64) (changed bool) {
	for _, r := range l.records {
		switch {
		case r.over && r.until > now:
			l.over.remove(r)
			r.began, r.until = min(r.began, now), now
			l.over.add(r)
		case !r.over && r.began > now:
			if r.until != 0 {
				l.ends.remove(r)
				r.until -= r.began - now
				l.ends.add(r)
			}
			r.began = now
		default:
			continue
		}
		changed = true
	}
	return changed
}

// forgetDry forgets what was only so in a dry run. No ban of one runs any more.
func (l *ledger) forgetDry() {
	for _, r := range l.records {
		if r.count, r.dries = r.count-r.dries, 0; r.count == 0 {
			l.drop(r)
		}
	}
}

// next is when something is due, 0 for never.
func (l *ledger) next(remember time.Duration) (at int64) {
	if len(l.ends.list) > 0 {
		at = l.ends.list[0].until
	}
	if len(l.over.list) > 0 {
		if forget := l.over.list[0].until + remember.Milliseconds(); at == 0 || forget < at {
			at = forget
		}
	}
	return at
}

// inside counts the bans by score that run inside a network, up to enough.
func (l *ledger) inside(n netip.Prefix, enough int) (found int) {
	for _, r := range l.running.Subnets(n) {
		if r.origin == byScore {
			if found++; found == enough {
				break
			}
		}
	}
	return found
}

// covering are the records of bans that run and hold a network, the widest first.
func (l *ledger) covering(n netip.Prefix) (all []*record) {
	for _, r := range l.running.Supernets(n) {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *record) int { return cmp.Compare(a.network.Bits(), b.network.Bits()) })
	return all
}

// queue is a heap of records by until, which does not change while they are in it.
type queue struct{ list []*record }

func (q *queue) add(r *record) { heap.Push(q, r) }

func (q *queue) remove(r *record) {
	if r.place >= 0 {
		heap.Remove(q, int(r.place))
	}
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(q.list) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return q.list[i].until < q.list[j].until }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	q.list[i], q.list[j] = q.list[j], q.list[i]
	q.list[i].place, q.list[j].place = int32(i), int32(j)
}

// Push implements heap.Interface.
func (q *queue) Push(r any) {
	one := r.(*record)
	one.place = int32(len(q.list))
	q.list = append(q.list, one)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(q.list) - 1
	r := q.list[last]
	q.list[last] = nil
	q.list = q.list[:last]
	r.place = -1
	return r
}

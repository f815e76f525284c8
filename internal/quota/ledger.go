package quota

import "sync"

// Ledger holds counts in memory, for a bounded number of those who are counted. When there are more, the counts that belong to a past day
// or month make room; when there are none, newcomers share a few counters with one another, and nobody's count is given up. A Ledger is
// used by many goroutines at once.
type Ledger struct {
	most   int // in a shard
	shards [shards]shard
}

const shards = 64

// shard is a part with a lock of its own. The first of its records is the one that newcomers share.
type shard struct {
	mu      sync.Mutex
	index   map[ID]uint32
	records []record
	free    []uint32
	dirty   []uint32 // records that changed since they were last written
	looked  int64    // the beginning of the day at which past records were last looked for
	_       [32]byte // so that two locks are not in one cache line
}

// record is the count of one ID: how much was used in the day, and in the month, that began at Start.
type record struct {
	id    ID
	start [periods]int64 // seconds since 1970
	used  [periods]int64
	dirty bool
}

// NewLedger makes an empty ledger with room for so many.
func NewLedger(most int) *Ledger {
	l := &Ledger{}
	for i := range l.shards {
		s := &l.shards[i]
		s.index = map[ID]uint32{}
		s.records = []record{{id: ID{byte(i)}}}
	}
	l.Allow(most)
	return l
}

// Allow makes room for so many, if there is less.
func (l *Ledger) Allow(most int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		defer l.shards[i].mu.Unlock()
	}
	l.most = max(l.most, most/shards, 1)
}

// Take uses cost of the quotas of id, if each period with a limit has as much left: of all of them, or of none. now is in seconds since 1970
// and lies in spans, unless the clock was set just now.
func (l *Ledger) Take(id ID, cost int64, limits *Limits, spans *Spans, now int64) Outcome {
	s := &l.shards[id[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(id, l.most, spans)
	r := &s.records[at]
	o := Outcome{Shared: at == 0}
	for p := range limits {
		if limits[p] == 0 {
			continue
		}
		r.turn(p, &spans[p])
		o.Used[p], o.Rest[p] = r.used[p], max(spans[p].End-now, 1)
		if cost > limits[p]-r.used[p] {
			o.Refused, o.By = true, Period(p)
		}
	}
	if o.Refused {
		return o
	}
	for p := range limits {
		if limits[p] != 0 {
			r.used[p] += cost
			o.Used[p] = r.used[p]
		}
	}
	s.touch(at)
	return o
}

// turn begins a new day or month, when the one that was counted is over. A clock that goes back over midnight does not begin the day before
// again: what was counted stays. One that was far ahead, and is right again, does.
func (r *record) turn(p int, span *Span) {
	if r.start[p] < span.Start || r.start[p] > span.End {
		r.start[p], r.used[p] = span.Start, 0
	}
}

// find gives the place of an ID's record, made if need be, or that of the shared one. The lock is held.
func (s *shard) find(id ID, most int, spans *Spans) uint32 {
	if at, ok := s.index[id]; ok {
		return at
	}
	if len(s.index) >= most && !s.makeRoom(spans) {
		return 0
	}
	return s.add(record{id: id})
}

// add puts a record where there is room. The lock is held.
func (s *shard) add(r record) uint32 {
	var at uint32
	if n := len(s.free); n > 0 {
		at, s.free = s.free[n-1], s.free[:n-1]
		r.dirty = s.records[at].dirty // it stands in the list still
		s.records[at] = r
	} else {
		at = uint32(len(s.records))
		s.records = append(s.records, r)
	}
	s.index[r.id] = at
	return at
}

// makeRoom takes out the records that tell of the past alone, and says whether there were any. It looks once a day: between, none is added
// to them. The lock is held.
func (s *shard) makeRoom(spans *Spans) bool {
	if s.looked == spans[Day].Start {
		return false
	}
	s.looked = spans[Day].Start
	for i := 1; i < len(s.records); i++ {
		r := &s.records[i]
		if s.index[r.id] == uint32(i) && r.past(spans) {
			delete(s.index, r.id)
			s.free = append(s.free, uint32(i))
		}
	}
	return len(s.free) > 0
}

// past says that a record counts nothing of the present.
func (r *record) past(spans *Spans) bool {
	for p := range r.used {
		if r.used[p] != 0 && r.start[p] >= spans[p].Start {
			return false
		}
	}
	return true
}

// touch notes that a record changed. The lock is held.
func (s *shard) touch(at uint32) {
	if r := &s.records[at]; !r.dirty {
		r.dirty = true
		s.dirty = append(s.dirty, at)
	}
}

// Len is how many have counts of their own.
func (l *Ledger) Len() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.index)
		s.mu.Unlock()
	}
	return n
}

// add counts what an earlier process had counted, or one that has just ended: it adds to what is counted already. What is past is left out.
// There is room for it in any case: it had room before.
func (l *Ledger) add(old record, spans *Spans) {
	if old.past(spans) {
		return
	}
	s := &l.shards[old.id[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.index[old.id]
	switch {
	case old.id == s.records[0].id:
		at = 0
	case !ok:
		s.add(old)
		return
	}
	r := &s.records[at]
	for p := range r.used {
		switch {
		case old.used[p] == 0 || old.start[p] < r.start[p]:
		case old.start[p] == r.start[p]:
			r.used[p] += old.used[p]
		default:
			r.start[p], r.used[p] = old.start[p], old.used[p]
		}
	}
	s.touch(at)
}

// appendChanged appends the records that changed since it was last asked, in the form of the file.
func (l *Ledger) appendChanged(b []byte) []byte {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for _, at := range s.dirty {
			s.records[at].dirty = false
			b = s.records[at].append(b)
		}
		s.dirty = s.dirty[:0]
		s.mu.Unlock()
	}
	return b
}

// appendAll appends the records that tell of the present, and forgets which changed.
func (l *Ledger) appendAll(b []byte, spans *Spans) []byte {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for _, at := range s.dirty {
			s.records[at].dirty = false
		}
		s.dirty = s.dirty[:0]
		for i := range s.records {
			r := &s.records[i]
			if i > 0 && s.index[r.id] != uint32(i) || r.past(spans) {
				continue
			}
			b = r.append(b)
		}
		s.mu.Unlock()
	}
	return b
}

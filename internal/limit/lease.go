package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/redis"
)

// Leases hold tokens that were drawn from the shared store in batches, and spend them here. They outlive revisions.
//
// What is drawn is taken from the bucket in the store before anybody gets it. So, counted from a time at which no node holds any, all nodes
// together never grant more than burst + rate·t. In another stretch of time they may grant what they had drawn before it as well: at most
// nodes × MaxBatch, or the cost of a request where that is more, see Return. What is not used within LeaseLife is lost, which only makes the
// limit lower.
//
// A batch is what is used in half a second, and at most MaxBatch. The next is drawn in the background while half of the last is left; a
// request waits for the store when nothing is left, or nobody has asked before. What the store refused is refused here until the time it
// said, for a second at most.
//
// Leases are dropped at will when there are too many: that costs tokens and a trip to the store.
type Leases struct {
	most     int // of a shard
	drawing  chan struct{}
	drawn    atomic.Uint64
	trips    atomic.Uint64
	answered atomic.Uint64
	shards   [leaseShards]leaseShard
}

const (
	leaseShards = 64
	// LeaseLife is how long drawn tokens are good for, in nanoseconds.
	LeaseLife = int64(time.Second)
	// batchTime is what may come back in the time that a batch is for, which bounds it.
	batchTime = int64(100 * time.Millisecond)
	// useTime is the use that a batch is for, within this bound: one that is used more slowly than the limit allows lasts longer.
	useTime = LeaseLife / 2
	// maxDrawing is how many batches may be on their way at a time.
	maxDrawing = 64
)

type leaseShard struct {
	mu     sync.Mutex
	leases map[uint64]*lease // by the second half of the key: a map of such is the fastest there is
}

// get gives the lease of a key, nil for none.
func (s *leaseShard) get(k Key) *lease {
	if one := s.leases[k.b]; one != nil && one.key == k {
		return one
	}
	return nil
}

// lease is what one identity has left here of one limit.
type lease struct {
	key     Key
	tokens  int64 // that may be used until ends
	ends    int64
	left    int64 // in the store when it was last asked
	drawnAt int64 // when the last batch was drawn
	batch   int64 // what there was then
	used    int64 // since then
	refused int64 // until when what costs at least cost is refused
	cost    int64
	opens   int64 // when the store would grant it
	drawing bool  // a batch is on its way
}

// NewLeases makes room for leases of so many identities.
func NewLeases(most int) *Leases {
	l := &Leases{most: max(1, most/leaseShards), drawing: make(chan struct{}, maxDrawing)}
	for i := range l.shards {
		l.shards[i].leases = map[uint64]*lease{}
	}
	return l
}

// MaxBatch is the most tokens that a node holds: what comes back in 100 ms, and half of the burst at most. Of a limit where that is less than two
// none are held: each request draws what it costs.
func (t *Terms) MaxBatch() int64 {
	if n := min(batchTime*tick/t.interval, t.burst/2); n > 1 {
		return n
	}
	return 0
}

// Step is what is to be done after Leases.Take.
type Step uint8

// The steps.
const (
	// Done: the verdict counts.
	Done Step = iota
	// Renew: it counts, and Leases.Renew should be called.
	Renew
	// Draw: there is no verdict; Leases.Draw gives one.
	Draw
)

// Take asks the lease of one limit. now is in nanoseconds.
func (l *Leases) Take(a *Ask, now int64) Step {
	s, cost := &l.shards[a.Key.shard()%leaseShards], a.cost()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.get(a.Key)
	if one == nil {
		return Draw
	}
	if now >= one.ends {
		one.tokens = 0
	}
	if one.tokens < cost { // a batch may have come since the store refused
		if cost < one.cost || now >= one.refused {
			return Draw
		}
		a.Verdict = one.verdict(a.Terms, now)
		a.OK, a.Retry = false, one.opens-now
		l.answered.Add(1)
		return Done
	}
	one.tokens -= cost
	one.used += cost
	a.Verdict = one.verdict(a.Terms, now)
	if !one.drawing && 2*one.tokens < one.batch {
		one.drawing = true
		return Renew
	}
	return Done
}

// verdict is what a lease can tell: what the store had left, what has come back since, and what is left here.
func (one *lease) verdict(t *Terms, now int64) Verdict {
	left := min(t.burst, one.left+one.tokens+max(0, min(now-one.drawnAt, int64(MaxFill)))*tick/t.interval)
	return Verdict{OK: true, Left: left, Reset: nanoseconds((t.burst - left) * t.interval)}
}

// Return gives back what Take or Draw granted, when another limit refused the request. The next request of the same caller finds it here, if it comes
// before the lease ends. No more is held than MaxBatch, or what one request costs.
func (l *Leases) Return(a *Ask, now int64) {
	s := &l.shards[a.Key.shard()%leaseShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.get(a.Key); one != nil && now < one.ends {
		one.tokens = min(one.tokens+a.cost(), max(a.Terms.MaxBatch(), a.cost()))
		one.used = max(0, one.used-a.cost())
	}
}

// Draw asks the store for what the request costs, and for a batch besides when nobody else does. The error is one of package redis.
func (l *Leases) Draw(store *redis.Client, a *Ask, name string, now func() int64) error {
	began, cost := now(), a.cost()
	want, first := l.begin(a, began)
	n, v, err := l.ask(store, a.Terms, name, cost, cost+want)
	l.end(a, n, cost, v, now(), first, err == nil)
	if err != nil {
		return err
	}
	a.Verdict = v
	return nil
}

// Renew draws a batch in the background. Take said that it should.
func (l *Leases) Renew(store *redis.Client, a *Ask, name string, now func() int64) {
	one := *a
	terms := *a.Terms
	one.Terms = &terms
	select {
	case l.drawing <- struct{}{}:
		go l.runDraw(store, one, name, now)
	default: // many are: somebody will ask again
		l.end(&one, 0, 0, Verdict{}, now(), true, false)
	}
}

func (l *Leases) runDraw(store *redis.Client, a Ask, name string, now func() int64) {
	defer func() { <-l.drawing }()
	want := l.size(&a, now())
	n, v, err := l.ask(store, a.Terms, name, 1, want)
	l.end(&a, n, 0, v, now(), true, err == nil)
}

// Stop waits for the batches on their way, which takes as long as the store may. No more are drawn in the background after it.
func (l *Leases) Stop() {
	for range maxDrawing {
		l.drawing <- struct{}{}
	}
}

// begin says how much to draw besides what the request costs: a batch, when none is on its way.
func (l *Leases) begin(a *Ask, now int64) (want int64, first bool) {
	s := &l.shards[a.Key.shard()%leaseShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.get(a.Key)
	if one == nil {
		one = &lease{key: a.Key}
		s.room(l.most, now)
		s.leases[a.Key.b] = one
		one.drawing = true
		return 0, true // once is no habit
	}
	if one.drawing {
		return 0, false
	}
	one.drawing = true
	return one.size(a.Terms, now), true
}

// size is that of the next batch.
func (l *Leases) size(a *Ask, now int64) int64 {
	s := &l.shards[a.Key.shard()%leaseShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.get(a.Key); one != nil {
		return one.size(a.Terms, now)
	}
	return 1
}

// size is what will be used in useTime, as far as it can be told from the time since the last draw. Who asks less than twice a second gets none in
// advance: it would be lost as often as not.
func (one *lease) size(t *Terms, now int64) int64 {
	took := max(now-one.drawnAt, int64(time.Millisecond))
	return max(0, min(t.MaxBatch()-one.tokens, one.used*useTime/took))
}

// ask asks the store for at least need tokens and at most want.
func (l *Leases) ask(store *redis.Client, t *Terms, name string, need, want int64) (int64, Verdict, error) {
	l.trips.Add(1)
	reply, err := store.Run(draw, []string{name}, []string{integer(t.burst), t.perMicrosecond(), integer(need), integer(max(need, want))})
	if err != nil {
		return 0, Verdict{}, err
	}
	n, err := reply.Ints()
	if err != nil {
		return 0, Verdict{}, err
	}
	if len(n) != 4 || n[0] < 0 || n[0] > max(need, want) {
		return 0, Verdict{}, errReply
	}
	return n[0], Verdict{OK: n[0] >= need, Left: max(0, n[1]), Retry: 1000 * n[2], Reset: 1000 * n[3]}, nil
}

// end puts what was drawn where it can be used. cost of it is the request's own. first says that this was the draw that the lease waits for.
func (l *Leases) end(a *Ask, n, cost int64, v Verdict, now int64, first, asked bool) {
	s := &l.shards[a.Key.shard()%leaseShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.get(a.Key)
	if one == nil {
		return // dropped meanwhile; what was drawn is lost
	}
	if first {
		one.drawing = false
	}
	if !asked {
		return
	}
	if !v.OK {
		if cost > 0 { // one that was drawn for nobody in particular refuses nobody
			one.refused, one.cost, one.opens = now+min(v.Retry, LeaseLife), cost, now+v.Retry
		}
		one.left, one.drawnAt, one.batch = v.Left, now, 0
		return
	}
	l.drawn.Add(uint64(n))
	if now >= one.ends {
		one.tokens = 0
	}
	if first {
		one.tokens = min(one.tokens+max(0, n-cost), a.Terms.MaxBatch())
		one.ends, one.batch, one.used, one.drawnAt = now+LeaseLife, one.tokens, cost, now
	} else {
		one.used += cost
	}
	one.left, one.refused = v.Left, 0
}

// room drops a lease when there are as many as there may be, one that is over if the first few hold one.
func (s *leaseShard) room(most int, now int64) {
	if len(s.leases) < most {
		return
	}
	var victim uint64
	seen := 0
	for k, one := range s.leases { // in random order
		victim = k
		if seen++; now >= one.ends && !one.drawing || seen == 8 {
			break
		}
	}
	delete(s.leases, victim)
}

// LeaseFigures are counts since Leases were made, but for Leases.
type LeaseFigures struct {
	Leases   int
	Drawn    uint64 // tokens
	Trips    uint64 // to the store
	Answered uint64 // refusals that needed no trip
}

// Figures reads them.
func (l *Leases) Figures() (f LeaseFigures) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		f.Leases += len(s.leases)
		s.mu.Unlock()
	}
	f.Drawn, f.Trips, f.Answered = l.drawn.Load(), l.trips.Load(), l.answered.Load()
	return f
}
